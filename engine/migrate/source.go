package migrate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

const (
	// maxEntries bounds the names in a source folder.
	maxEntries = 100_000

	// maxFile bounds one file, in bytes; more than the largest checkpoint
	// that is written, two sides of a million rows 2,048 wide.
	maxFile = 32 << 30
)

// source reads the folder of a Python installation and never writes to it.
type source struct {
	dir  string
	open func(path string) (*os.File, error) // read only, following no link
}

func newSource(dir string) *source {
	return &source{dir: dir, open: func(path string) (*os.File, error) {
		return os.OpenFile(path, disk.OpenFlags, 0)
	}}
}

// list answers the entries of the folder by name. Folders in it are not
// entered: the Python system's globs do not.
func (s *source) list() ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("%s holds %d names, expected at most %d: a folder of checkpoints", s.dir, len(entries), maxEntries)
	}
	return entries, nil
}

// irregular says why an entry is not read; "" when it is a regular file.
func irregular(mode fs.FileMode) string {
	if mode.IsRegular() {
		return ""
	}
	return (&disk.IrregularError{Mode: mode}).Reason()
}

// read reads a whole file into memory of our own. What is checked is what is
// read: the open file.
func (s *source) read(name string) ([]byte, error) {
	path := filepath.Join(s.dir, name)
	file, err := s.open(path)
	if errors.Is(err, syscall.ELOOP) {
		return nil, errors.New(irregular(fs.ModeSymlink))
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if why := irregular(before.Mode()); why != "" {
		return nil, errors.New(why)
	}
	if before.Size() > maxFile {
		return nil, fmt.Errorf("has %d bytes, at most %d are read", before.Size(), int64(maxFile))
	}
	data := make([]byte, before.Size())
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, fmt.Errorf("was cut short while it was read: %w", err)
	}
	after, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return nil, errors.New("was written to while it was read; stop the Python system first")
	}
	return data, nil
}
