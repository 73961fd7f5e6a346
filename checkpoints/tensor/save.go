package tensor

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
)

// Save writes a value with its tensors to w as torch.save of PyTorch 2.11 does; root is the folder within
// the archive (see container.Root). Every tensor gets a storage of its own on the CPU, views are written out. The
// order of writes is fixed, so equal values give equal bytes.
func Save(w io.Writer, root string, v pickle.Value, options ...SaveOption) error {
	var o saveOptions
	for _, option := range options {
		option(&o)
	}
	s := saver{}
	main, err := pickle.Encode(v, s.translate)
	if err != nil {
		return err
	}
	out := container.NewWriter(w, root)
	records := []struct{ name, data string }{
		{container.RecordPickle, string(main)},
		{container.RecordFormatVersion, "1"},
		{container.RecordAlignment, "64"},
		{container.RecordByteOrder, "little"},
	}
	add := out.AddFunc
	if o.deflate {
		// The layout that these two promise, of payloads at places that can be calculated, is not kept.
		records = append(records[:1], records[3])
		add = out.AddDeflated
	}
	for _, r := range records {
		if err := out.Add(r.name, []byte(r.data)); err != nil {
			return err
		}
	}
	for i, t := range s.tensors {
		// Views are materialised one at a time.
		if err := add(container.StoragePrefix+strconv.Itoa(i), t.Numel()*int64(t.DType.Size()), t.writeTo); err != nil {
			return err
		}
	}
	if err := out.Add(container.RecordVersion, []byte("3\n")); err != nil {
		return err
	}
	return out.Close()
}

// SaveOption changes how Save writes.
type SaveOption func(*saveOptions)

type saveOptions struct{ deflate bool }

// Deflate compresses the storages. torch.load reads such a file, but not with mmap=True.
func Deflate() SaveOption { return func(o *saveOptions) { o.deflate = true } }

// saver numbers the storages in the order in which the pickle names them.
type saver struct {
	tensors []*Tensor
	// storage makes what a tensor's storage is pickled as; nil: an object outside the pickle, by its id.
	storage func(*Tensor, *pickle.Tuple) (pickle.Value, error)
}

func (s *saver) translate(v pickle.Value) (pickle.Value, error) {
	switch v := v.(type) {
	case *Tensor:
		return s.tensor(v)
	case DType:
		if v == Invalid || int(v) >= len(dtypes) {
			return nil, errors.New("invalid dtype")
		}
		return pickle.Global{Module: "torch", Name: v.String()}, nil
	case Size:
		return &pickle.Call{Func: pickle.Global{Module: "torch", Name: "Size"}, Args: pickle.NewTuple(ints(v))}, nil
	case Device:
		return &pickle.Call{Func: pickle.Global{Module: "torch", Name: "device"}, Args: pickle.NewTuple(pickle.Str(v))}, nil
	}
	return nil, fmt.Errorf("a %T cannot be saved", v)
}

func (s *saver) tensor(t *Tensor) (pickle.Value, error) {
	if t.Attrs != nil {
		return nil, errors.New("a tensor with Python attributes cannot be saved")
	}
	if t.DType == Invalid || t.DType.quantized() {
		return nil, fmt.Errorf("a tensor of %s cannot be saved", t.DType)
	}
	count := t.Numel()
	typed := dtypes[t.DType].storage != ""
	if !typed {
		count *= int64(t.DType.Size())
	}
	// The key is made while pickling, so CPython never shares it with an equal string.
	id := pickle.NewTuple(pickle.Str("storage"), t.DType.storageClass(), &pickle.Text{S: strconv.Itoa(len(s.tensors))}, pickle.Str("cpu"), pickle.Int(count))
	s.tensors = append(s.tensors, t)
	storage := pickle.Value(pickle.Persistent{ID: id})
	if s.storage != nil {
		var err error
		if storage, err = s.storage(t, id); err != nil {
			return nil, err
		}
	}
	args := pickle.NewTuple(storage, pickle.Int(0), ints(t.Shape), ints(contiguous(t.Shape)), pickle.Bool(t.RequiresGrad && !t.Parameter), &pickle.Dict{Ordered: true})
	name := "_rebuild_tensor_v2"
	if !typed {
		name = "_rebuild_tensor_v3"
		args.Items = append(args.Items, t.DType)
	}
	call := &pickle.Call{Func: pickle.Global{Module: "torch._utils", Name: name}, Args: args}
	if !t.Parameter {
		return call, nil
	}
	return &pickle.Call{
		Func: pickle.Global{Module: "torch._utils", Name: "_rebuild_parameter"},
		Args: pickle.NewTuple(call, pickle.Bool(t.RequiresGrad), &pickle.Dict{Ordered: true}),
	}, nil
}

func ints(values []int64) *pickle.Tuple {
	items := make([]pickle.Value, len(values))
	for i, n := range values {
		items[i] = pickle.Int(n)
	}
	return &pickle.Tuple{Items: items}
}
