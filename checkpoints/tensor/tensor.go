package tensor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
)

// ErrFormat is matched by refusals of this package that are not those of the container or the pickle.
var ErrFormat = errors.New("malformed tensor file")

// ErrType is matched when elements are asked for as another type than they have.
var ErrType = errors.New("tensor has another type")

// Tensor is a view of a storage.
type Tensor struct {
	// DType is the type of the elements.
	DType DType
	// Shape has one length a dimension; empty for a scalar.
	Shape []int64
	// RequiresGrad and Parameter are flags of the file.
	RequiresGrad, Parameter bool
	// Quantizer tells what the integers of a quantized tensor stand for; nil for others.
	Quantizer *Quantizer
	// Attrs are Python attributes that were saved with the tensor, nil without.
	Attrs pickle.Value

	storage  *Storage
	offset   int64 // elements
	strides  []int64
	conj     bool
	negative bool
}

// Children gives what hangs on the tensor, for the pickle machine's check of cycles.
func (t *Tensor) Children() []pickle.Value {
	var hang []pickle.Value
	if t.Attrs != nil {
		hang = append(hang, t.Attrs)
	}
	if q := t.Quantizer; q != nil && q.Scales != nil {
		hang = append(hang, q.Scales, q.ZeroPoints)
	}
	return hang
}

// Numel is the number of elements.
func (t *Tensor) Numel() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Location is the device that the tensor was saved from; "cpu" for tensors made here.
func (t *Tensor) Location() string { return t.storage.Location }

// New makes a contiguous CPU tensor over little-endian elements. It keeps data and panics when its length is not that
// of the shape: a mistake of the program, never of a file.
func New(dtype DType, shape []int64, data []byte) *Tensor {
	t := &Tensor{DType: dtype, Shape: slices.Clone(shape), strides: contiguous(shape)}
	if want := t.Numel() * int64(dtype.Size()); int64(len(data)) != want {
		panic(fmt.Sprintf("tensor: %d bytes for %s%v, expected %d", len(data), dtype, shape, want))
	}
	t.storage = &Storage{DType: dtype, Location: "cpu", Numel: t.Numel(), data: data}
	return t
}

// FromFloat32s makes a float32 tensor of a copy of values.
func FromFloat32s(values []float32, shape ...int64) *Tensor {
	b := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
	return New(Float32, shape, b)
}

// FromInt64s makes an int64 tensor of a copy of values.
func FromInt64s(values []int64, shape ...int64) *Tensor {
	b := make([]byte, 8*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint64(b[8*i:], uint64(v))
	}
	return New(Int64, shape, b)
}

// Float32Rows makes a float32 tensor of a shape that values fill from the beginning, zero behind them. It keeps
// values, which must not change as long as the tensor is in use, and takes no memory for the zeros until Bytes.
func Float32Rows(values []float32, shape ...int64) *Tensor {
	return streamed(Float32, shape, int64(len(values)), func(b []byte, i int) {
		binary.LittleEndian.PutUint32(b, math.Float32bits(values[i]))
	})
}

// Int64Rows is Float32Rows for int64.
func Int64Rows(values []int64, shape ...int64) *Tensor {
	return streamed(Int64, shape, int64(len(values)), func(b []byte, i int) {
		binary.LittleEndian.PutUint64(b, uint64(values[i]))
	})
}

// streamed makes a tensor whose first count elements put gives one by one.
func streamed(dtype DType, shape []int64, count int64, put func(b []byte, i int)) *Tensor {
	t := &Tensor{DType: dtype, Shape: slices.Clone(shape), strides: contiguous(shape)}
	numel := t.Numel()
	if count > numel {
		panic(fmt.Sprintf("tensor: %d elements for %s%v", count, dtype, shape))
	}
	size := int64(dtype.Size())
	fill := func(w io.Writer) error {
		const chunk = 1 << 13
		buffer := make([]byte, min(chunk, numel)*size)
		for from := int64(0); from < numel; from += chunk {
			part := buffer[:min(chunk, numel-from)*size]
			clear(part)
			for i := from; i < min(from+chunk, count); i++ {
				put(part[(i-from)*size:], int(i))
			}
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
		return nil
	}
	t.storage = &Storage{DType: dtype, Location: "cpu", Numel: numel, fill: fill}
	return t
}

// Narrow is the view of the first n rows of a tensor; n is from 0 to its first length.
func (t *Tensor) Narrow(n int64) *Tensor {
	if len(t.Shape) == 0 || n < 0 || n > t.Shape[0] {
		panic(fmt.Sprintf("tensor: %d rows of %v", n, t.Shape))
	}
	view := *t
	view.Shape = slices.Clone(t.Shape)
	view.Shape[0] = n
	return &view
}

// contiguous gives PyTorch's strides of a fresh tensor: a dimension of length 0 counts as 1.
func contiguous(shape []int64) []int64 {
	strides := make([]int64, len(shape))
	step := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = step
		step *= max(shape[i], 1)
	}
	return strides
}

// whole tells whether the elements lie in one piece in order.
func (t *Tensor) whole() bool {
	want := int64(1)
	for i := len(t.Shape) - 1; i >= 0; i-- {
		if t.Shape[i] != 1 && t.strides[i] != want {
			return false
		}
		want *= t.Shape[i]
	}
	return true
}

// Bytes are the elements in C order, little-endian. They may be bytes of the file and must not be written to.
func (t *Tensor) Bytes() []byte {
	size := int64(t.DType.Size())
	n := t.Numel()
	if n == 0 {
		return nil
	}
	data := t.storage.Bytes()
	if t.whole() {
		data = data[t.offset*size : (t.offset+n)*size]
		if !t.conj && !t.negative {
			return data
		}
		data = slices.Clone(data)
	} else {
		data = t.gather(data, n, size)
	}
	t.flipSigns(data, int(size))
	return data
}

// gather copies the elements of a strided view.
func (t *Tensor) gather(data []byte, n, size int64) []byte {
	out := make([]byte, 0, n*size)
	index := make([]int64, len(t.Shape))
	at := t.offset
	for {
		out = append(out, data[at*size:(at+1)*size]...)
		i := len(index) - 1
		for ; i >= 0; i-- {
			index[i]++
			at += t.strides[i]
			if index[i] < t.Shape[i] {
				break
			}
			at -= t.strides[i] * t.Shape[i]
			index[i] = 0
		}
		if i < 0 {
			return out
		}
	}
}

// flipSigns carries out the lazy conjugation and negation of a view. The sign is the top bit of a float's last byte.
func (t *Tensor) flipSigns(data []byte, size int) {
	part := size
	if dtypes[t.DType].family == complexPair {
		part = size / 2
	}
	if t.negative {
		for i := part - 1; i < len(data); i += part {
			data[i] ^= 0x80
		}
	}
	if t.conj {
		for i := size - 1; i < len(data); i += size {
			data[i] ^= 0x80
		}
	}
}

// writeTo writes what Bytes gives.
func (t *Tensor) writeTo(w io.Writer) error {
	if t.storage.fill != nil && t.whole() && t.Numel() == t.storage.Numel {
		return t.storage.fill(w)
	}
	_, err := w.Write(t.Bytes())
	return err
}
