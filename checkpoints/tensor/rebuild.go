package tensor

import (
	"errors"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
)

const maxDims = 64

// Size is a torch.Size.
type Size []int64

// Device is a torch.device.
type Device string

// rebuilder makes tensors of the calls in a pickle and keeps count of what they would grow to.
type rebuilder struct {
	// expanded is what may still be materialised by views of more bytes than their storage, in bytes.
	expanded int64
	// views is the memory that all strided views may take together, in bytes.
	views int64
	// nested is how many bytes of files within the pickle may still be read; 0 where there may be none.
	nested int64
	// budget is shared with the pickle machines.
	budget *pickle.Budget
	// sparses are to be checked when all storages are there.
	sparses []*Sparse
}

// finish checks what could not be checked before the whole file was read.
func (r *rebuilder) finish() error {
	for _, s := range r.sparses {
		for _, t := range []*Tensor{s.Indices, s.Compressed, s.Plain} {
			if t == nil || t.whole() && t.DType == Int64 {
				continue
			}
			if err := r.budget.Take(16 * t.Numel()); err != nil { // a copy, and one as int64
				return fmt.Errorf("%w: sparse tensor of size %v: %w", ErrFormat, s.Shape, err)
			}
		}
		if err := s.checkIndices(); err != nil {
			return err
		}
	}
	return nil
}

// tensor is torch._utils._rebuild_tensor(storage, offset, size, stride).
func (r *rebuilder) tensor(args []pickle.Value) (pickle.Value, error) {
	if len(args) != 4 {
		return nil, fmt.Errorf("_rebuild_tensor with %d arguments, expected 4", len(args))
	}
	return r.view(args, Invalid)
}

// tensorV2 is torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]).
func (r *rebuilder) tensorV2(args []pickle.Value) (pickle.Value, error) {
	if len(args) != 6 && len(args) != 7 {
		return nil, fmt.Errorf("_rebuild_tensor_v2 with %d arguments, expected 6 or 7", len(args))
	}
	t, err := r.view(args, Invalid)
	if err != nil {
		return nil, err
	}
	return t, t.finish(args[4], args[5], args[6:])
}

// tensorV3 is the same over an untyped storage, with the dtype before the metadata.
func (r *rebuilder) tensorV3(args []pickle.Value) (pickle.Value, error) {
	if len(args) != 7 && len(args) != 8 {
		return nil, fmt.Errorf("_rebuild_tensor_v3 with %d arguments, expected 7 or 8", len(args))
	}
	dtype, ok := args[6].(DType)
	if !ok {
		return nil, fmt.Errorf("tensor of type %s, expected a dtype", pickle.Describe(args[6]))
	}
	t, err := r.view(args, dtype)
	if err != nil {
		return nil, err
	}
	return t, t.finish(args[4], args[5], args[7:])
}

// view checks the first four arguments of every rebuild function. dtype is Invalid when the storage has it.
func (r *rebuilder) view(args []pickle.Value, dtype DType) (*Tensor, error) {
	storage, ok := args[0].(*Storage)
	if !ok {
		return nil, fmt.Errorf("tensor over %s, expected a storage", pickle.Describe(args[0]))
	}
	if storage.Untyped != (dtype != Invalid) {
		return nil, fmt.Errorf("tensor of storage %s: typed and untyped storages are mixed up", storage.Key)
	}
	if dtype == Invalid {
		dtype = storage.DType
	}
	offset, ok := args[1].(pickle.Int)
	if !ok || offset < 0 {
		return nil, fmt.Errorf("tensor of storage %s begins at %s, expected a count of elements", storage.Key, pickle.Describe(args[1]))
	}
	shape, err := counts(args[2], "size")
	if err != nil {
		return nil, fmt.Errorf("tensor of storage %s: %w", storage.Key, err)
	}
	strides, err := counts(args[3], "stride")
	if err != nil {
		return nil, fmt.Errorf("tensor of storage %s: %w", storage.Key, err)
	}
	if len(shape) != len(strides) {
		return nil, fmt.Errorf("tensor of storage %s: %d sizes and %d strides", storage.Key, len(shape), len(strides))
	}
	if err := r.budget.Take(int64(400 + 16*len(shape))); err != nil {
		return nil, err
	}
	t := &Tensor{DType: dtype, Shape: shape, storage: storage, offset: int64(offset), strides: strides}
	return t, r.bound(t)
}

// counts reads a size or stride tuple.
func counts(v pickle.Value, what string) ([]int64, error) {
	if size, ok := v.(Size); ok {
		return size, nil
	}
	tuple, ok := v.(*pickle.Tuple)
	if !ok || len(tuple.Items) > maxDims {
		return nil, fmt.Errorf("%s is %s, expected a tuple of at most %d", what, pickle.Describe(v), maxDims)
	}
	out := make([]int64, len(tuple.Items))
	for i, item := range tuple.Items {
		n, ok := item.(pickle.Int)
		if !ok || n < 0 || n > maxBytes {
			return nil, fmt.Errorf("%s %d is %s, expected 0 to %d", what, i, pickle.Describe(item), int64(maxBytes))
		}
		out[i] = int64(n)
	}
	return out, nil
}

