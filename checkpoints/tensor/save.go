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
func Save(w io.Writer, root string, v pickle.Value) error {
	s := saver{}
	main, err := pickle.Encode(v, s.translate)
	if err != nil {
		return err
	}
	out := container.NewWriter(w, root)
	records := []struct {
		name string
		data []byte
	}{
		{container.RecordPickle, main},
		{container.RecordFormatVersion, []byte("1")},
		{container.RecordAlignment, []byte("64")},
		{container.RecordByteOrder, []byte("little")},
	}
	for _, r := range records {
		if err := out.Add(r.name, r.data); err != nil {
			return err
		}
	}
	for i, t := range s.tensors {
		// Views are materialised one at a time.
		if err := out.AddFunc(container.StoragePrefix+strconv.Itoa(i), t.Numel()*int64(t.DType.Size()), t.writeTo); err != nil {
			return err
		}
	}
	if err := out.Add(container.RecordVersion, []byte("3\n")); err != nil {
		return err
	}
	return out.Close()
}

// saver numbers the storages in the order in which the pickle names them.
type saver struct{ tensors []*Tensor }

func (s *saver) translate(v pickle.Value) (pickle.Value, error) {
	switch v := v.(type) {
	case *Tensor:
		return s.tensor(v)
	case DType:
		if v == Invalid || int(v) >= len(dtypes) {
			return nil, errors.New("invalid dtype")
		}
		return pickle.Global{Module: "torch", Name: v.String()}, nil
	case Device:
		return &pickle.Call{Func: pickle.Global{Module: "torch", Name: "device"}, Args: pickle.NewTuple(pickle.Str(v))}, nil
	}
	return nil, fmt.Errorf("a %T cannot be saved", v)
}

func (s *saver) tensor(t *Tensor) (pickle.Value, error) {
	if t.Attrs != nil {
		return nil, errors.New("a tensor with Python attributes cannot be saved")
	}
	if t.DType == Invalid || t.DType == QInt8 || t.DType == QUInt8 || t.DType == QInt32 {
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
	args := pickle.NewTuple(pickle.Persistent{ID: id}, pickle.Int(0), ints(t.Shape), ints(contiguous(t.Shape)), pickle.Bool(t.RequiresGrad && !t.Parameter), &pickle.Dict{Ordered: true})
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
