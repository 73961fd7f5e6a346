package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Result is one row of a report: a workload at a batch size.
type Result struct {
	Width     int `json:"d"`
	Workspace int `json:"n"`
	BatchSize int `json:"batch_size"`
	// RiskDifference is the largest difference of the targets' risks on the
	// rows that were compared.
	RiskDifference float64  `json:"risk_difference"`
	Figures        []Figure `json:"figures"` // in the order of Report.Targets
}

// Report is what Run measured, and on what.
type Report struct {
	Machine  Machine  `json:"machine"`
	Command  string   `json:"command"`
	Threads  int      `json:"threads"`
	Patterns int      `json:"patterns_a_side"`
	Rounds   int      `json:"rounds"`
	PerTurn  float64  `json:"turn_seconds"`
	Targets  []string `json:"targets"`
	Missing  []string `json:"missing"` // peers that could not be had, and why
	Results  []Result `json:"results"`
}

// WriteJSON writes the report as one indented object.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// WriteTable writes the report for a person.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "machine   %s, %d CPUs, %.0f GiB, %s, %s\n", m.CPU, m.CPUs, m.MemoryGiB, m.System, m.Go)
	if m.busy() {
		fmt.Fprintf(&b, "warning   others were computing (load %.1f): measure again on a quiet machine\n", m.Load)
	}
	fmt.Fprintf(&b, "command   %s\n", r.Command)
	for i, name := range r.Targets {
		fmt.Fprintf(&b, "%-9s %s\n", letter(i), name)
	}
	for _, missing := range r.Missing {
		fmt.Fprintf(&b, "missing   %s\n", missing)
	}
	fmt.Fprintf(&b, "measured  %d threads each; %d+%d patterns; %d turns of %.2f s each, alternating, warmed up; times are of one batch\n\n",
		r.Threads, r.Patterns, r.Patterns, r.Rounds, r.PerTurn)

	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "d\tn\tB\t")
	for i := range r.Targets {
		fmt.Fprintf(t, "%s rows/s\tp50\tp99\t", letter(i))
	}
	if len(r.Targets) > 1 {
		fmt.Fprint(t, "A by B\t")
	}
	fmt.Fprintln(t)
	for _, result := range r.Results {
		fmt.Fprintf(t, "%d\t%d\t%d\t", result.Width, result.Workspace, result.BatchSize)
		for _, f := range result.Figures {
			fmt.Fprintf(t, "%s\t%s\t%s\t", thousands(f.RowsPerSecond), seconds(f.P50), seconds(f.P99))
		}
		if len(result.Figures) > 1 {
			fmt.Fprintf(t, "%.2f\t", result.Figures[0].RowsPerSecond/result.Figures[1].RowsPerSecond)
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// letter is a target's short name in the table: A, B, …
func letter(i int) string { return string(rune('A' + i)) }

// thousands writes a count as 1,234,567.
func thousands(x float64) string {
	digits := fmt.Sprintf("%.0f", x)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// seconds writes a time with a unit that fits it.
func seconds(s float64) string {
	switch {
	case s < 1e-3:
		return fmt.Sprintf("%.1f µs", s*1e6)
	case s < 1:
		return fmt.Sprintf("%.2f ms", s*1e3)
	}
	return fmt.Sprintf("%.2f s", s)
}
