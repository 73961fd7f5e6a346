package engine

import (
	"errors"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
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

// VerificationError says that a part of a data directory is damaged, missing
// or not signed as it must be, so that nothing was opened.
type VerificationError struct {
	File string // "" when Err names it
	Err  error
}

// Error names the file.
func (e *VerificationError) Error() string {
	if e.File == "" {
		return e.Err.Error()
	}
	return e.File + ": " + e.Err.Error()
}

// Unwrap gives the reason.
func (e *VerificationError) Unwrap() error { return e.Err }

// verification makes a VerificationError of what the parts of a data directory
// say when they do not verify, and leaves other errors alone.
func verification(err error) error {
	var already *VerificationError
	if err == nil || errors.As(err, &already) {
		return err
	}
	for _, reason := range []error{
		store.ErrUntrusted, store.ErrDamaged, store.ErrNoneLeft,
		journal.ErrDamaged, journal.ErrUntrusted, journal.ErrMissing, errOperation,
		audit.ErrDamaged, audit.ErrUntrusted,
	} {
		if errors.Is(err, reason) {
			return &VerificationError{Err: err}
		}
	}
	return err
}

// RecordError says that outcomes could not be recorded, but for the first ones.
type RecordError struct {
	Recorded int // have receipts, and hold
	Of       int
	Err      error
}

// Error says how many are recorded, if any.
func (e *RecordError) Error() string {
	if e.Recorded == 0 {
		return "record: " + e.Err.Error()
	}
	return fmt.Sprintf("record: the first %d of %d outcomes are recorded, then: %v", e.Recorded, e.Of, e.Err)
}

// Unwrap gives the reason.
func (e *RecordError) Unwrap() error { return e.Err }

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
