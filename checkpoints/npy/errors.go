package npy

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrHeader says that a file does not begin as a .npy file must.
	ErrHeader = errors.New("bad npy header")
	// ErrUnsupported says that the file is well formed but of a kind this package does not read.
	ErrUnsupported = errors.New("unsupported npy array")
	// ErrTooLarge says that a shape or a row exceeds what this package is willing to hold or to count.
	ErrTooLarge = errors.New("npy array too large")
	// ErrTrailing says that bytes follow the last row.
	ErrTrailing = errors.New("bytes after the last row")
	// ErrValue says that the bytes of an element are no value of its type.
	ErrValue = errors.New("bad npy value")
	// ErrCount says that a writer was given another number of elements than its shape holds.
	ErrCount = errors.New("wrong number of npy elements")
)

// TruncatedError says that a file ended before its header or its last row did. It is an io.ErrUnexpectedEOF.
type TruncatedError struct {
	Part string // "header" or "data"
	Want int64  // bytes that this part has
	Got  int64  // bytes of it that were there
}

// Error implements error.
func (e *TruncatedError) Error() string {
	return fmt.Sprintf("npy %s is cut short: expected %d bytes, got %d", e.Part, e.Want, e.Got)
}

// Unwrap makes errors.Is(err, io.ErrUnexpectedEOF) hold.
func (e *TruncatedError) Unwrap() error { return io.ErrUnexpectedEOF }
