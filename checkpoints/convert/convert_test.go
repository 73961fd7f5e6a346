package convert

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/mapped"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

const testdata = "../testdata"

// must converts in a folder of the test and returns the target.
func must(t *testing.T, from, to string) string {
	t.Helper()
	if _, err := Convert(from, to, Options{}); err != nil {
		t.Fatalf("%s to %s: %v", from, to, err)
	}
	return to
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRoundTrip takes every fixture that a format can hold there and back; then it must be the same file, byte for byte, as
// one that was only saved again.
func TestRoundTrip(t *testing.T) {
	var files []string
	for _, pattern := range []string{"pt/torch-*/*.pt", "checkpoints/*.pt"} {
		found, err := filepath.Glob(filepath.Join(testdata, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, ext := range []string{".safetensors", ".npz", ".pkl"} {
		held := 0
		for _, from := range files {
			dir := t.TempDir()
			middle := filepath.Join(dir, "middle"+ext)
			again, back := filepath.Join(dir, "a", "x.pt"), filepath.Join(dir, "b", "x.pt")
			if err := errors.Join(os.Mkdir(filepath.Dir(again), 0o700), os.Mkdir(filepath.Dir(back), 0o700)); err != nil {
				t.Fatal(err)
			}
			_, err := Convert(from, middle, Options{})
			var unfit *HoldError
			if errors.As(err, &unfit) || errors.Is(err, checkpoints.ErrMalformed) {
				if _, err := os.Stat(middle); err == nil {
					t.Errorf("%s: refused, but %s is there", from, middle)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", from, err)
				continue
			}
			if _, err := Convert(from, again, Options{}); err != nil {
				continue // holds what is read but not written
			}
			must(t, middle, back)
			if got, want := values(t, back), values(t, again); got != want {
				t.Errorf("%s by way of %s: got %s, want %s", from, ext, got, want)
			}
			held++
		}
		if held < 40 {
			t.Errorf("%s: %d files went there and back, want at least 40", ext, held)
		}
	}
}

// values describes all that a .pt holds.
func values(t *testing.T, path string) string {
	t.Helper()
	f, err := tensor.Load(read(t, path), tensor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := treeEncoder{target: "text"}
	if err := e.value("", f.Root); err != nil {
		t.Fatal(err)
	}
	for _, named := range e.tensors {
		e.text = append(e.text, named.DType.String()...)
		e.text = append(e.text, named.Bytes()...)
	}
	return string(e.text)
}

// TestEveryValue takes one of each kind of value there and back.
func TestEveryValue(t *testing.T) {
	dir := t.TempDir()
	root := pickle.NewDict(
		"none", pickle.None{}, "yes", pickle.Bool(true), "int", pickle.Int(math.MinInt64), "float", pickle.Float(1),
		"tiny", pickle.Float(5e-324), "zero", pickle.Float(math.Copysign(0, -1)), "inf", pickle.Float(math.Inf(-1)), "nan", pickle.Float(math.NaN()),
		"text", pickle.Str("<ä\n\x00\u2028>"), "$dollar", pickle.Str("$"), "bytes", pickle.Bytes{0, 255},
		"list", &pickle.List{Items: []pickle.Value{pickle.NewTuple(), &pickle.List{}, &pickle.Dict{}}},
		"w", tensor.FromFloat32s([]float32{1, float32(math.NaN())}, 2), "nested", pickle.NewDict("w", tensor.FromInt64s([]int64{7})),
		"listed", &pickle.List{Items: []pickle.Value{tensor.FromInt64s(nil, 0, 3)}},
		"dtype", tensor.BFloat16, "device", tensor.Device("cuda:1"),
	)
	for _, e := range []pickle.Entry{{Key: pickle.Int(3), Value: pickle.Str("three")}, {Key: pickle.NewTuple(pickle.Int(1), pickle.None{}), Value: pickle.None{}}} {
		if err := root.Add(e.Key, e.Value); err != nil {
			t.Fatal(err)
		}
	}
	first := filepath.Join(dir, "x.pt")
	err := checkpoints.WriteAtomic(first, 0o600, func(w io.Writer) error { return tensor.Save(w, "x", root) })
	if err != nil {
		t.Fatal(err)
	}
	for _, ext := range []string{".safetensors", ".npz"} {
		back := must(t, must(t, first, filepath.Join(dir, "y"+ext)), filepath.Join(dir, "z.pt"))
		if got, want := values(t, back), values(t, first); got != want {
			t.Errorf("%s: got\n%q, want\n%q", ext, got, want)
		}
	}
}

// TestForeign keeps the metadata of a file that others wrote.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	from := "../safetensors/testdata/types.safetensors"
	if _, err := Convert(from, filepath.Join(dir, "a.pt"), Options{}); !errors.Is(err, checkpoints.ErrMalformed) || !strings.Contains(err.Error(), "e8m0") {
		t.Errorf("got %v, want a refusal of F8_E8M0 that names e8m0", err)
	}
	plain := "../safetensors/testdata/plain.safetensors"
	for _, ext := range []string{".pt", ".npz", ".pkl"} {
		back := must(t, must(t, plain, filepath.Join(dir, "b"+ext)), filepath.Join(dir, "c.safetensors"))
		if !bytes.Equal(read(t, back), read(t, plain)) {
			t.Errorf("by way of %s: got %q, want %q", ext, read(t, back), read(t, plain))
		}
	}
	f := flat{tensors: []named{{"w", tensor.FromInt64s([]int64{1}, 1)}}, metadata: map[string]string{"format": "pt"}}
	root, err := f.unflatten()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := flatten(".npz", root); err != nil || len(again.metadata) != 1 || again.metadata["format"] != "pt" {
		t.Errorf("got %v (%v), want the metadata format", again.metadata, err)
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ from, to, key, want string }{
		{"pt/torch-2.6.0/quant.pt", "a.npz", "q", "quantized"},
		{"pt/torch-2.6.0/quant.pt", "a.safetensors", "q", "quantized"},
		{"pt/torch-2.6.0/sparse.pt", "a.npz", "s", "sparse"},
		{"pt/torch-2.6.0/dt_bfloat16.pt", "a.npz", "torch.bfloat16", "bfloat16"},
		{"pt/torch-2.6.0/dt_complex128.pt", "a.safetensors", "torch.complex128", "complex128"},
		{"pt/torch-2.6.0/attr.pt", "a.pt", "attr", "attributes"},
		{"pt/pickle/vm_2.6.0.pkl", "a.npz", "entries.a1", "vector_memory.MemoryEntry"},
	} {
		t.Run(filepath.Base(c.from)+" "+c.to, func(t *testing.T) {
			_, err := Convert(filepath.Join(testdata, c.from), filepath.Join(dir, c.to), Options{})
			var unfit *HoldError
			if !errors.As(err, &unfit) || unfit.Key != c.key || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a HoldError of key %q that says %q", err, c.key, c.want)
			}
		})
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("refused conversions left %v (%v)", left, err)
	}
}

func TestPaths(t *testing.T) {
	dir := t.TempDir()
	a := must(t, filepath.Join(testdata, "checkpoints/projections.pt"), filepath.Join(dir, "a.pt"))
	link := filepath.Join(dir, "link.safetensors")
	if err := os.Symlink(a, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to string
		want     error
	}{
		{a, a, ErrPath},
		{a, link, ErrPath},
		{a, filepath.Join(dir, "..", filepath.Base(dir), "a.pt"), ErrPath},
		{a, filepath.Join(dir, "a.txt"), ErrPath},
		{filepath.Join(dir, "a.txt"), a, ErrPath},
		{filepath.Join(dir, "absent.pt"), a, os.ErrNotExist},
		{filepath.Join(dir, "absent.pt"), filepath.Join(dir, "b.npz"), os.ErrNotExist},
		{a, filepath.Join(dir, "absent", "b.npz"), os.ErrNotExist},
	} {
		if _, err := Convert(c.from, c.to, Options{}); !errors.Is(err, c.want) {
			t.Errorf("%s to %s: got %v, want %v", c.from, c.to, err, c.want)
		}
	}
	folder := filepath.Join(dir, "folder.pt")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Convert(folder, filepath.Join(dir, "b.npz"), Options{}); !errors.Is(err, mapped.ErrIrregular) {
		t.Errorf("a folder: got %v, want ErrIrregular", err)
	}
}

// TestExpanded bounds what views grow to.
func TestExpanded(t *testing.T) {
	v := tensor.FromFloat32s(make([]float32, 1000), 1000)
	root := &pickle.List{}
	for range 100 {
		root.Items = append(root.Items, v)
	}
	if _, err := measure(root, 400_000); err != nil {
		t.Errorf("got %v, want none", err)
	}
	if _, err := measure(root, 399_999); err == nil {
		t.Error("400,000 bytes passed a limit of 399,999")
	}
	deep := pickle.Value(root)
	for range 12 {
		deep = &pickle.List{Items: []pickle.Value{deep, deep, deep, deep}}
	}
	if _, err := measure(deep, 1<<40); err == nil {
		t.Error("a tree of 4^12 lists was walked")
	}
}

// TestTensorsOfSets counts what a set shares out as well, and does not lose it.
func TestTensorsOfSets(t *testing.T) {
	set := &pickle.Set{Items: []pickle.Value{tensor.FromFloat32s(make([]float32, 1000), 1000)}}
	if r, err := measure(set, 4000); err != nil || r.Tensors != 1 {
		t.Errorf("got %d tensors (%v), want 1", r.Tensors, err)
	}
	if _, err := measure(set, 3999); err == nil {
		t.Error("4,000 bytes passed a limit of 3,999")
	}
	if _, err := tensorsOnly(pickle.NewDict("s", set)); err == nil || !strings.Contains(err.Error(), "within set") {
		t.Errorf("got %v, want an error of the tensor within a set", err)
	}
}

// TestLongPaths converts a file of 61 KB whose paths would take gigabytes: one long key on 900 levels.
func TestLongPaths(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "a.pkl")
	key := strings.Repeat("k", 60_000)
	data := "\x80\x02}X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(key)))) + key + "q\x00" +
		strings.Repeat("}h\x00", 900) + "N" + strings.Repeat("s", 901) + "."
	if err := os.WriteFile(from, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, drop := range []bool{false, true} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Convert(from, filepath.Join(dir, "a.safetensors"), Options{DropMetadata: drop})
		runtime.ReadMemStats(&after)
		var unfit *HoldError
		if !errors.As(err, &unfit) || !strings.Contains(err.Error(), "paths") {
			t.Errorf("metadata dropped %t: got %v, want an error of long paths", drop, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 2*maxPaths {
			t.Errorf("metadata dropped %t: took %d bytes, want at most %d", drop, used, 2*maxPaths)
		}
	}
}

func TestDropMetadata(t *testing.T) {
	dir := t.TempDir()
	to := filepath.Join(dir, "a.npz")
	r, err := Convert(filepath.Join(testdata, "checkpoints/projections.pt"), to, Options{DropMetadata: true})
	if err != nil || r.Tensors == 0 {
		t.Fatalf("got %v (%v), want tensors", r, err)
	}
	f, err := checkpoints.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	if f.Content.Length != r.Tensors {
		t.Errorf("got %d arrays, want %d and no metadata", f.Content.Length, r.Tensors)
	}
}

// TestBadTrees refuses metadata that does not fit its tensors.
func TestBadTrees(t *testing.T) {
	tensors := func() []named { return []named{{"w", tensor.FromInt64s([]int64{1}, 1)}} }
	for tree, good := range map[string]bool{
		`{"$tensor":"w"}`: true,
		`{"a":{"$tensor":"w","requires_grad":true,"parameter":true}}`:       true,
		`{"$ordered_dict":[["a",{"$tensor":"w"}]],"state":{"_metadata":1}}`: true,
		`{}`:                                   false,
		``:                                     false,
		`{"$tensor":"v"}`:                      false,
		`[{"$tensor":"w"},{"$tensor":"w"}]`:    false,
		`[{"$tensor":"w"}] 1`:                  false,
		`[{"$tensor":"w"},{"$nothing":1}]`:     false,
		`[{"$tensor":"w"},{"$float":1}]`:       false,
		`[{"$tensor":"w"},{"$dtype":"x"}]`:     false,
		`[{"$tensor":"w"},{"$size":["x"]}]`:    false,
		`[{"$tensor":"w"},{"$complex":["1"]}]`: false,
		`[{"$tensor":"w"},{"$dict":[["a"]]}]`:  false,
		`[{"$tensor":"w"},{"$dict":[[[],1]]}]`: false,
		`[{"$tensor":"w"},{"a":1,"a":2}]`:      false,
		`[{"$tensor":"w"},1e999]`:              false,
		`[{"$tensor":"w","x":1}]`:              false,
		strings.Repeat("[", 2000):              false,
	} {
		if _, err := decodeTree(tree, tensors()); (err == nil) != good {
			t.Errorf("%.80s: got %v, want it read: %t", tree, err, good)
		}
	}
}

// TestPeersRead has PyTorch and NumPy read what was converted.
func TestPeersRead(t *testing.T) {
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("no Python with PyTorch: run `make peers` and set FDQC_PEERS_PYTHON")
	}
	dir := t.TempDir()
	from := filepath.Join(testdata, "checkpoints/projections.pt")
	must(t, must(t, from, filepath.Join(dir, "a.safetensors")), filepath.Join(dir, "b.pt"))
	must(t, from, filepath.Join(dir, "a.npz"))
	must(t, from, filepath.Join(dir, "a.pkl"))
	full, err := filepath.Abs(from)
	if err != nil {
		t.Fatal(err)
	}
	script := `
import json, pickle, sys, numpy, torch
a, b = torch.load(sys.argv[1], weights_only=True), torch.load("b.pt", weights_only=True, mmap=True)
c, d = pickle.load(open("a.pkl", "rb")), numpy.load("a.npz", allow_pickle=False)
flat, count = {}, 0
def walk(path, *vs):
    global count
    v = vs[0]
    if isinstance(v, torch.Tensor):
        assert all(torch.equal(v, o) and v.dtype == o.dtype for o in vs), path
        assert numpy.array_equal(d[path], v.detach().numpy()), path
        count += 1
    elif isinstance(v, dict):
        assert all(list(v) == list(o) and type(v) is type(o) for o in vs), path
        for k in v: walk(path + "." + str(k) if path else str(k), *(o[k] for o in vs))
    else:
        assert all(v == o for o in vs), path
walk("", a, b, c)
names = set(d.files)
if "__metadata__" in names:
    json.loads(json.loads(d["__metadata__"].item())["fdqc.tree"]); names.remove("__metadata__")
assert len(names) == count > 0
`
	c := exec.CommandContext(t.Context(), python, "-c", script, full)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// FuzzTree wants that an object that was read is written as it is read again.
func FuzzTree(f *testing.F) {
	f.Add(`{"a":{"$tensor":"w"},"b":[1,1.5,"x",null,{"$float":"nan"},{"$bytes":"AA=="}]}`)
	f.Add(`{"$ordered_dict":[["a",{"$tensor":"w"}]],"state":{"_metadata":{"$tuple":[]}}}`)
	f.Fuzz(func(t *testing.T, tree string) {
		if len(tree) > 1<<14 {
			return
		}
		tensors := func() []named { return []named{{"w", tensor.FromInt64s([]int64{1}, 1)}} }
		v, err := decodeTree(tree, tensors())
		if err != nil {
			return
		}
		e := treeEncoder{target: "text"}
		if err := e.value("", v); err != nil {
			t.Fatalf("%s: %v", tree, err)
		}
	})
}
