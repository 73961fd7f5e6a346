package rows

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

const (
	// maxPage is the most bytes of a page, packed or not; writers make pages of about 1 MiB.
	maxPage = 64 << 20
	// maxFooter is the most bytes of a file's description of itself, which takes several times that in memory.
	maxFooter = 16 << 20
	// parquetRows is how many rows are taken at a time.
	parquetRows = 1024
)

// parquetReader reads the column embedding or action of a Parquet file, and the columns of the other fields beside it. It
// goes through row groups page by page, so that its memory is a page a column.
type parquetReader struct {
	in        *input
	kind      Kind
	file      *file.Reader
	embedding *parquetColumn // nil for none
	columns   []*parquetColumn
	width     widthGuard
	rows      int64
	group     int   // that comes next
	left      int64 // rows of the group before it
	next      int64
	done      atomic.Int64
	err       error // final
}

var _ Reader = (*parquetReader)(nil)

func newParquet(in *input, kind Kind) (*parquetReader, error) {
	if !in.regular || in.file == nil {
		return nil, fmt.Errorf("%s: %w: a .parquet has its directory at its end, expected a regular file", in.name, ErrFormat)
	}
	r := &parquetReader{in: in, kind: kind}
	if err := r.guard(r.open); err != nil {
		return nil, err
	}
	return r, nil
}

// guard calls what reads the file. The library is not written for hostile files: some make it panic, which is an error
// about the file here. What is read afterwards is nothing.
func (r *parquetReader) guard(read func() error) (err error) {
	defer func() {
		if caught := recover(); caught != nil {
			err = fmt.Errorf("%s: %w: reading it failed with: %.200v", r.in.name, ErrDamaged, caught)
		}
	}()
	return read()
}

func (r *parquetReader) open() error {
	if err := r.checkFooter(); err != nil {
		return err
	}
	properties := parquet.NewReaderProperties(memory.NewGoAllocator())
	properties.BufferedStreamEnabled = true
	properties.MaxCompressedPageSize, properties.MaxUncompressedPageSize = maxPage, maxPage
	var err error
	if r.file, err = file.NewParquetReader(r.in.file, file.WithReadProps(properties)); err != nil {
		return fmt.Errorf("%s: %w: %w", r.in.name, ErrDamaged, err)
	}
	if r.rows = r.file.NumRows(); r.rows <= 0 {
		return fmt.Errorf("%s %w", r.in.name, ErrNoRows)
	}
	for leaf := range r.file.MetaData().Schema.NumColumns() {
		if err := r.add(leaf, r.file.MetaData().Schema.Column(leaf)); err != nil {
			return fmt.Errorf("%s: %w", r.in.name, err)
		}
	}
	has := func(field string) bool {
		for _, c := range r.columns {
			if c.field == field {
				return true
			}
		}
		return false
	}
	if r.embedding == nil && !has("action") {
		return fmt.Errorf("%s: columns embedding and action %w, expected one of them", r.in.name, ErrMissing)
	}
	if r.kind == Record && !has("is_safe") && !has("label") {
		return fmt.Errorf("%s: is_safe and label %w, expected one of these columns to record outcomes", r.in.name, ErrMissing)
	}
	return nil
}

// checkFooter looks at the length that the file states of its description, before that is read.
func (r *parquetReader) checkFooter() error {
	var end [8]byte
	if r.in.size < int64(len(end)) {
		return fmt.Errorf("%s: %w: %d bytes are no Parquet file", r.in.name, ErrTruncated, r.in.size)
	}
	if _, err := r.in.file.ReadAt(end[:], r.in.size-int64(len(end))); err != nil {
		return fmt.Errorf("%s: read: %w", r.in.name, err)
	}
	if string(end[4:]) != "PAR1" {
		return fmt.Errorf("%s: %w: it ends with %q, expected \"PAR1\": no Parquet file, or cut short", r.in.name, ErrDamaged, end[4:])
	}
	if size := binary.LittleEndian.Uint32(end[:]); size > maxFooter {
		return fmt.Errorf("%s: %w: a description of %d bytes, expected at most %d", r.in.name, ErrTooLong, size, maxFooter)
	}
	return nil
}

// add takes a leaf of the schema if it is of a field.
func (r *parquetReader) add(leaf int, column *schema.Column) error {
	path := column.ColumnPath()
	field, physical := path[0], column.PhysicalType()
	text := []parquet.Type{parquet.Types.ByteArray}
	kinds, isField := map[string]struct {
		types []parquet.Type
		want  string
	}{
		"embedding":    {[]parquet.Type{parquet.Types.Float, parquet.Types.Double}, "a list of float32 or float64"},
		"id":           {[]parquet.Type{parquet.Types.ByteArray, parquet.Types.Int64, parquet.Types.Int32}, "strings or integers"},
		"action":       {text, "strings"},
		"session":      {text, "strings"},
		"source":       {text, "strings"},
		"label":        {text, "strings"},
		"basic_checks": {[]parquet.Type{parquet.Types.Boolean}, "booleans"},
		"is_safe":      {[]parquet.Type{parquet.Types.Boolean}, "booleans"},
		"importance":   {[]parquet.Type{parquet.Types.Float, parquet.Types.Double}, "float32 or float64"},
	}[field]
	if !isField {
		return nil
	}
	list := int16(0)
	if field == "embedding" {
		list = 1
	}
	fits := column.MaxRepetitionLevel() == list && len(path) <= 1+2*int(list)
	for _, t := range kinds.types {
		if fits && t == physical {
			c := &parquetColumn{field: field, leaf: leaf, column: column, most: column.MaxDefinitionLevel()}
			if field != "embedding" {
				r.columns = append(r.columns, c)
				return nil
			}
			if r.embedding == nil {
				r.embedding = c
				return nil
			}
		}
	}
	return fmt.Errorf("%s: %w: %s as %s, expected %s", field, ErrType, strings.Join(path, "."), typeName(column), kinds.want)
}

