package tensor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
)

// Layout is a torch.layout, such as "torch.sparse_coo".
type Layout string

// The layouts of PyTorch.
const (
	Strided   Layout = "torch.strided"
	SparseCOO Layout = "torch.sparse_coo"
	SparseCSR Layout = "torch.sparse_csr"
	SparseCSC Layout = "torch.sparse_csc"
	SparseBSR Layout = "torch.sparse_bsr"
	SparseBSC Layout = "torch.sparse_bsc"
)

// Sparse is a tensor of which only some elements are stored. Its indices were checked to lie within its shape.
type Sparse struct {
	Layout Layout
	Shape  []int64
	// Indices are those of SparseCOO: int64, a row for each sparse dimension and a column for each stored element.
	Indices *Tensor
	// Compressed and Plain are the indices of the other layouts: int32 or int64, where each row (or column) begins, and the
	// columns (or rows) of the stored elements. Leading dimensions are batches.
	Compressed, Plain *Tensor
	// Values are the stored elements, or blocks of them.
	Values *Tensor
	// Coalesced tells that no index of SparseCOO comes twice, as the file says.
	Coalesced bool
}

// DType is the type of the elements.
func (s *Sparse) DType() DType { return s.Values.DType }

// Children gives the tensors, for the pickle machine's check of cycles.
func (s *Sparse) Children() []pickle.Value {
	var parts []pickle.Value
	for _, t := range []*Tensor{s.Indices, s.Compressed, s.Plain, s.Values} {
		if t != nil {
			parts = append(parts, t)
		}
	}
	return parts
}

// makeLayout is torch.serialization._get_layout("torch.sparse_coo").
func makeLayout(args []pickle.Value) (pickle.Value, error) {
	if len(args) == 1 {
		name, _ := args[0].(pickle.Str)
		switch l := Layout(name); l {
		case Strided, SparseCOO, SparseCSR, SparseCSC, SparseBSR, SparseBSC:
			return l, nil
		}
		return nil, fmt.Errorf("layout %s is unknown", pickle.Describe(args[0]))
	}
	return nil, fmt.Errorf("_get_layout with %d arguments, expected one", len(args))
}

// sparse is torch._utils._rebuild_sparse_tensor(layout, parts). The elements of the indices are checked at the end of the
// file: in the old format they come behind the object.
func (r *rebuilder) sparse(args []pickle.Value) (pickle.Value, error) {
	if len(args) != 2 {
		return nil, fmt.Errorf("_rebuild_sparse_tensor with %d arguments, expected 2", len(args))
	}
	layout, ok := args[0].(Layout)
	parts, also := args[1].(*pickle.Tuple)
	if !ok || !also || layout == Strided {
		return nil, fmt.Errorf("sparse tensor of layout %s and %s, expected a sparse layout and a tuple", pickle.Describe(args[0]), pickle.Describe(args[1]))
	}
	s := &Sparse{Layout: layout}
	items := parts.Items
	indices := []**Tensor{&s.Compressed, &s.Plain}
	if layout == SparseCOO {
		indices = []**Tensor{&s.Indices}
		if len(items) == 4 {
			flag, ok := items[3].(pickle.Bool)
			if !ok {
				return nil, fmt.Errorf("sparse tensor with is_coalesced %s, expected a bool", pickle.Describe(items[3]))
			}
			s.Coalesced, items = bool(flag), items[:3]
		}
	}
	if len(items) != len(indices)+2 {
		return nil, fmt.Errorf("sparse tensor %s of %d parts, expected %d", layout, len(items), len(indices)+2)
	}
	for i, to := range append(indices, &s.Values) {
		if *to, ok = items[i].(*Tensor); !ok {
			return nil, fmt.Errorf("part %d of a sparse tensor is %s, expected a tensor", i, pickle.Describe(items[i]))
		}
	}
	var err error
	if s.Shape, err = counts(items[len(items)-1], "size"); err != nil {
		return nil, fmt.Errorf("sparse tensor: %w", err)
	}
	if err := s.checkShapes(); err != nil {
		return nil, fmt.Errorf("sparse tensor %s of size %v: %w", layout, s.Shape, err)
	}
	r.sparses = append(r.sparses, s)
	return s, nil
}

