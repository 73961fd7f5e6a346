package checkpoints

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/mapped"
)

// TestListingOfArrays lists the formats without a pickle.
func TestListingOfArrays(t *testing.T) {
	for path, want := range map[string]string{
		"safetensors/testdata/plain.safetensors": `"format":"safetensors","bytes":104,"content":{"kind":"dict","length":1,"items":[{"key":"a.float32","value":{"kind":"tensor","dtype":"F32","shape":[2,3]}}]}}`,
		"safetensors/testdata/types.safetensors": `"metadata":{"format":"pt \u003c\u0026\u003e"}`,
		"npy/testdata/rows.npz":                  `"key":"embedding","value":{"kind":"tensor","dtype":"\u003cf4"`,
		"npy/testdata/rows_compressed.npz":       `"packed_bytes":`,
		"npy/testdata/refused_int32.npy":         `"format":"npy"`,
	} {
		f, err := ReadFile(path)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if text, err := json.Marshal(f); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: got %s (%v), want %s in it", path, text, err, want)
		}
	}
}

// TestFormatOf decides by the name or else by the content.
func TestFormatOf(t *testing.T) {
	for _, c := range []struct{ path, name, want string }{
		{"safetensors/testdata/plain.safetensors", "x", "safetensors"},
		{"safetensors/testdata/none.safetensors", "x.pt", "safetensors"},
		{"npy/testdata/rows.npz", "x.pt", "npz"},
		{"npy/testdata/f4.npy", "x", "npy"},
		{pythonPatterns, "x", "pt"},
		{pythonPatterns, "x.NPZ", "npz"},
	} {
		data, err := os.ReadFile(filepath.FromSlash(c.path))
		if err != nil {
			t.Fatal(err)
		}
		if got := FormatOf(c.name, data); got != c.want {
			t.Errorf("%s as %s: got %s, want %s", c.path, c.name, got, c.want)
		}
	}
}

// TestListingRefuses names the file and matches ErrMalformed.
func TestListingRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"a.safetensors": "\x02\x00\x00\x00\x00\x00\x00\x00[]",
		"b.npz":         "PK\x03\x04",
		"c.npy":         "\x93NUMPY",
		"d.pt":          "",
		"e.safetensors": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want ErrMalformed that names %s", err, path)
		}
	}
	if _, err := ReadFile(dir); !errors.Is(err, mapped.ErrIrregular) {
		t.Errorf("a folder: got %v, want ErrIrregular", err)
	}
}
