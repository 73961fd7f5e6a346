package torch

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Options of Open.
type Options struct {
	Library string // path of the shim; empty: found as the package says
	Threads int    // computing threads in all; 0: AvailableCPUs
}

// Library is an open shim.
type Library struct {
	table    *C.fdqc_table
	shim     string
	libtorch string
	// Of the call in hand, in C memory that is used again; under the gate.
	batch        *C.fdqc_batch
	segments     *C.fdqc_segment
	segmentRoom  int
	closed       bool
	orphansMutex sync.Mutex
	orphans      []*native
	forgotten    atomic.Int64
}

// Open finds and opens the shim and LibTorch and sets the threads. The
// threads are those of the process: the last Open decides. Errors are
// *UnavailableError.
func Open(o Options) (*Library, error) {
	shim, err := findShim(o.Library)
	if err != nil {
		return nil, err
	}
	l := &Library{shim: shim}
	if l.table, l.libtorch, err = load(shim); err != nil {
		return nil, err
	}
	threads := o.Threads
	if threads <= 0 {
		threads = AvailableCPUs()
	}
	if err := l.enter(context.Background()); err != nil {
		return nil, err
	}
	defer l.leave()
	if err := l.takeError("runtime_configure", C.runtime_configure(l.table, C.int32_t(threads))); err != nil {
		return nil, err
	}
	l.batch = (*C.fdqc_batch)(C.calloc(1, C.sizeof_fdqc_batch))
	return l, nil
}

// Info says what computes.
type Info struct {
	LibTorchVersion string
	LibTorchPath    string // the folder of its libraries
	ShimPath        string
	CPUCapability   string // what ATen dispatches to, e.g. AVX512
	Threads         int
	CUDADevices     int // 0 until Device found some
}

// Info asks the shim.
func (l *Library) Info() (Info, error) {
	if err := l.enter(context.Background()); err != nil {
		return Info{}, err
	}
	defer l.leave()
	return l.info()
}

func (l *Library) info() (Info, error) {
	var info C.fdqc_info
	if err := l.takeError("runtime_info", C.runtime_info(l.table, &info)); err != nil {
		return Info{}, err
	}
	return Info{
		LibTorchVersion: C.GoString(&info.libtorch_version[0]), LibTorchPath: l.libtorch, ShimPath: l.shim,
		CPUCapability: C.GoString(&info.cpu_capability[0]), Threads: int(info.threads), CUDADevices: int(info.cuda_devices),
	}, nil
}

// LiveHandles counts the handles that are made and not yet freed.
func (l *Library) LiveHandles() (int64, error) {
	if err := l.enter(context.Background()); err != nil {
		return 0, err
	}
	defer l.leave()
	var live C.int64_t
	err := l.takeError("live_handles", C.live_handles(l.table, &live))
	return int64(live), err
}

// Forgotten counts the handles that the garbage collector found unclosed.
func (l *Library) Forgotten() int64 { return l.forgotten.Load() }

// Close ends the use of this Library. LibTorch stays loaded: it cannot be
// unloaded safely. Handles should be closed before; later calls answer
// ErrClosed. A second Close does nothing.
func (l *Library) Close() error {
	if err := l.enter(context.Background()); err != nil {
		return nil //nolint:nilerr // closed already
	}
	defer l.leave()
	l.closed = true
	C.free(unsafe.Pointer(l.batch))
	C.free(unsafe.Pointer(l.segments))
	l.batch, l.segments, l.segmentRoom = nil, nil, 0
	return nil
}

// Device is where tensors lie: CPU, or the index of a CUDA device.
type Device int32

// CPU is the processor.
const CPU Device = C.FDQC_DEVICE_CPU

// String is cpu or cuda:N.
func (d Device) String() string {
	if d == CPU {
		return "cpu"
	}
	return "cuda:" + strconv.Itoa(int(d))
}

// Device finds the device of a name: auto (CUDA when it can be used, else the
// CPU), cpu, cuda (the first) or cuda:N. One that is not there is an
// *UnavailableError.
func (l *Library) Device(name string) (Device, error) {
	index := 0
	number, numbered := strings.CutPrefix(name, "cuda:")
	switch {
	case name == "cpu":
		return CPU, nil
	case name == "auto", name == "cuda":
	case numbered:
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("device %q, expected auto, cpu, cuda or cuda:N", name)
		}
		index = int(n)
	default:
		return 0, fmt.Errorf("device %q, expected auto, cpu, cuda or cuda:N", name)
	}
	count, why := l.openCUDA()
	switch {
	case why == nil && index < count:
		return Device(index), nil
	case name == "auto":
		return CPU, nil
	case why != nil:
		return 0, unavailablef("device %s is not there: %v; use --device cpu or auto", name, why)
	default:
		return 0, unavailablef("device %s is not there: LibTorch finds %d; use --device cpu or auto", name, count)
	}
}

// openCUDA loads LibTorch's CUDA half and counts the devices.
func (l *Library) openCUDA() (int, error) {
	path := filepath.Join(l.libtorch, "libtorch_cuda.so")
	if _, err := os.Stat(path); err != nil {
		return 0, fmt.Errorf("this LibTorch has no CUDA (no %s)", path)
	}
	if err := l.enter(context.Background()); err != nil {
		return 0, err
	}
	defer l.leave()
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	if err := l.takeError("runtime_open_cuda", C.runtime_open_cuda(l.table, cPath)); err != nil {
		return 0, err
	}
	info, err := l.info()
	return info.CUDADevices, err
}

// armFault makes the next call of the table throw, in test builds of the
// shim.
func (l *Library) armFault(kind int) error {
	if C.has_fault_arm(l.table) == 0 {
		return invalidf("fault_arm", "this shim was built without faults")
	}
	return l.takeError("fault_arm", C.fault_arm(l.table, C.int32_t(kind)))
}
