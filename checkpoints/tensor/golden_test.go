package tensor_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
	Value  *string `json:"value"`
}

func (f fact) String() string {
	if f.Value != nil {
		return *f.Value
	}
	return fmt.Sprintf("%s %s %v grad=%t %s", f.Kind, f.DType, f.Shape, f.Grad, f.SHA256)
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
	if len(golden) < 90 {
		t.Fatalf("got %d files in golden.json, want at least 90", len(golden))
	}
	return golden
}

// collect walks a value as golden.py does.
func collect(path string, v pickle.Value, out map[string]fact) {
	scalar := func(s string) { out[path] = fact{Value: &s} }
	switch v := v.(type) {
	case *tensor.Tensor:
		sum := sha256.Sum256(v.Bytes())
		f := fact{Kind: "tensor", DType: v.DType.String(), Shape: v.Shape, Grad: v.RequiresGrad, SHA256: hex.EncodeToString(sum[:])}
		if v.Parameter {
			f.Kind = "parameter"
		}
		out[path] = f
	case *pickle.Dict:
		for _, e := range v.Entries() {
			name := fmt.Sprint(e.Key)
			collect(path+"/"+name, e.Value, out)
		}
	case *pickle.List:
		for i, item := range v.Items {
			collect(path+"/"+strconv.Itoa(i), item, out)
		}
	case *pickle.Tuple:
		for i, item := range v.Items {
			collect(path+"/"+strconv.Itoa(i), item, out)
		}
	case pickle.None:
		scalar("None")
	case pickle.Bool:
		scalar(map[pickle.Bool]string{true: "True", false: "False"}[v])
	case pickle.Int:
		scalar(strconv.FormatInt(int64(v), 10))
	case pickle.BigInt:
		scalar(v.String())
	case pickle.Float:
		scalar(strconv.FormatFloat(float64(v), 'f', -1, 64))
	case pickle.Str:
		scalar("'" + string(v) + "'")
	case pickle.Bytes:
		out[path] = fact{Kind: "bytes"}
	case *pickle.Set:
		out[path] = fact{Kind: "set"}
	case tensor.Size:
		out[path] = fact{Kind: "Size"}
	case tensor.DType:
		out[path] = fact{Kind: "dtype"}
	case tensor.Device:
		out[path] = fact{Kind: "device"}
	default:
		out[path] = fact{Kind: fmt.Sprintf("%T", v)}
	}
}

// TestGolden compares every fixture, of three PyTorch versions and both formats, with what PyTorch reads in it.
func TestGolden(t *testing.T) {
	for name, want := range readGolden(t) {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(testdata, name))
			if err != nil {
				t.Fatal(err)
			}
			before := sha256.Sum256(data)
			file, err := tensor.Load(data, tensor.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]fact)
			collect("", file.Root, got)
			for path, w := range want {
				if w.Kind == "bytearray" {
					w.Kind = "bytes"
				}
				if g, ok := got[path]; !ok || g.String() != w.String() {
					t.Errorf("%s: got %v, want %v", path, g, w)
				}
			}
			if len(got) != len(want) {
				t.Errorf("got %d values, want %d", len(got), len(want))
			}
			if sha256.Sum256(data) != before {
				t.Error("the file's bytes were changed by reading")
			}
		})
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
