package npy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"unicode/utf8"
)

// Column is one array of an ArchiveWriter while it grows, row by row. Its rows lie in an unnamed temporary file. The
// first error is kept; ArchiveWriter.Finish returns it.
type Column struct {
	name     string
	kind     Kind
	size     int   // bytes of an element; unused for Text
	width    int64 // elements of a row; 0 makes a vector
	dir      string
	file     *os.File
	spool    *bufio.Writer
	elements int64
	maxRunes int
	buf      []byte
	err      error
}

func newColumn(dir, name string, dtype DType, width int) (*Column, error) {
	file, err := spoolFile(dir)
	if err != nil {
		return nil, fmt.Errorf("spool array %q: %w", name, err)
	}
	return &Column{
		name: name, kind: dtype.Kind, size: dtype.Size, width: int64(width),
		dir: dir, file: file, spool: bufio.NewWriterSize(file, 64<<10),
	}, nil
}

// spoolFile makes a file without a name, so that it goes away with the process, however that ends.
func spoolFile(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "fdqc-spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// rewind writes out what was spooled and reads it from its beginning.
func (c *Column) rewind() (*bufio.Reader, error) {
	if err := c.spool.Flush(); err != nil {
		return nil, err
	}
	_, err := c.file.Seek(0, io.SeekStart)
	return bufio.NewReaderSize(c.file, 64<<10), err
}

// AppendFloat32 adds elements to a '<f4' column.
func (c *Column) AppendFloat32(values ...float32) {
	if c.accepts(Float, 4) {
		c.write(bytesOf(values), len(values))
	}
}

// AppendFloat64 adds elements to a '<f8' column.
func (c *Column) AppendFloat64(values ...float64) {
	if !c.accepts(Float, 8) {
		return
	}
	c.buf = c.buf[:0]
	for _, v := range values {
		c.buf = binary.LittleEndian.AppendUint64(c.buf, math.Float64bits(v))
	}
	c.write(c.buf, len(values))
}

// AppendInt64 adds elements to a '<i8' column.
func (c *Column) AppendInt64(values ...int64) {
	if !c.accepts(Int, 8) {
		return
	}
	c.buf = c.buf[:0]
	for _, v := range values {
		c.buf = binary.LittleEndian.AppendUint64(c.buf, uint64(v))
	}
	c.write(c.buf, len(values))
}

// AppendBool adds elements to a '|b1' column.
func (c *Column) AppendBool(values ...bool) {
	if !c.accepts(Bool, 1) {
		return
	}
	c.buf = c.buf[:0]
	for _, v := range values {
		c.buf = append(c.buf, boolByte(v))
	}
	c.write(c.buf, len(values))
}

// AppendText adds an element to a Text column, whose width becomes that of its longest text. Zero characters at the end
// of a text are lost, as in NumPy.
func (c *Column) AppendText(text string) {
	if c.accepts(Text, c.size) {
		c.appendText(text)
	}
}

func (c *Column) appendText(text string) {
	if !utf8.ValidString(text) {
		c.fail(fmt.Errorf("array %q: %w: %.64q is not UTF-8", c.name, ErrValue, text))
		return
	}
	c.maxRunes = max(c.maxRunes, utf8.RuneCountInString(text))
	if c.maxRunes > maxTextWidth {
		c.fail(fmt.Errorf("array %q: %w: a text of %d characters", c.name, ErrTooLarge, c.maxRunes))
		return
	}
	c.buf = binary.AppendUvarint(c.buf[:0], uint64(len(text)))
	c.buf = append(c.buf, text...)
	c.write(c.buf, 1)
}

// ToText makes a '<i8' column one of texts, which are the decimals of what it holds so far.
func (c *Column) ToText() {
	if !c.accepts(Int, 8) {
		return
	}
	old, count := c.file, c.elements
	src, err := c.rewind()
	if err == nil {
		c.file, err = spoolFile(c.dir)
	}
	if err != nil {
		c.fail(fmt.Errorf("spool array %q: %w", c.name, err))
		return
	}
	c.spool.Reset(c.file)
	c.kind, c.size, c.elements = Text, 0, 0
	var raw [8]byte
	for range count {
		if _, err = io.ReadFull(src, raw[:]); err != nil {
			break
		}
		c.appendText(strconv.FormatInt(int64(binary.LittleEndian.Uint64(raw[:])), 10))
	}
	if err = errors.Join(err, old.Close()); err != nil {
		c.fail(fmt.Errorf("read the spool of array %q: %w", c.name, err))
	}
}

// Err is the first error met so far.
func (c *Column) Err() error { return c.err }

func (c *Column) accepts(kind Kind, size int) bool {
	if c.kind != kind || c.size != size {
		c.fail(fmt.Errorf("array %q: %w: an element of kind %c, expected kind %c", c.name, ErrValue, kind, c.kind))
	}
	return c.err == nil
}

func (c *Column) write(raw []byte, elements int) {
	if _, err := c.spool.Write(raw); err != nil {
		c.fail(fmt.Errorf("spool array %q: %w", c.name, err))
		return
	}
	c.elements += int64(elements)
}

func (c *Column) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// header is known once all rows are there.
func (c *Column) header() (Header, error) {
	dtype := DType{Kind: c.kind, Size: c.size}
	if c.kind == Text {
		dtype.Size = 4 * max(c.maxRunes, 1) // NumPy itself makes no text narrower than one character
	}
	if c.width == 0 {
		return Header{DType: dtype, Shape: []int64{c.elements}}, nil
	}
	if c.elements%c.width != 0 {
		return Header{}, fmt.Errorf("array %q: %w: %d elements are no rows of %d", c.name, ErrCount, c.elements, c.width)
	}
	return Header{DType: dtype, Shape: []int64{c.elements / c.width, c.width}}, nil
}

// encode writes the whole array to dst.
func (c *Column) encode(dst io.Writer) error {
	if c.err != nil {
		return c.err
	}
	src, err := c.rewind()
	if err != nil {
		return fmt.Errorf("spool array %q: %w", c.name, err)
	}
	header, err := c.header()
	if err != nil {
		return err
	}
	w, err := NewWriter(dst, header)
	if err != nil {
		return fmt.Errorf("array %q: %w", c.name, err)
	}
	if c.kind == Text {
		err = c.copyTexts(w, src)
	} else {
		err = c.copyRaw(w, src)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("array %q: %w", c.name, err)
	}
	return nil
}

func (c *Column) copyRaw(w *Writer, src io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		w.Raw(buf[:n])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read spool: %w", err)
		}
		if w.err != nil {
			return w.err
		}
	}
}

func (c *Column) copyTexts(w *Writer, src *bufio.Reader) error {
	for range c.elements {
		n, err := binary.ReadUvarint(src)
		if err != nil {
			return fmt.Errorf("read spool: %w", err)
		}
		if uint64(cap(c.buf)) < n {
			c.buf = make([]byte, n)
		}
		c.buf = c.buf[:n]
		if _, err := io.ReadFull(src, c.buf); err != nil {
			return fmt.Errorf("read spool: %w", err)
		}
		w.text(c.buf)
		if w.err != nil {
			return w.err
		}
	}
	return nil
}
