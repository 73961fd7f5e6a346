//go:build gotorch

package gotorch

/*
#cgo CFLAGS: -I${SRCDIR}
#cgo LDFLAGS: -lfdqc_gotorch
#include "native/tensors.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	torch "github.com/wangkuiyi/gotorch"
)

// problem is where C writes what is wrong.
type problem [C.FDQC_GOTORCH_PROBLEM]C.char

func (p *problem) err(failed C.int) error {
	if failed == 0 {
		return nil
	}
	return errors.New(C.GoString(&p[0]))
}

// Rows lends f the memory of a contiguous float32 tensor [count, width] on the
// CPU, which f must neither keep nor write to, and answers what f does. The
// tensor lives until f has returned. A zero value, another dtype, device or
// number of dimensions and a layout with gaps are errors that say so, before f
// is called.
func Rows(t torch.Tensor, f func(rows []float32, width int) error) error {
	// gotorch's finalizer hangs on t.T, not on t.
	defer runtime.KeepAlive(t.T)
	if t.T == nil || *t.T == nil {
		return errors.New("rows: the tensor is a zero value")
	}
	var (
		data         *C.float
		count, width C.int64_t
		wrong        problem
	)
	if err := wrong.err(C.fdqc_gotorch_rows(*t.T, &data, &count, &width, &wrong[0])); err != nil {
		return fmt.Errorf("rows: %w", err)
	}
	return f(unsafe.Slice((*float32)(unsafe.Pointer(data)), int(count*width)), int(width))
}
