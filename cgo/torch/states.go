package torch

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"math"
	"runtime"
	"unsafe"
)

// States is a state for each session slot on a device.
type States struct {
	handle
	n int
}

// NewStates makes the table of states from the loaded one (state_real,
// state_imag, [n] each). Slot 0 starts as it, every other slot too when it is
// first named.
func (l *Library) NewStates(ctx context.Context, device Device, n int, real, imag []float32) (*States, error) {
	const op = "states_new"
	if err := checkPlace(op, device, n); err != nil {
		return nil, err
	}
	if len(real) != n || len(imag) != n {
		return nil, invalidf(op, "state_real holds %d and state_imag %d numbers, expected %d", len(real), len(imag), n)
	}
	if err := l.enter(ctx, op); err != nil {
		return nil, err
	}
	defer l.leave()
	var out *C.fdqc_states
	if err := l.takeError(op, C.states_new(l.table, C.int32_t(device), C.int32_t(n), floats(real), floats(imag), &out)); err != nil {
		return nil, err
	}
	return l.watchStates(device, n, out), nil
}

func (l *Library) watchStates(device Device, n int, out *C.fdqc_states) *States {
	s := &States{n: n}
	s.watch(device, &native{library: l, pointer: unsafe.Pointer(out), op: "states_free",
		free: func(t *C.fdqc_table, p unsafe.Pointer) *C.fdqc_status { return C.states_free(t, (*C.fdqc_states)(p)) }})
	return s
}

// CopyTo makes the same states, of all slots, on a device. The one that they
// lie on may be lost.
func (s *States) CopyTo(ctx context.Context, device Device) (*States, error) {
	const op = "states_copy"
	l, err := s.enter(ctx, op)
	if err != nil {
		return nil, err
	}
	defer l.leave()
	defer runtime.KeepAlive(s)
	var out *C.fdqc_states
	if err := l.takeError(op, C.states_copy(l.table, (*C.fdqc_states)(s.pointer), C.int32_t(device), &out)); err != nil {
		return nil, err
	}
	return l.watchStates(device, s.n, out), nil
}

// Read copies the state of a slot into real and imag, [n] each.
func (s *States) Read(ctx context.Context, slot int, real, imag []float32) error {
	const op = "states_read"
	if slot < 0 || slot > math.MaxInt32 {
		return invalidf(op, "slot %d is outside 0 to %d", slot, math.MaxInt32)
	}
	if len(real) != s.n || len(imag) != s.n {
		return invalidf(op, "room for %d and %d numbers, expected %d", len(real), len(imag), s.n)
	}
	l, err := s.enter(ctx, op)
	if err != nil {
		return err
	}
	defer l.leave()
	defer runtime.KeepAlive(s)
	return l.takeError(op, C.states_read(l.table, (*C.fdqc_states)(s.pointer), C.int32_t(slot), floats(real), floats(imag)))
}
