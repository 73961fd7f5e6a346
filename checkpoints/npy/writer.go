package npy

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"unicode/utf8"
)

// Writer writes one array whose shape is known beforehand. The first error is kept and returned by Close.
type Writer struct {
	dst   *bufio.Writer
	dtype DType
	left  int64 // bytes still to come
	buf   []byte
	err   error
}

// NewWriter writes the header of h to dst. It does not close dst.
func NewWriter(dst io.Writer, h Header) (*Writer, error) {
	encoded, err := h.encode(DType.supported)
	if err != nil {
		return nil, err
	}
	w := &Writer{dst: bufio.NewWriterSize(dst, 64<<10), dtype: h.DType, left: h.DataBytes()}
	if _, err := w.dst.Write(encoded); err != nil {
		return nil, fmt.Errorf("write npy header: %w", err)
	}
	return w, nil
}

// Float32s writes elements of a float array of either width.
func (w *Writer) Float32s(values ...float32) {
	if !w.kind(Float) {
		return
	}
	w.buf = w.buf[:0]
	for _, v := range values {
		if w.dtype.Size == 4 {
			w.buf = appendFloat32(w.buf, v)
		} else {
			w.buf = binary.LittleEndian.AppendUint64(w.buf, math.Float64bits(float64(v)))
		}
	}
	w.write(w.buf)
}

// Int64s writes elements of an integer array.
func (w *Writer) Int64s(values ...int64) {
	if !w.kind(Int) {
		return
	}
	w.buf = w.buf[:0]
	for _, v := range values {
		w.buf = binary.LittleEndian.AppendUint64(w.buf, uint64(v))
	}
	w.write(w.buf)
}

// Bools writes elements of a bool array.
func (w *Writer) Bools(values ...bool) {
	if !w.kind(Bool) {
		return
	}
	w.buf = w.buf[:0]
	for _, v := range values {
		w.buf = append(w.buf, boolByte(v))
	}
	w.write(w.buf)
}

// Text writes one element of a Text array; text that is wider than the array's elements or not UTF-8 is ErrValue.
func (w *Writer) Text(text string) {
	if w.kind(Text) {
		w.text([]byte(text))
	}
}

// text is Text. Padding makes it as wide as the widest text, so ASCII takes the short way.
func (w *Writer) text(text []byte) {
	w.buf = append(w.buf[:0], make([]byte, w.dtype.Size)...)
	at := 0
	for i := 0; i < len(text); {
		code, size := rune(text[i]), 1
		if code >= utf8.RuneSelf {
			code, size = utf8.DecodeRune(text[i:])
		}
		if at == w.dtype.Size || code == utf8.RuneError && size == 1 {
			w.fail(fmt.Errorf("%w: the text %.64q for %s", ErrValue, text, w.dtype))
			return
		}
		binary.LittleEndian.PutUint32(w.buf[at:], uint32(code))
		at, i = at+4, i+size
	}
	w.write(w.buf)
}

// Raw writes elements that are already encoded.
func (w *Writer) Raw(encoded []byte) { w.write(encoded) }

// Close flushes; it fails with the first error met, and with ErrCount unless exactly the shape's elements were written.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.left != 0 {
		return fmt.Errorf("%w: %d bytes short of the shape", ErrCount, w.left)
	}
	if err := w.dst.Flush(); err != nil {
		return fmt.Errorf("write npy data: %w", err)
	}
	return nil
}

func (w *Writer) kind(k Kind) bool {
	if w.dtype.Kind != k {
		w.fail(fmt.Errorf("%w: an element of kind %c for %s", ErrValue, k, w.dtype))
	}
	return w.err == nil
}

func (w *Writer) write(p []byte) {
	if w.err != nil {
		return
	}
	if int64(len(p)) > w.left {
		w.fail(fmt.Errorf("%w: more than the shape holds", ErrCount))
		return
	}
	w.left -= int64(len(p))
	if _, err := w.dst.Write(p); err != nil {
		w.fail(fmt.Errorf("write npy data: %w", err))
	}
}

func (w *Writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func appendFloat32(dst []byte, v float32) []byte {
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}
