package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// littleEndian tells whether numbers in memory look like those in files, so that slices of bytes may serve as numbers.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// number is a type of elements that Go has.
type number interface {
	~int32 | ~int64 | ~float32 | ~float64
}

// elements gives the elements of a tensor, in C order. Those in one piece and aligned are the storage's own bytes;
// decode reads one from bytes otherwise.
func elements[T number](t *Tensor, want DType, decode func([]byte) T) ([]T, error) {
	if t.DType != want {
		return nil, fmt.Errorf("tensor is %s, expected %s: %w", t.DType, want, ErrType)
	}
	b := t.Bytes()
	size := int(unsafe.Sizeof(*new(T)))
	n := len(b) / size
	if n == 0 {
		return nil, nil
	}
	if p := unsafe.Pointer(unsafe.SliceData(b)); littleEndian && uintptr(p)%uintptr(size) == 0 {
		return unsafe.Slice((*T)(p), n)[:n:n], nil
	}
	out := make([]T, n)
	for i := range out {
		out[i] = decode(b[i*size:])
	}
	return out, nil
}

// Float32s are the elements of a float32 tensor, in C order. They may be bytes of the file: they live as long as those
// and must not be written to.
func (t *Tensor) Float32s() ([]float32, error) {
	return elements(t, Float32, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) })
}

// Float64s are the elements of a float64 tensor, as Float32s gives them.
func (t *Tensor) Float64s() ([]float64, error) {
	return elements(t, Float64, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) })
}

// Int64s are the elements of an int64 tensor, as Float32s gives them.
func (t *Tensor) Int64s() ([]int64, error) {
	return elements(t, Int64, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) })
}

// indices are the elements of an int32 or int64 tensor.
func (t *Tensor) indices() ([]int64, error) {
	if t.DType != Int32 {
		return t.Int64s()
	}
	narrow, err := elements(t, Int32, func(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) })
	out := make([]int64, len(narrow))
	for i, n := range narrow {
		out[i] = int64(n)
	}
	return out, err
}
