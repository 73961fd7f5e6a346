package engine

import (
	"context"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// patch is what one side of the validator's patterns has to be given: row
// index[i] becomes the i-th of rows, with the id ids[i].
type patch struct {
	index, ids []int64
	rows       []float32 // [len(index), 2n]
}

// patchesOf copies the changes of a transaction, by side.
func patchesOf(changes []memory.Change) (patches [2]patch) {
	for i := range changes {
		c := &changes[i]
		p := &patches[c.Side]
		p.index, p.ids, p.rows = append(p.index, int64(c.Row)), append(p.ids, c.ID), append(p.rows, c.Vector...)
	}
	return patches
}

var _ observer = (*Engine)(nil)

// patched shows committed changes to the validator. What is durable cannot
// fail any more, so a failure here (device memory, say) only marks the
// validator's copy as stale: the next batch is judged with a fresh one or
// not at all.
func (e *Engine) patched(patches [2]patch) {
	ctx := context.Background() // what is durable has to be shown; such a context never ends
	_ = e.computing.lock(ctx)
	defer e.computing.unlock()
	if e.stale || e.closed {
		return
	}
	for _, side := range memory.Sides() {
		err := e.put(ctx, side, &patches[side])
		if err == nil {
			err = e.validator.Truncate(ctx, nativeSide(side), int64(e.directory.Stats().Patterns[side]))
		}
		if err != nil {
			e.stale = true
			err = e.deviceFailed(err)
			e.logger.Error("patterns are recorded but not yet on the device, the next batch tries again", "error", err)
			return
		}
	}
}

// replaced has the next batch judged with the whole memory anew.
func (e *Engine) replaced() {
	_ = e.computing.lock(context.Background())
	defer e.computing.unlock()
	e.stale = true
}

// leversChanged has the next batch obey the operators.
func (e *Engine) leversChanged(l Levers) {
	_ = e.computing.lock(context.Background())
	defer e.computing.unlock()
	e.policy = policyOf(&e.config, l)
}

// publish is publishAll, on the CPU where a device is lost over it and any
// will do: no batch was in hand. The caller holds computing.
func (e *Engine) publish(ctx context.Context) error {
	on := e.device.on()
	err := e.deviceFailed(e.publishAll(ctx))
	if err != nil && e.device.on() != on {
		return e.publishAll(ctx)
	}
	return err
}

// publishAll gives the validator the whole memory anew. The caller holds
// computing.
func (e *Engine) publishAll(ctx context.Context) error {
	e.stale = true
	snapshot := e.directory.Patterns()
	for _, side := range memory.Sides() {
		s := &snapshot.Sides[side]
		p := patch{index: make([]int64, len(s.IDs)), ids: s.IDs, rows: s.Rows}
		for i := range p.index {
			p.index[i] = int64(i)
		}
		if err := e.validator.Truncate(ctx, nativeSide(side), 0); err != nil {
			return fmt.Errorf("patterns: %w", err)
		}
		if err := e.put(ctx, side, &p); err != nil {
			return fmt.Errorf("patterns: %w", err)
		}
	}
	e.stale = false
	return nil
}

func (e *Engine) put(ctx context.Context, side memory.Side, p *patch) error {
	if len(p.index) == 0 {
		return nil
	}
	return e.validator.Put(ctx, nativeSide(side), p.index, p.rows, p.ids)
}

func nativeSide(s memory.Side) torch.Side {
	if s == memory.Safe {
		return torch.Safe
	}
	return torch.Unsafe
}
