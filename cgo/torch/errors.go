package torch

/*
#cgo CFLAGS: -I${SRCDIR}/../shim -Wno-unused-function
#cgo LDFLAGS: -ldl
#include "bridge.h"
*/
import "C"

import (
	"errors"
	"fmt"
)

// ErrClosed is returned by calls on a library or handle that was closed.
var ErrClosed = errors.New("torch: closed")

// ErrDeviceLost is what an [Error] with the code DeviceLost is: a CUDA device
// failed otherwise than by want of memory, and every call on it answers so from
// then on. States can still be read, and copied to another device.
var ErrDeviceLost = errors.New("torch: a device is lost")

// UnavailableError says that something to compute with is not there: the
// shim, LibTorch, or the device that was asked for. The command's exit code
// for it is 4.
type UnavailableError struct {
	Reason string // one sentence that says what to run
	Err    error  // the cause, where there is one
}

// Error is the sentence.
func (e *UnavailableError) Error() string { return e.Reason }

// Unwrap is the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// unavailablef takes its cause from the arguments.
func unavailablef(format string, args ...any) error {
	e := &UnavailableError{Reason: fmt.Sprintf(format, args...)}
	for _, arg := range args {
		if cause, ok := arg.(error); ok {
			e.Err = cause
		}
	}
	return e
}

// Code is the kind of an [Error].
type Code int32

// Codes, as the C ABI has them.
const (
	InvalidArgument   Code = C.FDQC_INVALID_ARGUMENT
	OutOfMemory       Code = C.FDQC_OUT_OF_MEMORY
	DeviceUnavailable Code = C.FDQC_DEVICE_UNAVAILABLE
	Internal          Code = C.FDQC_INTERNAL
	DeviceLost        Code = C.FDQC_DEVICE_LOST
)

// Error is what the native side answered to one call.
type Error struct {
	Op      string // the function of the table
	Code    Code
	Message string
}

// Error names the function and what it said.
func (e *Error) Error() string { return "torch: " + e.Op + ": " + e.Message }

// Is says that an error of a lost device is ErrDeviceLost.
func (e *Error) Is(target error) bool { return target == ErrDeviceLost && e.Code == DeviceLost }

// takeError turns a status into an error and frees it; NULL is success.
func (l *Library) takeError(op string, status *C.fdqc_status) error {
	if status == nil {
		return nil
	}
	err := &Error{Op: op, Code: Code(status.code), Message: C.GoString(status.message)}
	C.status_free(l.table, status)
	return err
}

// invalidf is an argument that Go refuses before C sees it.
func invalidf(op, format string, args ...any) error {
	return &Error{Op: op, Code: InvalidArgument, Message: fmt.Sprintf(format, args...)}
}
