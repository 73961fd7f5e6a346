package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
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
		makeFolder: disk.MakeFolder,
		syncDir:    disk.SyncFolder,
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
func fileName(first int64) string { return disk.NumberedName(first, suffix) }

// list gives the files in a folder in order; others are no business of the log. A folder that is absent has none.
func list(dir string) ([]disk.Numbered, error) {
	all, err := disk.ListNumbered(dir, suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

// openRegular opens a file of the log for reading.
func openRegular(path string) (*os.File, error) {
	f, _, err := disk.OpenRegular(path)
	if irregular := (*disk.IrregularError)(nil); errors.As(err, &irregular) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, irregular)
	}
	return f, err
}