// bound checks that a view lies within its storage and within the limits of expansion.
func (r *rebuilder) bound(t *Tensor) error {
	for _, d := range t.Shape {
		if d == 0 {
			// No element is ever touched; only the product of the other lengths is checked.
			return t.boundEmpty()
		}
	}
	size := int64(t.DType.Size())
	have := t.storage.byteLen() / size
	numel, last := int64(1), t.offset
	for i, d := range t.Shape {
		if numel > maxBytes/d {
			return fmt.Errorf("tensor of storage %s: size %v overflows", t.storage.Key, t.Shape)
		}
		numel *= d
		if d > 1 && t.strides[i] > maxBytes/(d-1) {
			return fmt.Errorf("tensor of storage %s: stride %v overflows", t.storage.Key, t.strides)
		}
		// At most 64 additions of less than 2^56 to an int64 stay below 2^63.
		last += (d - 1) * t.strides[i]
		if last >= have || last < 0 {
			return fmt.Errorf("tensor of storage %s: size %v, stride %v and offset %d reach beyond its %d elements", t.storage.Key, t.Shape, t.strides, t.offset, have)
		}
	}
	if t.offset >= have {
		return fmt.Errorf("tensor of storage %s begins at %d, beyond its %d elements", t.storage.Key, t.offset, have)
	}
	if numel > maxBytes/size {
		return fmt.Errorf("tensor of storage %s: size %v overflows", t.storage.Key, t.Shape)
	}
	if t.whole() {
		return nil
	}
	if numel > have {
		if r.expanded -= numel * size; r.expanded < 0 {
			return fmt.Errorf("tensor of storage %s: size %v over %d elements expands beyond the limit", t.storage.Key, t.Shape, have)
		}
	}
	if r.views -= numel * size; r.views < 0 {
		return fmt.Errorf("tensor of storage %s: views of size %v and others take more memory than the limit", t.storage.Key, t.Shape)
	}
	return nil
}

func (t *Tensor) boundEmpty() error {
	product := int64(1)
	for _, d := range t.Shape {
		if d = max(d, 1); product > maxBytes/d {
			return fmt.Errorf("tensor of storage %s: size %v overflows", t.storage.Key, t.Shape)
		}
		product *= max(d, 1)
	}
	return nil
}

// finish takes requires_grad, the hooks, which must be none, and the metadata of lazy views.
func (t *Tensor) finish(grad, hooks pickle.Value, metadata []pickle.Value) error {
	flag, ok := grad.(pickle.Bool)
	if !ok {
		return fmt.Errorf("requires_grad is %s, expected a bool", pickle.Describe(grad))
	}
	t.RequiresGrad = bool(flag)
	if err := noHooks(hooks); err != nil {
		return err
	}
	if len(metadata) == 0 {
		return nil
	}
	if _, none := metadata[0].(pickle.None); none {
		return nil
	}
	dict, ok := metadata[0].(*pickle.Dict)
	if !ok {
		return fmt.Errorf("tensor metadata is %s, expected a dict", pickle.Describe(metadata[0]))
	}
	for _, e := range dict.Entries() {
		name, isName := e.Key.(pickle.Str)
		on, isFlag := e.Value.(pickle.Bool)
		fam := dtypes[t.DType].family
		switch {
		case isName && isFlag && name == "conj" && (!bool(on) || fam == complexPair):
			t.conj = bool(on)
		case isName && isFlag && name == "neg" && (!bool(on) || fam != integral):
			t.negative = bool(on)
		default:
			return fmt.Errorf("tensor metadata %s: %s for %s, expected conj or neg", pickle.Describe(e.Key), pickle.Describe(e.Value), t.DType)
		}
	}
	return nil
}

// noHooks accepts an empty OrderedDict or None.
func noHooks(v pickle.Value) error {
	if _, none := v.(pickle.None); none {
		return nil
	}
	if d, ok := v.(*pickle.Dict); ok && d.Ordered && d.Len() == 0 && d.State == nil {
		return nil
	}
	return fmt.Errorf("backward hooks are %s, expected an empty OrderedDict", pickle.Describe(v))
}

