package tensor_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

func numbered(n int, ordered bool) *pickle.Dict {
	var pairs []pickle.Value
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("key%d", i), pickle.Int(i))
	}
	d := pickle.NewDict(pairs...)
	d.Ordered = ordered
	return d
}

func upTo(n int) *pickle.List {
	l := &pickle.List{}
	for i := range n {
		l.Items = append(l.Items, pickle.Int(i))
	}
	return l
}

func list(items ...pickle.Value) *pickle.List { return &pickle.List{Items: items} }

func power(n uint, add int64, negative bool) pickle.BigInt {
	v := new(big.Int).Lsh(big.NewInt(1), n)
	v.Add(v, big.NewInt(add))
	if negative {
		v.Neg(v)
	}
	return pickle.BigInt{Int: v}
}

func floats(v float32, shape ...int64) *tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = v
	}
	return tensor.FromFloat32s(values, shape...)
}

// cases are the values of peer.py.
func cases() map[string]pickle.Value {
	raw := make([]byte, 16)
	for i := range raw {
		raw[i] = byte(i)
	}
	var dtypes []pickle.Value
	for _, d := range []tensor.DType{
		tensor.Float64, tensor.Float32, tensor.Float16, tensor.BFloat16, tensor.Int64, tensor.Int32, tensor.Int16, tensor.Int8, tensor.Uint8,
		tensor.Complex128, tensor.Complex64, tensor.Uint16, tensor.Uint32, tensor.Uint64, tensor.Float8E4M3FN, tensor.Float8E5M2,
	} {
		dtypes = append(dtypes, d.String(), tensor.New(d, []int64{int64(16 / d.Size())}, raw))
	}
	dtypes = append(dtypes, "bool", tensor.New(tensor.Bool, []int64{3}, []byte{1, 0, 1}))

	shared, same := list(pickle.Int(1), pickle.Int(2)), floats(1, 3)
	grad := tensor.FromFloat32s([]float32{0, 1}, 2)
	grad.RequiresGrad = true
	parameter, frozen := floats(0, 2), floats(1, 1)
	parameter.RequiresGrad, parameter.Parameter, frozen.Parameter = true, true, true

	integers := list()
	for _, n := range []int64{0, 1, 255, 256, 65535, 65536, 1<<31 - 1, 1 << 31, -1, -128, -129, -1 << 31, -1<<31 - 1, 1 << 40, math.MaxInt64, math.MinInt64} {
		integers.Items = append(integers.Items, pickle.Int(n))
	}
	integers.Items = append(integers.Items, power(63, 0, false), power(64, 0, false), power(63, 1, true), power(200, 0, false), power(200, 0, true))

	widths := &pickle.Dict{}
	for i, w := range []pickle.Int{32, 384} {
		_ = widths.Add(w, pickle.NewDict("weight", floats(float32(i), 2, 3), "bias", floats(float32(i), 2)))
	}
	version := func() *pickle.Dict { return pickle.NewDict("version", pickle.Int(1)) }
	metadata := pickle.NewDict("", version(), "0", version())
	metadata.Ordered = true
	state := pickle.NewDict("0.weight", tensor.FromFloat32s([]float32{0, 1, 2, 3, 4, 5}, 2, 3), "0.bias", floats(0, 2))
	state.Ordered, state.State = true, pickle.NewDict("_metadata", metadata)

	var many []pickle.Value
	for i := range 300 {
		many = append(many, fmt.Sprintf("t%d", i), tensor.Float32Rows([]float32{float32(i)}, 1))
	}
	return map[string]pickle.Value{
		"scalars": pickle.NewDict("none", pickle.None{}, "true", pickle.Bool(true), "false", pickle.Bool(false), "text", pickle.Str("é😀"), "empty", pickle.Str(""),
			"float", pickle.Float(0.1), "inf", pickle.Float(math.Inf(1)), "tiny", pickle.Float(-5e-324)),
		"integers": integers,
		"containers": pickle.NewDict("list", list(), "dict", &pickle.Dict{}, "tuple", tuple(), "one", list(pickle.Int(1)), "t1", sizes(1), "t2", sizes(1, 2),
			"t3", sizes(1, 2, 3), "t4", sizes(1, 2, 3, 4), "single", pickle.NewDict("a", list(list()))),
		"shared": pickle.NewDict("a", shared, "b", shared, "words",
			list(pickle.Str("cpu"), pickle.Str("storage"), pickle.Str("cpu"), pickle.Str("a"), pickle.Str("b"))),
		"dict1000": numbered(1000, false), "dict1001": numbered(1001, false), "dict2000": numbered(2000, false),
		"list1000": upTo(1000), "list1001": upTo(1001),
		"ordered0": numbered(0, true), "ordered1": numbered(1, true), "ordered1000": numbered(1000, true), "ordered1001": numbered(1001, true),
		"width_keys": widths,
		"dtypes":     pickle.NewDict(dtypes...),
		"shapes": pickle.NewDict("scalar", floats(2.5), "empty", floats(0, 0), "rows0", floats(0, 0, 3), "cols0", floats(0, 3, 0),
			"deep", tensor.Float32Rows(nil, 1, 2, 1, 3, 1)),
		"twice":      pickle.NewDict("a", same, "b", same, "list", list(same)),
		"flags":      pickle.NewDict("grad", grad, "parameter", parameter, "frozen", frozen),
		"state_dict": state,
		"many":       pickle.NewDict(many...),
		"types":      pickle.NewDict("dtype", tensor.Float32, "device", tensor.Device("cpu")),
	}
}

