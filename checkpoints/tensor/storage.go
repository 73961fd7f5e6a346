package tensor

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
)

// Storage is the memory behind one or more tensors.
type Storage struct {
	// DType is the element type that the file gives the storage; Uint8 when it is untyped.
	DType DType
	// Untyped tells that the file gives none.
	Untyped bool
	// Key is the name of the storage in its file.
	Key string
	// Location is the device it was saved from, such as "cpu" or "cuda:0".
	Location string
	// Numel is the number of elements.
	Numel int64
	data  []byte
	fill  func(io.Writer) error // writes the elements when there is no data
}

// Bytes are the raw little-endian elements, not to be written to.
func (s *Storage) Bytes() []byte {
	if s.fill == nil {
		return s.data
	}
	var b bytes.Buffer
	b.Grow(int(s.byteLen()))
	_ = s.fill(&b) // a bytes.Buffer never fails
	return b.Bytes()
}

func (s *Storage) byteLen() int64 { return s.Numel * int64(s.DType.Size()) }

const maxBytes = 1 << 56

// storages resolves the persistent ids of one file.
type storages struct {
	known map[string]*Storage
	// find attaches the bytes of a new storage; in the old format they come later.
	find func(s *Storage) error
	// fields is the length of an id: 5, in the old format 6.
	fields int
}

// resolve reads one id: ('storage', class, key, location, numel), with a view in the old format.
func (t *storages) resolve(id pickle.Value) (pickle.Value, error) {
	tuple, ok := id.(*pickle.Tuple)
	if !ok || len(tuple.Items) != t.fields {
		return nil, fmt.Errorf("persistent id is %s, expected a tuple of %d", pickle.Describe(id), t.fields)
	}
	kind, ok := tuple.Items[0].(pickle.Str)
	if !ok || kind != "storage" {
		return nil, fmt.Errorf("persistent id is of %s, expected \"storage\"", pickle.Describe(tuple.Items[0]))
	}
	class, ok := tuple.Items[1].(pickle.Global)
	if !ok {
		return nil, fmt.Errorf("storage of %s, expected a class", pickle.Describe(tuple.Items[1]))
	}
	dtype, untyped, ok := storageType(class)
	if !ok {
		return nil, fmt.Errorf("storage of %s, which is no storage class of PyTorch", pickle.Describe(class))
	}
	key, ok := tuple.Items[2].(pickle.Str)
	if !ok || !isDigits(string(key)) {
		return nil, fmt.Errorf("storage has key %s, expected digits", pickle.Describe(tuple.Items[2]))
	}
	location, ok := tuple.Items[3].(pickle.Str)
	if !ok || !isLocation(string(location)) {
		return nil, fmt.Errorf("storage %s has location %s, expected a device such as \"cpu\" or \"cuda:0\"", key, pickle.Describe(tuple.Items[3]))
	}
	numel, ok := tuple.Items[4].(pickle.Int)
	if !ok || numel < 0 || int64(numel) > maxBytes/int64(dtype.Size()) {
		return nil, fmt.Errorf("storage %s has element count %s, expected 0 to %d", key, pickle.Describe(tuple.Items[4]), maxBytes/int64(dtype.Size()))
	}
	if t.fields == 6 {
		if _, none := tuple.Items[5].(pickle.None); !none {
			return nil, fmt.Errorf("storage %s is a view of another, as only versions before 0.4 wrote", key)
		}
	}
	s := &Storage{DType: dtype, Untyped: untyped, Key: string(key), Location: string(location), Numel: int64(numel)}
	if old, seen := t.known[s.Key]; seen {
		if old.DType != s.DType || old.Untyped != s.Untyped || old.Numel != s.Numel || old.Location != s.Location {
			return nil, fmt.Errorf("storage %s is %d × %s on %s here and %d × %s on %s before", key, s.Numel, s.DType, s.Location, old.Numel, old.DType, old.Location)
		}
		return old, nil
	}
	if err := t.find(s); err != nil {
		return nil, err
	}
	t.known[s.Key] = s
	return s, nil
}

func isDigits(s string) bool {
	return s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == ""
}

// isLocation accepts what PyTorch writes: a device type, and a number for some.
func isLocation(s string) bool {
	name, index, numbered := strings.Cut(s, ":")
	if name == "" || len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return false
	}
	return !numbered || isDigits(index)
}
