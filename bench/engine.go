package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// engineTarget measures Engine.ValidateInto.
type engineTarget struct {
	device   string
	threads  int
	engine   *engine.Engine
	workload *Workload
	verdicts []engine.Verdict
}

var _ Target = (*engineTarget)(nil)

func (t *engineTarget) Name() string {
	return fmt.Sprintf("fdqc engine, device %s", t.device)
}

// config is the default configuration with the workload's shapes and seeds.
func (t *engineTarget) config(w *Workload) engine.Config {
	config := engine.DefaultConfig()
	config.Engine.Device = t.device
	config.Engine.Threads = t.threads
	config.Safety.WorkspaceDim = w.Workspace
	config.Safety.Seed = w.Seed
	config.Safety.ProjectionSeed = w.Seed
	config.Memory.Capacity = w.Patterns
	return config
}

func (t *engineTarget) Setup(ctx context.Context, w *Workload) error {
	if err := t.Close(); err != nil {
		return err
	}
	e, err := engine.Open(ctx, t.config(w), engine.InMemory())
	if err != nil {
		return err
	}
	t.engine, t.workload = e, w
	t.verdicts = make([]engine.Verdict, RowCount)
	outcomes := make([]engine.Outcome, 0, 2*w.Patterns)
	for _, side := range []struct {
		rows []float32
		safe bool
	}{{w.Safe, true}, {w.Unsafe, false}} {
		for i := range w.Patterns {
			outcomes = append(outcomes, engine.Outcome{Embedding: side.rows[i*w.Width : (i+1)*w.Width], IsSafe: side.safe})
		}
	}
	receipts, err := e.Record(ctx, outcomes)
	if err != nil {
		return err
	}
	for i, r := range receipts {
		if r.Result != engine.Stored {
			return fmt.Errorf("pattern %d was not stored: %s", i, r.Reason)
		}
	}
	return nil
}

func (t *engineTarget) Risk(ctx context.Context, rows int) ([]float32, error) {
	if err := t.validate(ctx, t.workload.Rows[:rows*t.workload.Width], rows); err != nil {
		return nil, err
	}
	risks := make([]float32, rows)
	for i := range risks {
		risks[i] = t.verdicts[i].RawRisk
	}
	return risks, nil
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

// Close closes the engine of the last workload.
func (t *engineTarget) Close() error {
	if t.engine == nil {
		return nil
	}
	err := t.engine.Close()
	t.engine = nil
	return err
}
