package control

import "errors"

// ErrNoOwner says that nobody listens on the socket of a data directory:
// nothing was asked, and nothing was done.
var ErrNoOwner = errors.New("nobody listens")

// InputError is a request that cannot be meant.
type InputError struct{ Reason string }

// Error gives the reason.
func (e *InputError) Error() string { return e.Reason }

// RemoteError is a failure of the process that owns the data directory.
type RemoteError struct {
	Message string
	// Code is the exit code that the same failure has in the owner.
	Code int
}

// Error is the owner's sentence.
func (e *RemoteError) Error() string { return e.Message }