// blocked tells that values are blocks, columns that rows and columns change places.
func (s *Sparse) blocked() bool { return s.Layout == SparseBSR || s.Layout == SparseBSC }
func (s *Sparse) columns() bool { return s.Layout == SparseCSC || s.Layout == SparseBSC }

func (s *Sparse) checkShapes() error {
	if s.Layout == SparseCOO {
		i, v := s.Indices, s.Values
		if i.DType != Int64 || len(i.Shape) != 2 || i.Shape[0] > int64(len(s.Shape)) || len(v.Shape) == 0 || v.Shape[0] != i.Shape[1] || !slices.Equal(v.Shape[1:], s.Shape[i.Shape[0]:]) {
			return fmt.Errorf("indices %s %v and values %v do not belong together", i.DType, i.Shape, v.Shape)
		}
		return nil
	}
	c, p, v := s.Compressed, s.Plain, s.Values
	batch := len(c.Shape) - 1
	bad := fmt.Errorf("indices %s %v and %s %v and values %v do not belong together", c.DType, c.Shape, p.DType, p.Shape, v.Shape)
	if batch < 0 || c.DType != p.DType || c.DType != Int32 && c.DType != Int64 || len(p.Shape) != batch+1 || len(s.Shape) < batch+2 || len(v.Shape) < batch+1 ||
		!slices.Equal(c.Shape[:batch], s.Shape[:batch]) || !slices.Equal(v.Shape[:batch+1], p.Shape) || !slices.Equal(p.Shape[:batch], s.Shape[:batch]) {
		return bad
	}
	rows, columns, rest := s.Shape[batch], s.Shape[batch+1], v.Shape[batch+1:]
	if s.blocked() {
		if len(rest) < 2 || rest[0] < 1 || rest[1] < 1 || rows%rest[0] != 0 || columns%rest[1] != 0 {
			return bad
		}
		rest = rest[2:]
	}
	if compressed, _ := s.grid(); c.Shape[batch] != compressed+1 || !slices.Equal(rest, s.Shape[batch+2:]) {
		return bad
	}
	return nil
}

// grid is how many rows (or columns) are compressed and how many columns (or rows) the plain indices may name.
func (s *Sparse) grid() (compressed, plain int64) {
	batch := len(s.Compressed.Shape) - 1
	compressed, plain = s.Shape[batch], s.Shape[batch+1]
	if s.blocked() {
		compressed, plain = compressed/s.Values.Shape[batch+1], plain/s.Values.Shape[batch+2]
	}
	if s.columns() {
		return plain, compressed
	}
	return compressed, plain
}

// checkIndices compares every index with the shape.
func (s *Sparse) checkIndices() error {
	if s.Layout != SparseCOO {
		return s.checkCompressed()
	}
	at, err := s.Indices.Int64s()
	if err != nil {
		return err
	}
	stored := s.Indices.Shape[1]
	for i, n := range at {
		if d := int64(i) / stored; n < 0 || n >= s.Shape[d] {
			return fmt.Errorf("%w: sparse tensor of size %v: index %d of dimension %d is %d", ErrFormat, s.Shape, int64(i)%stored, d, n)
		}
	}
	return nil
}

func (s *Sparse) checkCompressed() error {
	starts, err := s.Compressed.indices()
	if err != nil {
		return err
	}
	plain, err := s.Plain.indices()
	if err != nil {
		return err
	}
	lines, width := s.grid()
	stored := s.Plain.Shape[len(s.Plain.Shape)-1]
	for batch := 0; len(starts) > 0; batch++ {
		one := starts[:lines+1]
		starts = starts[lines+1:]
		for i, n := range one {
			if i == 0 && n != 0 || i > 0 && (n < one[i-1] || n-one[i-1] > width) || int64(i) == lines && n != stored {
				return fmt.Errorf("%w: sparse tensor of size %v: compressed index %d of batch %d is %d", ErrFormat, s.Shape, i, batch, n)
			}
		}
	}
	for i, n := range plain {
		if n < 0 || n >= width {
			return fmt.Errorf("%w: sparse tensor of size %v: plain index %d is %d, expected less than %d", ErrFormat, s.Shape, i, n, width)
		}
	}
	return nil
}

// String names the layout and the shape.
func (s *Sparse) String() string {
	return fmt.Sprintf("%s %s %v", strings.TrimPrefix(string(s.Layout), "torch."), s.DType(), s.Shape)
}
