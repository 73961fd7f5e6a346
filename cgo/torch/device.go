package torch

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"
)

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
	if why == nil && name == "auto" && index < count {
		// One that failed before in this process is none.
		if info, err := l.DeviceInfo(Device(index)); err != nil || info.Lost {
			return CPU, err
		}
	}
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

// MaxKernelWorkspace is the widest workspace that the shim has kernels of its
// own for.
const MaxKernelWorkspace = 31

// DeviceInfo is how a CUDA device computes, and what happened to it in this
// process.
type DeviceInfo struct {
	// Kernels says in words which kernels compute, or why none but LibTorch's
	// operators do; "" before states were made on the device.
	Kernels string
	// OwnKernels: they are those of the shim, which were checked against the
	// operators when the device opened.
	OwnKernels bool
	// OutOfMemory counts the batches that had to begin again with fewer rows on
	// the device at once.
	OutOfMemory int64
	TileRows    int // rows that may be there at once; 0 before the first batch
	Lost        bool
}

// DeviceInfo asks the shim about a CUDA device, which may be lost.
func (l *Library) DeviceInfo(device Device) (DeviceInfo, error) {
	const op = "device_info"
	if err := l.enter(context.Background(), op); err != nil {
		return DeviceInfo{}, err
	}
	defer l.leave()
	var info C.fdqc_device_info
	if err := l.takeError(op, C.device_info(l.table, C.int32_t(device), &info)); err != nil {
		return DeviceInfo{}, err
	}
	kernels := C.GoString(&info.kernels[0])
	return DeviceInfo{
		Kernels: kernels, OwnKernels: strings.HasPrefix(kernels, "kernels "),
		OutOfMemory: int64(info.out_of_memory), TileRows: int(info.tile_rows), Lost: info.lost != 0,
	}, nil
}

// OutOfMemory is [DeviceInfo.OutOfMemory] of a device, without an allocation;
// -1 when there is no answer.
func (l *Library) OutOfMemory(device Device) int64 {
	if err := l.enter(context.Background(), "device_info"); err != nil {
		return -1
	}
	defer l.leave()
	return int64(C.device_out_of_memory(l.table, C.int32_t(device)))
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
