package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// IrregularError says that there is something else under a name than a regular
// file.
type IrregularError struct {
	Path string
	Mode fs.FileMode
}

// Error names the file.
func (e *IrregularError) Error() string { return e.Path + " " + e.Reason() }

// Reason is the error without the file.
func (e *IrregularError) Reason() string { return "is a " + Kind(e.Mode) + ", expected a regular file" }

// Kind is what people call a file of this mode.
func Kind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "regular file"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode.IsDir():
		return "folder"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// OpenFlags are those that OpenRegular opens with: not through a link, and
// without waiting for the other end of a pipe.
const OpenFlags = os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// OpenRegular opens a regular file for reading, not through a link, and answers
// what the open file is. Errors are *IrregularErrors or those of the system.
func OpenRegular(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, OpenFlags, 0)
	if err != nil {
		if info, lerr := os.Lstat(path); lerr == nil && !info.Mode().IsRegular() {
			return nil, nil, &IrregularError{path, info.Mode()}
		}
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &IrregularError{path, info.Mode()}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// TooLargeError says that a file has more bytes than are read.
type TooLargeError struct {
	Path  string
	Limit int64
}

// Error names the file.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s is larger than %d bytes", e.Path, e.Limit)
}

// ReadRegular reads a whole regular file of at most limit bytes, not through a
// link. Beside the errors of [OpenRegular] there is *TooLargeError.
func ReadRegular(path string, limit int64) ([]byte, error) {
	f, _, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readWhole(f, limit)
}

func readWhole(f *os.File, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &TooLargeError{f.Name(), limit}
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// UnsafeError says why somebody else could have written, or could read, a file.
type UnsafeError struct {
	Path   string
	Reason string // without the file
}

// Error names the file.
func (e *UnsafeError) Error() string { return e.Path + " " + e.Reason }

// ReadOwn reads a small file that only this user can have written: a regular
// file, not through a link, owned by the effective user, with none of the mode
// bits in forbidden and none of setuid, setgid and sticky. It is opened once; what is
// checked is what is read. Errors are *UnsafeErrors, *TooLargeErrors, or those
// of the system.
func ReadOwn(path string, forbidden fs.FileMode, limit int64) ([]byte, error) {
	f, info, err := OpenRegular(path)
	if irregular := (*IrregularError)(nil); errors.As(err, &irregular) {
		return nil, &UnsafeError{path, irregular.Reason()}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if status, ok := info.Sys().(*syscall.Stat_t); !ok || int(status.Uid) != os.Geteuid() {
		return nil, &UnsafeError{path, fmt.Sprintf("belongs to another user, expected user %d", os.Geteuid())}
	}
	const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	if bad := info.Mode() & (forbidden | special); bad != 0 {
		return nil, &UnsafeError{path, fmt.Sprintf("has mode %04o, expected at most %04o; run: chmod %o %s",
			info.Mode().Perm(), 0o777&^forbidden, info.Mode().Perm()&^forbidden, path)}
	}
	return readWhole(f, limit)
}
