package bench

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// fake is a target whose batches take a fixed time a row.
type fake struct {
	info    Info
	each    time.Duration // of a row
	answer  Answer
	err     error // of Setup
	runErr  error
	turns   *[]string
	threads []int
	largest int
	closed  int
}

func newFake(kind string, each time.Duration) *fake {
	f := &fake{info: Info{ID: kind + "/cpu", Kind: kind, Name: "a fake " + kind, Device: "cpu"}, each: each, turns: new([]string)}
	f.answer.Risks = make([]float32, checkedRows)
	return f
}

// newMatcher is a fake that answers nearest patterns and no risks.
func newMatcher(kind string, each time.Duration) *fake {
	f := newFake(kind, each)
	f.info.Matching, f.answer.Risks = true, nil
	f.answer.Nearest, f.answer.Distance = neighbours()
	return f
}

func neighbours() (ids [2][]int64, distances [2][]float32) {
	for side := range ids {
		ids[side], distances[side] = make([]int64, checkedRows), make([]float32, checkedRows)
	}
	return ids, distances
}

func (f *fake) Info() Info { return f.info }

func (f *fake) Setup(_ context.Context, _ *Workload, threads int) error {
	f.threads = append(f.threads, threads)
	return f.err
}

func (f *fake) Answer(_ context.Context, rows int) (*Answer, error) {
	if rows != checkedRows {
		return nil, errors.New("other rows than are compared")
	}
	return &f.answer, nil
}

func (f *fake) Run(_ context.Context, size, count int) ([]time.Duration, error) {
	*f.turns = append(*f.turns, f.info.Kind)
	f.largest = max(f.largest, size)
	times := make([]time.Duration, count)
	for i := range times {
		times[i] = time.Duration(size) * f.each
	}
	return times, f.runErr
}

func (f *fake) Memory(context.Context) (Memory, error) { return Memory{Resident: 3 << 20}, nil }

func (f *fake) Close() error {
	f.closed++
	return nil
}

// options of a small run of some targets.
func options(targets ...Target) Options {
	return Options{
		Plan: Plan{Rounds: 2, PerTurn: 10 * time.Millisecond, Groups: []Group{
			{SweepBatch, 8, 8, 4, 2, []int{1, 64, 256}, validators},
			{SweepPatterns, 8, 8, 4, 2, []int{64}, kinds()},
			{SweepPatterns, 8, 8, 8, 2, []int{64}, kinds()},
			{SweepThreads, 8, 8, 4, 1, []int{64}, []string{"engine"}},
			{SweepThreads, 8, 8, 4, 2, []int{64}, []string{"engine"}},
		}},
		Command: "fdqc bench", Targets: targets,
	}
}

func runOf(t *testing.T, targets ...Target) *Report {
	t.Helper()
	report, err := Run(t.Context(), options(targets...))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestRunReports(t *testing.T) {
	engine, eager, tree := newFake("engine", 10*time.Microsecond), newFake("eager", 20*time.Microsecond), newMatcher("tree", 5*time.Microsecond)
	engine.answer.Nearest, engine.answer.Distance = neighbours()
	eager.turns, tree.turns = engine.turns, engine.turns
	eager.info.MaxBatch = 64
	report := runOf(t, engine, eager, tree)
	if len(report.Results) != 7 {
		t.Fatalf("got %d results, want 3 batch sizes and 4 more groups", len(report.Results))
	}
	result := report.Results[1]
	if result.Sweep != SweepBatch || result.Case != (Case{8, 8, 4, 64, 2}) || len(result.Figures) != 2 {
		t.Errorf("got %+v, want batches of 64 rows by the engine and eager", result)
	}
	f := result.Figures[0]
	if f.Target != "engine/cpu" || math.Abs(f.RowsPerSecond-1e5) > 1 || math.Abs(f.BestRowsPerSecond-1e5) > 1 || f.P50 != 64e-5 || f.P99 != 64e-5 || f.Resident != 3<<20 {
		t.Errorf("64 rows of 10 µs: got %+v, want 100,000 rows/s, 640 µs and 3 MiB", f)
	}
	if got := report.Results[2].Figures; len(got) != 1 || eager.largest != 64 {
		t.Errorf("256 rows: got %d figures, largest batch of eager %d, want the engine alone", len(got), eager.largest)
	}
	if got := report.Results[4].figure("tree/cpu"); got == nil || math.Abs(got.RowsPerSecond-2e5) > 1 {
		t.Errorf("patterns: got %+v of the tree, want 200,000 rows/s", got)
	}
	if got := engine.threads; len(got) != 5 || got[3] != 1 || got[4] != 2 {
		t.Errorf("the engine was set up with %v threads, want the groups' 2 2 2 1 2", got)
	}
	if joined := strings.Join(*engine.turns, " "); !strings.Contains(joined, "engine engine eager eager engine engine eager eager") {
		t.Errorf("targets ran as %s, want turns that alternate (warm-up and turn each)", joined)
	}
	if engine.closed != 1 || tree.closed != 1 {
		t.Errorf("closed %d and %d times, want once", engine.closed, tree.closed)
	}
}

func TestPeersThatAnswerOtherwiseAreRefused(t *testing.T) {
	other := func(change func(*fake)) *fake {
		f := newFake("eager", time.Microsecond)
		change(f)
		return f
	}
	matcher := func(change func(*fake)) *fake {
		f := newMatcher("tree", time.Microsecond)
		change(f)
		return f
	}
	for _, c := range []struct {
		name string
		peer *fake
		want string
	}{
		{"another risk", other(func(f *fake) { f.answer.Risks[7] = 2 * Tolerance }), "a fake eager does not answer what a fake engine does: row 7: risk"},
		{"no number", other(func(f *fake) { f.answer.Risks[9] = float32(math.NaN()) }), "row 9"},
		{"too few", other(func(f *fake) { f.answer.Risks = f.answer.Risks[1:] }), "got 2047 rows, want 2048"},
		{"nothing", other(func(f *fake) { f.answer = Answer{} }), "no answer in common"},
		{"another distance", matcher(func(f *fake) { f.answer.Distance[1][3] = 1 }), "row 3: distance of the nearest unsafe pattern 1"},
		{"other patterns", matcher(func(f *fake) {
			for i := range checkedRows / 2 {
				f.answer.Nearest[0][i] = 1
			}
		}), "1024 of 2048 nearest safe patterns are others"},
	} {
		t.Run(c.name, func(t *testing.T) {
			engine := newFake("engine", time.Microsecond)
			engine.answer.Nearest, engine.answer.Distance = neighbours()
			report, err := Run(t.Context(), options(engine, c.peer))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got report %v, error %v, want an error with %q", report, err, c.want)
			}
			if c.peer.largest != 0 {
				t.Errorf("it was timed with batches of %d before it was refused", c.peer.largest)
			}
		})
	}
}

