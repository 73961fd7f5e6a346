package engine

import (
	"context"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/models"
)

// scratch holds the buffers of the batch in hand.
type scratch struct {
	batch    models.Batch
	slots    []int32
	flags    []uint8
	verdicts []torch.Verdict
}

// Validate judges a batch and answers one verdict a row, in order. A batch
// means its rows one after another: each moves the state of its session, and
// any split into batches gives the same verdicts within float32 rounding
// (validator specification, section 3).
//
// A row that cannot be judged (NaN, infinity, overflow) is no error of the
// call: its verdict is Block with a Status that says why, and it moves no
// state. A batch of a wrong shape is a [BatchError]. The context ends the
// waiting for other callers, never a running batch.
func (e *Engine) Validate(ctx context.Context, b Batch) ([]Verdict, error) {
	rows, err := b.rows()
	if err != nil {
		return nil, fmt.Errorf("validate: %w", err)
	}
	out := make([]Verdict, rows)
	return out, e.ValidateInto(ctx, b, out)
}

// ValidateInto is Validate into the caller's out, whose length must be the
// number of rows. Once its buffers have grown it allocates nothing.
func (e *Engine) ValidateInto(ctx context.Context, b Batch, out []Verdict) error {
	rows, err := b.rows()
	if err == nil && len(out) != rows {
		err = &BatchError{-1, fmt.Sprintf("holds %d rows, the output %d", rows, len(out))}
	}
	if err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	if err := e.directory.follow(ctx); err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	if err := e.computing.lock(ctx); err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	defer e.computing.unlock()
	if e.closed {
		return ErrClosed
	}
	watch := e.directory.watch
	start := watch.begin()
	if e.stale {
		if err := e.publish(ctx); err != nil {
			watch.notJudged(rows, start, err)
			return fmt.Errorf("validate: %w", err)
		}
	}
	s := &e.scratch
	s.prepare(&b, rows, e.sessions)
	if cap(s.verdicts) < rows {
		s.verdicts = make([]torch.Verdict, rows)
	}
	native := s.verdicts[:rows]
	err = e.validator.Validate(ctx, &s.batch, e.policy, native)
	if err = e.deviceFailed(err); err != nil {
		e.sessions.rollback()
		watch.notJudged(rows, start, err)
		return fmt.Errorf("validate: %w", err)
	}
	e.sessions.commit()
	for i := range native {
		out[i] = verdictFrom(&native[i], &e.policy)
	}
	if e.shadow != nil {
		e.countShadow(out, s.batch.Flags)
	}
	watch.judged(out, start)
	return nil
}

// State reads state_real and state_imag ([workspace_dim] each) of the default
// session.
func (e *Engine) State(ctx context.Context) (real, imag []float32, err error) {
	if err := e.computing.lock(ctx); err != nil {
		return nil, nil, fmt.Errorf("state: %w", err)
	}
	defer e.computing.unlock()
	if e.closed {
		return nil, nil, ErrClosed
	}
	return e.validator.State(ctx, 0)
}