func typeName(c *schema.Column) string {
	name := strings.ToLower(c.PhysicalType().String())
	if logical := c.LogicalType(); logical != nil && logical.IsValid() && !logical.IsNone() {
		name += " (" + strings.ToLower(logical.String()) + ")"
	}
	if c.MaxRepetitionLevel() > 0 {
		name = "lists of " + name
	}
	return name
}

// Wait implements Reader: a file is always there.
func (r *parquetReader) Wait() {}

// Append implements Reader.
func (r *parquetReader) Append(b *RowBatch, limit int) error {
	if r.err != nil {
		return r.err
	}
	whole := len(b.numbers) // of whole rows
	r.err = r.guard(func() error {
		for range min(limit, parquetRows) {
			for r.left == 0 {
				if err := r.nextGroup(); err != nil {
					return err
				}
			}
			if err := r.nextRow(b); err != nil {
				return err
			}
			whole = len(b.numbers)
		}
		return nil
	})
	b.numbers = b.numbers[:whole]
	r.done.Store(r.next)
	return r.err
}

// nextGroup goes on to the next row group, or ends.
func (r *parquetReader) nextGroup() error {
	if r.group == r.file.NumRowGroups() {
		if r.next != r.rows {
			return fmt.Errorf("%s: %w: its row groups hold %d rows, expected %d", r.in.name, ErrDamaged, r.next, r.rows)
		}
		return io.EOF
	}
	group := r.file.RowGroup(r.group)
	r.group++
	if r.left = group.NumRows(); r.left < 0 || r.left > r.rows-r.next {
		return fmt.Errorf("%s: %w: a row group of %d rows, expected at most %d", r.in.name, ErrDamaged, r.left, r.rows-r.next)
	}
	for _, c := range r.all() {
		if err := c.open(group); err != nil {
			return r.fail(c, err)
		}
	}
	return nil
}

func (r *parquetReader) all() []*parquetColumn {
	if r.embedding == nil {
		return r.columns
	}
	return append([]*parquetColumn{r.embedding}, r.columns...)
}

// nextRow adds one row to b.
func (r *parquetReader) nextRow(b *RowBatch) error {
	var row Row
	row.reset(r.next, kindOp(r.kind))
	var problem *fieldError
	start := len(b.numbers)
	if r.embedding != nil {
		numbers, _, refusal, err := r.embedding.nextList(b.numbers)
		if err != nil {
			return r.fail(r.embedding, err)
		}
		b.numbers, problem = numbers, refusal
	}
	var joined outcome
	for _, c := range r.columns {
		there, err := c.next()
		if err != nil {
			return r.fail(c, err)
		}
		if there {
			if err := c.take(&row, &joined); err != nil && problem == nil {
				problem = &fieldError{c.field, err}
			}
		}
	}
	r.left--
	r.next++
	if row.ID.IsZero() {
		row.ID = IntID(row.Number)
	}
	if err := joined.apply(&row); err != nil && problem == nil {
		problem = err
	}
	width := len(b.numbers) - start
	if problem == nil {
		problem = finite(b.numbers[start:])
	}
	if problem == nil {
		problem = complete(&row, width)
	}
	if problem == nil {
		problem = r.width.check(&row, width, "row")
	}
	switch {
	case problem != nil:
		b.numbers = b.numbers[:start]
		b.spell(kindOp(r.kind))
		b.add(&row, start, problem.at(r.in.name, "row", row.Number))
	case len(r.columns) == 0 && len(b.Entries) == 0:
		b.addBare(row.Number, 1, width)
	default:
		b.spell(kindOp(r.kind))
		b.add(&row, start, nil)
	}
	return nil
}

// fail makes the final error of a column that cannot be read on.
func (r *parquetReader) fail(c *parquetColumn, err error) error {
	if info, statErr := r.in.file.Stat(); statErr == nil && info.Size() < r.in.size {
		return fmt.Errorf("%s: %w: expected %d bytes, got %d", r.in.name, ErrTruncated, r.in.size, info.Size())
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the column ends early")
	}
	return fmt.Errorf("%s, row %d, column %s: %w: %w", r.in.name, r.next, c.field, ErrDamaged, err)
}

// Size implements Reader.
func (r *parquetReader) Size() int64 { return r.rows }

// Done implements Reader.
func (r *parquetReader) Done() int64 { return r.done.Load() }

// Streaming implements Reader.
func (r *parquetReader) Streaming() bool { return false }

// Buffered implements Reader.
func (r *parquetReader) Buffered() bool { return true }

// Close implements Reader.
func (r *parquetReader) Close() error { return r.in.Close() }
