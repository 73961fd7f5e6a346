package rows

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
)

// Sink takes the bytes of one output. A regular file appears under its name with Commit only; Abort leaves nothing.
type Sink interface {
	io.Writer
	Commit() error
	Abort() error
}

// Output is an opened sink and what its name says about it.
type Output struct {
	Sink
	Name   string // as given; "standard output" for "-"
	format format
}

// knownOutputs are the extensions of outputs, for messages.
const knownOutputs = ".jsonl, .npz or .parquet"

// CreateOutput opens path for results. "-" is stdout, a device, pipe or socket is written directly, and a regular or new
// file goes through atomic, which makes a file that appears when committed. Names that tell of no known format are
// ErrFormat, before anything is made.
func CreateOutput(path string, stdout io.Writer, atomic func(path string) (Sink, error)) (*Output, error) {
	info, err := os.Stat(path)
	if path != "-" && err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("create output: %w", err)
	}
	exists := path != "-" && err == nil
	if exists && info.IsDir() {
		return nil, fmt.Errorf("create output %s: it is a directory, expected a file name", path)
	}
	direct := exists && (!info.Mode().IsRegular() || isDescriptor(path))
	layout, err := formatOf(path, path != "-" && !direct, knownOutputs)
	if err == nil && layout == npyArray {
		err = fmt.Errorf("%s: %w: .npy holds one array only, expected %s", path, ErrFormat, knownOutputs)
	}
	if err != nil {
		return nil, fmt.Errorf("create output: %w", err)
	}
	out := &Output{Name: path, format: layout}
	switch {
	case path == "-":
		out.Name, out.Sink = "standard output", directSink{Writer: stdout}
	case direct && info.Mode()&fs.ModeSocket != 0:
		conn, err := net.Dial("unix", path)
		if err != nil {
			return nil, fmt.Errorf("create output: %w", err)
		}
		out.Sink = directSink{conn, conn}
	case direct:
		// Appending matters where standard output leads to a file: the shell has decided what is in it.
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return nil, fmt.Errorf("create output: %w", err)
		}
		out.Sink = directSink{file, file}
	default:
		if out.Sink, err = atomic(path); err != nil {
			return nil, fmt.Errorf("create output %s: %w", path, err)
		}
	}
	return out, nil
}

// isDescriptor tells whether path stands for an open file of a process, as /dev/stdout does: a link that must not be
// replaced even when it leads to a regular file.
func isDescriptor(path string) bool {
	if !strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/proc/") {
		return false
	}
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// directSink writes at once; what was written cannot be taken back.
type directSink struct {
	io.Writer
	closer io.Closer // nil for standard output
}

var _ Sink = directSink{}

func (s directSink) Commit() error {
	if s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

func (s directSink) Abort() error { return s.Commit() }
