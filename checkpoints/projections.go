package checkpoints

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// Projection takes embeddings of one width to the workspace.
type Projection struct {
	// Weight is [n, width] row by row, Bias is [n].
	Weight, Bias []float32
}

// Projections are the projections of a validator by input width.
type Projections struct {
	// Dim is n, the width of the workspace; 0 when there are none.
	Dim int
	// ByWidth has one entry an input width.
	ByWidth map[int]Projection
	// Order lists the widths in the order of the file, which is that of their creation.
	Order []int
}

// maxWidth bounds the input widths that a file may name.
const maxWidth = 1 << 24

// ReadProjections reads a file {width: {"weight": [n, width], "bias": [n]}}; n is the same for all.
func ReadProjections(path string) (*Projections, error) {
	data, err := readAll(path)
	if err != nil {
		return nil, err
	}
	return ParseProjections(path, data)
}

// ParseProjections is ReadProjections for a file that the caller has read. The weights share data, which must not change as
// long as they are in use.
func ParseProjections(name string, data []byte, options ...ReadOption) (*Projections, error) {
	file, err := load(name, data, options)
	if err != nil {
		return nil, err
	}
	top, err := newFields(name, file.Root)
	if err != nil {
		return nil, err
	}
	p := &Projections{ByWidth: make(map[int]Projection)}
	for _, e := range top.dict.Entries() {
		width, ok := e.Key.(pickle.Int)
		if !ok || width < 1 || width > maxWidth {
			return nil, &FileError{File: name, Err: fmt.Errorf("key %s, expected an input width from 1 to %d", describe(e.Key), maxWidth)}
		}
		key := fmt.Sprintf("%d", width)
		inner, ok := e.Value.(*pickle.Dict)
		if !ok {
			return nil, top.fail(key, "is %s, expected a dict of weight and bias", describe(e.Value))
		}
		f := fields{file: name, prefix: key + ".", dict: inner}
		bias, err := f.tensor("bias", tensor.Float32, -1)
		if err != nil {
			return nil, err
		}
		n := bias.Shape[0]
		if p.Dim == 0 {
			p.Dim = int(n)
		}
		if n < 1 || int(n) != p.Dim {
			return nil, f.fail("bias", "has %d elements, expected the workspace of the other projections, %d", n, p.Dim)
		}
		var w Projection
		if w.Weight, err = f.float32s("weight", n, int64(width)); err != nil {
			return nil, err
		}
		if w.Bias, err = f.finite("bias", bias); err != nil {
			return nil, err
		}
		p.ByWidth[int(width)] = w
		p.Order = append(p.Order, int(width))
	}
	return p, nil
}

// WriteProjections writes what ReadProjections reads, in the order of Order or, where that is empty, by width.
func WriteProjections(w io.Writer, root string, p *Projections, options ...WriteOption) error {
	order := p.Order
	if len(order) == 0 {
		order = slices.Sorted(maps.Keys(p.ByWidth))
	}
	if len(order) != len(p.ByWidth) {
		return fmt.Errorf("write projections: order names %d widths, %d are there", len(order), len(p.ByWidth))
	}
	d := &pickle.Dict{}
	for _, width := range order {
		one, ok := p.ByWidth[width]
		if !ok || width < 1 || len(one.Bias) != p.Dim || len(one.Weight) != p.Dim*width {
			return fmt.Errorf("write projections: width %d has %d weights and %d biases, expected %d and %d", width, len(one.Weight), len(one.Bias), p.Dim*width, p.Dim)
		}
		if notFinite(one.Weight) >= 0 || notFinite(one.Bias) >= 0 {
			return fmt.Errorf("write projections: width %d has NaN or infinite weights", width)
		}
		n := int64(p.Dim)
		inner := pickle.NewDict("weight", tensor.FromFloat32s(one.Weight, n, int64(width)), "bias", tensor.FromFloat32s(one.Bias, n))
		if err := d.Add(pickle.Int(width), inner); err != nil {
			return fmt.Errorf("write projections: %w", err)
		}
	}
	if err := tensor.Save(w, root, d, options...); err != nil {
		return fmt.Errorf("write projections: %w", err)
	}
	return nil
}

// SaveProjections writes projections atomically, readable by their owner only.
func SaveProjections(path string, p *Projections) error {
	return WriteAtomic(path, filePerm, func(w io.Writer) error {
		return WriteProjections(w, container.Root(path), p)
	})
}
