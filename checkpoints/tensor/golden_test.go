package tensor_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

const testdata = "../testdata"

// fact is what golden.py says about one value.
type fact struct {
	Kind   string  `json:"kind"`
	DType  string  `json:"dtype"`
	Shape  []int64 `json:"shape"`
	Grad   bool    `json:"grad"`
	SHA256 string  `json:"sha256"`
	Text   string  `json:"text"`
}

func (f fact) String() string {
	return fmt.Sprintf("%s %s %v grad=%t %s %q", f.Kind, f.DType, f.Shape, f.Grad, f.SHA256, f.Text)
}

func readGolden(t *testing.T) map[string]map[string]fact {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testdata, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]map[string]fact
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden) < 125 {
		t.Fatalf("got %d files in golden.json, want at least 125", len(golden))
	}
	return golden
}

// collect walks a value as golden.py does.
func collect(path string, v pickle.Value, out map[string]fact) {
	bits := func(f float64) string { return fmt.Sprintf("%016x", math.Float64bits(f)) }
	all := func(kind string, items []pickle.Value) {
		out[path] = fact{Kind: kind, Shape: []int64{int64(len(items))}}
		for i, item := range items {
			collect(path+"/"+strconv.Itoa(i), item, out)
		}
	}
	switch v := v.(type) {
	case *tensor.Tensor:
		collectTensor(path, v, out)
	case *tensor.Sparse:
		f := fact{Kind: strings.TrimPrefix(string(v.Layout), "torch."), DType: v.DType().String(), Shape: v.Shape}
		if v.Layout == tensor.SparseCOO {
			f.Text = truth(v.Coalesced)
		}
		out[path] = f
		for name, part := range map[string]*tensor.Tensor{"indices": v.Indices, "compressed": v.Compressed, "plain": v.Plain, "values": v.Values} {
			if part != nil {
				collect(path+"/"+name, part, out)
			}
		}
	case *tensor.Storage:
		dtype := v.DType
		out[path] = fact{Kind: "storage", DType: dtype.String(), Shape: []int64{v.Numel}, SHA256: digest(v.Bytes())}
	case *pickle.Dict:
		collectDict(path, v, out)
	case *pickle.List:
		all("list", v.Items)
	case *pickle.Tuple:
		all("tuple", v.Items)
	case *pickle.Deque:
		all("deque", v.Items)
	case *pickle.Set:
		f := fact{Kind: "set", Shape: []int64{int64(len(v.Items))}, Text: strings.ReplaceAll(fmt.Sprint(v.Items), " ", ", ")}
		if v.Frozen {
			f.Kind = "frozenset"
		}
		out[path] = f
	case *pickle.Record:
		collectRecord(path, v.Class, v.Fields, out)
	case *pickle.Call: // a class that is not known, listed only
		state := v.State
		if pair, ok := state.(*pickle.Tuple); ok && len(pair.Items) == 2 {
			state = pair.Items[1]
		}
		fields, _ := state.(*pickle.Dict)
		collectRecord(path, v.Func, fields, out)
	case pickle.None:
		out[path] = fact{Kind: "NoneType", Text: "None"}
	case pickle.Bool:
		out[path] = fact{Kind: "bool", Text: truth(bool(v))}
	case pickle.Int:
		out[path] = fact{Kind: "int", Text: strconv.FormatInt(int64(v), 10)}
	case pickle.BigInt:
		out[path] = fact{Kind: "int", Text: v.String()}
	case pickle.Float:
		out[path] = fact{Kind: "float", Text: bits(float64(v))}
	case pickle.Complex:
		out[path] = fact{Kind: "complex", Text: bits(real(v)) + bits(imag(v))}
	case pickle.Str:
		out[path] = fact{Kind: "str", Text: string(v)}
	case pickle.Bytes:
		out[path] = fact{Kind: "bytes", Text: hex.EncodeToString(v)}
	case pickle.ByteArray:
		out[path] = fact{Kind: "bytearray", Text: hex.EncodeToString(v)}
	case pickle.Path:
		out[path] = fact{Kind: "path", Text: v.String()}
	case pickle.DateTime:
		out[path] = fact{Kind: "datetime", Text: v.String()}
	case pickle.TimeDelta:
		out[path] = fact{Kind: "timedelta", Text: v.String()}
	case tensor.Size:
		out[path] = fact{Kind: "size", Shape: v}
	case tensor.DType:
		out[path] = fact{Kind: "dtype", Text: v.String()}
	case tensor.Device:
		out[path] = fact{Kind: "device", Text: string(v)}
	default:
		out[path] = fact{Kind: fmt.Sprintf("%T", v)}
	}
}

