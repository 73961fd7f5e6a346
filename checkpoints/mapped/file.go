package mapped

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"unsafe"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

// ErrChanged is matched when a file was cut or written to while it was mapped.
var ErrChanged = errors.New("file changed while it was read")

// ErrIrregular is matched when a path leads to a directory, a pipe or anything else that is not a regular file.
var ErrIrregular = errors.New("expected a regular file")

// errClosed is returned by a view of a closed file.
var errClosed = errors.New("file is closed")

// File is a mapped file. It is safe for concurrent use.
type File struct {
	path string
	file *os.File
	info fs.FileInfo

	// views is held for reading by each view, so that Close waits for them.
	views sync.RWMutex
	data  []byte // nil for an empty file
	open  bool
}

// Open maps a regular file for reading; a link is followed. The caller closes it.
func Open(path string) (*File, error) {
	// Asked before opening too, since opening a device may already do something.
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("map %s: it is a %s: %w", path, disk.Kind(info.Mode()), ErrIrregular)
	}
	// Without blocking, should a pipe have taken the name since.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	f := &File{path: path, file: file, open: true}
	if err := f.mapPages(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return f, nil
}

func (f *File) mapPages() error {
	var err error
	if f.info, err = f.file.Stat(); err != nil {
		return fmt.Errorf("map: %w", err)
	}
	if !f.info.Mode().IsRegular() {
		return fmt.Errorf("map %s: it is a %s: %w", f.path, disk.Kind(f.info.Mode()), ErrIrregular)
	}
	size := f.info.Size()
	if size == 0 {
		return nil // no empty mapping exists
	}
	if size > math.MaxInt {
		return fmt.Errorf("map %s: %d bytes do not fit the address space", f.path, size)
	}
	if f.data, err = syscall.Mmap(int(f.file.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED); err != nil {
		return fmt.Errorf("map %s: %w", f.path, err)
	}
	return nil
}

// Size is the number of bytes that the file had when it was opened.
func (f *File) Size() int64 { return f.info.Size() }

// Info is what the system said of the file when it was opened.
func (f *File) Info() fs.FileInfo { return f.info }

// View calls look with the bytes of the file, which it must neither write to nor keep. The error is look's, or matches
// ErrChanged when the file changed meanwhile; then what look did is worthless, whatever it returned.
func (f *File) View(look func(data []byte) error) (err error) {
	f.views.RLock()
	defer f.views.RUnlock()
	if !f.open {
		return fmt.Errorf("map %s: %w", f.path, errClosed)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		caught := recover()
		changed := f.changed()
		switch {
		case caught != nil && !f.faulted(caught) && !(changed != nil && isRuntime(caught)):
			panic(caught) // a mistake of look
		case changed != nil:
			err = changed
		case caught != nil:
			err = fmt.Errorf("map %s: reading its pages failed: %w", f.path, ErrChanged)
		}
	}()
	return look(f.data)
}

// faulted tells whether a panic is a failed access to the mapped pages.
func (f *File) faulted(caught any) bool {
	fault, ok := caught.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok || len(f.data) == 0 {
		return false
	}
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(f.data)))
	// The last page is mapped whole, and wide loads may be reported at its end.
	return fault.Addr() >= begin && fault.Addr()-begin < uintptr(len(f.data)+os.Getpagesize())
}

// isRuntime tells whether a panic is one that bytes changing between two looks at them can cause, such as an index that
// was in range a moment ago.
func isRuntime(caught any) bool {
	_, ok := caught.(runtime.Error)
	return ok
}

func (f *File) changed() error {
	now, err := f.file.Stat()
	if err != nil {
		return fmt.Errorf("map %s: %w", f.path, err)
	}
	if now.Size() != f.info.Size() {
		return fmt.Errorf("map %s: it had %d bytes and now has %d: %w", f.path, f.info.Size(), now.Size(), ErrChanged)
	}
	if !now.ModTime().Equal(f.info.ModTime()) {
		return fmt.Errorf("map %s: it was written to: %w", f.path, ErrChanged)
	}
	return nil
}

// Close waits for the views and gives the pages back. It may be called again.
func (f *File) Close() error {
	f.views.Lock()
	defer f.views.Unlock()
	if !f.open {
		return nil
	}
	f.open = false
	var err error
	if f.data != nil {
		err = syscall.Munmap(f.data)
		f.data = nil
	}
	return errors.Join(err, f.file.Close())
}
