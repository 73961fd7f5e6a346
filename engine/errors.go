package engine

import (
	"errors"
	"fmt"
)

// ErrClosed is returned by every call after Close.
var ErrClosed = errors.New("engine: closed")

// ErrReadOnly is returned by calls that would change a memory which was
// opened for reading, or from files named one by one.
var ErrReadOnly = errors.New("engine: opened for reading, nothing can be recorded or saved")

// Why a row was refused.
var (
	errNotFinite = errors.New("embedding holds NaN or infinity, expected finite numbers")
	errOverflow  = errors.New("embedding is too large for float32 in the workspace")
	errNoScore   = errors.New("scores of the row are not finite")
)

// LockedError says that another process writes the data directory.
type LockedError struct {
	Path string // of the lock file
}

// Error names the lock.
func (e *LockedError) Error() string {
	return fmt.Sprintf("data directory is in use: another process holds %s", e.Path)
}

// MismatchError says that a setting contradicts what a file holds.
type MismatchError struct {
	Setting string // section.key
	Want    int    // the setting
	File    string
	Got     int // what the file holds
}

// Error names both values.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s is %d, but %s was made with %d", e.Setting, e.Want, e.File, e.Got)
}

// BatchError says what is wrong with the shape of a batch.
type BatchError struct {
	Row    int // index of the first row concerned, -1 for the batch
	Reason string
}

// Error names the row, if one is to blame.
func (e *BatchError) Error() string {
	if e.Row < 0 {
		return "batch: " + e.Reason
	}
	return fmt.Sprintf("batch row %d: %s", e.Row, e.Reason)
}
