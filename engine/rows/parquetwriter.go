package rows

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

const (
	// groupRows and groupBytes end a row group, which is held in memory until it is written.
	groupRows  = 64 << 10
	groupBytes = 32 << 20
)

// tableKind is the type of a column of a table.
type tableKind uint8

const (
	numberColumn tableKind = iota // float32; NaN is null
	flagColumn
	integerColumn
	textColumn
	textsColumn  // a list of texts
	vectorColumn // a list of numbers
)

// tableColumn is a column of the row group in hand. Null has level 0; in a list, level 1 is a row's only element, an
// empty list, and 2 an element.
type tableColumn struct {
	name     string
	kind     tableKind
	nulls    bool // rows may be null
	defs     []int16
	reps     []int16
	numbers  []float32
	flags    []bool
	integers []int64
	texts    []parquet.ByteArray
}

// table writes a Parquet file, group of rows by group, into an unnamed temporary file that becomes the output at Commit.
type table struct {
	*Output
	columns []*tableColumn
	dir     string
	spool   *os.File
	writer  *file.Writer
	rows    int // of the group in hand
	bytes   int
	over    bool
}

func newTable(out *Output, dir string, columns ...*tableColumn) (*table, error) {
	t := &table{Output: out, columns: columns, dir: dir}
	if err := t.begin(); err != nil {
		return nil, errors.Join(fmt.Errorf("create output %s: %w", out.Name, err), t.Abort())
	}
	return t, nil
}

// begin starts the file with the columns' types as they are now.
func (t *table) begin() (err error) {
	if t.spool, err = os.CreateTemp(t.dir, "fdqc-spool-*"); err != nil {
		return err
	}
	// Without a name the file goes away with the process, however that ends.
	if err := os.Remove(t.spool.Name()); err != nil {
		return err
	}
	var fields schema.FieldList
	options := []parquet.WriterProperty{
		parquet.WithCompression(compress.Codecs.Snappy), parquet.WithDictionaryDefault(false), parquet.WithStats(false),
		parquet.WithMaxRowGroupLength(groupRows),
	}
	for _, c := range t.columns {
		node, err := c.node()
		if err != nil {
			return err
		}
		fields = append(fields, node)
		if c.kind == textColumn {
			options = append(options, parquet.WithDictionaryFor(c.name, true))
		}
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, -1)
	if err != nil {
		return err
	}
	t.writer, err = file.NewParquetWriterWithError(struct{ io.Writer }{t.spool}, root, file.WithWriterProps(parquet.NewWriterProperties(options...)))
	return err
}

// node is the column in the schema.
func (c *tableColumn) node() (schema.Node, error) {
	repetition := parquet.Repetitions.Required
	if c.nulls {
		repetition = parquet.Repetitions.Optional
	}
	required := parquet.Repetitions.Required
	switch c.kind {
	case numberColumn:
		return schema.NewFloat32Node(c.name, repetition, -1), nil
	case flagColumn:
		return schema.NewBooleanNode(c.name, repetition, -1), nil
	case integerColumn:
		return schema.NewInt64Node(c.name, repetition, -1), nil
	case textColumn:
		return schema.NewPrimitiveNodeLogical(c.name, repetition, schema.StringLogicalType{}, parquet.Types.ByteArray, -1, -1)
	case textsColumn:
		element, err := schema.NewPrimitiveNodeLogical("element", required, schema.StringLogicalType{}, parquet.Types.ByteArray, -1, -1)
		if err != nil {
			return nil, err
		}
		return schema.ListOfWithName(c.name, element, required, -1)
	}
	return schema.ListOfWithName(c.name, schema.NewFloat32Node("element", required, -1), required, -1)
}

// null tells, of a column that may have nulls, whether the next row is one.
func (c *tableColumn) null(is bool) bool {
	if c.nulls {
		level := int16(1)
		if is {
			level = 0
		}
		c.defs = append(c.defs, level)
	}
	return is && c.nulls
}

// elements tells of a list how many elements the next row has.
func (c *tableColumn) elements(n int) {
	for i := range max(n, 1) {
		c.defs = append(c.defs, int16(min(n, 1)))
		c.reps = append(c.reps, int16(min(i, 1)))
	}
}

func (c *tableColumn) addText(text string) { c.texts = append(c.texts, parquet.ByteArray(text)) }

// row ends a row of the columns, which weighs about so many bytes.
func (t *table) row(weight int) error {
	t.rows++
	t.bytes += weight
	if t.rows < groupRows && t.bytes < groupBytes {
		return nil
	}
	return t.flush()
}

