package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
)

// What crosses to the native side unchanged.
type (
	// Policy is the set of thresholds and rules that verdicts are given under.
	Policy = torch.Policy
	// Verdict is one row's answer in the layout of the native side.
	Verdict = torch.Verdict
	// Side names a side of the pattern memory.
	Side = torch.Side
)

// Segment is a run of consecutive rows of one width.
type Segment struct {
	Rows  []float32 // [Count, Width]
	Width int
	Count int
}

// Batch is what Validate judges: rows in order, and what is said of each.
type Batch struct {
	Segments []Segment
	Count    int     // rows of all segments together
	Slots    []int32 // [Count] session slots; nil: all slot 0
	Flags    []uint8 // [Count] torch.Row…; Validate adds RowNoAllow
}

// ValidatorOptions says where and with what a validator computes.
type ValidatorOptions struct {
	Library        *torch.Library
	Device         torch.Device
	Weights        *Weights
	Projections    map[int]*Projection // by width; those that a file covers
	MaxProjections int                 // kept on the device, at least 1
	ProjectionSeed int64
	// Drawn is called once for each width that only a drawn projection
	// serves, before the first batch that uses it.
	Drawn func(width int)
}

// Validator holds the tensors of one engine. One caller at a time.
type Validator struct {
	library     *torch.Library
	n           int
	values      *Weights // of which weights is a copy on the device
	weights     *torch.Weights
	states      *torch.States
	patterns    *torch.Patterns
	probe       *torch.States // for rows that are compared and not judged; nil until there was one
	projections projectionCache
	drawn       func(width int)
	warned      map[int]bool
	call        torch.Batch // reused, so that a batch allocates nothing
	flags       []uint8     // likewise, for batches that bring none
}

// NewValidator copies the weights to the device, with an empty memory.
func NewValidator(ctx context.Context, o ValidatorOptions) (*Validator, error) {
	if err := o.Weights.Validate(); err != nil {
		return nil, err
	}
	n := o.Weights.Workspace
	for width, p := range o.Projections {
		if width != p.Width {
			return nil, fmt.Errorf("projection of width %d: stored under width %d", p.Width, width)
		}
		if err := p.Validate(n); err != nil {
			return nil, err
		}
	}
	v := &Validator{
		library: o.Library,
		n:       n,
		values:  o.Weights,
		drawn:   o.Drawn,
		warned:  map[int]bool{},
		projections: projectionCache{
			library: o.Library, device: o.Device, n: n, limit: max(o.MaxProjections, 1),
			seed: o.ProjectionSeed, loaded: o.Projections, entries: map[int]*torch.Projection{},
		},
	}
	var err error
	if v.weights, err = o.Library.NewWeights(ctx, o.Device, n, o.Weights.Risk.tensors()); err != nil {
		return nil, fmt.Errorf("validator weights: %w", err)
	}
	if v.states, err = o.Library.NewStates(ctx, o.Device, n, o.Weights.StateReal, o.Weights.StateImag); err != nil {
		return nil, errors.Join(fmt.Errorf("validator states: %w", err), v.Close())
	}
	if v.patterns, err = o.Library.NewPatterns(ctx, o.Device, n); err != nil {
		return nil, errors.Join(fmt.Errorf("validator patterns: %w", err), v.Close())
	}
	return v, nil
}

// Workspace is n, the width of a workspace row.
func (v *Validator) Workspace() int { return v.n }

// Put writes pattern rows: row index[i] of the side becomes the i-th of rows
// ([len(index), 2n]) with the id ids[i]. All or nothing.
func (v *Validator) Put(ctx context.Context, side Side, index []int64, rows []float32, ids []int64) error {
	return v.patterns.Put(ctx, side, index, rows, ids)
}

// Truncate drops a side's rows from count on.
func (v *Validator) Truncate(ctx context.Context, side Side, count int64) error {
	return v.patterns.Truncate(ctx, side, count)
}

// State reads the state of a session slot: state_real and state_imag, [n].
func (v *Validator) State(ctx context.Context, slot int) (real, imag []float32, err error) {
	real, imag = make([]float32, v.n), make([]float32, v.n)
	err = v.states.Read(ctx, slot, real, imag)
	return real, imag, err
}

// Validate judges a batch into out ([Count]): validator specification,
// sections 2 and 3. Rows of widths that only a drawn projection serves are
// at most review. On an error no state has moved, unless the batch holds
// more widths than MaxProjections: such a batch runs in parts.
func (v *Validator) Validate(ctx context.Context, b *Batch, policy Policy, out []Verdict) error {
	return v.inParts(ctx, b, func(first, count int) error {
		v.call.Policy = policy
		return v.library.Validate(ctx, &v.call, out[first:first+count])
	})
}

