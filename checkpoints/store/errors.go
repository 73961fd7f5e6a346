package store

import (
	"errors"
	"fmt"
)

var (
	// ErrUntrusted is matched by errors about a file that is intact and whose origin is not proven: unsigned, signed
	// by an unknown key or after its key's expiry, without a manifest, or reached through a link.
	ErrUntrusted = errors.New("untrusted checkpoint")
	// ErrDamaged is matched by errors about a file that is not what its manifest says, or does not parse.
	ErrDamaged = errors.New("damaged checkpoint")
	// ErrNoneLeft is matched when there are checkpoints and all of them are damaged.
	ErrNoneLeft = errors.New("no checkpoint is left that is not damaged")
	// ErrNoManifest is matched, beside ErrUntrusted, when a file has no manifest.
	ErrNoManifest = errors.New("it has no manifest")
	// ErrNewerFormat is matched, beside ErrUntrusted, when a newer version of this program wrote a manifest.
	ErrNewerFormat = errors.New("written by a newer version")
)

// FileError says why a file is not taken.
type FileError struct {
	// Path is the file, or its manifest.
	Path string
	// Kind is ErrUntrusted or ErrDamaged.
	Kind error
	// Err is the reason.
	Err error
}

// Error gives kind, file and reason.
func (e *FileError) Error() string { return fmt.Sprintf("%v: %s: %v", e.Kind, e.Path, e.Err) }

// Unwrap gives kind and reason.
func (e *FileError) Unwrap() []error { return []error{e.Kind, e.Err} }

func damaged(path, format string, args ...any) error {
	return &FileError{Path: path, Kind: ErrDamaged, Err: fmt.Errorf(format, args...)}
}

func untrusted(path, format string, args ...any) error {
	return &FileError{Path: path, Kind: ErrUntrusted, Err: fmt.Errorf(format, args...)}
}
