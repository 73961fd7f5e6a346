package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

const suffix = ".journal"

// file is the part of *os.File that is used.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	Sync() error
}

// fileOps are the operations that a writer needs of the system; tests put failing ones in their place.
type fileOps struct {
	open    func(path string, flags int, mode fs.FileMode) (file, error)
	mkdir   func(path string, mode fs.FileMode) error
	remove  func(path string) error
	syncDir func(path string) error
	lstat   func(path string) (fs.FileInfo, error)
}

func systemOps() *fileOps {
	return &fileOps{
		open: func(path string, flags int, mode fs.FileMode) (file, error) {
			return os.OpenFile(path, flags, mode)
		},
		mkdir:   os.Mkdir,
		remove:  os.Remove,
		syncDir: disk.SyncFolder,
		lstat:   os.Lstat,
	}
}

// makeDir makes a folder, which may be there, and its name durable.
func (o *fileOps) makeDir(path string) error {
	if err := o.mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is a %v, expected a folder", path, info.Mode().Type())
	}
	return o.syncDir(filepath.Dir(filepath.Clean(path)))
}

// create makes a new file with content, durable but for its name, open for reading and writing. made says that there is a file now,
// also when its content is not.
func (o *fileOps) create(path string, content []byte) (f file, made bool, err error) {
	if f, err = o.open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, false, err
	}
	if _, err = f.WriteAt(content, 0); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, true, errors.Join(err, f.Close())
	}
	return f, true, nil
}

// named fails with ErrMissing when an open file is not the one under its name, as when it or its folder was removed, moved or
// exchanged: what is written to it is then found by nobody. While it is open its inode is nobody else's, so that the same
// one under the name also says that the file has a name.
func (o *fileOps) named(f file, path string) error {
	under, err := o.lstat(path)
	if err != nil {
		return fmt.Errorf("%w: segment %s is gone: %w", ErrMissing, path, err)
	}
	opened, err := f.Stat()
	if err != nil {
		return fmt.Errorf("segment %s: %w", path, err)
	}
	if !os.SameFile(under, opened) {
		return fmt.Errorf("%w: segment %s was exchanged for another file, expected the one that is written to", ErrMissing, path)
	}
	return nil
}

// discard removes files, which may be gone, durably.
func (o *fileOps) discard(dir string, paths ...string) error {
	for _, p := range paths {
		if err := o.remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return o.syncDir(dir)
}

// segmentName is the name of the segment that begins with a sequence.
func segmentName(first int64) string { return disk.NumberedName(first, suffix) }

// list gives the segments in a folder in order; other files are no business of the journal.
func list(dir string) ([]disk.Numbered, error) {
	all, err := disk.ListNumbered(dir, suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return all, err
}

// openRegular opens a segment, and gives its size.
func openRegular(path string) (*os.File, int64, error) {
	f, info, err := disk.OpenRegular(path)
	if irregular := (*disk.IrregularError)(nil); errors.As(err, &irregular) {
		return nil, 0, &DamageError{Segment: path, Reason: "it " + irregular.Reason()}
	}
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}
