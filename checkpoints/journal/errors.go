package journal

import (
	"errors"
	"fmt"
)

var (
	// ErrDamaged is matched by every error that says that a journal's content is wrong.
	ErrDamaged = errors.New("damaged journal")
	// ErrUntrusted is matched by every error that says that a part is not signed as it must be.
	ErrUntrusted = errors.New("untrusted journal")
	// ErrUnsigned says that a signature is missing where one is required; it comes with ErrUntrusted.
	ErrUnsigned = errors.New("not signed")
	// ErrMissing says that there is no journal, that it does not reach from or to the position asked for, or that the segment
	// that is written to is no longer under its name.
	ErrMissing = errors.New("journal is missing")
	// ErrExists says that Create found a journal.
	ErrExists = errors.New("journal exists")
	// ErrInDoubt says that a failed step could not be undone. Its effect may be found by the next Open; until the undoing
	// has succeeded, which every call attempts first, the journal takes nothing.
	ErrInDoubt = errors.New("journal is in doubt")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("journal is closed")
)

// DamageError says where a journal is damaged. It matches ErrDamaged.
type DamageError struct {
	// Segment is the path of the file.
	Segment string
	// Offset is where in the file the damaged part begins, in bytes.
	Offset int64
	// Reason is what was found and what was expected.
	Reason string
}

// Error gives segment, offset and reason.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%v: %s: offset %d: %s", ErrDamaged, e.Segment, e.Offset, e.Reason)
}

// Unwrap gives ErrDamaged.
func (e *DamageError) Unwrap() error { return ErrDamaged }

// TrustError says which part's signature was refused. It matches ErrUntrusted and the reason.
type TrustError struct {
	// Segment is the path of the file.
	Segment string
	// Offset is where in the file the part begins, in bytes.
	Offset int64
	// Err is ErrUnsigned or the Verifier's error.
	Err error
}

// Error gives segment, offset and reason.
func (e *TrustError) Error() string {
	return fmt.Sprintf("%v: %s: offset %d: %v", ErrUntrusted, e.Segment, e.Offset, e.Err)
}

// Unwrap gives ErrUntrusted and the reason.
func (e *TrustError) Unwrap() []error { return []error{ErrUntrusted, e.Err} }
