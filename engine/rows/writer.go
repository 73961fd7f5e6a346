package rows

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Writer takes verdicts in order. After an error only Abort is of use.
type Writer interface {
	// Write takes some results. To a pipe or device they are written before it returns.
	Write(results []Result) error
	// Commit finishes the output: a regular file now appears under its name.
	Commit() error
	// Abort gives up: a regular file never appears. After Commit it does nothing.
	Abort() error
}

// WriterOptions say what a Writer writes.
type WriterOptions struct {
	// Fields to write, from ParseFields; none means all.
	Fields []Field
	// ViolationNames name the bits of Result.ViolationMask, lowest first; written to .npz.
	ViolationNames []string
	// SpoolDir takes the temporary files of .npz and .parquet; "" is the system's folder for them.
	SpoolDir string
}

// NewWriter writes in the format of out's name: JSON Lines, .npz or .parquet. It owns out.
func NewWriter(out *Output, o WriterOptions) (Writer, error) {
	if len(o.Fields) == 0 {
		for f := range fieldCount {
			o.Fields = append(o.Fields, f)
		}
	}
	switch out.format {
	case npzArchive:
		return newNPZWriter(out, o)
	case parquetTable:
		return newParquetWriter(out, o)
	}
	return &jsonlWriter{out: lineSink{Output: out}, fields: o.Fields}, nil
}

// lineSink gathers lines and writes them in one call.
type lineSink struct {
	*Output
	buf  []byte
	over bool // committed or aborted
}

// lineBytes is how much is gathered before it is written: lines of large batches are not held all at once.
const lineBytes = 256 << 10

// flush writes what was gathered, all of it when least is 0.
func (s *lineSink) flush(least int) error {
	if len(s.buf) == 0 || len(s.buf) < least {
		return nil
	}
	_, err := s.Write(s.buf)
	s.buf = s.buf[:0]
	if err != nil {
		return fmt.Errorf("write %s: %w", s.Name, err)
	}
	return nil
}

// Commit finishes the sink.
func (s *lineSink) Commit() error {
	if s.over {
		return errors.New("commit output: it is finished already")
	}
	if err := s.flush(0); err != nil {
		return err
	}
	s.over = true
	if err := s.Sink.Commit(); err != nil {
		return fmt.Errorf("finish %s: %w", s.Name, err)
	}
	return nil
}

// Abort gives the sink up.
func (s *lineSink) Abort() error {
	if s.over {
		return nil
	}
	s.over = true
	return s.Sink.Abort()
}

// jsonlWriter writes one object a line, its fields in the order of Field.
type jsonlWriter struct {
	out    lineSink
	fields []Field
}

var _ Writer = (*jsonlWriter)(nil)

func (w *jsonlWriter) Write(results []Result) error {
	for i := range results {
		w.out.buf = appendResult(w.out.buf, &results[i], w.fields)
		if err := w.out.flush(lineBytes); err != nil {
			return err
		}
	}
	return w.out.flush(0)
}

func (w *jsonlWriter) Commit() error { return w.out.Commit() }

func (w *jsonlWriter) Abort() error { return w.out.Abort() }

func appendResult(dst []byte, r *Result, fields []Field) []byte {
	dst = append(dst, '{')
	for _, f := range fields {
		if f == FieldError && r.Error == "" {
			continue // only a refused row has one
		}
		dst = appendKey(dst, f.String())
		dst = f.appendJSON(dst, r)
	}
	return append(dst, '}', '\n')
}

func (f Field) appendJSON(dst []byte, r *Result) []byte {
	if v, ok := f.number(r); ok {
		return appendNumber(dst, v)
	}
	if v, ok := f.flag(r); ok {
		return strconv.AppendBool(dst, v)
	}
	if v, ok := f.integer(r); ok {
		return appendPatternID(dst, v)
	}
	if v, ok := f.text(r); ok {
		return appendText(dst, v)
	}
	if f == FieldID {
		return r.ID.AppendJSON(dst)
	}
	dst = append(dst, '[')
	for i, text := range r.violations() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, text)
	}
	return append(dst, ']')
}

// appendKey begins a member; the object's brace is there already.
func appendKey(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// appendNumber writes the shortest decimal that reads back as the same float32, null for what JSON has no number for.
func appendNumber(dst []byte, v float32) []byte {
	if v-v != 0 {
		return append(dst, "null"...)
	}
	layout := byte('f')
	if size := math.Abs(float64(v)); size != 0 && (size < 1e-6 || size >= 1e21) {
		layout = 'e'
	}
	return strconv.AppendFloat(dst, float64(v), layout, -1, 32)
}

// appendPatternID writes null for no pattern.
func appendPatternID(dst []byte, id int64) []byte {
	if id < 0 {
		return append(dst, "null"...)
	}
	return strconv.AppendInt(dst, id, 10)
}
