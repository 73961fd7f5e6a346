package rows

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// parquetLevels is how many elements of a column are decoded at a time: two rows of the widest embedding, or more.
const parquetLevels = 4 * MaxWidth

// parquetColumn is the leaf of one column of a Parquet file while its row groups are read. Each element has levels that
// say whether it is there and which row it belongs to; values holds those that are there.
type parquetColumn struct {
	field   string
	leaf    int // number among the leaves of the schema
	column  *schema.Column
	most    int16                  // definition level of what is there
	chunk   file.ColumnChunkReader // of the row group in hand
	values  columnValues
	defs    []int16 // definition levels; empty when everything is there
	reps    []int16 // repetition levels; 0 begins a row
	at, end int     // elements that were decoded and not taken
	value   int     // value of the element at
	count   int     // values decoded
}

// columnValues are values of one of the physical types.
type columnValues struct {
	floats  []float32
	doubles []float64
	integer []int64
	short   []int32
	flags   []bool
	texts   []parquet.ByteArray
}

// open begins a row group.
func (c *parquetColumn) open(group *file.RowGroupReader) (err error) {
	c.at, c.end, c.value, c.count = 0, 0, 0, 0
	c.chunk, err = group.Column(c.leaf)
	return err
}

// fill decodes further elements behind those that were not taken, which are moved to the front; none at the end of the
// row group.
func (c *parquetColumn) fill() (err error) {
	if c.defs == nil {
		c.defs, c.reps = make([]int16, parquetLevels), make([]int16, parquetLevels)
	}
	copy(c.defs, c.defs[c.at:c.end])
	copy(c.reps, c.reps[c.at:c.end])
	from := c.end - c.at
	kept := c.count - c.value
	var n int64
	var got int
	room := int64(parquetLevels - from)
	defs, reps := c.defs[from:], c.reps[from:]
	if !c.chunk.HasNext() {
		room = 0
		err = c.chunk.Err()
	}
	switch chunk := c.chunk.(type) {
	case *file.Float32ColumnChunkReader:
		c.values.floats = shifted(c.values.floats, c.value, kept)
		n, got, err = readElements(chunk.ReadBatchInPage, room, c.values.floats[kept:], defs, reps, err)
	case *file.Float64ColumnChunkReader:
		c.values.doubles = shifted(c.values.doubles, c.value, kept)
		n, got, err = readElements(chunk.ReadBatchInPage, room, c.values.doubles[kept:], defs, reps, err)
	case *file.Int64ColumnChunkReader:
		c.values.integer = shifted(c.values.integer, c.value, kept)
		n, got, err = readElements(chunk.ReadBatchInPage, room, c.values.integer[kept:], defs, reps, err)
	case *file.Int32ColumnChunkReader:
		c.values.short = shifted(c.values.short, c.value, kept)
		n, got, err = readElements(chunk.ReadBatchInPage, room, c.values.short[kept:], defs, reps, err)
	case *file.BooleanColumnChunkReader:
		c.values.flags = shifted(c.values.flags, c.value, kept)
		n, got, err = readElements(chunk.ReadBatchInPage, room, c.values.flags[kept:], defs, reps, err)
	case *file.ByteArrayColumnChunkReader:
		c.values.texts = shifted(c.values.texts, c.value, kept)
		n, got, err = readElements(chunk.ReadBatchInPage, room, c.values.texts[kept:], defs, reps, err)
	}
	if err != nil {
		return err
	}
	c.at, c.end, c.value, c.count = 0, from+int(n), 0, kept+got
	return nil
}

// shifted moves the values from at on, count of them, to the front.
func shifted[T any](values []T, at, count int) []T {
	if values == nil {
		values = make([]T, parquetLevels)
	}
	copy(values, values[at:at+count])
	return values
}

// readElements decodes at most room elements; before is an error that came before.
func readElements[T any](read func(int64, []T, []int16, []int16) (int64, int, error), room int64, values []T, defs, reps []int16, before error) (int64, int, error) {
	if room == 0 || before != nil {
		return 0, 0, before
	}
	n, got, err := read(room, values, defs, reps)
	if err == nil && n <= 0 {
		err = errors.New("a page holds less than it says")
	}
	return n, got, err
}

// there tells whether an element has a value.
func (c *parquetColumn) there(element int) bool {
	return c.most == 0 || c.defs[element] == c.most
}

// next moves to the column's value of the next row, false for null, of a column that is no list.
func (c *parquetColumn) next() (bool, error) {
	if c.at == c.end {
		if err := c.fill(); err != nil {
			return false, err
		}
		if c.at == c.end {
			return false, io.ErrUnexpectedEOF
		}
	}
	there := c.there(c.at)
	c.at++
	if there {
		c.value++
	}
	return there, nil
}

