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

// Side names a side of the pattern memory.
type Side int32

// The two sides.
const (
	Safe   Side = C.FDQC_SAFE
	Unsafe Side = C.FDQC_UNSAFE
)

// Patterns is a pattern memory on a device.
type Patterns struct {
	handle
	n int
}

// NewPatterns makes an empty memory of rows of 2n numbers on both sides.
func (l *Library) NewPatterns(ctx context.Context, device Device, n int) (*Patterns, error) {
	const op = "patterns_new"
	if err := checkPlace(op, device, n); err != nil {
		return nil, err
	}
	if err := l.enter(ctx, op); err != nil {
		return nil, err
	}
	defer l.leave()
	var out *C.fdqc_patterns
	if err := l.takeError(op, C.patterns_new(l.table, C.int32_t(device), C.int32_t(n), &out)); err != nil {
		return nil, err
	}
	p := &Patterns{n: n}
	p.watch(device, &native{library: l, pointer: unsafe.Pointer(out), op: "patterns_free",
		free: func(t *C.fdqc_table, p unsafe.Pointer) *C.fdqc_status {
			return C.patterns_free(t, (*C.fdqc_patterns)(p))
		}})
	return p, nil
}

// Put writes rows of a side: row index[i] becomes the i-th of rows
// ([len(index), 2n]) with the id ids[i]. An index may be the side's count at
// most, which appends. All or nothing.
func (p *Patterns) Put(ctx context.Context, side Side, index []int64, rows []float32, ids []int64) error {
	const op = "patterns_put"
	if len(ids) != len(index) || len(rows) != len(index)*2*p.n {
		return invalidf(op, "%d indices, %d ids and %d numbers do not fit rows of %d", len(index), len(ids), len(rows), 2*p.n)
	}
	l, err := p.enter(ctx, op)
	if err != nil {
		return err
	}
	defer l.leave()
	defer runtime.KeepAlive(p)
	return l.takeError(op, C.patterns_put(l.table, (*C.fdqc_patterns)(p.pointer), C.int32_t(side), C.int64_t(len(index)),
		(*C.int64_t)(unsafe.SliceData(index)), floats(rows), (*C.int64_t)(unsafe.SliceData(ids))))
}

// Truncate drops the rows of a side from count on.
func (p *Patterns) Truncate(ctx context.Context, side Side, count int64) error {
	const op = "patterns_truncate"
	l, err := p.enter(ctx, op)
	if err != nil {
		return err
	}
	defer l.leave()
	defer runtime.KeepAlive(p)
	return l.takeError(op, C.patterns_truncate(l.table, (*C.fdqc_patterns)(p.pointer), C.int32_t(side), C.int64_t(count)))
}
