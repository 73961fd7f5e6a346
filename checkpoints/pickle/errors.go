package pickle

import (
	"errors"
	"fmt"
)

// ErrFormat is matched by every refusal of Decode.
var ErrFormat = errors.New("malformed pickle")

// DecodeError says at which byte a pickle was refused, and why.
type DecodeError struct {
	// Offset is the byte of the opcode in the pickle.
	Offset int
	// Op is the opcode, 0 before the first.
	Op byte
	// Err is the reason.
	Err error
}

// Error gives offset, opcode and reason.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("pickle, byte %d (opcode %#02x): %v", e.Offset, e.Op, e.Err)
}

// Unwrap gives the reason and ErrFormat.
func (e *DecodeError) Unwrap() []error { return []error{e.Err, ErrFormat} }
