package safetensors

import (
	"errors"
	"fmt"
)

// ErrFormat is matched by every refusal of this package.
var ErrFormat = errors.New("malformed safetensors file")

// FormatError says where a file breaks a rule, and which.
type FormatError struct {
	// Offset is the byte of the file.
	Offset int64
	// Reason is one clause: what was found and what was expected.
	Reason string
}

// Error gives offset and reason.
func (e *FormatError) Error() string {
	return fmt.Sprintf("safetensors, byte %d: %s", e.Offset, e.Reason)
}

// Unwrap makes errors.Is(err, ErrFormat) hold.
func (e *FormatError) Unwrap() error { return ErrFormat }
