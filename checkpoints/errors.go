package checkpoints

import (
	"errors"
	"fmt"
)

// ErrMalformed is matched by every error that says that the content of a file is wrong, from its bytes to its schema.
var ErrMalformed = errors.New("malformed checkpoint")

// FileError says what is wrong with the content of a file.
type FileError struct {
	// File is the name that the caller gave.
	File string
	// Key is the entry of the file's dict, with dots for nested ones; empty when the whole file is meant.
	Key string
	// Err is what was found and expected.
	Err error
}

// Error gives file, key and reason.
func (e *FileError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("read %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("read %s: key %q: %v", e.File, e.Key, e.Err)
}

// Unwrap gives the reason and ErrMalformed.
func (e *FileError) Unwrap() []error { return []error{e.Err, ErrMalformed} }
