package checkpoints

import (
	"fmt"
	"io"
	"os"

	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// maxFile is the size of the largest file that is read, in bytes. A pattern checkpoint of two sides of a million rows
// 2,048 wide has 16 GiB.
const maxFile = 32 << 30

// readAll reads a regular file into memory of our own: a mapped file could change or shrink under the parser.
func readAll(path string) (data []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	if !info.Mode().IsRegular() {
		// Asked before opening, since opening a pipe would wait for its other end.
		return nil, fmt.Errorf("read checkpoint: %s is a %s, expected a regular file", path, kindOf(info.Mode()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read checkpoint: %s is a %s, expected a regular file", path, kindOf(info.Mode()))
	}
	if info.Size() > maxFile {
		return nil, &FileError{File: path, Err: fmt.Errorf("file has %d bytes, at most %d are read", info.Size(), int64(maxFile))}
	}
	data = make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read checkpoint: %s: file was cut short while it was read: %w", path, err)
	}
	return data, nil
}

// load parses a file for a schema: only known classes.
func load(name string, data []byte) (*tensor.File, error) {
	f, err := tensor.Load(data, tensor.Options{})
	if err != nil {
		return nil, &FileError{File: name, Err: err}
	}
	return f, nil
}

func kindOf(mode os.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&os.ModeNamedPipe != 0:
		return "pipe"
	case mode&os.ModeSocket != 0:
		return "socket"
	case mode&os.ModeDevice != 0:
		return "device"
	}
	return "special file"
}
