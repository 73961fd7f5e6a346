package rows

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// labels is a .jsonl file that gives the rows of an array their ids, labels and other fields, a line each.
type labels struct {
	lines *labelLines
	array string // name of the array's file, for messages
	rows  int64  // of the array
	read  int64
}

// labelLines is a jsonlReader whose rows need neither embedding nor outcome.
type labelLines struct{ *jsonlReader }

func openLabels(path, array string, rows int64) (*labels, error) {
	if extension := strings.ToLower(filepath.Ext(path)); extension != ".jsonl" && extension != ".ndjson" {
		return nil, fmt.Errorf("open labels %s: %w: extension %q, expected .jsonl", path, ErrFormat, extension)
	}
	in, err := openInput(path, nil)
	if err != nil {
		return nil, fmt.Errorf("open labels: %w", err)
	}
	l := &labels{array: array, rows: rows}
	if in.regular {
		// Counted first, so that nothing is judged when the two files do not belong together.
		got, err := countLines(in)
		if err == nil && got != rows {
			err = l.mismatch(in.name, fmt.Sprint(got))
		}
		if err == nil {
			_, err = in.file.Seek(0, io.SeekStart)
		}
		if err != nil {
			return nil, errors.Join(err, in.Close())
		}
	}
	l.lines = &labelLines{newJSONL(in, Validate)}
	l.lines.decode.noEmbedding = true
	return l, nil
}

func countLines(in *input) (int64, error) {
	lines := newLineReader(in, MaxLine)
	for n := int64(0); ; n++ {
		if _, err := lines.next(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil && !errors.Is(err, ErrTooLong) {
			return n, fmt.Errorf("%s: %w", in.name, err)
		}
	}
}

func (l *labels) mismatch(name, got string) error {
	return fmt.Errorf("labels %s: %w: %s lines, expected %d as %s has rows", name, ErrDisagreeCount, got, l.rows, l.array)
}

// next fills row's fields other than Number and Embedding. A *RowError is about a line of the labels.
func (l *labels) next(row *Row) error {
	number, op := row.Number, row.Op
	err := l.lines.label(row)
	row.Number, row.Op = number, op
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrNoRows) {
		return l.mismatch(l.lines.in.name, fmt.Sprint(l.read))
	}
	l.read++
	return err
}

// end checks that no line is left.
func (l *labels) end() error {
	if _, err := l.lines.lines.next(); !errors.Is(err, io.EOF) {
		return l.mismatch(l.lines.in.name, fmt.Sprintf("more than %d", l.read))
	}
	return nil
}

// label is Next without what only whole rows need.
func (r *labelLines) label(row *Row) error {
	line, err := r.lines.next()
	row.reset(r.lines.number, OpValidate)
	switch {
	case errors.Is(err, io.EOF):
		return r.end()
	case errors.Is(err, ErrTooLong):
		return r.refuse(&fieldError{"", err})
	case err != nil:
		return fmt.Errorf("%s: %w", r.in.name, err)
	}
	r.rows++
	refusal := r.decode.decode(line, row)
	if refusal == nil {
		return nil
	}
	if r.lines.cut && errors.Is(refusal.err, ErrTruncated) {
		return fmt.Errorf("%s, line %d: %w", r.in.name, r.lines.number, refusal.err)
	}
	return r.refuse(refusal)
}
