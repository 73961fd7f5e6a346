package rows

import (
	"errors"
	"fmt"
	"io"
)

// jsonlReader reads one JSON object a line.
type jsonlReader struct {
	in     *input
	lines  *lineReader
	decode *decoder
	width  widthGuard
	rows   int64
	err    error // final
}

var _ Reader = (*jsonlReader)(nil)

func newJSONL(in *input, kind Kind) *jsonlReader {
	return &jsonlReader{
		in: in, lines: newLineReader(in, MaxLine), decode: newDecoder(kind), width: widthGuard{mixed: kind == Replay},
	}
}

// Next implements Reader.
func (r *jsonlReader) Next(row *Row) error {
	if r.err != nil {
		return r.err
	}
	line, err := r.lines.next()
	row.reset(r.lines.number, kindOp(r.decode.kind))
	switch {
	case errors.Is(err, io.EOF):
		r.err = r.end()
		return r.err
	case errors.Is(err, ErrTooLong):
		r.rows++
		return r.refuse(&fieldError{"", err})
	case err != nil:
		r.err = fmt.Errorf("%s: %w", r.in.name, err)
		return r.err
	}
	r.rows++
	refusal := r.decode.decode(line, row)
	if refusal != nil && r.lines.cut && errors.Is(refusal.err, ErrTruncated) {
		// No line break either: the file ends here, in the middle of a row. That is about the file, not the row.
		r.err = fmt.Errorf("%s, line %d: %w", r.in.name, row.Number, refusal.err)
		return r.err
	}
	if refusal == nil {
		refusal = complete(row)
	}
	if refusal == nil {
		refusal = r.width.check(row, "line")
	}
	if refusal != nil {
		return r.refuse(refusal)
	}
	return nil
}

func (r *jsonlReader) refuse(refusal *fieldError) error {
	return refusal.at(r.in.name, "line", r.lines.number)
}

// end tells a finished file from one that became shorter while it was read.
func (r *jsonlReader) end() error {
	if got := r.lines.done.Load(); got < r.in.size {
		return fmt.Errorf("%s: %w: expected %d bytes, got %d", r.in.name, ErrTruncated, r.in.size, got)
	}
	if r.rows == 0 {
		return fmt.Errorf("%s %w", r.in.name, ErrNoRows)
	}
	return io.EOF
}

// Size implements Reader.
func (r *jsonlReader) Size() int64 { return r.in.size }

// Done implements Reader.
func (r *jsonlReader) Done() int64 { return r.lines.done.Load() }

// Streaming implements Reader.
func (r *jsonlReader) Streaming() bool { return !r.in.regular }

// Buffered implements Reader.
func (r *jsonlReader) Buffered() bool { return r.err == nil && r.lines.buffered() }

// Close implements Reader.
func (r *jsonlReader) Close() error { return r.in.Close() }
