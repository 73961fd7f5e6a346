package npy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"
	"unsafe"
)

// readBuffer is large enough that a pipe or disk is asked seldom, small beside a batch of rows.
const readBuffer = 256 << 10

// Reader streams the rows of one array. A row is all elements that share the first index; a vector has rows of one.
type Reader struct {
	src    *bufio.Reader
	closer io.Closer // nil unless the reader owns what it reads
	header Header
	row    []byte
	wide   []byte // float64 elements before they are rounded
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
	if n, err := io.ReadFull(r.src, r.row); err != nil {
		return r.short(err, int64(n))
	}
	r.next++
	return nil
}

// Wait reads ahead until a row, the end or an error is there, so that what is asked next need not wait for the source.
func (r *Reader) Wait() {
	if r.err == nil && r.src.Buffered() < len(r.row) {
		_, _ = r.src.Peek(min(len(r.row), readBuffer)) // whoever reads on meets the error
	}
}

// Ready is how many rows are there to be taken without reading from the source.
func (r *Reader) Ready() int64 {
	if r.err != nil || len(r.row) == 0 {
		return 0
	}
	return min(r.header.Rows()-r.next, int64(r.src.Buffered()/len(r.row)))
}

// Rows reads rows into dst, as many as fit, and tells how many. Elements of 4 bytes go there straight from the source;
// float64 are rounded to the nearest float32, beyond its range to an infinity. The error is as of Next, and of no rows:
// those before it come first. It panics unless the kind is Float.
func (r *Reader) Rows(dst []float32) (rows int, err error) {
	r.must(Float)
	if r.err != nil {
		return 0, r.err
	}
	width := int(r.header.Width())
	rows = int(min(int64(len(dst)/max(width, 1)), r.header.Rows()-r.next))
	if rows == 0 {
		return 0, r.Next()
	}
	dst = dst[:rows*width]
	raw := bytesOf(dst)
	if r.header.DType.Size == 8 {
		r.wide = slices.Grow(r.wide[:0], 2*len(raw))[:2*len(raw)]
		raw = r.wide
	}
	n, err := io.ReadFull(r.src, raw)
	got := n / len(r.row)
	if r.header.DType.Size == 8 {
		for i := range dst[:got*width] {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:])))
		}
	}
	if err != nil {
		r.err = r.short(err, int64(n))
	}
	r.next += int64(got)
	if got == 0 {
		return 0, r.err
	}
	return got, nil
}

// bytesOf is the memory of numbers. Files are little-endian, and so is every machine that LibTorch runs on.
func bytesOf(numbers []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(numbers))), 4*len(numbers))
}

// short is the error of data that ended, or could not be read, n bytes after the rows taken so far.
func (r *Reader) short(err error, n int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &TruncatedError{Part: "data", Want: r.header.DataBytes(), Got: r.next*int64(len(r.row)) + n}
	}
	return fmt.Errorf("read npy data: %w", err)
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
