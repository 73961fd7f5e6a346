package rows

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

// npzReader reads the array embedding of an archive and, beside it, the arrays of the other fields.
type npzReader struct {
	in        *input
	kind      Kind
	embedding *npy.Reader
	columns   []npzColumn
	rows      int64
	next      int64
	done      atomic.Int64
	err       error // final
}

// npzColumn is one optional array: a value a row.
type npzColumn struct {
	field string
	array *npy.Reader
}

var _ Reader = (*npzReader)(nil)

// npzKinds lists the optional arrays in the order they are read, and the element types each may have.
func npzKinds() []struct {
	field string
	kinds []npy.Kind
	want  string
} {
	text := []npy.Kind{npy.Text, npy.Bytes}
	return []struct {
		field string
		kinds []npy.Kind
		want  string
	}{
		{"id", []npy.Kind{npy.Int, npy.Text, npy.Bytes}, "'<i8', '<U…' or '|S…'"},
		{"action", text, "'<U…' or '|S…'"},
		{"session", text, "'<U…' or '|S…'"},
		{"source", text, "'<U…' or '|S…'"},
		{"basic_checks", []npy.Kind{npy.Bool}, "'|b1'"},
		{"importance", []npy.Kind{npy.Float}, "'<f4' or '<f8'"},
		{"is_safe", []npy.Kind{npy.Bool}, "'|b1'"},
		{"label", text, "'<U…' or '|S…'"},
	}
}

func newNPZ(in *input, kind Kind) (*npzReader, error) {
	if !in.regular || in.file == nil {
		return nil, fmt.Errorf("%s: %w: a .npz has its directory at its end, expected a regular file", in.name, ErrFormat)
	}
	archive, err := npy.OpenArchive(in.file, in.size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.name, err)
	}
	r := &npzReader{in: in, kind: kind}
	if err := r.open(archive); err != nil {
		return nil, errors.Join(err, r.closeArrays())
	}
	return r, nil
}

func (r *npzReader) open(archive *npy.Archive) error {
	var err error
	if r.embedding, err = archive.Open("embedding"); err != nil {
		return fmt.Errorf("%s: %w", r.in.name, err)
	}
	if err := checkEmbedding(r.in.name, r.embedding.Header()); err != nil {
		return err
	}
	r.rows = r.embedding.Header().Rows()
	for _, optional := range npzKinds() {
		if !archive.Has(optional.field) {
			continue
		}
		array, err := archive.Open(optional.field)
		if err != nil {
			return fmt.Errorf("%s: %w", r.in.name, err)
		}
		r.columns = append(r.columns, npzColumn{optional.field, array})
		header := array.Header()
		fits := false
		for _, k := range optional.kinds {
			fits = fits || header.DType.Kind == k
		}
		if !fits {
			return fmt.Errorf("%s: %s: %w: dtype %s, expected %s", r.in.name, optional.field, ErrType, header.DType, optional.want)
		}
		if len(header.Shape) != 1 || header.Rows() != r.rows {
			return fmt.Errorf("%s: %s: %w: shape %v, expected [%d] as embedding has rows", r.in.name, optional.field, ErrDisagreeCount, header.Shape, r.rows)
		}
	}
	if r.kind == Record && !archive.Has("is_safe") && !archive.Has("label") {
		return fmt.Errorf("%s: is_safe and label %w, expected one of these arrays to record outcomes", r.in.name, ErrMissing)
	}
	return nil
}

// Wait implements Reader: a file is always there.
func (r *npzReader) Wait() {}

// Append implements Reader.
func (r *npzReader) Append(b *RowBatch, limit int) error {
	if r.err != nil {
		return r.err
	}
	start := len(b.numbers)
	n, err := readMatrix(b, r.embedding, limit)
	if err != nil {
		return r.end(err)
	}
	b.numbers = b.numbers[:start]
	var fields func(*Row) (*RowError, bool)
	if len(r.columns) > 0 {
		fields = r.fields
	}
	n = appendMatrix(b, r.in.name, r.next, r.kind, n, int(r.embedding.Header().Width()), fields)
	r.next += int64(n)
	r.done.Store(r.next)
	return r.err
}

// end asks each column once more after its last row, so that its checksum is verified.
func (r *npzReader) end(err error) error {
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.fail("embedding", err)
	}
	for _, c := range r.columns {
		if err := c.array.Next(); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return r.fail(c.field, err)
		}
	}
	r.err = io.EOF
	return r.err
}

// fields fills the fields of the next row; false when its columns cannot be read.
func (r *npzReader) fields(row *Row) (refusal *RowError, ok bool) {
	row.ID = IntID(row.Number)
	var problem *fieldError
	var joined outcome
	for _, c := range r.columns {
		if err := c.array.Next(); err != nil {
			_ = r.fail(c.field, err)
			return nil, false
		}
		if err := c.take(row, &joined); err != nil && problem == nil {
			problem = &fieldError{c.field, err}
		}
	}
	if err := joined.apply(row); err != nil && problem == nil {
		problem = err
	}
	if problem != nil {
		return problem.at(r.in.name, "row", row.Number), true
	}
	return nil, true
}

func (r *npzReader) fail(field string, err error) error {
	r.err = fmt.Errorf("%s: %s: %w", r.in.name, field, err)
	return r.err
}

// take moves the column's value of this row into the row.
func (c npzColumn) take(row *Row, joined *outcome) (err error) {
	switch c.array.Header().DType.Kind {
	case npy.Int:
		row.ID = IntID(c.array.Int64())
	case npy.Float:
		var one [1]float32
		return setImportance(row, c.array.Float32s(one[:0])[0])
	case npy.Bool:
		value, err := c.array.Bool()
		if err != nil {
			return err
		}
		if c.field == "basic_checks" {
			row.BasicChecks = value
		} else {
			joined.isSafe, joined.hasIsSafe = value, true
		}
	default:
		text, err := c.array.Text()
		if err != nil {
			return err
		}
		return setText(c.field, text, row, joined)
	}
	return nil
}

// Size implements Reader.
func (r *npzReader) Size() int64 { return r.rows }

// Done implements Reader.
func (r *npzReader) Done() int64 { return r.done.Load() }

// Streaming implements Reader.
func (r *npzReader) Streaming() bool { return false }

// Buffered implements Reader.
func (r *npzReader) Buffered() bool { return true }

// Close implements Reader.
func (r *npzReader) Close() error { return errors.Join(r.closeArrays(), r.in.Close()) }

func (r *npzReader) closeArrays() error {
	var err error
	if r.embedding != nil {
		err = r.embedding.Close()
	}
	for _, c := range r.columns {
		err = errors.Join(err, c.array.Close())
	}
	return err
}
