package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

const (
	lengthBytes = 8
	maxHeader   = 100_000_000 // of the format
	maxArrays   = 1 << 16
	maxTexts    = 16 << 20 // bytes of all names and metadata
	maxDims     = 64
	maxNumbers  = 1 << 20 // lengths in all shapes
	metadataKey = "__metadata__"
)

// Array is a named array of a file.
type Array struct {
	Name  string
	DType DType
	// Shape is empty for a single value.
	Shape []int64
	// Data are the elements, little-endian, in C order.
	Data []byte
}

// File is what a file holds.
type File struct {
	// Arrays are in the order of their data.
	Arrays []Array
	// Metadata is nil when the file has none.
	Metadata map[string]string
	// Offset is the byte at which the arrays begin.
	Offset int64
}

// Parse reads a whole file.
func Parse(data []byte) (*File, error) {
	if len(data) < lengthBytes {
		return nil, &FormatError{0, fmt.Sprintf("file has %d bytes, expected a length of %d bytes first", len(data), lengthBytes)}
	}
	length := binary.LittleEndian.Uint64(data)
	if length > maxHeader || length > uint64(len(data)-lengthBytes) {
		return nil, &FormatError{0, fmt.Sprintf("header of %d bytes, expected at most %d and no more than the %d that follow", length, maxHeader, len(data)-lengthBytes)}
	}
	p := &header{text: data[:lengthBytes+length], at: lengthBytes, seen: map[string]bool{}}
	if length == 0 || data[lengthBytes] != '{' {
		return nil, p.fail("header does not begin with a brace")
	}
	if err := p.object(p.member); err != nil {
		return nil, err
	}
	p.space()
	if p.at != len(p.text) {
		return nil, p.fail("header goes on behind its object")
	}
	f := &File{Metadata: p.metadata, Offset: int64(len(p.text))}
	return f, f.place(data[f.Offset:], p.arrays)
}

// place gives the arrays their bytes: sorted by their offsets they must cover the data.
func (f *File) place(data []byte, arrays []placed) error {
	slices.SortStableFunc(arrays, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	at := uint64(0)
	f.Arrays = make([]Array, len(arrays))
	for i, a := range arrays {
		refuse := func(format string, args ...any) error {
			return &FormatError{a.at, fmt.Sprintf("array %.80q: ", a.Name) + fmt.Sprintf(format, args...)}
		}
		size, ok := sizeOf(a.DType, a.Shape)
		if !ok {
			return refuse("%s%v is no whole number of bytes or too large", a.DType, a.Shape)
		}
		if a.end < a.begin || a.end-a.begin != size {
			return refuse("%s%v takes %d bytes, its offsets are %d and %d", a.DType, a.Shape, size, a.begin, a.end)
		}
		if a.begin != at {
			return refuse("it begins at %d, the array before it ends at %d: holes and overlaps are refused", a.begin, at)
		}
		if a.end > uint64(len(data)) {
			return refuse("it ends at %d, only %d bytes follow the header", a.end, len(data))
		}
		f.Arrays[i] = a.Array
		f.Arrays[i].Data = data[a.begin:a.end:a.end]
		at = a.end
	}
	if at != uint64(len(data)) {
		return &FormatError{f.Offset + int64(at), fmt.Sprintf("%d bytes belong to no array", uint64(len(data))-at)}
	}
	return nil
}

// sizeOf multiplies with overflow checks; a zero does not excuse the other lengths.
func sizeOf(d DType, shape []int64) (size uint64, ok bool) {
	product, zero := uint64(d.Bits()), false
	if product == 0 {
		return 0, false
	}
	for _, n := range shape {
		if n < 0 {
			return 0, false
		}
		if n == 0 {
			zero = true
			continue
		}
		high, low := bits.Mul64(product, uint64(n))
		if high != 0 || low > 1<<62 {
			return 0, false
		}
		product = low
	}
	if zero {
		return 0, true
	}
	return product / 8, product%8 == 0
}

// Is tells whether data begins as a safetensors file does, for files whose name does not say so.
func Is(data []byte) bool {
	return len(data) > lengthBytes+1 && binary.LittleEndian.Uint64(data) <= min(maxHeader, uint64(len(data)-lengthBytes)) &&
		bytes.HasPrefix(data[lengthBytes:], []byte("{"))
}
