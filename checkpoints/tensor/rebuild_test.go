package tensor_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// archive builds a file by hand whose pickle holds root and whose only storages are the given records.
func archive(t *testing.T, root pickle.Value, records ...[]byte) []byte {
	t.Helper()
	main, err := pickle.Encode(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := container.NewWriter(&out, "archive")
	add := func(name string, data []byte) {
		if err := w.Add(name, data); err != nil {
			t.Fatal(err)
		}
	}
	add("data.pkl", main)
	for i, r := range records {
		add("data/"+string(rune('0'+i)), r)
	}
	add("version", []byte("3\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func tuple(items ...pickle.Value) *pickle.Tuple { return &pickle.Tuple{Items: items} }

func sizes(n ...int64) *pickle.Tuple {
	out := &pickle.Tuple{}
	for _, v := range n {
		out.Items = append(out.Items, pickle.Int(v))
	}
	return out
}

func global(module, name string) pickle.Global { return pickle.Global{Module: module, Name: name} }

// storage is a persistent id over 4 float32.
func storage(change func(id []pickle.Value)) pickle.Persistent {
	id := []pickle.Value{pickle.Str("storage"), global("torch", "FloatStorage"), pickle.Str("0"), pickle.Str("cpu"), pickle.Int(4)}
	if change != nil {
		change(id)
	}
	return pickle.Persistent{ID: tuple(id...)}
}

// view is a call of _rebuild_tensor_v2.
func view(s pickle.Value, offset int64, size, stride *pickle.Tuple) *pickle.Call {
	return call("_rebuild_tensor_v2", s, pickle.Int(offset), size, stride, pickle.Bool(false), &pickle.Dict{Ordered: true})
}

func call(name string, args ...pickle.Value) *pickle.Call {
	return &pickle.Call{Func: global("torch._utils", name), Args: tuple(args...)}
}

// TestViewBounds checks every rule about a tensor's place in its storage, and its neighbours that hold.
func TestViewBounds(t *testing.T) {
	four := make([]byte, 16)
	empty := &pickle.Dict{Ordered: true}
	for _, c := range []struct {
		name  string
		value pickle.Value
		want  string // part of the error, empty: read
	}{
		{"whole", view(storage(nil), 0, sizes(2, 2), sizes(2, 1)), ""},
		{"transposed", view(storage(nil), 0, sizes(2, 2), sizes(1, 2)), ""},
		{"scalar", view(storage(nil), 3, sizes(), sizes()), ""},
		{"empty far out", view(storage(nil), 9, sizes(0, 7), sizes(7, 1)), ""},
		{"expanded a little", view(storage(nil), 1, sizes(1000), sizes(0)), ""},
		{"one beyond", view(storage(nil), 1, sizes(2, 2), sizes(2, 1)), "reach beyond"},
		{"scalar beyond", view(storage(nil), 4, sizes(), sizes()), "beyond its 4"},
		{"offset negative", view(storage(nil), -1, sizes(2), sizes(1)), "expected a count"},
		{"size negative", view(storage(nil), 0, sizes(-1), sizes(1)), "size 0 is int -1"},
		{"stride negative", view(storage(nil), 3, sizes(2), sizes(-1)), "stride 0 is int -1"},
		{"stride overflows", view(storage(nil), 0, sizes(1<<40, 2), sizes(1<<55, 1)), "overflows"},
		{"stride wraps to zero", view(storage(nil), 0, sizes(257), sizes(1<<56)), "overflows"},
		{"size overflows", view(storage(nil), 0, sizes(1<<30, 1<<30), sizes(0, 0)), "overflows"},
		{"size overflows beside 0", view(storage(nil), 0, sizes(1<<40, 1<<40, 0), sizes(0, 0, 1)), "overflows"},
		{"expand bomb", view(storage(nil), 0, sizes(1<<40), sizes(0)), "expands beyond"},
		{"ranks differ", view(storage(nil), 0, sizes(2, 2), sizes(1)), "2 sizes and 1 strides"},
		{"65 dimensions", view(storage(nil), 0, sizes(make([]int64, 65)...), sizes(make([]int64, 65)...)), "at most 64"},
		{"size no tuple", call("_rebuild_tensor_v2", storage(nil), pickle.Int(0), pickle.Int(4), sizes(1), pickle.Bool(false), empty), "expected a tuple"},
		{"grad no bool", call("_rebuild_tensor_v2", storage(nil), pickle.Int(0), sizes(4), sizes(1), pickle.Int(0), empty), "expected a bool"},
		{"hooks", call("_rebuild_tensor_v2", storage(nil), pickle.Int(0), sizes(4), sizes(1), pickle.Bool(false), hooks(t)), "backward hooks"},
		{"neg of float", call("_rebuild_tensor_v2", storage(nil), pickle.Int(0), sizes(4), sizes(1), pickle.Bool(false), empty, pickle.NewDict("neg", pickle.Bool(true))), ""},
		{"conj of float", call("_rebuild_tensor_v2", storage(nil), pickle.Int(0), sizes(4), sizes(1), pickle.Bool(false), empty, pickle.NewDict("conj", pickle.Bool(true))), "conj"},
		{"5 arguments", call("_rebuild_tensor_v2", storage(nil), pickle.Int(0), sizes(4), sizes(1), pickle.Bool(false)), "5 arguments"},
		{"no storage", view(pickle.Str("0"), 0, sizes(1), sizes(1)), "expected a storage"},
		{"typed with v3", call("_rebuild_tensor_v3", storage(nil), pickle.Int(0), sizes(4), sizes(1), pickle.Bool(false), empty, global("torch", "float32")), "mixed up"},
		{"v3 without type", call("_rebuild_tensor_v3", storage(nil), pickle.Int(0), sizes(4), sizes(1), pickle.Bool(false), empty, pickle.Int(1)), "expected a dtype"},
		{"parameter of text", call("_rebuild_parameter", pickle.Str("x"), pickle.Bool(true), empty), "expected a tensor"},
		{"key with letters", view(storage(func(id []pickle.Value) { id[2] = pickle.Str("a") }), 0, sizes(1), sizes(1)), "expected digits"},
		{"key absent", view(storage(func(id []pickle.Value) { id[2] = pickle.Str("7") }), 0, sizes(1), sizes(1)), "no record"},
		{"unknown class", view(storage(func(id []pickle.Value) { id[1] = global("torch", "float32") }), 0, sizes(1), sizes(1)), "expected a class"},
		{"count too large", view(storage(func(id []pickle.Value) { id[4] = pickle.Int(5) }), 0, sizes(1), sizes(1)), "its record has 16"},
		{"count too small", view(storage(func(id []pickle.Value) { id[4] = pickle.Int(3) }), 0, sizes(1), sizes(1)), "its record has 16"},
		{"not a storage", view(storage(func(id []pickle.Value) { id[0] = pickle.Str("module") }), 0, sizes(1), sizes(1)), "expected \"storage\""},
		{"location of spaces", view(storage(func(id []pickle.Value) { id[3] = pickle.Str("c p u") }), 0, sizes(1), sizes(1)), "expected a device"},
		{"id of 4", view(pickle.Persistent{ID: sizes(1, 2, 3, 4)}, 0, sizes(1), sizes(1)), "tuple of 5"},
		{"two types", &pickle.List{Items: []pickle.Value{
			view(storage(nil), 0, sizes(1), sizes(1)),
			view(storage(func(id []pickle.Value) { id[1] = global("torch", "IntStorage") }), 0, sizes(1), sizes(1)),
		}}, "before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := tensor.Load(archive(t, c.value, four), tensor.Options{})
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v, want it read", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want an error with %q", err, c.want)
			case c.want != "" && !errors.Is(err, pickle.ErrFormat):
				t.Errorf("got %v, want it to match pickle.ErrFormat", err)
			}
		})
	}
}

func hooks(t *testing.T) pickle.Value {
	d := &pickle.Dict{Ordered: true}
	if err := d.Add(pickle.Int(0), pickle.Str("hook")); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestExpansionBudget adds up views: none is large, together they are.
func TestExpansionBudget(t *testing.T) {
	views := &pickle.List{}
	for range 5000 {
		views.Items = append(views.Items, view(storage(nil), 0, sizes(10_000), sizes(0)))
	}
	data := archive(t, views, make([]byte, 16))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := tensor.Load(data, tensor.Options{})
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("5,000 views of 40 kB over 16 bytes: got %v, want them refused by the limit", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("took %d bytes, want at most 64 MiB", used)
	}
	if _, err := tensor.Load(data, tensor.Options{Expanded: 1 << 30}); err != nil {
		t.Errorf("with a limit of 1 GiB: got %v, want it read", err)
	}
}

// TestUnusedStorage names records that no tensor uses.
func TestUnusedStorage(t *testing.T) {
	file, err := tensor.Load(archive(t, view(storage(nil), 0, sizes(4), sizes(1)), make([]byte, 16), make([]byte, 8)), tensor.Options{})
	if err != nil || len(file.Unused) != 1 || file.Unused[0] != "1" {
		t.Errorf("got %v, %v, want storage 1 unused", file, err)
	}
}

// TestSparseAndQuantizedRefused breaks one rule at a time of tensors made of several parts.
func TestSparseAndQuantizedRefused(t *testing.T) {
	i64 := func(values ...int64) []byte {
		var b []byte
		for _, v := range values {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
		return b
	}
	typed := func(class, key string, numel int64) pickle.Persistent {
		return pickle.Persistent{ID: tuple(pickle.Str("storage"), global("torch", class), pickle.Str(key), pickle.Str("cpu"), pickle.Int(numel))}
	}
	whole := func(class, key string, numel int64, size, stride *pickle.Tuple) *pickle.Call {
		return view(typed(class, key, numel), 0, size, stride)
	}
	layout := func(name string) *pickle.Call {
		return &pickle.Call{Func: global("torch.serialization", "_get_layout"), Args: tuple(pickle.Str(name))}
	}
	coo := func(size *pickle.Tuple) pickle.Value {
		return call("_rebuild_sparse_tensor", layout("torch.sparse_coo"), tuple(
			whole("LongStorage", "0", 4, sizes(2, 2), sizes(2, 1)), whole("FloatStorage", "1", 2, sizes(2), sizes(1)), size, pickle.Bool(true)))
	}
	csr := func(size *pickle.Tuple) pickle.Value {
		return call("_rebuild_sparse_tensor", layout("torch.sparse_csr"), tuple(
			whole("LongStorage", "0", 4, sizes(4), sizes(1)), whole("LongStorage", "2", 2, sizes(2), sizes(1)), whole("FloatStorage", "1", 2, sizes(2), sizes(1)), size))
	}
	quantized := func(params ...pickle.Value) pickle.Value {
		return call("_rebuild_qtensor", typed("QInt8Storage", "1", 8), pickle.Int(0), sizes(2, 4), sizes(4, 1), tuple(params...), pickle.Bool(false), &pickle.Dict{Ordered: true})
	}
	affine := global("torch", "per_tensor_affine")
	channels := global("torch", "per_channel_affine")
	vector := func(class string, n int64) *pickle.Call {
		size := map[string]int64{"DoubleStorage": 4, "LongStorage": 4}[class]
		return whole(class, "0", size, sizes(n), sizes(1))
	}
	eight := make([]byte, 8)
	for _, c := range []struct {
		name    string
		value   pickle.Value
		first   []byte // storage 0
		plain   []byte // storage 2
		want    string
		storage []byte // storage 1
	}{
		{"coo", coo(sizes(2, 3)), i64(0, 1, 0, 2), nil, "", eight},
		{"coo index beyond", coo(sizes(2, 2)), i64(0, 1, 0, 2), nil, "index 1 of dimension 1 is 2", eight},
		{"coo index negative", coo(sizes(2, 3)), i64(0, -1, 0, 2), nil, "index 1 of dimension 0 is -1", eight},
		{"coo of one dimension", coo(sizes(2)), i64(0, 1, 0, 1), nil, "do not belong together", eight},
		{"coo values too many", coo(sizes(2, 3, 1)), i64(0, 1, 0, 1), nil, "do not belong together", eight},
		{"csr", csr(sizes(3, 4)), i64(0, 1, 1, 2), i64(3, 0), "", eight},
		{"csr column beyond", csr(sizes(3, 3)), i64(0, 1, 1, 2), i64(3, 0), "plain index 0 is 3", eight},
		{"csr rows differ", csr(sizes(4, 4)), i64(0, 1, 1, 2), i64(3, 0), "do not belong together", eight},
		{"csr not ascending", csr(sizes(3, 4)), i64(0, 2, 1, 2), i64(3, 0), "compressed index 2 of batch 0 is 1", eight},
		{"csr not from zero", csr(sizes(3, 4)), i64(1, 1, 1, 2), i64(3, 0), "compressed index 0", eight},
		{"csr not to the end", csr(sizes(3, 4)), i64(0, 1, 1, 1), i64(3, 0), "compressed index 3", eight},
		{"csr of a batch without", csr(sizes(4)), i64(0, 1, 1, 2), i64(3, 0), "do not belong together", eight},
		{"layout unknown", layout("torch.dense"), nil, nil, "unknown", eight},
		{"strided", call("_rebuild_sparse_tensor", layout("torch.strided"), tuple()), nil, nil, "expected a sparse layout", eight},
		{"parts missing", call("_rebuild_sparse_tensor", layout("torch.sparse_coo"), tuple(sizes(1))), nil, nil, "of 1 parts, expected 3", eight},
		{"parts of text", call("_rebuild_sparse_tensor", layout("torch.sparse_coo"), tuple(pickle.Str("a"), pickle.Str("b"), sizes(1))), nil, nil, "expected a tensor", eight},
		{"quantized", quantized(affine, pickle.Float(0.5), pickle.Int(1)), nil, nil, "", eight},
		{"quantized without scale", quantized(affine, pickle.Float(0), pickle.Int(1)), nil, nil, "expected scale", eight},
		{"quantized by text", quantized(pickle.Str("per_tensor_affine"), pickle.Float(1), pickle.Int(1)), nil, nil, "expected scale", eight},
		{"quantized of float", call("_rebuild_qtensor", typed("FloatStorage", "1", 2), pickle.Int(0), sizes(2), sizes(1), tuple(affine, pickle.Float(1), pickle.Int(0)), pickle.Bool(false), &pickle.Dict{Ordered: true}), nil, nil, "expected qint8", eight},
		{"axis beyond", quantized(channels, vector("DoubleStorage", 4), vector("DoubleStorage", 4), pickle.Int(2)), make([]byte, 32), nil, "expected scale", eight},
		{"zero points of another type", quantized(channels, vector("DoubleStorage", 4), vector("DoubleStorage", 4), pickle.Int(1)), make([]byte, 32), nil, "expected scale", eight},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := tensor.Load(archive(t, c.value, c.first, c.storage, c.plain), tensor.Options{})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && !errors.Is(err, pickle.ErrFormat) && !errors.Is(err, tensor.ErrFormat) {
				t.Errorf("got %v, want it to match an ErrFormat", err)
			}
		})
	}
}
