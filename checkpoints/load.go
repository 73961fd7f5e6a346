package checkpoints

import (
	"fmt"
	"io"
	"os"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
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
		return nil, fmt.Errorf("read checkpoint: %s is a %s, expected a regular file", path, disk.Kind(info.Mode()))
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
		return nil, fmt.Errorf("read checkpoint: %s is a %s, expected a regular file", path, disk.Kind(info.Mode()))
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

// ReadOption changes how a Parse function reads.
type ReadOption func(*tensor.Options)

// maxTrusted is what a trusted file may inflate to, in bytes.
const maxTrusted = 4 << 30

// Trusted is for bytes that were found to be those that a manifest of our own names: a deflated file may then inflate to
// 4 GiB and as far as it likes, which tables that are mostly zeros do. Without it the limits are those of files of
// unknown origin, 48 MiB and 200 times.
func Trusted() ReadOption {
	return func(o *tensor.Options) { o.Container.Inflated, o.Container.Ratio = maxTrusted, maxTrusted }
}

// WriteOption changes how a Write function writes.
type WriteOption = tensor.SaveOption

// Deflate compresses the tensors of a file. torch.load reads it, but not with mmap=True.
func Deflate() WriteOption { return tensor.Deflate() }

// load parses a file for a schema: only known classes.
func load(name string, data []byte, options []ReadOption) (*tensor.File, error) {
	var o tensor.Options
	for _, option := range options {
		option(&o)
	}
	f, err := tensor.Load(data, o)
	if err != nil {
		return nil, &FileError{File: name, Err: err}
	}
	return f, nil
}