func TestPeerThatFailsIsNamed(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(*fake)
	}{
		{"in its set-up", func(f *fake) { f.err = errors.New("out of order") }},
		{"in a batch", func(f *fake) { f.runErr = errors.New("out of order") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			peer := newFake("loop", time.Microsecond)
			c.fail(peer)
			report := runOf(t, newFake("engine", time.Microsecond), peer)
			if len(report.Missing) != 1 || report.Missing[0].Name != "a fake loop" || !strings.Contains(report.Missing[0].Reason, "out of order") {
				t.Errorf("got missing %+v, want the loop and why", report.Missing)
			}
			for _, result := range report.Results {
				if len(result.Figures) != 1 {
					t.Errorf("B=%d: got %d figures, want the engine's alone", result.BatchSize, len(result.Figures))
				}
			}
			if peer.closed != 1 {
				t.Errorf("the peer was closed %d times, want once", peer.closed)
			}

			c.fail(peer)
			engine := newFake("engine", time.Microsecond)
			c.fail(engine)
			if _, err := Run(t.Context(), options(engine)); err == nil || !strings.Contains(err.Error(), "a fake engine: ") {
				t.Errorf("an engine that fails: got %v, want its error", err)
			}
		})
	}
}

func TestRunRefusesPlans(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Plan)
		want   string
	}{
		{"no group", func(p *Plan) { p.Groups = nil }, "at least one group"},
		{"no time", func(p *Plan) { p.PerTurn = 0 }, "some time a turn"},
		{"a batch that is too large", func(p *Plan) { p.Groups[0].Sizes = []int{65537} }, "batch size 65537, expected 1 to 65536"},
		{"a workspace of 1", func(p *Plan) { p.Groups[0].Workspace = 1 }, "n of at least 2"},
		{"an unknown target", func(p *Plan) { p.Groups[0].Kinds = []string{"abacus"} }, `"abacus"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(newFake("engine", time.Millisecond))
			c.change(&o.Plan)
			if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, options(newFake("engine", time.Millisecond))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestRunTellsItsProgress(t *testing.T) {
	o := options(newFake("engine", time.Millisecond))
	var last, steps int
	o.Progress = func(step, all int, _ string) { last, steps = step, all }
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if last != 6 || steps != 7 {
		t.Errorf("got step %d of %d at last, want 6 (from 0) of 7", last, steps)
	}
}

func TestPlansAreSound(t *testing.T) {
	for name, plan := range map[string]Plan{"full": FullPlan(6, 1000), "quick": QuickPlan(1, 50)} {
		if err := plan.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if plan := FullPlan(6, 1000); len(plan.threads()) != 4 || plan.threads()[3] != 6 {
		t.Errorf("6 threads: got counts %v, want 1 2 4 6", plan.threads())
	}
	if plan := QuickPlan(2, 1000); plan.wants("compile") || !plan.wants("tree") {
		t.Error("the quick plan: want a tree and no torch.compile")
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

func TestFigureOfUnequalBatches(t *testing.T) {
	f, err := figure("engine/cpu", 10, []time.Duration{3 * time.Millisecond, time.Millisecond, 2 * time.Millisecond})
	if err != nil || math.Abs(f.RowsPerSecond-5000) > 1e-6 || math.Abs(f.BestRowsPerSecond-10_000) > 1e-6 || f.P50 != 2e-3 || f.P99 != 3e-3 || f.Batches != 3 {
		t.Errorf("30 rows in 6 ms: got %+v, %v, want 5,000 rows/s, at best 10,000, p50 2 ms, p99 3 ms", f, err)
	}
	if _, err := figure("engine/cpu", 10, nil); err == nil {
		t.Error("no batch at all: got a figure, want an error")
	}
}

func TestWorkloadIsAFunctionOfItsSeed(t *testing.T) {
	a, b, c := NewWorkload(12, 8, 5, 1, 1), NewWorkload(12, 8, 5, 1, 1), NewWorkload(12, 8, 5, 1, 2)
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
	if uneven := a.Batch(5, 5000); len(uneven) != 5000*12 || &uneven[0] != &a.Rows[2*5000*12] {
		t.Errorf("batch 5 of 5000 rows is not the third of three (length %d)", len(uneven))
	}
	if NewWorkload(8, 8, 1, 1, 1).Projection != nil {
		t.Error("a width equal to the workspace has a projection, want none")
	}
}
