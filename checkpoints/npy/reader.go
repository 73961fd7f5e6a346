package npy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"
)

// readBuffer is large enough that a pipe or disk is asked seldom, small beside a batch of rows.
const readBuffer = 256 << 10

// Reader streams the rows of one array. A row is all elements that share the first index; a vector has rows of one.
type Reader struct {
	src    *bufio.Reader
	closer io.Closer // nil unless the reader owns what it reads
	header Header
	row    []byte
	next   int64
	err    error // sticky
}

// NewReader reads the header from src and prepares to read rows. It does not close src.
func NewReader(src io.Reader) (*Reader, error) {
	buffered := bufio.NewReaderSize(src, readBuffer)
	header, err := ReadHeader(buffered)
	if err != nil {
		return nil, err
	}
	if len(header.Shape) == 0 {
		return nil, fmt.Errorf("%w: a single value of shape (), expected rows", ErrUnsupported)
	}
	// Width × size fits: dataBytes multiplied the same numbers, zeros left out.
	rowBytes := header.Width() * int64(header.DType.Size)
	if rowBytes > MaxRowBytes {
		return nil, fmt.Errorf("%w: a row of %d bytes, expected at most %d", ErrTooLarge, rowBytes, MaxRowBytes)
	}
	if rowBytes == 0 && header.Rows() > 0 {
		return nil, fmt.Errorf("%w: %d rows of no bytes (shape %v of %s)", ErrUnsupported, header.Rows(), header.Shape, header.DType)
	}
	return &Reader{src: buffered, header: header, row: make([]byte, rowBytes)}, nil
}

// Header describes the array.
func (r *Reader) Header() Header { return r.header }

// Next moves to the next row. It returns io.EOF after the last one, once it has seen that nothing follows;
// *TruncatedError when the row is not all there; ErrTrailing; or the error of the source. Errors are final.
func (r *Reader) Next() error {
	if r.err != nil {
		return r.err
	}
	r.err = r.advance()
	return r.err
}

func (r *Reader) advance() error {
	if r.next == r.header.Rows() {
		switch _, err := r.src.ReadByte(); {
		case err == nil:
			return fmt.Errorf("npy data: %w: expected the file to end after %d rows", ErrTrailing, r.next)
		case errors.Is(err, io.EOF):
			return io.EOF
		default:
			return fmt.Errorf("read npy data: %w", err)
		}
	}
	n, err := io.ReadFull(r.src, r.row)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &TruncatedError{Part: "data", Want: r.header.DataBytes(), Got: r.next*int64(len(r.row)) + int64(n)}
	}
	if err != nil {
		return fmt.Errorf("read npy data: %w", err)
	}
	r.next++
	return nil
}

// Buffered tells whether Next would return a row without reading from the source.
func (r *Reader) Buffered() bool {
	return r.err == nil && r.next < r.header.Rows() && r.src.Buffered() >= len(r.row)
}

// Float32s appends the row's elements to dst. float64 elements are rounded to the nearest float32, beyond its range to an
// infinity. It panics unless the kind is Float.
func (r *Reader) Float32s(dst []float32) []float32 {
	r.must(Float)
	if r.header.DType.Size == 4 {
		for i := 0; i < len(r.row); i += 4 {
			dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(r.row[i:])))
		}
		return dst
	}
	for i := 0; i < len(r.row); i += 8 {
		dst = append(dst, float32(math.Float64frombits(binary.LittleEndian.Uint64(r.row[i:]))))
	}
	return dst
}

// Int64 is the row's first element. It panics unless the kind is Int.
func (r *Reader) Int64() int64 {
	r.must(Int)
	return int64(binary.LittleEndian.Uint64(r.row))
}

// Bool is the row's first element; a byte other than 0 and 1 is ErrValue. It panics unless the kind is Bool.
func (r *Reader) Bool() (bool, error) {
	r.must(Bool)
	if r.row[0] > 1 {
		return false, fmt.Errorf("%w: byte %d as a bool, expected 0 or 1", ErrValue, r.row[0])
	}
	return r.row[0] == 1, nil
}

// Text is the row's first element without its zero padding; what is no Unicode text is ErrValue. It panics unless the
// kind is Text or Bytes.
func (r *Reader) Text() (string, error) {
	element := r.row[:r.header.DType.Size]
	if r.header.DType.Kind == Bytes {
		element = bytes.TrimRight(element, "\x00")
		if !utf8.Valid(element) {
			return "", fmt.Errorf("%w: %q is not UTF-8", ErrValue, element[:min(len(element), 64)])
		}
		return string(element), nil
	}
	r.must(Text)
	end := len(element)
	for end > 0 && binary.LittleEndian.Uint32(element[end-4:]) == 0 {
		end -= 4
	}
	out := make([]byte, 0, end/4)
	for i := 0; i < end; i += 4 {
		code := binary.LittleEndian.Uint32(element[i:])
		if code > utf8.MaxRune || !utf8.ValidRune(rune(code)) {
			return "", fmt.Errorf("%w: %#x is no Unicode character", ErrValue, code)
		}
		out = utf8.AppendRune(out, rune(code))
	}
	return string(out), nil
}

// Close closes the archive entry the reader came from; for other readers it does nothing.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// must catches a caller's mistake, never a property of the file: the header says what the kind is.
func (r *Reader) must(kind Kind) {
	if r.header.DType.Kind != kind {
		panic(fmt.Sprintf("npy: array of %s read as kind %c", r.header.DType, kind))
	}
}
