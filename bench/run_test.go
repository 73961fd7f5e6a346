package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// fake is a target whose batches take a fixed time.
type fake struct {
	name    string
	each    time.Duration
	risk    float32
	err     error
	turns   *[]string
	setUp   int
	largest int
}

func (f *fake) Name() string { return f.name }

func (f *fake) Setup(context.Context, *Workload) error {
	f.setUp++
	return f.err
}

func (f *fake) Risk(_ context.Context, rows int) ([]float32, error) {
	risks := make([]float32, rows)
	for i := range risks {
		risks[i] = f.risk
	}
	return risks, nil
}

func (f *fake) Run(_ context.Context, size, count int) ([]time.Duration, error) {
	*f.turns = append(*f.turns, f.name)
	f.largest = max(f.largest, size)
	times := make([]time.Duration, count)
	for i := range times {
		times[i] = f.each
	}
	return times, nil
}

func (f *fake) Close() error { return nil }

func options(targets ...Target) Options {
	return Options{
		Shapes: []Shape{{8, 8}}, BatchSizes: []int{1, 64}, Patterns: 4, Rounds: 2, PerTurn: 10 * time.Millisecond,
		Command: "fdqc bench", Targets: targets,
	}
}

func TestRunReports(t *testing.T) {
	var turns []string
	slow := &fake{name: "slow", each: 2 * time.Millisecond, turns: &turns}
	fast := &fake{name: "fast", each: time.Millisecond, turns: &turns}
	report, err := Run(t.Context(), options(slow, fast))
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 2 {
		t.Fatalf("got %d results, want one for each of 2 batch sizes", len(report.Results))
	}
	result := report.Results[1]
	if result.BatchSize != 64 || result.Figures[0].Target != "slow" || result.Figures[1].Target != "fast" {
		t.Errorf("got %+v, want batches of 64 rows of slow, then fast", result)
	}
	if got := result.Figures[0].RowsPerSecond; math.Abs(got-32000) > 1e-6*32000 {
		t.Errorf("64 rows in 2 ms: got %v rows/s, want 32000", got)
	}
	if got := result.Figures[1].P99; got != 1e-3 {
		t.Errorf("p99 of batches of 1 ms: got %v s, want 0.001", got)
	}
	if slow.setUp != 1 || slow.largest != 64 {
		t.Errorf("got %d set-ups and batches up to %d, want 1 and 64", slow.setUp, slow.largest)
	}
	if joined := strings.Join(turns, " "); !strings.Contains(joined, "slow slow fast fast slow slow fast fast") {
		t.Errorf("targets ran as %s, want turns that alternate (warm-up and turn each)", joined)
	}

	var table, raw bytes.Buffer
	if err := errors.Join(report.WriteTable(&table), report.WriteJSON(&raw)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fdqc bench", "slow", "32,000", "64,000", "0.50", "2.00 ms"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, &table)
		}
	}
	var back Report
	if err := json.Unmarshal(raw.Bytes(), &back); err != nil || len(back.Results) != 2 || back.Results[1].Figures[0] != result.Figures[0] {
		t.Errorf("JSON came back as %+v (%v), want %+v", back, err, report)
	}
}

func TestRunRefuses(t *testing.T) {
	var turns []string
	good := func() *fake { return &fake{name: "good", each: time.Millisecond, turns: &turns} }
	for _, c := range []struct {
		name    string
		options func() Options
		want    string
	}{
		{"different answers", func() Options {
			return options(good(), &fake{name: "other", risk: 0.001, each: time.Millisecond, turns: &turns})
		}, "other does not answer what good does: row 0"},
		{"NaN answers", func() Options {
			return options(good(), &fake{name: "other", risk: float32(math.NaN()), each: time.Millisecond, turns: &turns})
		}, "row 0"},
		{"a target that fails", func() Options {
			return options(&fake{name: "ill", err: errors.New("out of order"), turns: &turns})
		}, "ill: set-up: out of order"},
		{"a batch size that does not divide", func() Options {
			o := options(good())
			o.BatchSizes = []int{3}
			return o
		}, "batch size 3 does not divide"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := Run(t.Context(), c.options())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got report %v, error %v, want an error with %q", report, err, c.want)
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	var turns []string
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, options(&fake{name: "any", each: time.Millisecond, turns: &turns})); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestPercentile(t *testing.T) {
	times := make([]time.Duration, 200)
	for i := range times {
		times[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		count, p int
		want     time.Duration
	}{{200, 50, 100}, {200, 99, 198}, {1, 99, 1}, {3, 50, 2}} {
		if got := percentile(times[:c.count], c.p); got != c.want {
			t.Errorf("percentile %d of 1..%d: got %d, want %d", c.p, c.count, got, c.want)
		}
	}
}

func TestWorkloadIsAFunctionOfItsSeed(t *testing.T) {
	a, b, c := NewWorkload(12, 8, 5, 1), NewWorkload(12, 8, 5, 1), NewWorkload(12, 8, 5, 2)
	if a.Rows[0] != b.Rows[0] || a.Unsafe[59] != b.Unsafe[59] || a.Projection.Weight[95] != b.Projection.Weight[95] {
		t.Error("two workloads of one seed differ")
	}
	if a.Rows[0] == c.Rows[0] {
		t.Error("workloads of two seeds are alike")
	}
	first, again := a.Batch(0, 4096), a.Batch(4, 4096)
	if &first[0] != &again[0] || len(first) != 4096*12 {
		t.Errorf("batch 4 of 4096 rows does not start again at the first row (length %d)", len(first))
	}
	if NewWorkload(8, 8, 1, 1).Projection != nil {
		t.Error("a width equal to the workspace has a projection, want none")
	}
}
