package container

import (
	"errors"
	"fmt"
)

// ErrFormat is matched by every refusal of this package.
var ErrFormat = errors.New("malformed archive")

// FormatError says where an archive breaks a rule, and which.
type FormatError struct {
	// Offset is the byte in the archive at which the offending structure begins.
	Offset int64
	// Reason is one clause: what was found and what was expected.
	Reason string
}

// Error gives the offset and the reason.
func (e *FormatError) Error() string {
	return fmt.Sprintf("archive, byte %d: %s", e.Offset, e.Reason)
}

// Unwrap makes errors.Is(err, ErrFormat) hold.
func (e *FormatError) Unwrap() error { return ErrFormat }

func refuse(offset int64, format string, args ...any) error {
	return &FormatError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}
