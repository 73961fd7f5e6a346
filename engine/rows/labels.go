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
	lines *jsonlReader
	array string // name of the array's file, for messages
	rows  int64  // of the array
	read  int64
}

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
	l.lines = newJSONL(in, Validate)
	l.lines.isLabels = true
	return l, nil
}

func countLines(in *input) (n int64, err error) {
	lines := newCutter(in, MaxLine, true)
	for c := new(chunk); ; {
		err := lines.fill(c)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("%s: %w", in.name, err)
		}
		if c.tooLong {
			n++
		}
		c.lines(func(int64, []byte, bool) bool { n++; return true })
	}
}

func (l *labels) mismatch(name, got string) error {
	return fmt.Errorf("labels %s: %w: %s lines, expected %d as %s has rows", name, ErrDisagreeCount, got, l.rows, l.array)
}

// next fills row's fields other than Number, Op and Embedding. A refusal is about a line of the labels; an error is final.
func (l *labels) next(row *Row) (refusal *RowError, err error) {
	e, _, err := l.lines.next()
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrNoRows) {
		return nil, l.mismatch(l.lines.in.name, fmt.Sprint(l.read))
	}
	if err != nil {
		return nil, err
	}
	l.read++
	number, op := row.Number, row.Op
	*row = e.Row
	row.Number, row.Op = number, op
	return e.Err, nil
}

// end checks that no line is left.
func (l *labels) end() error {
	if _, _, err := l.lines.next(); err == nil {
		return l.mismatch(l.lines.in.name, fmt.Sprintf("more than %d", l.read))
	} else if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return nil
}
