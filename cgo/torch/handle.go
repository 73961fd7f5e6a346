package torch

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"errors"
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
	cleanup runtime.Cleanup
}

// watch starts the safety net.
func (h *handle) watch(n *native) {
	h.native = n
	h.cleanup = runtime.AddCleanup(h, func(n *native) { n.library.adopt(n) }, n)
}

// adopt keeps an unclosed handle until the next call through the gate frees
// it: a cleanup must not wait.
func (l *Library) adopt(n *native) {
	l.orphansMutex.Lock()
	defer l.orphansMutex.Unlock()
	l.orphans = append(l.orphans, n)
	l.forgotten.Add(1)
}

// freeOrphans runs under the gate.
func (l *Library) freeOrphans() {
	l.orphansMutex.Lock()
	orphans := l.orphans
	l.orphans = nil
	l.orphansMutex.Unlock()
	for _, n := range orphans {
		if n.pointer != nil {
			// There is nobody to tell of an error, and nothing to do.
			_ = l.takeError(n.op, n.free(l.table, n.pointer))
			n.pointer = nil
		}
	}
}

// Close frees the tensors of the handle. A second Close does nothing.
func (h *handle) Close() error {
	l := h.library
	if err := l.enter(context.Background()); err != nil {
		if errors.Is(err, ErrClosed) && h.pointer == nil {
			return nil
		}
		return err
	}
	defer l.leave()
	defer runtime.KeepAlive(h)
	if h.pointer == nil {
		return nil
	}
	h.cleanup.Stop()
	err := l.takeError(h.op, h.free(l.table, h.pointer))
	h.pointer = nil
	return err
}

// floats is the address of a slice for the length of one call.
func floats(values []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(values))) }