// flush writes the group in hand.
func (t *table) flush() error {
	if t.rows == 0 {
		return nil
	}
	group, err := t.writer.AppendRowGroupChecked()
	if err != nil {
		return fmt.Errorf("write %s: %w", t.Name, err)
	}
	for _, c := range t.columns {
		chunk, err := group.NextColumn()
		if err == nil {
			err = errors.Join(c.write(chunk), chunk.Close())
		}
		if err != nil {
			return fmt.Errorf("write %s: column %s: %w", t.Name, c.name, err)
		}
		*c = tableColumn{
			name: c.name, kind: c.kind, nulls: c.nulls, defs: c.defs[:0], reps: c.reps[:0], numbers: c.numbers[:0],
			flags: c.flags[:0], integers: c.integers[:0], texts: c.texts[:0],
		}
	}
	t.rows, t.bytes = 0, 0
	if err := group.Close(); err != nil {
		return fmt.Errorf("write %s: %w", t.Name, err)
	}
	return nil
}

func (c *tableColumn) write(chunk file.ColumnChunkWriter) (err error) {
	switch chunk := chunk.(type) {
	case *file.Float32ColumnChunkWriter:
		_, err = chunk.WriteBatch(c.numbers, c.defs, c.reps)
	case *file.BooleanColumnChunkWriter:
		_, err = chunk.WriteBatch(c.flags, c.defs, c.reps)
	case *file.Int64ColumnChunkWriter:
		_, err = chunk.WriteBatch(c.integers, c.defs, c.reps)
	case *file.ByteArrayColumnChunkWriter:
		_, err = chunk.WriteBatch(c.texts, c.defs, c.reps)
	}
	return err
}

// retype writes what was written again, after change has changed the type of a column; change also gets each of the
// groups, to change what they hold.
func (t *table) retype(change func()) error {
	if err := t.flush(); err != nil {
		return err
	}
	if err := t.writer.Close(); err != nil {
		return fmt.Errorf("write %s: %w", t.Name, err)
	}
	old := t.spool
	defer old.Close() // it has no name, and was read to its end
	written, err := file.NewParquetReader(old)
	if err != nil {
		return fmt.Errorf("read %s again: %w", t.Name, err)
	}
	change()
	if err := t.begin(); err != nil {
		return fmt.Errorf("write %s again: %w", t.Name, err)
	}
	for g := range written.NumRowGroups() {
		group := written.RowGroup(g)
		for i, c := range t.columns {
			chunk, err := group.Column(i)
			if err == nil {
				err = c.read(chunk, written.MetaData().Schema.Column(i))
			}
			if err != nil {
				return fmt.Errorf("read %s again: column %s: %w", t.Name, c.name, err)
			}
		}
		change()
		t.rows = int(group.NumRows())
		if err := t.flush(); err != nil {
			return err
		}
	}
	return nil
}

// read fills the column from a chunk that a table has written.
func (c *tableColumn) read(chunk file.ColumnChunkReader, leaf *schema.Column) error {
	for chunk.HasNext() {
		block := &parquetColumn{column: leaf, chunk: chunk, most: leaf.MaxDefinitionLevel()}
		if err := block.fill(); err != nil {
			return err
		}
		if leaf.MaxDefinitionLevel() > 0 {
			c.defs = append(c.defs, block.defs[:block.end]...)
		}
		if leaf.MaxRepetitionLevel() > 0 {
			c.reps = append(c.reps, block.reps[:block.end]...)
		}
		switch chunk.(type) {
		case *file.Float32ColumnChunkReader:
			c.numbers = append(c.numbers, block.values.floats[:block.count]...)
		case *file.BooleanColumnChunkReader:
			c.flags = append(c.flags, block.values.flags[:block.count]...)
		case *file.Int64ColumnChunkReader:
			c.integers = append(c.integers, block.values.integer[:block.count]...)
		case *file.ByteArrayColumnChunkReader:
			for _, text := range block.values.texts[:block.count] {
				c.addText(string(text))
			}
		}
	}
	return chunk.Err()
}

// Commit writes the last group and copies the file to the output.
func (t *table) Commit() error {
	if t.over {
		return errors.New("commit output: it is finished already")
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := t.writer.Close(); err != nil {
		return fmt.Errorf("write %s: %w", t.Name, err)
	}
	if _, err := t.spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the spool of %s: %w", t.Name, err)
	}
	if _, err := io.Copy(t.Sink, t.spool); err != nil {
		return fmt.Errorf("write %s: %w", t.Name, err)
	}
	t.over = true
	if err := errors.Join(t.Sink.Commit(), t.spool.Close()); err != nil {
		return fmt.Errorf("finish %s: %w", t.Name, err)
	}
	return nil
}

// Abort gives the output and the spooled file up.
func (t *table) Abort() error {
	if t.over {
		return nil
	}
	t.over = true
	err := t.Sink.Abort()
	if t.spool != nil {
		err = errors.Join(err, t.spool.Close())
	}
	return err
}
