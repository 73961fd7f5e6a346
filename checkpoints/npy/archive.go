package npy

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"strings"
)

// extension is what numpy.savez appends to the name of an array.
const extension = ".npy"

// ArchiveWriter collects arrays that grow row by row and writes them as one .npz at the end.
type ArchiveWriter struct {
	dir     string
	columns []*Column
}

// NewArchiveWriter spools into temporary files of dir; "" is the system's folder for them.
func NewArchiveWriter(dir string) *ArchiveWriter { return &ArchiveWriter{dir: dir} }

// Column adds an array: a vector for width 0, else rows of width elements. The size of a Text type is found at the end.
func (a *ArchiveWriter) Column(name string, dtype DType, width int) (*Column, error) {
	if dtype.Kind == Bytes || (dtype.Kind != Text && !dtype.supported()) {
		return nil, fmt.Errorf("array %q: %w: dtype %s cannot be written", name, ErrUnsupported, dtype)
	}
	if width < 0 || (width > 0 && dtype.Kind == Text) {
		return nil, fmt.Errorf("array %q: %w: rows of %d", name, ErrUnsupported, width)
	}
	for _, c := range a.columns {
		if c.name == name {
			return nil, fmt.Errorf("array %q: %w: added twice", name, ErrValue)
		}
	}
	c, err := newColumn(a.dir, name, dtype, width)
	if err != nil {
		return nil, err
	}
	a.columns = append(a.columns, c)
	return c, nil
}

// Finish writes the archive to dst. The columns must not be used afterwards; Close is still needed.
func (a *ArchiveWriter) Finish(dst io.Writer) error {
	archive := zip.NewWriter(dst)
	for _, c := range a.columns {
		// Stored entries, so that numpy.load(mmap_mode) of an extracted array and quick loading work; sizes follow each
		// entry and stand in the directory, where NumPy looks.
		entry, err := archive.CreateHeader(&zip.FileHeader{Name: c.name + extension, Method: zip.Store})
		if err != nil {
			return fmt.Errorf("write npz entry %q: %w", c.name, err)
		}
		if err := c.encode(entry); err != nil {
			return fmt.Errorf("write npz: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("write npz directory: %w", err)
	}
	return nil
}

// Close gives the temporary files back. It may be called again, and without Finish.
func (a *ArchiveWriter) Close() error {
	var errs []error
	for _, c := range a.columns {
		errs = append(errs, c.file.Close())
	}
	a.columns = nil
	return errors.Join(errs...)
}

// Archive is a .npz opened for reading. Its arrays may be read side by side.
type Archive struct {
	entries map[string]*zip.File
	names   []string
	other   string // the first entry that is no array
}

// maxDirectory bounds what the zip package reads before its first answer: each entry takes 46 bytes or more there and some
// hundred in memory.
const maxDirectory = 8 << 20

// budget is a source that fails when more was read than is left, until it is opened.
type budget struct {
	src  io.ReaderAt
	left int64
	open bool
}

func (b *budget) ReadAt(p []byte, at int64) (int, error) {
	if b.open {
		return b.src.ReadAt(p, at)
	}
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, fmt.Errorf("%w: its directory has more than %d bytes", ErrTooLarge, maxDirectory)
	}
	return b.src.ReadAt(p, at)
}

// OpenArchive reads the directory of the zip archive of size bytes in src. Two entries of one name are ErrHeader.
func OpenArchive(src io.ReaderAt, size int64) (*Archive, error) {
	limited := &budget{src: src, left: maxDirectory}
	directory, err := zip.NewReader(limited, size)
	limited.open = true
	if err != nil {
		return nil, fmt.Errorf("open npz: not a zip archive, or cut short: %w", err)
	}
	a := &Archive{entries: make(map[string]*zip.File, len(directory.File))}
	for _, entry := range directory.File {
		name, isArray := strings.CutSuffix(entry.Name, extension)
		if !isArray {
			if a.other == "" {
				a.other = entry.Name
			}
			continue
		}
		if a.entries[name] != nil {
			return nil, fmt.Errorf("open npz: %w: array %q twice", ErrHeader, name)
		}
		a.entries[name] = entry
		a.names = append(a.names, name)
	}
	return a, nil
}

// Names lists the arrays in the order of the archive's directory.
func (a *Archive) Names() []string { return append([]string(nil), a.names...) }

// Has tells whether the archive holds an array of that name.
func (a *Archive) Has(name string) bool { return a.entries[name] != nil }

// Open starts reading one array, stored or deflated. Its checksum is verified when the last row has been read: a wrong
// one is the error of the Next that would have returned io.EOF. The caller closes the reader.
func (a *Archive) Open(name string) (*Reader, error) {
	entry := a.entries[name]
	if entry == nil {
		return nil, fmt.Errorf("open npz array %q: not there, the archive holds %s", name, strings.Join(a.names, ", "))
	}
	src, err := entry.Open()
	if err != nil {
		return nil, fmt.Errorf("open npz array %q: %w", name, err)
	}
	r, err := NewReader(src)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open npz array %q: %w", name, err), src.Close())
	}
	r.closer = src
	return r, nil
}