// take puts the value that next has moved to into the row.
func (c *parquetColumn) take(row *Row, joined *outcome) error {
	i := c.value - 1
	switch c.chunk.(type) {
	case *file.Int64ColumnChunkReader:
		row.ID = IntID(c.values.integer[i])
		if isUnsigned(c.column) {
			row.ID = integerID(strconv.AppendUint(nil, uint64(c.values.integer[i]), 10))
		}
	case *file.Int32ColumnChunkReader:
		row.ID = IntID(int64(c.values.short[i]))
		if isUnsigned(c.column) {
			row.ID = IntID(int64(uint32(c.values.short[i])))
		}
	case *file.BooleanColumnChunkReader:
		if c.field == "basic_checks" {
			row.BasicChecks = c.values.flags[i]
		} else {
			joined.isSafe, joined.hasIsSafe = c.values.flags[i], true
		}
	case *file.Float32ColumnChunkReader:
		return setImportance(row, c.values.floats[i])
	case *file.Float64ColumnChunkReader:
		return setImportance(row, float32(c.values.doubles[i]))
	case *file.ByteArrayColumnChunkReader:
		return setText(c.field, string(c.values.texts[i]), row, joined)
	}
	return nil
}

// nextList appends the elements of the next row to dst. absent tells that the whole list is null.
func (c *parquetColumn) nextList(dst []float32) (embedding []float32, absent bool, problem *fieldError, err error) {
	refuse := func(why error) {
		if problem == nil {
			problem = &fieldError{c.field, why}
		}
	}
	if n := c.plainRow(); n > 0 {
		dst = c.appendNumbers(dst, n)
		c.at, c.value = c.at+n, c.value+n
		return dst, false, nil, nil
	}
	embedding = dst
	for element := 0; ; element++ {
		if c.at == c.end {
			if err := c.fill(); err != nil {
				return dst, false, nil, err
			}
			if c.at == c.end && element == 0 {
				return dst, false, nil, io.ErrUnexpectedEOF
			}
		}
		if c.at == c.end || element > 0 && c.reps[c.at] == 0 {
			return embedding, absent, problem, nil
		}
		if element == 0 && c.reps[c.at] != 0 {
			return dst, false, nil, errors.New("a row begins in the middle of a list")
		}
		switch {
		case c.there(c.at):
			if element < MaxWidth {
				embedding = c.appendNumbers(embedding, 1)
			} else {
				refuse(fmt.Errorf("%w: more than %d elements, expected 1 to %d", ErrWidth, MaxWidth, MaxWidth))
			}
			c.value++
		case c.defs[c.at] >= c.inList():
			refuse(fmt.Errorf("element %d: %w: null, expected a number", element, ErrType))
		case c.defs[c.at] == 0 && c.optional():
			absent = true
		default:
			refuse(fmt.Errorf("%w: 0 elements, expected 1 to %d", ErrWidth, MaxWidth))
		}
		c.at++
	}
}

// plainRow is how many elements the next row has, 0 unless all are there, are not too many and have been decoded, with the
// beginning of the row behind them.
func (c *parquetColumn) plainRow() int {
	if c.at == c.end || c.reps[c.at] != 0 {
		return 0
	}
	defs, reps := c.defs[c.at:c.end], c.reps[c.at:c.end]
	for i, def := range defs[:min(len(defs), MaxWidth+1)] {
		if i > 0 && reps[i] == 0 {
			return i
		}
		if def != c.most {
			return 0
		}
	}
	return 0
}

// appendNumbers appends the next n values.
func (c *parquetColumn) appendNumbers(dst []float32, n int) []float32 {
	if c.values.doubles == nil {
		return append(dst, c.values.floats[c.value:c.value+n]...)
	}
	for _, v := range c.values.doubles[c.value : c.value+n] {
		dst = append(dst, float32(v))
	}
	return dst
}

// inList is the definition level from which on a list has an element.
func (c *parquetColumn) inList() int16 {
	if c.column.SchemaNode().RepetitionType() == parquet.Repetitions.Optional {
		return c.most - 1
	}
	return c.most
}

// optional tells whether the whole list may be null.
func (c *parquetColumn) optional() bool {
	node := c.column.SchemaNode()
	for node.Parent() != nil && node.Parent().Parent() != nil {
		node = node.Parent()
	}
	return node.RepetitionType() == parquet.Repetitions.Optional
}

func isUnsigned(c *schema.Column) bool {
	kind, ok := c.LogicalType().(schema.IntLogicalType)
	return ok && !kind.IsSigned()
}

// setImportance takes the importance of a column.
func setImportance(row *Row, value float32) error {
	if value-value != 0 || value < 0 {
		return fmt.Errorf("%w: %v, expected a finite number from 0", ErrRange, value)
	}
	row.Importance, row.HasImportance = value, true
	return nil
}

// setText takes a text of a column.
func setText(field, text string, row *Row, joined *outcome) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%w: %.32q is not UTF-8", ErrType, text)
	}
	if limit := textLimit(field); len(text) > limit {
		return fmt.Errorf("%w: %d bytes, expected at most %d", ErrTooLong, len(text), limit)
	}
	switch field {
	case "id":
		row.ID = TextID(text)
	case "action":
		row.Action, row.HasAction = text, text != "" // an array has no other way to leave one out
	case "session":
		row.Session = text
	case "source":
		row.Source = text
	case "label":
		if text != "" {
			return joined.setLabel(text)
		}
	}
	return nil
}

func textLimit(field string) int {
	if field == "action" {
		return math.MaxInt
	}
	return MaxText
}
