package signing

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

// readOwn reads a small file that nobody but this user can have written, see disk.ReadOwn.
func readOwn(path string, forbidden fs.FileMode, limit int64) ([]byte, error) {
	data, err := disk.ReadOwn(path, forbidden, limit)
	if unsafe := (*disk.UnsafeError)(nil); errors.As(err, &unsafe) {
		return nil, fmt.Errorf("%w: %w", ErrUnsafeFile, unsafe)
	}
	if large := (*disk.TooLargeError)(nil); errors.As(err, &large) {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, large)
	}
	return data, err
}
