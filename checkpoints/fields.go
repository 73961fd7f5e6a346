package checkpoints

import (
	"fmt"
	"math"
	"slices"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// fields reads the entries of one dict of a file.
type fields struct {
	file   string
	prefix string // of nested keys, in messages
	dict   *pickle.Dict
}

// newFields demands that a value is a dict.
func newFields(file string, root pickle.Value) (fields, error) {
	d, ok := root.(*pickle.Dict)
	if !ok {
		return fields{}, &FileError{File: file, Err: fmt.Errorf("holds %s, expected a dict", describe(root))}
	}
	return fields{file: file, dict: d}, nil
}

func (f fields) fail(key, format string, args ...any) error {
	return &FileError{File: f.file, Key: f.prefix + key, Err: fmt.Errorf(format, args...)}
}

func (f fields) has(key string) bool {
	_, ok := f.dict.Get(key)
	return ok
}

// tensor finds a tensor of a type; -1 in shape stands for any length.
func (f fields) tensor(key string, dtype tensor.DType, shape ...int64) (*tensor.Tensor, error) {
	v, ok := f.dict.Get(key)
	if !ok {
		return nil, f.fail(key, "missing, expected %s %s", dtype, shapeText(shape))
	}
	t, ok := v.(*tensor.Tensor)
	if !ok {
		return nil, f.fail(key, "is %s, expected %s %s", describe(v), dtype, shapeText(shape))
	}
	same := t.DType == dtype && len(t.Shape) == len(shape)
	for i := 0; same && i < len(shape); i++ {
		same = shape[i] == t.Shape[i] || shape[i] < 0
	}
	if !same {
		return nil, f.fail(key, "is %s %v, expected %s %s", t.DType, t.Shape, dtype, shapeText(shape))
	}
	return t, nil
}

// float32s finds a float32 tensor of exactly this shape whose numbers are all finite.
func (f fields) float32s(key string, shape ...int64) ([]float32, error) {
	t, err := f.tensor(key, tensor.Float32, shape...)
	if err != nil {
		return nil, err
	}
	return f.finite(key, t)
}

// finite gives the elements of a tensor that is known to be float32, in the file's bytes where they lie in one piece.
func (f fields) finite(key string, t *tensor.Tensor) ([]float32, error) {
	values, err := t.Float32s()
	if err != nil {
		return nil, f.fail(key, "%w", err)
	}
	if i := notFinite(values); i >= 0 {
		return nil, f.fail(key, "element %v is %v, expected finite numbers", position(i, t.Shape), values[i])
	}
	return values, nil
}

// int64 finds a Python int.
func (f fields) int64(key string) (int64, error) {
	v, ok := f.dict.Get(key)
	if !ok {
		return 0, f.fail(key, "missing, expected an int")
	}
	n, ok := v.(pickle.Int)
	if !ok {
		return 0, f.fail(key, "is %s, expected an int", describe(v))
	}
	return int64(n), nil
}

// notFinite is the index of the first NaN or infinity, -1 without.
func notFinite(values []float32) int {
	return slices.IndexFunc(values, func(v float32) bool {
		return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0)
	})
}

// position turns a flat index into one a dimension.
func position(flat int, shape []int64) []int {
	at := make([]int, len(shape))
	for i := len(shape) - 1; i >= 0; i-- {
		n := max(int(shape[i]), 1)
		at[i] = flat % n
		flat /= n
	}
	return at
}

func shapeText(shape []int64) string {
	text := "["
	for i, n := range shape {
		if i > 0 {
			text += " "
		}
		if n < 0 {
			text += "*"
		} else {
			text += fmt.Sprint(n)
		}
	}
	return text + "]"
}

func describe(v pickle.Value) string {
	if t, ok := v.(*tensor.Tensor); ok {
		return fmt.Sprintf("a tensor %s %v", t.DType, t.Shape)
	}
	return pickle.Describe(v)
}
