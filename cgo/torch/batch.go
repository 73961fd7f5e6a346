package torch

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"runtime"
	"unsafe"
)

// MaxBatch is the largest number of rows of one call.
const MaxBatch = 65536

// Segment is a run of consecutive rows of one width.
type Segment struct {
	Rows       []float32 // [Count, Width]
	Width      int
	Count      int
	Projection *Projection // nil when Width is n
}

// Batch is what Validate judges.
type Batch struct {
	Segments []Segment
	Count    int     // rows of all segments together, 1 to MaxBatch
	Slots    []int32 // [Count] session slots; nil: all 0
	RowFlags []uint8 // [Count] RowSkip, RowReset, RowNoAllow; nil: none
	Weights  *Weights
	Patterns *Patterns
	States   *States
	Policy   Policy
}

// Validate judges a batch into out ([Count]). The states move only when it
// succeeds. In steady state it allocates nothing.
func (l *Library) Validate(ctx context.Context, b *Batch, out []Verdict) error {
	const op = "validate"
	if len(out) != b.Count {
		return invalidf(op, "output of %d rows for a batch of %d", len(out), b.Count)
	}
	if b.Weights == nil || b.Patterns == nil || b.States == nil {
		return invalidf(op, "weights, patterns and states are needed")
	}
	if err := b.check(op); err != nil {
		return err
	}
	if p := &b.Policy; p.Tier < Alpha || p.Tier > Omega || p.StateUpdate < StateRow || p.StateUpdate > StateFirstElement {
		return invalidf(op, "tier %d and state update %d are not both known", p.Tier, p.StateUpdate)
	}
	if err := l.enter(ctx, op); err != nil {
		return err
	}
	defer l.leave()
	if len(b.Segments) == 1 {
		return l.validateSegment(op, b, out)
	}
	defer l.pins.unpin()
	if err := l.translate(op, b); err != nil {
		return err
	}
	err := l.takeError(op, C.validate(l.table, l.batch, (*C.fdqc_verdict)(unsafe.Pointer(unsafe.SliceData(out)))))
	b.keepAlive()
	return err
}

// validateSegment judges a batch of one segment, under the gate.
func (l *Library) validateSegment(op string, b *Batch, out []Verdict) error {
	s := &b.Segments[0]
	weights, patterns, states := b.Weights.opened(), b.Patterns.opened(), b.States.opened()
	var projection unsafe.Pointer
	if s.Projection != nil {
		projection = s.Projection.opened()
	}
	if weights == nil || patterns == nil || states == nil || (s.Projection != nil && projection == nil) {
		return closedHandle(op)
	}
	err := l.takeError(op, C.validate_segment(l.table, floats(s.Rows), (*C.fdqc_projection)(projection), C.int64_t(s.Count), C.int32_t(s.Width),
		(*C.int32_t)(unsafe.SliceData(b.Slots)), (*C.uint8_t)(unsafe.SliceData(b.RowFlags)),
		(*C.fdqc_weights)(weights), (*C.fdqc_patterns)(patterns), (*C.fdqc_states)(states),
		b.Policy.native(), (*C.fdqc_verdict)(unsafe.Pointer(unsafe.SliceData(out)))))
	b.keepAlive()
	return err
}

// Project brings a batch into the workspace: out is [Count, n], status
// [Count]. Of the batch it reads the segments and, for n, the states.
func (l *Library) Project(ctx context.Context, b *Batch, out []float32, status []uint32) error {
	const op = "project"
	if b.States == nil {
		return invalidf(op, "states are needed")
	}
	if len(out) != b.Count*b.States.n || len(status) != b.Count {
		return invalidf(op, "outputs of %d numbers and %d statuses, expected %d and %d", len(out), len(status), b.Count*b.States.n, b.Count)
	}
	if err := b.check(op); err != nil {
		return err
	}
	if err := l.enter(ctx, op); err != nil {
		return err
	}
	defer l.leave()
	defer l.pins.unpin()
	if err := l.translate(op, b); err != nil {
		return err
	}
	err := l.takeError(op, C.project(l.table, l.batch, floats(out), (*C.uint32_t)(unsafe.SliceData(status))))
	b.keepAlive()
	return err
}