func save(t testing.TB, root string, v pickle.Value) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := tensor.Save(&out, root, v); err != nil {
		t.Fatalf("save %s: %v", root, err)
	}
	return out.Bytes()
}

// TestSaveLoads reads back what Save writes, and what it writes of what was read is the same file.
func TestSaveLoads(t *testing.T) {
	for name, value := range cases() {
		data := save(t, name, value)
		file, err := tensor.Load(data, tensor.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, want := make(map[string]fact), make(map[string]fact)
		collect("", file.Root, got)
		collect("", value, want)
		if !sameFacts(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		if again := save(t, name, file.Root); !bytes.Equal(again, data) {
			t.Errorf("%s: saving what was read gives other bytes", name)
		}
	}
}

// TestSaveLikePyTorch compares with torch.save of the same values: data.pkl byte for byte, and the whole archive up to
// the serialization id, which is a hash of the writer's own.
func TestSaveLikePyTorch(t *testing.T) {
	folder := t.TempDir()
	peer(t, "save", folder)
	for name, value := range cases() {
		theirs, err := os.ReadFile(filepath.Join(folder, name+".pt"))
		if err != nil {
			t.Fatal(err)
		}
		ours := save(t, name, value)
		a, b := record(t, ours, container.RecordPickle), record(t, theirs, container.RecordPickle)
		if !bytes.Equal(a.Data, b.Data) {
			t.Errorf("%s: data.pkl differs from byte %d\n got %q\nwant %q", name, firstDifference(a.Data, b.Data), a.Data[:min(400, len(a.Data))], b.Data[:min(400, len(b.Data))])
			continue
		}
		end := record(t, theirs, container.RecordSerializationID).Offset
		if int64(len(ours)) < end || !bytes.Equal(ours[:end], theirs[:end]) {
			t.Errorf("%s: archive differs from byte %d of %d", name, firstDifference(ours, theirs), end)
		}
		if len(ours) != len(theirs) {
			t.Errorf("%s: got %d bytes, want %d", name, len(ours), len(theirs))
		}
	}
}

// TestSaveLikeOlderPyTorch writes again what other versions saved: the same data.pkl, byte for byte.
func TestSaveLikeOlderPyTorch(t *testing.T) {
	for _, name := range []string{
		"pt/torch-1.13.0/ck.pt", "pt/torch-1.13.0/param.pt", "pt/torch-2.6.0/ck.pt", "pt/torch-2.14.1/ck.pt",
		"checkpoints/patterns_20241024_120000_torch1.13.0.pt", "checkpoints/validator_state_torch1.13.0.pt",
	} {
		t.Run(name, func(t *testing.T) {
			theirs, err := os.ReadFile(filepath.Join("..", "testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			file, err := tensor.Load(theirs, tensor.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var ours bytes.Buffer
			if err := tensor.Save(&ours, "archive", file.Root); err != nil {
				t.Fatal(err)
			}
			if a, b := record(t, ours.Bytes(), container.RecordPickle), record(t, theirs, container.RecordPickle); !bytes.Equal(a.Data, b.Data) {
				t.Errorf("data.pkl: got %d bytes, want %d, equal up to %d", len(a.Data), len(b.Data), common(a.Data, b.Data))
			}
		})
	}
}

// common counts the bytes that two slices begin with alike.
func common(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// TestPyTorchLoads has PyTorch read what Save wrote: weights_only, mapped or not, offsets calculated or not, every bit.
func TestPyTorchLoads(t *testing.T) {
	folder := t.TempDir()
	for name, value := range cases() {
		if err := os.WriteFile(filepath.Join(folder, name+".pt"), save(t, name, value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	peer(t, "check", folder)
}

// TestDeflated reads back what Save compresses, here and in PyTorch, which cannot map it; the same values give the same file.
func TestDeflated(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, value pickle.Value) []byte {
		t.Helper()
		var out bytes.Buffer
		if err := tensor.Save(&out, name, value, tensor.Deflate()); err != nil {
			t.Fatalf("save %s: %v", name, err)
		}
		return out.Bytes()
	}
	for name, value := range cases() {
		data := write(name, value)
		file, err := tensor.Load(data, tensor.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, want := make(map[string]fact), make(map[string]fact)
		collect("", file.Root, got)
		collect("", value, want)
		if !sameFacts(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		if !bytes.Equal(write(name, file.Root), data) {
			t.Errorf("%s: saving what was read gives other bytes", name)
		}
		if err := os.WriteFile(filepath.Join(folder, name+".pt"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	peer(t, "deflated", folder)
}

func peer(t *testing.T, mode, folder string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), peersPython(t), filepath.Join(testdata, "peer.py"), mode, folder)
	command.Env = append(os.Environ(), "TORCH_FORCE_WEIGHTS_ONLY_LOAD=1")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("peer.py %s: %v\n%s", mode, err, out)
	}
}

func record(t *testing.T, data []byte, name string) container.Record {
	t.Helper()
	a, err := container.Parse(data, container.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	r, ok := a.Record(name)
	if !ok {
		t.Fatalf("no record %s", name)
	}
	return r
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// TestRows compares tensors padded with zeros with the same written out, across the pieces they are streamed in.
func TestRows(t *testing.T) {
	const rows, width = 3001, 7 // more than two pieces of 8,192 elements
	values := make([]float32, 1234*width)
	whole := make([]float32, rows*width)
	for i := range values {
		values[i] = float32(i) + 0.5
	}
	copy(whole, values)
	padded, full := tensor.Float32Rows(values, rows, width), tensor.FromFloat32s(whole, rows, width)
	if !bytes.Equal(padded.Bytes(), full.Bytes()) {
		t.Error("Float32Rows: bytes differ from those of the full tensor")
	}
	if !bytes.Equal(save(t, "a", padded), save(t, "a", full)) {
		t.Error("Float32Rows: saved file differs from that of the full tensor")
	}
	ids := tensor.Int64Rows([]int64{5, -6}, 4)
	want := make([]byte, 32)
	binary.LittleEndian.PutUint64(want, 5)
	binary.LittleEndian.PutUint64(want[8:], math.MaxUint64-5)
	if !bytes.Equal(ids.Bytes(), want) {
		t.Errorf("Int64Rows: got % x, want % x", ids.Bytes(), want)
	}
	head, err := padded.Narrow(2).Float32s()
	if err != nil || len(head) != 2*width || head[width] != width+0.5 {
		t.Errorf("Narrow(2): got %v (%v), want the first two rows", head, err)
	}
}

// TestSaveFails passes on the error of a writer that is full after any number of bytes.
func TestSaveFails(t *testing.T) {
	value := cases()["state_dict"]
	size := len(save(t, "full", value))
	for room := range size {
		if err := tensor.Save(&fullWriter{room: room}, "full", value); err == nil {
			t.Fatalf("room for %d of %d bytes: got no error", room, size)
		}
	}
}

type fullWriter struct{ room int }

func (w *fullWriter) Write(b []byte) (int, error) {
	if len(b) > w.room {
		n := w.room
		w.room = 0
		return n, io.ErrShortWrite
	}
	w.room -= len(b)
	return len(b), nil
}
