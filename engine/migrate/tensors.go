package migrate

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// maxItems bounds the tensors that a report lists of one file; all are
// verified.
const maxItems = 100_000

// load parses a file strictly: only classes that are known.
func load(name string, data []byte) (pickle.Value, error) {
	file, err := tensor.Load(data, tensor.Options{})
	if err != nil {
		return nil, &checkpoints.FileError{File: name, Err: err}
	}
	return file.Root, nil
}

// walker lists the tensors of a value. Values may share parts: each is
// visited once, so the time is that of the file whatever it shares.
type walker struct {
	file   string
	finite bool                  // refuse NaN and infinity
	seen   map[pickle.Value]bool // of pointers
	items  []Item
}

// tensorsOf lists the tensors of a value by key and, with finite, refuses one
// that holds NaN or infinity.
func tensorsOf(file string, root pickle.Value, finite bool) ([]Item, error) {
	w := walker{file: file, finite: finite, seen: map[pickle.Value]bool{}}
	err := w.visit("", root)
	return w.items, err
}

// documentItems lists the tensors of a vector memory as tensorsOf does.
func documentItems(file string, m *checkpoints.VectorMemory) ([]Item, error) {
	w := walker{file: file, finite: true, seen: map[pickle.Value]bool{}}
	for i := range m.Entries {
		e := &m.Entries[i]
		values := []pickle.Entry{{Key: pickle.Str("compression_stats"), Value: e.Stats}}
		if e.Embedding != nil {
			values = append(values, pickle.Entry{Key: pickle.Str("embedding"), Value: e.Embedding})
		}
		if e.Metadata != nil {
			values = append(values, pickle.Entry{Key: pickle.Str("metadata"), Value: e.Metadata})
		}
		if e.More != nil {
			values = append(values, e.More.Entries()...)
		}
		for _, value := range values {
			if err := w.visit("entries."+e.ID+"."+keyText(value.Key), value.Value); err != nil {
				return nil, err
			}
		}
	}
	if m.Rest == nil {
		return w.items, nil
	}
	err := w.visit("", m.Rest)
	return w.items, err
}

func (w *walker) visit(key string, v pickle.Value) error {
	children := childrenOf(v)
	t, isTensor := v.(*tensor.Tensor)
	if len(children) == 0 && !isTensor {
		return nil
	}
	if w.seen[v] {
		return nil
	}
	w.seen[v] = true
	if isTensor {
		if i := notFinite(t); w.finite && i >= 0 {
			return &checkpoints.FileError{File: w.file, Key: key, Err: fmt.Errorf("element %d is NaN or infinite, expected finite numbers", i)}
		}
		if len(w.items) < maxItems {
			w.items = append(w.items, tensorItem(key, t))
		}
	}
	for _, e := range children {
		if err := w.visit(join(key, keyText(e.Key)), e.Value); err != nil {
			return err
		}
	}
	return nil
}

// childrenOf lists what a value holds, with its key or index in it. What has
// children is a pointer, so it can be the key of a map.
func childrenOf(v pickle.Value) []pickle.Entry {
	switch v := v.(type) {
	case *pickle.Dict:
		entries := v.Entries()
		if v.State != nil {
			entries = append(entries[:len(entries):len(entries)], pickle.Entry{Key: pickle.Str("(state)"), Value: v.State})
		}
		return entries
	case *pickle.List:
		return numbered(v.Items)
	case *pickle.Tuple:
		return numbered(v.Items)
	case *pickle.Set:
		return numbered(v.Items)
	case *pickle.Deque:
		return numbered(v.Items)
	case *pickle.Record:
		if v.Fields != nil {
			return v.Fields.Entries()
		}
	case pickle.Parent:
		return numbered(v.Children())
	}
	return nil
}

func numbered(values []pickle.Value) []pickle.Entry {
	entries := make([]pickle.Entry, len(values))
	for i, v := range values {
		entries[i] = pickle.Entry{Key: pickle.Int(i), Value: v}
	}
	return entries
}

func tensorItem(key string, t *tensor.Tensor) Item {
	return Item{Key: key, DType: t.DType.String(), Shape: append([]int64{}, t.Shape...), Result: Taken}
}

func join(key, next string) string {
	if key == "" {
		return next
	}
	return key + "." + next
}

func keyText(v pickle.Value) string {
	switch v := v.(type) {
	case pickle.Str:
		return string(v)
	case pickle.Int:
		return strconv.FormatInt(int64(v), 10)
	}
	return pickle.Describe(v)
}

// exponents is the mask of the bits that are all set in a NaN or an infinity,
// by the type of a tensor's numbers, and the size of one in bytes. Complex
// numbers are two.
func exponents(d tensor.DType) (mask uint64, size int) {
	switch d {
	case tensor.Float64, tensor.Complex128:
		return 0x7ff0 << 48, 8
	case tensor.Float32, tensor.Complex64:
		return 0x7f80 << 16, 4
	case tensor.Float16, tensor.Complex32:
		return 0x7c00, 2
	case tensor.BFloat16:
		return 0x7f80, 2
	case tensor.Float8E5M2:
		return 0x7c, 1
	case tensor.Float8E4M3FN:
		return 0x7f, 1
	}
	return 0, 0 // every pattern of bits is a number, or nothing here computes with it
}

// notFinite is the index of a tensor's first NaN or infinity, -1 without.
func notFinite(t *tensor.Tensor) int {
	mask, size := exponents(t.DType)
	if size == 0 {
		return -1
	}
	data := t.Bytes()
	per := max(t.DType.Size()/size, 1)
	for i := 0; i+size <= len(data); i += size {
		var word uint64
		switch size {
		case 8:
			word = binary.LittleEndian.Uint64(data[i:])
		case 4:
			word = uint64(binary.LittleEndian.Uint32(data[i:]))
		case 2:
			word = uint64(binary.LittleEndian.Uint16(data[i:]))
		default:
			word = uint64(data[i])
		}
		if word&mask == mask {
			return i / size / per
		}
	}
	return -1
}

// zeroBeyond says whether the rows of a tensor from row n on are zero.
func zeroBeyond(t *tensor.Tensor, n int) bool {
	if len(t.Shape) == 0 || int64(n) >= t.Shape[0] {
		return true
	}
	data := t.Bytes()
	for _, b := range data[len(data)/int(t.Shape[0])*n:] {
		if b != 0 {
			return false
		}
	}
	return true
}
