package tensor_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// FuzzLoad looks for panics and for tensors that claim more than they have.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(testdata, "pt", "*", "*.p*"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 8<<10 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			t.Skip("larger than the size cap")
		}
		file, err := tensor.Load(data, tensor.Options{Opaque: true, Expanded: 1 << 20})
		if err != nil {
			return
		}
		if v, ok := file.Root.(*tensor.Tensor); ok && int64(len(v.Bytes())) != v.Numel()*int64(v.DType.Size()) {
			t.Errorf("got %d bytes for %s%v", len(v.Bytes()), v.DType, v.Shape)
		}
	})
}
