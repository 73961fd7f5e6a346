package rows

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// input is an opened source of bytes.
type input struct {
	name    string // for messages
	regular bool
	size    int64 // bytes, -1 when unknown
	src     io.Reader
	file    *os.File // what Close closes; nil for standard input
	fifo    *lateFile
}

// openInput opens path, or takes stdin for "-".
func openInput(path string, stdin io.Reader) (*input, error) {
	if path == "-" {
		if stdin == nil {
			return nil, errors.New("read standard input: it was not given")
		}
		in := &input{name: "standard input", size: -1, src: stdin}
		if file, ok := stdin.(*os.File); ok {
			if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
				in.regular = true
				if at, err := file.Seek(0, io.SeekCurrent); err == nil {
					in.size = info.Size() - at
				}
			}
		}
		return in, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open input %s: %w, expected a %s file, or - for standard input", path, err, knownInputs)
	}
	if err != nil {
		return nil, fmt.Errorf("open input: %w", err)
	}
	in := &input{name: path, regular: info.Mode().IsRegular(), size: -1}
	switch {
	case info.IsDir():
		return nil, fmt.Errorf("open input %s: it is a directory, expected a %s file", path, knownInputs)
	case info.Mode()&fs.ModeNamedPipe != 0:
		in.fifo = &lateFile{path: path}
		in.src = in.fifo
		return in, nil
	}
	if in.file, err = os.Open(path); err != nil {
		return nil, fmt.Errorf("open input: %w", err)
	}
	in.src = in.file
	if in.regular {
		in.size = info.Size()
	}
	if in.regular && in.size == 0 {
		return nil, errors.Join(fmt.Errorf("%s %w: it is empty", path, ErrNoRows), in.file.Close())
	}
	return in, nil
}

func (in *input) Read(p []byte) (int, error) { return in.src.Read(p) }

// Close closes what openInput opened and wakes a read of standard input where the system can.
func (in *input) Close() error {
	switch {
	case in.file != nil:
		return in.file.Close()
	case in.fifo != nil:
		return in.fifo.Close()
	}
	if source, ok := in.src.(interface{ SetReadDeadline(time.Time) error }); ok {
		_ = source.SetReadDeadline(time.Unix(1, 0)) // files that cannot be polled have none: nothing to be done
	}
	return nil
}

// lateFile opens a named pipe at the first Read, since opening one waits for a writer.
type lateFile struct {
	path   string
	mu     sync.Mutex
	file   *os.File
	closed bool
}

func (f *lateFile) Read(p []byte) (int, error) {
	f.mu.Lock()
	file, closed := f.file, f.closed
	f.mu.Unlock()
	if closed {
		return 0, os.ErrClosed
	}
	if file == nil {
		opened, err := os.Open(f.path)
		if err != nil {
			return 0, err
		}
		f.mu.Lock()
		if f.closed {
			f.mu.Unlock()
			return 0, errors.Join(os.ErrClosed, opened.Close())
		}
		f.file = opened
		f.mu.Unlock()
		file = opened
	}
	return file.Read(p)
}

func (f *lateFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