// parameter is torch._utils._rebuild_parameter(tensor, requires_grad, hooks).
func (r *rebuilder) parameter(args []pickle.Value) (pickle.Value, error) {
	if len(args) != 3 {
		return nil, fmt.Errorf("_rebuild_parameter with %d arguments, expected 3", len(args))
	}
	inner, ok := args[0].(*Tensor)
	if !ok {
		return nil, fmt.Errorf("parameter of %s, expected a tensor", pickle.Describe(args[0]))
	}
	if err := r.budget.Take(400); err != nil {
		return nil, err
	}
	t := *inner
	t.Parameter = true
	return &t, t.finish(args[1], args[2], nil)
}

// parameterWithState is the same with Python attributes behind.
func (r *rebuilder) parameterWithState(args []pickle.Value) (pickle.Value, error) {
	if len(args) != 4 {
		return nil, fmt.Errorf("_rebuild_parameter_with_state with %d arguments, expected 4", len(args))
	}
	v, err := r.parameter(args[:3])
	if err != nil {
		return nil, err
	}
	v.(*Tensor).Attrs = args[3]
	return v, nil
}

// fromType is torch._tensor._rebuild_from_type_v2(function, type, arguments, state) for plain tensors.
func (r *rebuilder) fromType(args []pickle.Value) (pickle.Value, error) {
	if len(args) != 4 {
		return nil, fmt.Errorf("_rebuild_from_type_v2 with %d arguments, expected 4", len(args))
	}
	inner, ok := args[2].(*pickle.Tuple)
	if !ok {
		return nil, fmt.Errorf("_rebuild_from_type_v2 of %s, expected a tuple of arguments", pickle.Describe(args[2]))
	}
	var rebuild pickle.Maker
	switch args[0] {
	case pickle.Global{Module: "torch._utils", Name: "_rebuild_tensor_v2"}:
		rebuild = r.tensorV2
	case pickle.Global{Module: "torch._utils", Name: "_rebuild_tensor_v3"}:
		rebuild = r.tensorV3
	default:
		return nil, fmt.Errorf("_rebuild_from_type_v2 by %s, expected _rebuild_tensor_v2", pickle.Describe(args[0]))
	}
	v, err := rebuild(inner.Items)
	if err != nil {
		return nil, err
	}
	t := v.(*Tensor)
	switch args[1] {
	case pickle.Global{Module: "torch", Name: "Tensor"}:
	case pickle.Global{Module: "torch.nn.parameter", Name: "Parameter"}:
		t.Parameter = true
	default:
		return nil, fmt.Errorf("tensor of class %s, expected torch.Tensor", pickle.Describe(args[1]))
	}
	t.Attrs = args[3]
	return t, nil
}

// nestedCost is about what reading a file within a pickle takes beside its machines.
const nestedCost = 1024

// storageFromBytes is torch.storage._load_from_bytes(bytes), how pickle.dump saves a storage: a file of the old format
// whose object is the storage itself. It may hold no further file.
func (r *rebuilder) storageFromBytes(args []pickle.Value) (pickle.Value, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("_load_from_bytes with %d arguments, expected one", len(args))
	}
	data, ok := args[0].(pickle.Bytes)
	if !ok {
		return nil, fmt.Errorf("_load_from_bytes of %s, expected bytes", pickle.Describe(args[0]))
	}
	if r.nested -= int64(len(data)); r.nested < 0 {
		return nil, errors.New("_load_from_bytes within another or of more bytes than the file has")
	}
	// What the machines of the inner file take, and the storage.
	if err := r.budget.Take(nestedCost); err != nil {
		return nil, err
	}
	inner, err := loadLegacy(data, pickle.Config{Globals: storageClasses(), Budget: r.budget})
	if err != nil {
		return nil, fmt.Errorf("_load_from_bytes: %w", err)
	}
	if _, ok := inner.Root.(*Storage); !ok {
		return nil, fmt.Errorf("_load_from_bytes of %s, expected a storage", pickle.Describe(inner.Root))
	}
	return inner.Root, nil
}

func makeSize(args []pickle.Value) (pickle.Value, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("torch.Size with %d arguments, expected one", len(args))
	}
	size, err := counts(args[0], "torch.Size")
	if err != nil {
		return nil, err
	}
	return Size(size), nil
}

// makeDevice takes torch.device("cuda", 0) or torch.device("cpu").
func makeDevice(args []pickle.Value) (pickle.Value, error) {
	name, ok := pickle.Value(nil), false
	if len(args) == 1 || len(args) == 2 {
		name, ok = args[0], true
	}
	text, isText := name.(pickle.Str)
	if !ok || !isText || !isLocation(string(text)) {
		return nil, fmt.Errorf("torch.device of %s, expected a device name", pickle.Describe(name))
	}
	if len(args) == 1 {
		return Device(text), nil
	}
	index, isInt := args[1].(pickle.Int)
	if !isInt || index < 0 {
		return nil, fmt.Errorf("torch.device of index %s, expected a number", pickle.Describe(args[1]))
	}
	return Device(fmt.Sprintf("%s:%d", text, index)), nil
}
