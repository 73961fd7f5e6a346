package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Options of a run.
type Options struct {
	Plan    Plan
	Threads int    // with which peers are started, at least those of the plan
	Device  string // of the engine, as engine.device names it; "": cpu
	Python  string // of the peers' environment; "": no Python peers
	Gotorch string // path of the gotorch peer, a Program; "": none
	Fdqc    string // path of the command, which judges files; "": no files
	Command string // what the user typed, for the report
	Version string // of the command, for the report

	// Progress is told of each step, of which there are some in all.
	Progress func(step, steps int, what string)

	// Targets replaces the engine and the peers, for tests.
	Targets []Target
}

// Case is what one measurement is of.
type Case struct {
	Width     int `json:"d"` // of an embedding
	Workspace int `json:"n"`
	Patterns  int `json:"patterns_a_side"`
	BatchSize int `json:"batch_size"`
	Threads   int `json:"threads"`
}

// Result is a case as all targets did it.
type Result struct {
	Sweep string `json:"sweep"` // batch, patterns or threads
	Case
	// Difference is the largest between the targets' answers on the rows that
	// were compared.
	Difference float64  `json:"difference"`
	Needs      []Need   `json:"needs"`   // of one row
	Figures    []Figure `json:"figures"` // of the targets that do this case
}

// figure of a target, nil when it has none.
func (r *Result) figure(target string) *Figure {
	i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Target == target })
	if i < 0 {
		return nil
	}
	return &r.Figures[i]
}

// seed of every workload: any number, as long as it stays.
const seed = 20

// run is a Run under way.
type run struct {
	*Options
	report  *Report
	targets []Target
	step    int
	work    *Workload // of the group before
}

// Run measures and answers the report. A peer that cannot be had, or that
// fails, is named in Report.Missing; the engine itself that cannot is an
// error, and so is a peer that answers other than the engine.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	if err := o.Plan.check(); err != nil {
		return nil, err
	}
	if o.Device == "" {
		o.Device = "cpu"
	}
	o.Threads = max(o.Threads, slices.Max(o.Plan.threads()))
	r := &run{Options: &o, targets: o.Targets, report: newReport(&o)}
	if o.Targets == nil {
		if r.targets, r.report.Missing, err = openTargets(ctx, &o); err != nil {
			return nil, err
		}
	}
	defer func() { err = errors.Join(err, closeAll(r.targets)) }()
	for _, t := range r.targets {
		r.report.Targets = append(r.report.Targets, t.Info())
	}
	if err := r.all(ctx); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return r.report, nil
}

func (r *run) all(ctx context.Context) (err error) {
	plan, report := &r.Plan, r.report
	if plan.Roof > 0 {
		if report.Roofs, err = measureRoofs(ctx, nil, plan.threads(), plan.Roof, r.tell); err != nil {
			return fmt.Errorf("roofline: %w", err)
		}
	}
	for i := range plan.Groups {
		if err := r.group(ctx, &plan.Groups[i]); err != nil {
			return err
		}
	}
	if report.Overheads, err = r.overheads(ctx); err != nil {
		return fmt.Errorf("overhead: %w", err)
	}
	if report.Files, err = r.files(ctx); err != nil {
		return fmt.Errorf("files: %w", err)
	}
	if plan.Roof > 0 {
		if report.Roofs, err = measureRoofs(ctx, report.Roofs, plan.threads(), plan.Roof, func(string) {}); err != nil {
			return fmt.Errorf("roofline: %w", err)
		}
	}
	report.conclude()
	return nil
}

// tell counts a step.
func (r *run) tell(what string) {
	if r.Progress != nil {
		r.Progress(r.step, r.Plan.steps(), what)
	}
	r.step++
}

