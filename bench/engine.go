package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// engineTarget measures Engine.ValidateInto: host rows in, verdicts out.
type engineTarget struct {
	device   string          // cpu or cuda:N
	detects  bool            // what is recorded, and stores it all the same
	options  []engine.Option // beside the usual ones
	engine   *engine.Engine
	workload *Workload
	verdicts []engine.Verdict
	ids      [2]int64 // of the first pattern of each side
}

var _ Target = (*engineTarget)(nil)

func (t *engineTarget) Info() Info {
	return Info{ID: "engine/" + t.device, Kind: "engine", Name: "fdqc engine on " + t.device, Device: t.device}
}

// config is the default configuration with the workload's shapes and seeds.
func (t *engineTarget) config(w *Workload, threads int) engine.Config {
	config := engine.DefaultConfig()
	config.Engine.Device = t.device
	config.Engine.Threads = threads
	config.Safety.WorkspaceDim = w.Workspace
	config.Safety.Seed = w.Seed
	config.Safety.ProjectionSeed = w.Seed
	config.Memory.Capacity = w.Patterns
	config.Detector.OnOutlier = engine.OnOutlierFlag
	return config
}

func (t *engineTarget) Setup(ctx context.Context, w *Workload, threads int) error {
	if err := t.Close(); err != nil {
		return err
	}
	options := append([]engine.Option{engine.InMemory()}, t.options...)
	if !t.detects {
		options = append(options, engine.WithoutDetector())
	}
	e, err := engine.Open(ctx, t.config(w, threads), options...)
	if err != nil {
		return err
	}
	t.engine, t.workload = e, w
	t.verdicts = make([]engine.Verdict, w.Count)
	for side, rows := range [][]float32{w.Safe, w.Unsafe} {
		if t.ids[side], err = t.record(ctx, rows, side == 0); err != nil {
			return err
		}
	}
	return nil
}

// record puts the patterns of a side into the memory, in order, and answers
// the id of the first; the others follow it.
func (t *engineTarget) record(ctx context.Context, rows []float32, safe bool) (first int64, err error) {
	w := t.workload
	for start := 0; start < w.Patterns; start += engine.MaxBatch {
		outcomes := make([]engine.Outcome, min(engine.MaxBatch, w.Patterns-start))
		for i := range outcomes {
			at := (start + i) * w.Width
			outcomes[i] = engine.Outcome{Embedding: rows[at : at+w.Width], IsSafe: safe}
		}
		receipts, err := t.engine.Record(ctx, outcomes)
		if err != nil {
			return 0, err
		}
		if start == 0 {
			first = receipts[0].PatternID
		}
		for i, r := range receipts {
			if r.Result != engine.Stored || r.PatternID != first+int64(start+i) {
				return 0, fmt.Errorf("pattern %d became %d (%s): %s", start+i, r.PatternID, r.Result, r.Reason)
			}
		}
	}
	return first, nil
}

func (t *engineTarget) Answer(ctx context.Context, rows int) (*Answer, error) {
	if err := t.validate(ctx, t.workload.Rows[:rows*t.workload.Width], rows); err != nil {
		return nil, err
	}
	a := &Answer{Risks: make([]float32, rows)}
	for side := range a.Nearest {
		a.Nearest[side], a.Distance[side] = make([]int64, rows), make([]float32, rows)
	}
	for i := range rows {
		v := &t.verdicts[i]
		a.Risks[i] = v.RawRisk
		a.Nearest[0][i], a.Distance[0][i] = v.NearestSafe-t.ids[0], v.SafeDistance
		a.Nearest[1][i], a.Distance[1][i] = v.NearestUnsafe-t.ids[1], v.UnsafeDistance
	}
	return a, nil
}

func (t *engineTarget) Run(ctx context.Context, size, count int) ([]time.Duration, error) {
	times := make([]time.Duration, count)
	for i := range times {
		batch := t.workload.Batch(i, size)
		start := time.Now()
		if err := t.validate(ctx, batch, size); err != nil {
			return nil, err
		}
		times[i] = time.Since(start)
	}
	return times, nil
}

func (t *engineTarget) validate(ctx context.Context, batch []float32, rows int) error {
	if t.engine == nil {
		return errors.New("no workload was set up")
	}
	return t.engine.ValidateInto(ctx, engine.Batch{Embeddings: batch, Width: t.workload.Width}, t.verdicts[:rows])
}

func (t *engineTarget) Memory(ctx context.Context) (Memory, error) {
	m := Memory{Resident: resident(os.Getpid())}
	if t.device != "cpu" {
		m.Device = deviceMemory(ctx)
	}
	return m, nil
}

// Close closes the engine of the last workload.
func (t *engineTarget) Close() error {
	if t.engine == nil {
		return nil
	}
	err := t.engine.Close()
	t.engine = nil
	return err
}
