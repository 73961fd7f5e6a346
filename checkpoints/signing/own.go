package signing

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// readOwn reads a small file that nobody but this user can have written: a plain file, not through a link, owned by the
// effective user, with none of the mode bits in forbidden. It is opened once; what is checked is what is read.
func readOwn(path string, forbidden fs.FileMode, limit int64) ([]byte, error) {
	// Not blocking: opening a pipe would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if info, statErr := os.Lstat(path); statErr == nil && info.Mode()&fs.ModeSymlink != 0 {
			return nil, fmt.Errorf("%w %s: it is a symbolic link, expected a plain file", ErrUnsafeFile, path)
		}
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w %s: it has mode %v, expected a plain file", ErrUnsafeFile, path, info.Mode())
	}
	if status, ok := info.Sys().(*syscall.Stat_t); !ok || int(status.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%w %s: another user owns it, expected user %d", ErrUnsafeFile, path, os.Geteuid())
	}
	const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	if bad := info.Mode() & (forbidden | special); bad != 0 {
		return nil, fmt.Errorf("%w %s: it has mode %#o, expected at most %#o; run chmod %o %s", ErrUnsafeFile, path,
			info.Mode().Perm(), 0o777&^forbidden, info.Mode().Perm()&^forbidden, path)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d are read", ErrMalformed, path, info.Size(), limit)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: %s grew beyond %d bytes while it was read", ErrMalformed, path, limit)
	}
	return data, nil
}
