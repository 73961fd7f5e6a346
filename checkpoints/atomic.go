package checkpoints

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

// AtomicFile is a file that appears under its name only when it is complete. Write to it, then Commit or Abort; a
// deferred Abort after a Commit does nothing. It belongs to one goroutine.
//
// A target that exists and is no regular file (a device, a pipe) is written directly: there is nothing to replace, and
// what was written before an Abort stays written. Opening a pipe waits for its reader.
type AtomicFile struct {
	ops    fileOps
	path   string // the target, links resolved
	temp   string // empty when the target is written directly
	file   osFile
	buffer *bufio.Writer
	err    error
	done   bool
}

var _ io.Writer = (*AtomicFile)(nil)

// errFinished is returned by an AtomicFile after Commit or Abort.
var errFinished = errors.New("file is already committed or aborted")

// osFile is the part of *os.File that an AtomicFile uses.
type osFile interface {
	io.Writer
	Sync() error
	Close() error
}

// fileOps are the file operations of an AtomicFile; tests put failing ones in their place.
type fileOps struct {
	open    func(path string, flags int, mode fs.FileMode) (osFile, error)
	rename  func(from, to string) error
	remove  func(path string) error
	syncDir func(path string) error
}

func systemOps() fileOps {
	return fileOps{
		open: func(path string, flags int, mode fs.FileMode) (osFile, error) {
			return os.OpenFile(path, flags, mode)
		},
		rename:  os.Rename,
		remove:  os.Remove,
		syncDir: disk.SyncFolder,
	}
}

// Create begins a file. The bytes go to a hidden file in the same folder, with mode less the umask; the folder must
// exist. An existing file under the name stays as it is until Commit.
func Create(path string, mode fs.FileMode) (*AtomicFile, error) {
	return create(path, mode, systemOps())
}

func create(path string, mode fs.FileMode, ops fileOps) (*AtomicFile, error) {
	a := &AtomicFile{ops: ops, path: path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// What ".." behind a link means is the system's to say: a cleaned name may lie in another folder.
		if folder, name := filepath.Split(path); folder != "" {
			if folder, err = filepath.EvalSymlinks(folder); err != nil {
				return nil, fmt.Errorf("create %s: %w", path, err)
			}
			a.path = filepath.Join(folder, name)
		}
	case err != nil:
		return nil, fmt.Errorf("create %s: %w", path, err)
	case info.IsDir():
		return nil, fmt.Errorf("create %s: it is a directory", path)
	case !info.Mode().IsRegular() || isDescriptor(path):
		if a.file, err = ops.open(path, os.O_WRONLY|os.O_APPEND, 0); err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
		a.buffer = bufio.NewWriterSize(a.file, 1<<16)
		return a, nil
	default:
		// A link keeps pointing at the file that is replaced.
		if a.path, err = filepath.EvalSymlinks(path); err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
	}
	folder, name := filepath.Split(a.path)
	a.temp = filepath.Join(folder, "."+name+".tmp-"+rand.Text()[:10])
	if a.file, err = ops.open(a.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode); err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	a.buffer = bufio.NewWriterSize(a.file, 1<<16)
	return a, nil
}

// isDescriptor tells whether a name stands for an open file of a process, such as /dev/stdout, which must not be replaced
// even when it leads to a regular file.
func isDescriptor(path string) bool {
	full, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	for _, prefix := range []string{"/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/"} {
		if strings.HasPrefix(full, prefix) {
			return true
		}
	}
	return false
}

// Write adds bytes. After an error every further call fails, and Commit too.
func (a *AtomicFile) Write(b []byte) (int, error) {
	if a.done {
		return 0, errFinished
	}
	n, err := a.buffer.Write(b)
	if err != nil {
		a.err = fmt.Errorf("write %s: %w", a.path, err)
		return n, a.err
	}
	return n, nil
}

// Flush hands what was written to the operating system, for a target that a reader follows.
func (a *AtomicFile) Flush() error {
	if a.done {
		return errFinished
	}
	if err := a.buffer.Flush(); err != nil {
		a.err = fmt.Errorf("write %s: %w", a.path, err)
		return a.err
	}
	return nil
}

// Commit flushes the file to the disk, gives it its name and makes the name durable. When it returns an error before the
// rename, the target is untouched and nothing is left beside it. An error of the last step, the folder's, means
// that the file has its name but might lose it in a power failure.
func (a *AtomicFile) Commit() error {
	if a.done {
		return errFinished
	}
	if a.err == nil {
		a.err = a.finish()
	}
	if a.err != nil {
		err := a.err
		return errors.Join(err, a.Abort())
	}
	a.done = true
	if a.temp == "" {
		return nil
	}
	if err := a.ops.rename(a.temp, a.path); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", a.path, err), a.ops.remove(a.temp))
	}
	if err := a.ops.syncDir(filepath.Dir(a.path)); err != nil {
		return fmt.Errorf("write %s: folder: %w", a.path, err)
	}
	return nil
}

// finish brings the bytes to the disk and closes the file.
func (a *AtomicFile) finish() error {
	if err := a.buffer.Flush(); err != nil {
		return fmt.Errorf("write %s: %w", a.path, err)
	}
	if a.temp != "" {
		if err := a.file.Sync(); err != nil {
			return fmt.Errorf("write %s: sync: %w", a.path, err)
		}
	}
	file := a.file
	a.file = nil
	if err := file.Close(); err != nil {
		return fmt.Errorf("write %s: close: %w", a.path, err)
	}
	return nil
}

// Abort drops the file; the target stays as it was. After Commit or another Abort it does nothing.
func (a *AtomicFile) Abort() error {
	if a.done {
		return nil
	}
	a.done = true
	var errs []error
	if a.file != nil {
		if err := a.file.Close(); err != nil {
			errs = append(errs, fmt.Errorf("abort %s: close: %w", a.path, err))
		}
	}
	if a.temp != "" {
		if err := a.ops.remove(a.temp); err != nil {
			errs = append(errs, fmt.Errorf("abort %s: %w", a.path, err))
		}
	}
	return errors.Join(errs...)
}

// WriteAtomic writes one file as an AtomicFile: fill gets the writer, and its error drops the file.
func WriteAtomic(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	return writeAtomic(path, mode, systemOps(), fill)
}

func writeAtomic(path string, mode fs.FileMode, ops fileOps, fill func(io.Writer) error) error {
	a, err := create(path, mode, ops)
	if err != nil {
		return err
	}
	if err := fill(a); err != nil {
		return errors.Join(err, a.Abort())
	}
	return a.Commit()
}
