package tensor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
)

// Dump writes a value as Python's pickle.dump of protocol 3 does: each tensor holds a file of the old format with its
// storage. The pickle is put together in memory, so it takes as much as the file. Python needs the modules of the
// records among the values to read it.
func Dump(w io.Writer, v pickle.Value) error {
	data, err := pickle.EncodeAs(3, v, dumped)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// dumped makes the calls that pickle.dump writes for values of this package.
func dumped(v pickle.Value) (pickle.Value, error) {
	t, ok := v.(*Tensor)
	if !ok {
		return (&saver{}).translate(v)
	}
	call, err := (&saver{storage: dumpedStorage}).tensor(t)
	if err != nil {
		return nil, err
	}
	return call, nil
}

// dumpedStorage is the call that reads the bytes of one storage.
func dumpedStorage(t *Tensor, id *pickle.Tuple) (pickle.Value, error) {
	var out bytes.Buffer
	out.Grow(int(t.Numel())*t.DType.Size() + 512)
	out.Write(legacyMagic)
	out.Write(legacyHead)
	key, count := id.Items[2], id.Items[4].(pickle.Int)
	for _, part := range []pickle.Value{
		pickle.Persistent{ID: &pickle.Tuple{Items: append(id.Items[:5:5], pickle.None{})}},
		&pickle.List{Items: []pickle.Value{key}},
	} {
		b, err := pickle.Encode(part, nil)
		if err != nil {
			return nil, err
		}
		out.Write(b)
	}
	out.Write(binary.LittleEndian.AppendUint64(nil, uint64(count)))
	if err := t.writeTo(&out); err != nil {
		return nil, fmt.Errorf("storage of a tensor: %w", err)
	}
	if out.Len() > maxNested {
		return nil, errors.New("tensor is larger than 2 GiB")
	}
	return &pickle.Call{Func: pickle.Global{Module: "torch.storage", Name: "_load_from_bytes"}, Args: pickle.NewTuple(pickle.Bytes(out.Bytes()))}, nil
}

const maxNested = 1<<31 - 1