func collectTensor(path string, t *tensor.Tensor, out map[string]fact) {
	f := fact{Kind: "tensor", DType: t.DType.String(), Shape: t.Shape, Grad: t.RequiresGrad, SHA256: digest(t.Bytes())}
	if t.Parameter {
		f.Kind = "parameter"
	}
	if q := t.Quantizer; q != nil {
		f.Text = string(q.Scheme)
		if q.Scales == nil {
			collect(path+"/scale", pickle.Float(q.Scale), out)
			collect(path+"/zero_point", pickle.Int(q.ZeroPoint), out)
		} else {
			collect(path+"/scales", q.Scales, out)
			collect(path+"/zero_points", q.ZeroPoints, out)
			collect(path+"/axis", pickle.Int(q.Axis), out)
		}
	}
	out[path] = f
	if t.Attrs != nil {
		collect(path+"/attributes", t.Attrs, out)
	}
}

func collectDict(path string, d *pickle.Dict, out map[string]fact) {
	f := fact{Kind: "dict", Shape: []int64{int64(d.Len())}}
	if d.Ordered {
		f.Kind = "OrderedDict"
	}
	if d.Default != nil {
		f.Kind = "defaultdict"
	}
	out[path] = f
	for _, e := range d.Entries() {
		collect(path+"/"+fmt.Sprint(e.Key), e.Value, out)
	}
	if state, ok := d.State.(*pickle.Dict); ok {
		for _, e := range state.Entries() {
			collect(path+"/"+fmt.Sprint(e.Key), e.Value, out)
		}
	}
}

func collectRecord(path string, class pickle.Global, fields *pickle.Dict, out map[string]fact) {
	out[path] = fact{Kind: "record", Text: class.String()}
	if fields == nil {
		return
	}
	for _, e := range fields.Entries() {
		collect(path+"/"+fmt.Sprint(e.Key), e.Value, out)
	}
}

func truth(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestGolden compares every fixture, of three PyTorch versions and all formats, with what PyTorch reads in it.
func TestGolden(t *testing.T) {
	for name, want := range readGolden(t) {
		t.Run(name, func(t *testing.T) {
			compare(t, filepath.Join(testdata, name), want)
		})
	}
}

// TestUnusual compares what the installed PyTorch saves of sparse, quantized and other tensors that few files hold.
func TestUnusual(t *testing.T) {
	folder := t.TempDir()
	peer(t, "unusual", folder)
	text, err := exec.CommandContext(t.Context(), peersPython(t), filepath.Join(testdata, "golden.py"), folder).Output()
	if err != nil {
		t.Fatalf("golden.py: %v", err)
	}
	var golden map[string]map[string]fact
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden) < 60 {
		t.Fatalf("got %d files, want at least 60", len(golden))
	}
	for name, want := range golden {
		t.Run(filepath.Base(name), func(t *testing.T) { compare(t, filepath.Join(folder, name), want) })
	}
}

// compare loads a file and compares every value in it.
func compare(t *testing.T, path string, want map[string]fact) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before := sha256.Sum256(data)
	unknown := strings.Contains(path, "/misc_") && strings.HasSuffix(path, ".pkl") // holds dataclasses that are not known
	if _, err := tensor.Load(data, tensor.Options{}); unknown && (err == nil || !strings.Contains(err.Error(), "SlotEntry")) {
		t.Errorf("got %v, want the unknown class refused by name", err)
	}
	file, err := tensor.Load(data, tensor.Options{Opaque: unknown})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]fact)
	collect("", file.Root, got)
	for name, w := range want {
		if g, ok := got[name]; !ok || g.String() != w.String() {
			t.Errorf("%s: got %v, want %v", name, g, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d values, want %d", len(got), len(want))
	}
	if sha256.Sum256(data) != before {
		t.Error("the file's bytes were changed by reading")
	}
}

// TestGoldenIsCurrent makes golden.json again with PyTorch.
func TestGoldenIsCurrent(t *testing.T) {
	text, err := exec.CommandContext(t.Context(), peersPython(t), filepath.Join(testdata, "golden.py"), testdata).Output()
	if err != nil {
		t.Fatalf("golden.py: %v", err)
	}
	want, err := os.ReadFile(filepath.Join(testdata, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("golden.py writes other %d bytes than the %d of golden.json: make it again", len(text), len(want))
	}
}

func peersPython(t *testing.T) string {
	t.Helper()
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("no Python with PyTorch: run `make peers` and set FDQC_PEERS_PYTHON")
	}
	return python
}

// TestElements checks values that were computed by hand: ranges, views, signs.
func TestElements(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(testdata, "pt", "torch-2.14.1", "views.pt"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := tensor.Load(data, tensor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	root := file.Root.(*pickle.Dict)
	for name, want := range map[string][]float32{
		"base": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
		"t":    {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11},
		"row":  {4, 5, 6, 7},
		"col":  {2, 6, 10},
	} {
		v, _ := root.Get(name)
		got, err := v.(*tensor.Tensor).Float32s()
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v (%v), want %v", name, got, err, want)
		}
	}
}
