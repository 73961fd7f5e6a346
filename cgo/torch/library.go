package torch

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	batch       *C.fdqc_batch
	segments    *C.fdqc_segment
	segmentRoom int
	pins        pins
	closed      bool
	// Handles that the garbage collector found open.
	orphansMutex sync.Mutex
	orphans      []*native
	waiting      atomic.Int64 // len(orphans)
	forgotten    atomic.Int64 // all that there ever were
}

// Open finds and opens the shim and LibTorch and sets the threads. The
// threads are those of the process: the last Open decides. What is missing,
// damaged or of another version is an *UnavailableError.
func Open(o Options) (*Library, error) {
	shim, err := findShim(o.Library)
	if err != nil {
		return nil, err
	}
	threads := o.Threads
	if threads <= 0 {
		threads = AvailableCPUs()
	}
	l := &Library{shim: shim}
	if err := pass(context.Background()); err != nil {
		return nil, err
	}
	defer l.leave()
	if loaded != "" && loaded != shim {
		return nil, unavailablef("the shim %s is open in this process and %s cannot be opened beside it; use one shim a process", loaded, shim)
	}
	if l.table, l.libtorch, err = load(shim); err != nil {
		return nil, err
	}
	loaded = shim
	if err := l.setThreads(threads); err != nil {
		return nil, err
	}
	if l.batch = (*C.fdqc_batch)(C.calloc(1, C.sizeof_fdqc_batch)); l.batch == nil {
		return nil, &Error{Op: "open", Code: OutOfMemory, Message: "out of memory"}
	}
	return l, nil
}

// setThreads sets the process's threads, under the gate.
func (l *Library) setThreads(threads int) error {
	if threads > math.MaxInt32 {
		threads = math.MaxInt32 // refused, in the words of the native side
	}
	return l.takeError("runtime_configure", C.runtime_configure(l.table, C.int32_t(threads)))
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
	if err := l.enter(context.Background(), "runtime_info"); err != nil {
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

// LiveHandles counts the handles of the process that are made and not yet
// freed. It does not wait for the gate.
func (l *Library) LiveHandles() (int64, error) {
	var live C.int64_t
	err := l.takeError("live_handles", C.live_handles(l.table, &live))
	return int64(live), err
}

// Forgotten counts the handles that the garbage collector found unclosed.
func (l *Library) Forgotten() int64 { return l.forgotten.Load() }

// Close waits for work in hand and ends the use of this Library; later calls
// answer ErrClosed. Its handles stay their owners' to close. LibTorch stays
// loaded: it cannot be unloaded safely. A second Close does nothing.
func (l *Library) Close() error {
	if err := pass(context.Background()); err != nil {
		return err
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
		n, err := strconv.ParseUint(number, 10, 7) // as many as LibTorch can name
		if err != nil {
			return 0, fmt.Errorf("device %q, expected auto, cpu, cuda or cuda:N with N up to 127", name)
		}
		index = int(n)
	default:
		return 0, fmt.Errorf("device %q, expected auto, cpu, cuda or cuda:N", name)
	}
	count, why := l.openCUDA()
	switch {
	case why == nil && index < count:
		return Device(index), nil
	case why != nil && !isUnavailable(why):
		return 0, why
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
	const op = "runtime_open_cuda"
	path := filepath.Join(l.libtorch, "libtorch_cuda.so")
	if _, err := os.Stat(path); err != nil {
		return 0, &Error{Op: op, Code: DeviceUnavailable, Message: fmt.Sprintf("this LibTorch has no CUDA (no %s)", path)}
	}
	if err := l.enter(context.Background(), op); err != nil {
		return 0, err
	}
	defer l.leave()
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	if err := l.takeError(op, C.runtime_open_cuda(l.table, cPath)); err != nil {
		return 0, err
	}
	info, err := l.info()
	return info.CUDADevices, err
}

// isUnavailable tells a device that is not there from a failure.
func isUnavailable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == DeviceUnavailable
}
