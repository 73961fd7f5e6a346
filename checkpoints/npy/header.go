package npy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strconv"
)

const (
	// MaxHeaderBytes bounds the dictionary of a header; what NumPy writes for a plain array takes 118 bytes.
	MaxHeaderBytes = 1 << 16
	// MaxRowBytes bounds one row (all elements that share the first index), which a Reader holds in memory.
	MaxRowBytes = 64 << 20

	magic = "\x93NUMPY"
	// headerAlign is the multiple to which NumPy pads what precedes the data.
	headerAlign = 64
)

// Header describes one array: its element type and its shape, the first index varying slowest (C order).
type Header struct {
	DType DType
	Shape []int64 // empty for a single value
}

// ReadHeader reads magic, version and dictionary from r, and not one byte more. The header it returns is one that this
// package can read: supported type, C order, a size in bytes that fits in 63 bits.
func ReadHeader(r io.Reader) (Header, error) {
	h, fortran, err := readHeader(r, DType.supported)
	if err == nil && fortran {
		err = fmt.Errorf("%w: fortran_order is True (columns first), expected C order: save numpy.ascontiguousarray of it", ErrUnsupported)
	}
	if err != nil {
		return Header{}, err
	}
	return h, nil
}

// readHeader also tells whether the first index varies fastest and that matters.
func readHeader(r io.Reader, known func(DType) bool) (h Header, fortran bool, err error) {
	var start [8]byte
	if err := readPart(r, start[:], 0, 10); err != nil {
		return h, false, err
	}
	if string(start[:6]) != magic {
		return h, false, fmt.Errorf("%w: it begins with %q, expected %q", ErrHeader, start[:6], magic)
	}
	major, minor := start[6], start[7]
	sizeBytes := 2
	if major == 2 || major == 3 {
		sizeBytes = 4
	}
	if major < 1 || major > 3 || minor != 0 {
		return h, false, fmt.Errorf("%w: format version %d.%d, expected 1.0, 2.0 or 3.0", ErrUnsupported, major, minor)
	}
	var length [4]byte
	if err := readPart(r, length[:sizeBytes], 8, int64(8+sizeBytes)); err != nil {
		return h, false, err
	}
	size := int64(binary.LittleEndian.Uint32(length[:])) // the upper half is zero for version 1.0
	if size > MaxHeaderBytes {
		return h, false, fmt.Errorf("%w: a header of %d bytes, expected at most %d", ErrTooLarge, size, MaxHeaderBytes)
	}
	text := make([]byte, size)
	if err := readPart(r, text, int64(8+sizeBytes), int64(8+sizeBytes)+size); err != nil {
		return h, false, err
	}
	parsed, err := parseFields(string(text))
	if err != nil {
		return h, false, err
	}
	dtype, err := parseDType(parsed.descr, known)
	if err != nil {
		return h, false, err
	}
	h = Header{DType: dtype, Shape: parsed.shape}
	if _, err := h.dataBytes(); err != nil {
		return h, false, err
	}
	return h, parsed.fortranOrder && len(parsed.shape) > 1, nil
}

// readPart fills part; before bytes of the header came earlier, want is how many it has as far as is known.
func readPart(r io.Reader, part []byte, before, want int64) error {
	n, err := io.ReadFull(r, part)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &TruncatedError{Part: "header", Want: want, Got: before + int64(n)}
	}
	if err != nil {
		return fmt.Errorf("read npy header: %w", err)
	}
	return nil
}

// Rows is the first dimension; a single value counts as one row.
func (h Header) Rows() int64 {
	if len(h.Shape) == 0 {
		return 1
	}
	return h.Shape[0]
}

// Width is the number of elements that share the first index: 1 for a vector.
func (h Header) Width() int64 {
	width := int64(1)
	for _, n := range h.Shape[min(1, len(h.Shape)):] {
		width *= n
	}
	return width
}

// DataBytes is the size of the array in the file, the header not counted.
func (h Header) DataBytes() int64 {
	n, err := h.dataBytes()
	if err != nil {
		return math.MaxInt64 // a header made by hand; ReadHeader returns none such
	}
	return n
}

// dataBytes multiplies with overflow checks. A zero does not excuse the other dimensions, as in NumPy, so that Width
// cannot overflow either.
func (h Header) dataBytes() (int64, error) {
	product, zero := uint64(max(h.DType.Size, 1)), h.DType.Size == 0
	for _, n := range h.Shape {
		if n < 0 {
			return 0, fmt.Errorf("%w: dimension %d is negative", ErrHeader, n)
		}
		if n == 0 {
			zero = true
			continue
		}
		high, low := bits.Mul64(product, uint64(n))
		if high != 0 || low > math.MaxInt64 {
			return 0, fmt.Errorf("%w: shape %v of %s does not fit in 63 bits", ErrTooLarge, h.Shape, h.DType)
		}
		product = low
	}
	if zero {
		return 0, nil
	}
	return int64(product), nil
}

// encode returns the header as NumPy writes it: version 1.0, padded so that the data is aligned.
func (h Header) encode(known func(DType) bool) ([]byte, error) {
	if !known(h.DType) {
		return nil, fmt.Errorf("%w: dtype %s cannot be written", ErrUnsupported, h.DType)
	}
	if _, err := h.dataBytes(); err != nil {
		return nil, err
	}
	if len(h.Shape) > maxDims {
		return nil, fmt.Errorf("%w: %d dimensions, expected at most %d", ErrTooLarge, len(h.Shape), maxDims)
	}
	var b bytes.Buffer
	b.WriteString(magic + "\x01\x00\x00\x00{'descr': '" + h.DType.String() + "', 'fortran_order': False, 'shape': (")
	for i, n := range h.Shape {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.FormatInt(n, 10))
	}
	if len(h.Shape) == 1 {
		b.WriteByte(',')
	}
	b.WriteString("), }")
	for (b.Len()+1)%headerAlign != 0 {
		b.WriteByte(' ')
	}
	b.WriteByte('\n')
	out := b.Bytes()
	binary.LittleEndian.PutUint16(out[8:], uint16(len(out)-10))
	return out, nil
}
