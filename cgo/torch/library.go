package torch

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"math"
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
