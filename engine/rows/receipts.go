package rows

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
)

// Receipt is the answer to one recorded outcome.
type Receipt struct {
	ID        ID
	Sequence  int64  // negative for none, which goes out as null
	Side      Side   // "" for none, which goes out as null
	PatternID int64  // negative for none, which goes out as null
	Result    string // stored, rejected, quarantined or error
	Durable   bool
	Reason    string
}

// ReceiptWriter appends receipts line by line. It gathers nothing: what Write returned without error has been written.
type ReceiptWriter struct {
	name   string
	dst    io.Writer
	closer io.Closer // nil for standard output
	buf    []byte
}

// OpenReceipts opens path for appending, "-" being stdout. A last line that a crash cut is ended first, so that it does
// not swallow the next receipt. Names of other formats than .jsonl are ErrFormat.
func OpenReceipts(path string, stdout io.Writer) (*ReceiptWriter, error) {
	if path == "-" {
		return &ReceiptWriter{name: "standard output", dst: stdout}, nil
	}
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open receipts: %w", err)
	}
	if err == nil && info.IsDir() {
		return nil, fmt.Errorf("open receipts %s: it is a directory, expected a file name", path)
	}
	regular := err != nil || info.Mode().IsRegular()
	layout, err := formatOf(path, regular, ".jsonl")
	if err == nil && layout != jsonl {
		err = fmt.Errorf("%s: %w: receipts are appended line by line, expected .jsonl", path, ErrFormat)
	}
	if err != nil {
		return nil, fmt.Errorf("open receipts: %w", err)
	}
	flags := os.O_WRONLY
	if regular {
		flags = os.O_RDWR | os.O_APPEND | os.O_CREATE // read, to look at the last line
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open receipts: %w", err)
	}
	w := &ReceiptWriter{name: path, dst: file, closer: file}
	if regular {
		if err := endLastLine(file); err != nil {
			return nil, errors.Join(fmt.Errorf("open receipts %s: %w", path, err), file.Close())
		}
	}
	return w, nil
}

func endLastLine(file *os.File) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err
	}
	var last [1]byte
	if _, err := file.ReadAt(last[:], size-1); err != nil {
		return err
	}
	if last[0] == '\n' {
		return nil
	}
	_, err = file.Write([]byte{'\n'})
	return err
}

// Write appends receipts; all are written when it returns nil.
func (w *ReceiptWriter) Write(receipts []Receipt) error {
	w.buf = w.buf[:0]
	for i := range receipts {
		w.buf = appendReceipt(w.buf, &receipts[i])
	}
	if len(w.buf) == 0 {
		return nil
	}
	if _, err := w.dst.Write(w.buf); err != nil {
		return fmt.Errorf("write receipts to %s: %w", w.name, err)
	}
	return nil
}

// Close closes what OpenReceipts opened.
func (w *ReceiptWriter) Close() error {
	if w.closer == nil {
		return nil
	}
	return w.closer.Close()
}

func appendReceipt(dst []byte, r *Receipt) []byte {
	dst = r.ID.AppendJSON(appendKey(append(dst, '{'), "id"))
	dst = appendPatternID(appendKey(dst, "sequence"), r.Sequence)
	dst = appendKey(dst, "side")
	if r.Side == "" {
		dst = append(dst, "null"...)
	} else {
		dst = appendText(dst, string(r.Side))
	}
	dst = appendPatternID(appendKey(dst, "pattern_id"), r.PatternID)
	dst = appendText(appendKey(dst, "result"), r.Result)
	dst = strconv.AppendBool(appendKey(dst, "durable"), r.Durable)
	dst = appendText(appendKey(dst, "reason"), r.Reason)
	return append(dst, '}', '\n')
}
