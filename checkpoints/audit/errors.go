package audit

import (
	"errors"
	"fmt"
)

var (
	// ErrDamaged is matched by every error that says that a log is not what was written.
	ErrDamaged = errors.New("damaged audit log")
	// ErrUntrusted is matched by every error that says that a part is not signed as it must be.
	ErrUntrusted = errors.New("untrusted audit log")
	// ErrMissing says that the log, or the file that is written to, is not where it was.
	ErrMissing = errors.New("audit log is missing")
	// ErrNewerFormat says that a newer version of this program wrote a file.
	ErrNewerFormat = errors.New("written by a newer version")

	errUnsigned = errors.New("not signed")
)

// Kind says what was done to an entry.
type Kind string

// What can have been done to an entry.
const (
	Changed   Kind = "changed"   // its bytes are others
	Dropped   Kind = "dropped"   // it is not there
	Reordered Kind = "reordered" // another one stands in its place, and it comes later
	Repeated  Kind = "repeated"  // it is there again
	Cut       Kind = "cut"       // it is known from elsewhere, and the log ends before it
)

// DamageError says which entry is not what was written. It matches ErrDamaged.
type DamageError struct {
	// Path is the file, Line the line in it, from 1; 0 when no line is left to show.
	Path string
	Line int
	// Sequence is the entry concerned, Through the last one when they are several.
	Sequence, Through int64
	Kind              Kind
	// Reason is what was found and what was expected.
	Reason string
}

// Error names the entry, the place, and the reason.
func (e *DamageError) Error() string {
	which := fmt.Sprintf("entry %d was %s", e.Sequence, e.Kind)
	if e.Through > e.Sequence {
		which = fmt.Sprintf("entries %d to %d were %s", e.Sequence, e.Through, e.Kind)
	}
	return fmt.Sprintf("%v: %s: %s: %s", ErrDamaged, place(e.Path, e.Line), which, e.Reason)
}

// Unwrap gives ErrDamaged.
func (e *DamageError) Unwrap() error { return ErrDamaged }

// TrustError says which signature was refused, or where one is missing. It matches ErrUntrusted and the reason.
type TrustError struct {
	Path     string
	Line     int
	Sequence int64
	Err      error
}

// Error names the entry, the place, and the reason.
func (e *TrustError) Error() string {
	return fmt.Sprintf("%v: %s: entry %d: %v", ErrUntrusted, place(e.Path, e.Line), e.Sequence, e.Err)
}

// Unwrap gives ErrUntrusted and the reason.
func (e *TrustError) Unwrap() []error { return []error{ErrUntrusted, e.Err} }

func place(path string, line int) string {
	if line == 0 {
		return path
	}
	return fmt.Sprintf("%s, line %d", path, line)
}
