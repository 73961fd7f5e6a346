package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
)

const (
	suffix   = ".jsonl"
	filePerm = 0o600
)

// file is the part of *os.File that is used.
type file interface {
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	Sync() error
}

// fileOps are the operations that a writer needs of the system; tests put failing ones in their place.
type fileOps struct {
	open       func(path string, flags int, mode fs.FileMode) (file, error)
	makeFolder func(path string) error
	syncDir    func(path string) error
	lstat      func(path string) (fs.FileInfo, error)
}

func systemOps() *fileOps {
	return &fileOps{
		open: func(path string, flags int, mode fs.FileMode) (file, error) {
			return os.OpenFile(path, flags, mode)
		},
		makeFolder: checkpoints.MakeFolder,
		syncDir:    checkpoints.SyncFolder,
		lstat:      os.Lstat,
	}
}

// named fails when an open file is not the one under its name: what is written to it is then found by nobody.
func (o *fileOps) named(f file, path string) error {
	under, err := o.lstat(path)
	if err != nil {
		return fmt.Errorf("%w: %s is gone: %w", ErrMissing, path, err)
	}
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(under, opened) {
		return fmt.Errorf("%w: %s was exchanged for another file", ErrMissing, path)
	}
	return nil
}

// fileName is the name of the file that begins with an entry.
func fileName(first int64) string { return fmt.Sprintf("%020d%s", first, suffix) }

// source is a file of a log.
type source struct {
	first int64
	path  string
}

// list gives the files in a folder in order; others are no business of the log. A folder that is absent has none.
func list(dir string) ([]source, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []source
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || len(digits) != 20 {
			continue
		}
		if first, err := strconv.ParseUint(digits, 10, 63); err == nil {
			all = append(all, source{first: int64(first), path: filepath.Join(dir, e.Name())})
		}
	}
	slices.SortFunc(all, func(a, b source) int { return strings.Compare(a.path, b.path) })
	return all, nil
}

// openRegular opens a plain file for reading, not through a link.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if info, lerr := os.Lstat(path); lerr == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%w: %s is a %v, expected a plain file", ErrDamaged, path, info.Mode().Type())
		}
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is a %v, expected a plain file", ErrDamaged, path, info.Mode().Type())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
