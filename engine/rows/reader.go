package rows

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// Reader gives the rows of one input in order, some at a time.
type Reader interface {
	// Wait returns when Append need not wait for a pipe or a terminal.
	Wait()
	// Append adds at least one and at most limit rows to b, refused ones as entries with an Err. An error, io.EOF at the
	// end, is final and given each time; rows may have been added before it.
	Append(b *RowBatch, limit int) error
	// Close ends a Wait, where the system can, and gives the input back. Standard input stays open.
	Close() error
	// Size is what Done counts up to: bytes of .jsonl, rows of the other formats; -1 when unknown.
	Size() int64
	// Done is how much has been read so far.
	Done() int64
	// Streaming tells that the input is no regular file (a pipe, a terminal): rows are wanted as they arrive.
	Streaming() bool
	// Buffered tells that a further row has arrived whole, so that Wait will not wait.
	Buffered() bool
}

// Options say how Open reads.
type Options struct {
	Kind   Kind
	Labels string    // a .jsonl file joined to a .npy line by line; "" for none
	Stdin  io.Reader // what "-" means
}

// format is how a file is laid out.
type format uint8

const (
	jsonl format = iota
	npyArray
	npzArchive
	parquetTable
)

// knownInputs are the extensions of inputs, for messages.
const knownInputs = ".jsonl, .npy, .npz or .parquet"

// formatOf goes by the extension. Standard input and output, and devices and pipes whose name says nothing, are JSON
// Lines.
func formatOf(path string, regular bool, known string) (format, error) {
	extension := strings.ToLower(filepath.Ext(path))
	switch extension {
	case ".jsonl", ".ndjson":
		return jsonl, nil
	case ".npy":
		return npyArray, nil
	case ".npz":
		return npzArchive, nil
	case ".parquet":
		return parquetTable, nil
	}
	if path == "-" || !regular || strings.HasPrefix(path, "/dev/") {
		return jsonl, nil
	}
	return 0, fmt.Errorf("%s: %w: extension %q, expected %s", path, ErrFormat, extension, known)
}

// Open opens path for reading; "-" is Options.Stdin, read as JSON Lines. A missing file, a directory, an empty file, an
// unknown extension, a bad header and labels that do not fit are told here, before any row is read.
func Open(path string, o Options) (Reader, error) {
	in, err := openInput(path, o.Stdin)
	if err != nil {
		return nil, err
	}
	r, err := open(path, in, o)
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return r, nil
}

func open(path string, in *input, o Options) (Reader, error) {
	layout, err := formatOf(path, in.regular, knownInputs)
	if err != nil {
		return nil, err
	}
	if layout != npyArray && o.Labels != "" {
		return nil, fmt.Errorf("%s: labels %s were given, expected them with a .npy input only", path, o.Labels)
	}
	if layout != jsonl && o.Kind == Replay {
		return nil, fmt.Errorf("%s: %w: a replay reads operations, expected .jsonl", path, ErrFormat)
	}
	switch layout {
	case npyArray:
		return newNPY(in, o)
	case npzArchive:
		return newNPZ(in, o.Kind)
	case parquetTable:
		return newParquet(in, o.Kind)
	}
	return newJSONL(in, o.Kind), nil
}
