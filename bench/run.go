package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Shape is one workload to measure.
type Shape struct {
	Width     int // d, of an embedding
	Workspace int // n
}

// Options of a run. The zero value of each field means its default.
type Options struct {
	Shapes     []Shape       // default: d = 8, 384, 768 at n = 8, and d = n = 384
	BatchSizes []int         // default 1, 64, 1,024, 16,384; each divides RowCount
	Patterns   int           // on each side; default 1,000
	Threads    int           // of every target; default: the CPUs
	Device     string        // of the engine; default "cpu"
	Rounds     int           // turns of each target; default 4
	PerTurn    time.Duration // default 250 ms
	Python     string        // of the peers' environment; "": no peer
	Command    string        // what the user typed, for the report
	Progress   io.Writer     // one line a workload; nil: none

	// Targets replaces the engine and the peers, for tests.
	Targets []Target
}

// Check reports options that Run would refuse.
func (o Options) Check() error { return o.defaults() }

// defaults fills in what was left zero, and checks the rest.
func (o *Options) defaults() error {
	if o.Shapes == nil {
		o.Shapes = []Shape{{8, 8}, {384, 8}, {768, 8}, {384, 384}}
	}
	if o.BatchSizes == nil {
		o.BatchSizes = []int{1, 64, 1024, 16384}
	}
	if o.Patterns == 0 {
		o.Patterns = 1000
	}
	if o.Device == "" {
		o.Device = "cpu"
	}
	if o.Rounds == 0 {
		o.Rounds = 4
	}
	if o.PerTurn == 0 {
		o.PerTurn = 250 * time.Millisecond
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	for _, size := range o.BatchSizes {
		if size < 1 || RowCount%size != 0 {
			return fmt.Errorf("bench: batch size %d does not divide the %d rows of a workload", size, RowCount)
		}
	}
	if o.Patterns < 1 || o.Rounds < 1 || o.PerTurn < 0 || o.Threads < 0 {
		return errors.New("bench: patterns, rounds, threads and time a turn must not be negative")
	}
	return nil
}

// seed of every workload: any number, as long as it stays.
const seed = 20

// Run measures and answers the report. A peer that cannot be had is named in
// Report.Missing; the engine itself that cannot is an error.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	targets := o.Targets
	report = &Report{Machine: thisMachine(), Command: o.Command, Patterns: o.Patterns, Rounds: o.Rounds, PerTurn: o.PerTurn.Seconds()}
	if targets == nil {
		var missing []string
		if targets, missing, err = openTargets(ctx, &o); err != nil {
			return nil, err
		}
		defer func() {
			for _, t := range targets {
				err = errors.Join(err, t.Close())
			}
		}()
		report.Missing = missing
	}
	report.Threads = o.Threads
	for _, t := range targets {
		report.Targets = append(report.Targets, t.Name())
	}
	for _, shape := range o.Shapes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		result, err := measure(ctx, &o, shape, targets)
		if err != nil {
			return nil, fmt.Errorf("bench: d=%d n=%d: %w", shape.Width, shape.Workspace, err)
		}
		report.Results = append(report.Results, result...)
	}
	return report, nil
}

// measure sets all targets up with one workload, checks that they answer
// alike, and times them at every batch size.
func measure(ctx context.Context, o *Options, shape Shape, targets []Target) ([]Result, error) {
	w := NewWorkload(shape.Width, shape.Workspace, o.Patterns, seed)
	var want []float32
	worst := 0.0
	for i, t := range targets {
		if err := t.Setup(ctx, w); err != nil {
			return nil, fmt.Errorf("%s: set-up: %w", t.Name(), err)
		}
		risks, err := t.Risk(ctx, checkedRows)
		if err != nil {
			return nil, fmt.Errorf("%s: check: %w", t.Name(), err)
		}
		if i == 0 {
			want = risks
		}
		difference, err := compare(want, risks)
		if err != nil {
			return nil, fmt.Errorf("%s does not answer what %s does: %w", t.Name(), targets[0].Name(), err)
		}
		worst = max(worst, difference)
	}
	var results []Result
	for _, size := range o.BatchSizes {
		fmt.Fprintf(o.Progress, "bench: %s B=%d\n", w.Name(), size)
		times, err := turns(ctx, targets, size, o.Rounds, o.PerTurn)
		if err != nil {
			return nil, err
		}
		result := Result{Width: shape.Width, Workspace: shape.Workspace, BatchSize: size, RiskDifference: worst}
		for i, t := range targets {
			f, err := figure(t.Name(), size, times[i])
			if err != nil {
				return nil, err
			}
			result.Figures = append(result.Figures, f)
		}
		results = append(results, result)
	}
	return results, nil
}
