package rows

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrTruncated says that the input ends in the middle of a row. It is final.
	ErrTruncated = fmt.Errorf("cut short: %w", io.ErrUnexpectedEOF)
	// ErrNoRows says that an input has no rows at all.
	ErrNoRows = errors.New("holds no rows")
	// ErrFormat says that a file's name or kind tells of no format that is read or written here.
	ErrFormat = errors.New("format not supported")
	// ErrMissing says that a row lacks a field that it must have.
	ErrMissing = errors.New("missing")
	// ErrType says that a field holds a value of another type than it must.
	ErrType = errors.New("wrong type")
	// ErrRange says that a number is not finite, outside float32 or outside what its field allows.
	ErrRange = errors.New("out of range")
	// ErrWidth says that an embedding is empty, too wide, or of another width than the rows before it.
	ErrWidth = errors.New("wrong width")
	// ErrDisagree says that label and is_safe contradict each other.
	ErrDisagree = errors.New("label and is_safe disagree")
	// ErrDisagreeCount says that files that belong together hold different numbers of rows.
	ErrDisagreeCount = errors.New("numbers of rows disagree")
	// ErrJSON says that a line is not one JSON object.
	ErrJSON = errors.New("bad JSON")
	// ErrDamaged says that a file is not what its format demands.
	ErrDamaged = errors.New("damaged")
	// ErrTooLong says that a line or a text is longer than is read here.
	ErrTooLong = errors.New("too long")
)

// RowError says why one row was refused. Reading may go on after it.
type RowError struct {
	File   string // as named by the caller; "standard input" for "-"
	Unit   string // "line" (from 1) or "row" (from 0), as users count in that format
	Number int64
	Field  string // "" when the row as a whole is at fault
	Err    error
}

// Error implements error.
func (e *RowError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s, %s %d: %v", e.File, e.Unit, e.Number, e.Err)
	}
	return fmt.Sprintf("%s, %s %d, field %s: %v", e.File, e.Unit, e.Number, e.Field, e.Err)
}

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// fieldError is a RowError before the reader knows where the row stands.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) at(file, unit string, number int64) *RowError {
	return &RowError{File: file, Unit: unit, Number: number, Field: e.field, Err: e.err}
}
