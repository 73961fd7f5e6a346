package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// sweepTitles are what the sections of a report are called.
var sweepTitles = map[string]string{
	SweepBatch:    "against the size of a batch",
	SweepPatterns: "against the patterns on a side",
	SweepThreads:  "against threads",
}

// WriteTable writes the report for a person.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "machine   %s, %d CPUs, %.0f GiB, %s, %s\n", m.CPU, m.CPUs, m.MemoryGiB, m.System, m.Go)
	if m.Busy() {
		fmt.Fprintf(&b, "warning   others were computing (load %.1f): measure again on a quiet machine\n", m.Load)
	}
	fmt.Fprintf(&b, "command   %s (%s, %s)\n", r.Command, r.Version, r.Date)
	for _, t := range r.Targets {
		fmt.Fprintf(&b, "%-9s %s%s\n", t.Kind, t.Name, t.Limits())
	}
	for _, missing := range r.Missing {
		fmt.Fprintf(&b, "missing   %s: %s\n", missing.Name, missing.Reason)
	}
	for _, roof := range r.Roofs {
		fmt.Fprintf(&b, "roof      %d threads: %.1f Gflop/s, %.1f GB/s read\n", roof.Threads, roof.FlopsPerSecond/1e9, roof.BytesPerSecond/1e9)
	}
	fmt.Fprintf(&b, "measured  %d turns of %.2f s of each, alternating, warmed up; p50 and p99 are of one batch\n", r.Rounds, r.PerTurn)
	for _, sweep := range []string{SweepBatch, SweepPatterns, SweepThreads} {
		if err := r.sweepTable(&b, sweep); err != nil {
			return err
		}
	}
	if err := errorsOf(r.fitTable(&b), r.overheadTable(&b), r.fileTable(&b), r.goalTable(&b)); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func errorsOf(errs ...error) error {
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if i < 0 {
		return nil
	}
	return errs[i]
}

func newTable(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
}

// sweepTable has a line for each target of each case, the engine's first.
func (r *Report) sweepTable(b *strings.Builder, sweep string) error {
	if !slices.ContainsFunc(r.Results, func(result Result) bool { return result.Sweep == sweep }) {
		return nil
	}
	fmt.Fprintf(b, "\n%s\n", sweepTitles[sweep])
	t := newTable(b)
	fmt.Fprintln(t, "d\tn\tpatterns\tB\tthreads\ttarget\trows/s\tp50\tp99\tresident\tdevice\tof roof\tengine by it\t")
	for i := range r.Results {
		result := &r.Results[i]
		if result.Sweep != sweep {
			continue
		}
		for j := range result.Figures {
			f := &result.Figures[j]
			fmt.Fprintf(t, "%d\t%d\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", result.Width, result.Workspace,
				thousands(float64(result.Patterns)), thousands(float64(result.BatchSize)), result.Threads, f.Target,
				thousands(f.RowsPerSecond), seconds(f.P50), seconds(f.P99), mebibytes(f.Resident), mebibytes(f.Device),
				percent(f.RoofShare), ratio(result.Figures[0].RowsPerSecond/f.RowsPerSecond, j > 0))
		}
	}
	return t.Flush()
}

// overheadTable has a line for each part that was measured.
func (r *Report) overheadTable(b *strings.Builder) error {
	if len(r.Overheads) == 0 {
		return nil
	}
	fmt.Fprint(b, "\nwhat a part of the engine costs: batches with it and without it, by turns\n")
	t := newTable(b)
	fmt.Fprintln(t, "part\td\tn\tpatterns\tB\tthreads\tp50 with\tp50 without\trate with by without\tpairs\t")
	for _, o := range r.Overheads {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%d\t%s\t%s\t%.3f\t%s\t\n", o.Of, o.Width, o.Workspace, thousands(float64(o.Patterns)),
			thousands(float64(o.BatchSize)), o.Threads, seconds(o.With), seconds(o.Without), o.Ratio, thousands(float64(o.Pairs)))
	}
	return t.Flush()
}

func (r *Report) fitTable(b *strings.Builder) error {
	if len(r.Fits) == 0 {
		return nil
	}
	fmt.Fprint(b, "\nscaling: rows per second ∝ x^exponent\n")
	t := newTable(b)
	fmt.Fprintln(t, "x\ttarget\tat\texponent\tR²\tpoints\t")
	for _, f := range r.Fits {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\t%s\t%d\t\n", f.Sweep, f.Target, f.Series, f.Exponent, f.quality(), f.Points)
	}
	return t.Flush()
}

// quality is R², which says nothing of two points.
func (f *Fit) quality() string {
	if f.Points < 3 {
		return dash
	}
	return fmt.Sprintf("%.3f", f.R2)
}

func (r *Report) fileTable(b *strings.Builder) error {
	if len(r.Files) == 0 {
		return nil
	}
	fmt.Fprint(b, "\nfdqc validate on files, end to end\n")
	t := newTable(b)
	fmt.Fprintln(t, "file\trows\td\tseconds\trows/s\tbeside\trows/s\tratio\t")
	for _, f := range r.Files {
		fmt.Fprintf(t, "%s\t%s\t%d\t%.2f\t%s\t%s\t%s\t%s\t\n", f.Name, thousands(float64(f.Rows)), f.Width, f.Seconds,
			thousands(f.RowsPerSecond), f.ReferenceName, thousands(f.Reference), ratio(f.RowsPerSecond/f.Reference, f.Reference > 0))
	}
	return t.Flush()
}

func (r *Report) goalTable(b *strings.Builder) error {
	fmt.Fprint(b, "\nratios that the engine is to reach on 2 CPUs\n")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, g := range r.Goals {
		fmt.Fprintf(t, "  %s\t%s\tat least %.4g\t%s\n", g.verdict(), ratio(g.Measured, g.Measured > 0), g.AtLeast, g.Name)
	}
	return t.Flush()
}

// verdict says what became of a goal.
func (g *Goal) verdict() string {
	switch {
	case g.Measured == 0:
		return "not measured"
	case g.Met:
		return "met"
	}
	return "not met"
}

// dash is what stands where there is no figure.
const dash = "–"

// ratio writes a quotient with three digits.
func ratio(x float64, there bool) string {
	switch {
	case !there:
		return dash
	case x >= 100:
		return thousands(x)
	}
	return fmt.Sprintf("%.3g", x)
}

// percent of a share; 0 is none.
func percent(share float64) string {
	switch {
	case share == 0:
		return dash
	case share < 0.01:
		return fmt.Sprintf("%.2g %%", share*100)
	}
	return fmt.Sprintf("%.0f %%", share*100)
}

// mebibytes of memory; 0 is none.
func mebibytes(bytes int64) string {
	if bytes == 0 {
		return dash
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

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