// group sets the targets up with one workload, checks that they answer alike,
// and times them at every batch size.
func (r *run) group(ctx context.Context, g *Group) error {
	rows := max(slices.Max(g.Sizes), minRows)
	if w := r.work; w == nil || w.Width != g.Width || w.Workspace != g.Workspace || w.Patterns != g.Patterns || w.Count != rows {
		r.work = NewWorkload(g.Width, g.Workspace, g.Patterns, rows, seed)
	}
	targets, difference, err := r.setUp(ctx, g)
	if err != nil {
		return fmt.Errorf("%s: %w", r.work.Name(), err)
	}
	for _, size := range g.Sizes {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.tell(fmt.Sprintf("%s B=%d T=%d", r.work.Name(), size, g.Threads))
		c := Case{g.Width, g.Workspace, g.Patterns, size, g.Threads}
		result := Result{Sweep: g.Sweep, Case: c, Difference: difference, Needs: needs(&c)}
		if targets, err = r.time(ctx, &result, targets); err != nil {
			return fmt.Errorf("%s: %w", r.work.Name(), err)
		}
		r.report.Results = append(r.report.Results, result)
	}
	return nil
}

// setUp answers those targets that do the group and answer alike.
func (r *run) setUp(ctx context.Context, g *Group) (ready []Target, difference float64, err error) {
	var want *Answer
	for _, t := range slices.Clone(r.targets) {
		info := t.Info()
		if !slices.Contains(g.Kinds, info.Kind) || !info.takes(r.work) {
			continue
		}
		err := t.Setup(ctx, r.work, g.Threads)
		var got *Answer
		if err == nil {
			got, err = t.Answer(ctx, checkedRows)
		}
		switch {
		case err == nil:
		case want == nil || ctx.Err() != nil:
			return nil, 0, fmt.Errorf("%s: set-up: %w", info.Name, err)
		default:
			r.drop(t, fmt.Errorf("set-up with %s: %w", r.work.Name(), err))
			continue
		}
		if want == nil {
			want = got
		} else {
			worst, err := compare(want, got)
			if err != nil {
				return nil, 0, fmt.Errorf("%s does not answer what %s does: %w", info.Name, ready[0].Info().Name, err)
			}
			difference = max(difference, worst)
		}
		ready = append(ready, t)
	}
	if ready == nil {
		return nil, 0, fmt.Errorf("no target of %v does this", g.Kinds)
	}
	return ready, difference, nil
}

// time measures the targets in a case and answers those that are left.
func (r *run) time(ctx context.Context, result *Result, targets []Target) ([]Target, error) {
	size := result.BatchSize
	for {
		var able []Target
		for _, t := range targets {
			if info := t.Info(); info.takesBatch(size) {
				able = append(able, t)
			}
		}
		times, err := turns(ctx, able, size, r.Plan.Rounds, r.Plan.PerTurn)
		var failed *failure
		if errors.As(err, &failed) {
			t := able[failed.index]
			if t == targets[0] || ctx.Err() != nil {
				return nil, fmt.Errorf("%s: %w", t.Info().Name, err)
			}
			r.drop(t, fmt.Errorf("batches of %d rows: %w", size, err))
			targets = slices.DeleteFunc(slices.Clone(targets), func(other Target) bool { return other == t })
			continue
		}
		if err != nil {
			return nil, err
		}
		for i, t := range able {
			f, err := figure(t.Info().ID, size, times[i])
			if err != nil {
				return nil, err
			}
			if f.Memory, err = t.Memory(ctx); err != nil {
				return nil, fmt.Errorf("%s: memory: %w", t.Info().Name, err)
			}
			result.Figures = append(result.Figures, f)
		}
		return targets, nil
	}
}

// drop leaves a peer out from now on; what it did before stays.
func (r *run) drop(t Target, why error) {
	r.targets = slices.DeleteFunc(slices.Clone(r.targets), func(other Target) bool { return other == t })
	r.report.Missing = append(r.report.Missing, Missing{t.Info().Name, errors.Join(why, t.Close()).Error()})
}

// now is a time as reports carry it.
func now() string { return time.Now().UTC().Format(time.RFC3339) }
