package torch

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"fmt"
	"runtime"
	"unsafe"
)

// native is the C side of a handle: what Close frees, and what the safety net
// frees when nobody did.
type native struct {
	library *Library
	pointer unsafe.Pointer // nil once freed; under the gate
	op      string
	free    func(*C.fdqc_table, unsafe.Pointer) *C.fdqc_status
}

// handle is the part that all handles share. The garbage collector watches
// the handle; native holds no pointer to it.
type handle struct {
	*native
	device  Device
	cleanup runtime.Cleanup
}

// watch starts the safety net.
func (h *handle) watch(device Device, n *native) {
	h.native, h.device = n, device
	h.cleanup = runtime.AddCleanup(h, func(n *native) { n.library.adopt(n) }, n)
}

// adopt takes an unclosed handle from the garbage collector, whose goroutine
// must not wait: it is freed now if nobody is inside the gate, else by the
// call that is.
func (l *Library) adopt(n *native) {
	l.orphansMutex.Lock()
	l.orphans = append(l.orphans, n)
	l.waiting.Add(1)
	l.orphansMutex.Unlock()
	l.forgotten.Add(1)
	l.sweep()
}

// freeOrphans runs under the gate.
func (l *Library) freeOrphans() {
	if l.waiting.Load() == 0 {
		return
	}
	l.orphansMutex.Lock()
	orphans := l.orphans
	l.orphans = nil
	l.waiting.Store(0)
	l.orphansMutex.Unlock()
	for _, n := range orphans {
		// There is nobody to tell of an error; LiveHandles shows it.
		_ = n.release()
	}
}

// release frees the tensors, under the gate. What could not be freed stays
// and can be tried again.
func (n *native) release() error {
	if n.pointer == nil {
		return nil
	}
	if err := n.library.takeError(n.op, n.free(n.library.table, n.pointer)); err != nil {
		return err
	}
	n.pointer = nil
	return nil
}

// enter passes the gate for a call on an open handle. The zero value is a
// closed one.
func (h *handle) enter(ctx context.Context, op string) (*Library, error) {
	if h.native == nil {
		return nil, closedHandle(op)
	}
	if err := h.library.enter(ctx, op); err != nil {
		return nil, err
	}
	if h.pointer == nil {
		h.library.leave()
		return nil, closedHandle(op)
	}
	return h.library, nil
}

// opened is the native object, nil when it is closed; under the gate.
func (h *handle) opened() unsafe.Pointer {
	if h.native == nil {
		return nil
	}
	return h.pointer
}

func closedHandle(op string) error { return fmt.Errorf("torch: %s: handle: %w", op, ErrClosed) }

// Close waits for the calls before it and frees the tensors of the handle,
// also when its library is closed. A second Close does nothing.
func (h *handle) Close() error {
	if h == nil || h.native == nil {
		return nil
	}
	if err := pass(context.Background()); err != nil {
		return err
	}
	defer h.library.leave()
	defer runtime.KeepAlive(h)
	err := h.release()
	if err == nil {
		h.cleanup.Stop()
	}
	return err
}

// floats is the address of a slice for the length of one call.
func floats(values []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(values))) }
