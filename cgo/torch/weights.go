package torch

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"unsafe"
)

// Limits of shapes, as the C ABI has them.
const (
	minWorkspace = 4
	maxWorkspace = 1024
	maxWidth     = 4096
)

// Weights is the risk detector on a device.
type Weights struct {
	handle
	n int
}

// NewWeights copies risk_detector.{0,3,5}.{weight,bias} to a device:
// 0.weight [64,2n], 0.bias [64], 3.weight [32,64], 3.bias [32], 5.weight
// [1,32], 5.bias [1].
func (l *Library) NewWeights(ctx context.Context, device Device, n int, tensors [6][]float32) (*Weights, error) {
	const op = "weights_new"
	if err := checkPlace(op, device, n); err != nil {
		return nil, err
	}
	for i, want := range []int{64 * 2 * n, 64, 32 * 64, 32, 32, 1} {
		if len(tensors[i]) != want {
			return nil, invalidf(op, "tensor %d holds %d numbers, expected %d", i, len(tensors[i]), want)
		}
	}
	if err := l.enter(ctx, op); err != nil {
		return nil, err
	}
	defer l.leave()
	var out *C.fdqc_weights
	if err := l.takeError(op, C.weights_new(l.table, C.int32_t(device), C.int32_t(n),
		floats(tensors[0]), floats(tensors[1]), floats(tensors[2]), floats(tensors[3]), floats(tensors[4]), floats(tensors[5]), &out)); err != nil {
		return nil, err
	}
	w := &Weights{n: n}
	w.watch(device, &native{library: l, pointer: unsafe.Pointer(out), op: "weights_free",
		free: func(t *C.fdqc_table, p unsafe.Pointer) *C.fdqc_status { return C.weights_free(t, (*C.fdqc_weights)(p)) }})
	return w, nil
}

// Projection is a Linear(d, n) on a device.
type Projection struct {
	handle
	n, d int
}

// NewProjection copies weight [n, d] and bias [n] to a device.
func (l *Library) NewProjection(ctx context.Context, device Device, n, d int, weight, bias []float32) (*Projection, error) {
	const op = "projection_new"
	if err := checkPlace(op, device, n); err != nil {
		return nil, err
	}
	if d < 1 || d > maxWidth {
		return nil, invalidf(op, "width %d is outside 1 to %d", d, maxWidth)
	}
	if len(weight) != n*d || len(bias) != n {
		return nil, invalidf(op, "weight holds %d and bias %d numbers, expected %d and %d", len(weight), len(bias), n*d, n)
	}
	if err := l.enter(ctx, op); err != nil {
		return nil, err
	}
	defer l.leave()
	var out *C.fdqc_projection
	if err := l.takeError(op, C.projection_new(l.table, C.int32_t(device), C.int32_t(n), C.int32_t(d), floats(weight), floats(bias), &out)); err != nil {
		return nil, err
	}
	p := &Projection{n: n, d: d}
	p.watch(device, &native{library: l, pointer: unsafe.Pointer(out), op: "projection_free",
		free: func(t *C.fdqc_table, p unsafe.Pointer) *C.fdqc_status {
			return C.projection_free(t, (*C.fdqc_projection)(p))
		}})
	return p, nil
}

func checkPlace(op string, device Device, n int) error {
	if n < minWorkspace || n > maxWorkspace {
		return invalidf(op, "workspace %d is outside %d to %d", n, minWorkspace, maxWorkspace)
	}
	if device < CPU {
		return invalidf(op, "device %d is neither the CPU (-1) nor a CUDA index", int(device))
	}
	return nil
}