// check compares every length before C sees an address.
func (b *Batch) check(op string) error {
	if b.Count < 1 || b.Count > MaxBatch {
		return invalidf(op, "%d rows, expected 1 to %d", b.Count, MaxBatch)
	}
	if (b.Slots != nil && len(b.Slots) != b.Count) || (b.RowFlags != nil && len(b.RowFlags) != b.Count) {
		return invalidf(op, "%d slots and %d flags for %d rows", len(b.Slots), len(b.RowFlags), b.Count)
	}
	n, rows := b.States.n, 0
	for i := range b.Segments {
		s := &b.Segments[i]
		width := n
		if s.Projection != nil {
			width = s.Projection.d
			if s.Projection.n != n || s.Projection.device != b.States.device {
				return invalidf(op, "segment %d: projection into %d on %v, expected %d on %v", i, s.Projection.n, s.Projection.device, n, b.States.device)
			}
		}
		if s.Count < 1 || s.Count > MaxBatch || s.Width != width || len(s.Rows) != s.Count*s.Width {
			return invalidf(op, "segment %d: %d numbers for %d rows of width %d, expected rows of %d", i, len(s.Rows), s.Count, s.Width, width)
		}
		rows += s.Count
	}
	if rows != b.Count {
		return invalidf(op, "segments of %d rows for a batch of %d", rows, b.Count)
	}
	if b.Weights != nil && (b.Weights.n != n || b.Weights.device != b.States.device) {
		return invalidf(op, "weights of workspace %d on %v, expected %d on %v", b.Weights.n, b.Weights.device, n, b.States.device)
	}
	if b.Patterns != nil && (b.Patterns.n != n || b.Patterns.device != b.States.device) {
		return invalidf(op, "patterns of workspace %d on %v, expected %d on %v", b.Patterns.n, b.Patterns.device, n, b.States.device)
	}
	for i, slot := range b.Slots {
		if slot < 0 {
			return invalidf(op, "slot %d of row %d is negative", slot, i)
		}
	}
	return nil
}

// translate fills the C batch, under the gate. Addresses of Go memory that
// it holds are pinned until the call is over.
func (l *Library) translate(op string, b *Batch) error {
	if l.segmentRoom < len(b.Segments) {
		C.free(unsafe.Pointer(l.segments))
		l.segmentRoom = 2 * len(b.Segments)
		l.segments = (*C.fdqc_segment)(C.calloc(C.size_t(l.segmentRoom), C.sizeof_fdqc_segment))
		if l.segments == nil {
			l.segmentRoom = 0
			return &Error{Op: op, Code: OutOfMemory, Message: "out of memory"}
		}
	}
	for i := range b.Segments {
		s := &b.Segments[i]
		var projection *C.fdqc_projection
		if s.Projection != nil {
			if projection = (*C.fdqc_projection)(s.Projection.opened()); projection == nil {
				return closedHandle(op)
			}
		}
		l.pins.pin(unsafe.Pointer(unsafe.SliceData(s.Rows)))
		C.set_segment(l.segments, C.int64_t(i), floats(s.Rows), projection, C.int64_t(s.Count), C.int32_t(s.Width))
	}
	l.pins.pin(unsafe.Pointer(unsafe.SliceData(b.Slots)))
	l.pins.pin(unsafe.Pointer(unsafe.SliceData(b.RowFlags)))
	states := b.States.opened()
	if states == nil {
		return closedHandle(op)
	}
	var weights, patterns unsafe.Pointer
	if b.Weights != nil && b.Patterns != nil {
		if weights, patterns = b.Weights.opened(), b.Patterns.opened(); weights == nil || patterns == nil {
			return closedHandle(op)
		}
	}
	C.set_batch(l.batch, l.segments, C.int64_t(len(b.Segments)), C.int64_t(b.Count),
		(*C.int32_t)(unsafe.SliceData(b.Slots)), (*C.uint8_t)(unsafe.SliceData(b.RowFlags)),
		(*C.fdqc_weights)(weights), (*C.fdqc_patterns)(patterns), (*C.fdqc_states)(states), b.Policy.native())
	return nil
}

func (p *Policy) native() C.fdqc_policy {
	return C.fdqc_policy{
		entropy_threshold: C.float(p.EntropyThreshold), collapse_threshold: C.float(p.CollapseThreshold),
		block_threshold: C.float(p.BlockThreshold), tier: C.int32_t(p.Tier), state_update: C.int32_t(p.StateUpdate),
		safe_mode: bit(p.SafeMode), require_human_approval: bit(p.RequireHumanApproval),
	}
}

func bit(b bool) C.uint8_t {
	if b {
		return 1
	}
	return 0
}

// keepAlive holds every handle of the batch until the call is over.
func (b *Batch) keepAlive() {
	for i := range b.Segments {
		runtime.KeepAlive(b.Segments[i].Projection)
	}
	runtime.KeepAlive(b.Weights)
	runtime.KeepAlive(b.Patterns)
	runtime.KeepAlive(b.States)
}