// Nearest compares rows of the workspace, [len(out), n], with the patterns: of
// out only the distances (+Inf where there is no pattern) and ids of the
// nearest ones, and whether the row could be compared, mean something. No
// state that a batch is judged by moves.
func (v *Validator) Nearest(ctx context.Context, rows []float32, out []Verdict) error {
	if v.probe == nil {
		var err error
		if v.probe, err = v.states.CopyTo(ctx, v.projections.device); err != nil {
			return fmt.Errorf("states of rows that are compared: %w", err)
		}
	}
	// Each row starts anew: the state of one too large to be scored would
	// spoil the scores of those after it.
	flags := bytes.Repeat([]byte{torch.RowReset}, len(out))
	return v.library.Validate(ctx, &torch.Batch{
		RowFlags: flags, Segments: []torch.Segment{{Rows: rows, Width: v.n, Count: len(out)}}, Count: len(out),
		Weights: v.weights, Patterns: v.patterns, States: v.probe, Policy: Policy{Tier: torch.Omega},
	}, out)
}

// Project brings a batch into the workspace (section 2, step 1): out is
// [Count, n], status [Count] of torch.RowOK and its siblings.
func (v *Validator) Project(ctx context.Context, b *Batch, out []float32, status []uint32) error {
	return v.inParts(ctx, b, func(first, count int) error {
		return v.library.Project(ctx, &v.call, out[first*v.n:(first+count)*v.n], status[first:first+count])
	})
}

// inParts prepares v.call and runs it, once for nearly every batch. Only a
// batch with more widths than the cache holds projections is split, so that
// device memory stays bounded whatever widths come.
func (v *Validator) inParts(ctx context.Context, b *Batch, run func(first, count int) error) error {
	first, next := 0, 0
	for next < len(b.Segments) {
		v.call.Segments = v.call.Segments[:0]
		count, made := 0, 0
		for ; next < len(b.Segments) && made < v.projections.limit; next++ {
			s := &b.Segments[next]
			_, cached := v.projections.entries[s.Width]
			p, drawn, err := v.projections.get(ctx, s.Width)
			if err != nil {
				return err
			}
			if p != nil && !cached {
				made++
			}
			if drawn {
				v.markDrawn(b, first+count, s)
			}
			v.call.Segments = append(v.call.Segments, torch.Segment{Rows: s.Rows, Width: s.Width, Count: s.Count, Projection: p})
			count += s.Count
		}
		v.call.Count = count
		v.call.Slots, v.call.RowFlags = nil, nil
		if b.Slots != nil {
			v.call.Slots = b.Slots[first : first+count]
		}
		if b.Flags != nil {
			v.call.RowFlags = b.Flags[first : first+count]
		}
		v.call.Weights, v.call.Patterns, v.call.States = v.weights, v.patterns, v.states
		err := run(first, count)
		clear(v.call.Segments) // holds the caller's rows no longer
		if err := errors.Join(err, v.projections.sweep()); err != nil {
			return err
		}
		first += count
	}
	return nil
}

// markDrawn caps the verdicts of a segment whose projection was drawn.
func (v *Validator) markDrawn(b *Batch, first int, s *Segment) {
	if !v.warned[s.Width] && v.drawn != nil {
		v.warned[s.Width] = true
		v.drawn(s.Width)
	}
	if b.Flags == nil {
		v.flags = append(v.flags[:0], make([]uint8, b.Count)...)
		b.Flags = v.flags
	}
	for i := first; i < first+s.Count; i++ {
		b.Flags[i] |= torch.RowNoAllow
	}
}

// MoveTo makes the validator anew on another device, with the states that it
// has and an empty memory: Put is to follow. The device that it leaves may be
// lost. On an error nothing has changed.
func (v *Validator) MoveTo(ctx context.Context, device torch.Device) error {
	weights, err := v.library.NewWeights(ctx, device, v.n, v.values.Risk.tensors())
	if err != nil {
		return fmt.Errorf("validator weights: %w", err)
	}
	states, err := v.states.CopyTo(ctx, device)
	if err != nil {
		return errors.Join(fmt.Errorf("validator states: %w", err), weights.Close())
	}
	patterns, err := v.library.NewPatterns(ctx, device, v.n)
	if err != nil {
		return errors.Join(fmt.Errorf("validator patterns: %w", err), states.Close(), weights.Close())
	}
	left := *v
	v.probe = nil
	v.weights, v.states, v.patterns = weights, states, patterns
	v.projections.device, v.projections.entries = device, map[int]*torch.Projection{}
	v.projections.order, v.projections.retired = nil, nil
	_ = left.Close() // what a lost device does not give back is lost with it
	return nil
}

// Close frees the tensors. Further calls answer errors.
func (v *Validator) Close() error {
	errs := []error{v.projections.close()}
	if v.weights != nil {
		errs = append(errs, v.weights.Close())
	}
	for _, states := range []*torch.States{v.states, v.probe} {
		if states != nil {
			errs = append(errs, states.Close())
		}
	}
	if v.patterns != nil {
		errs = append(errs, v.patterns.Close())
	}
	return errors.Join(errs...)
}
