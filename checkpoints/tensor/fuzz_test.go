package tensor_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
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
	for name, value := range cases() {
		var deflated, dumped bytes.Buffer
		if err := errors.Join(tensor.Save(&deflated, name, value, tensor.Deflate()), tensor.Dump(&dumped, value)); err != nil {
			f.Fatal(err)
		}
		if deflated.Len() < 8<<10 && dumped.Len() < 8<<10 {
			f.Add(deflated.Bytes())
			f.Add(dumped.Bytes())
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

// FuzzPickle changes the pickle only: checksums of the archive around it are made right, so that every change
// reaches the machine and the rebuilding of tensors.
func FuzzPickle(f *testing.F) {
	archive, err := container.Parse(readFixture(f, "pt", "torch-2.14.1", "views.pt"), container.Limits{})
	if err != nil {
		f.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(testdata, "pt", "torch-*", "*.pt"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if a, err := container.Parse(data, container.Limits{}); err == nil {
			r, _ := a.Record(container.RecordPickle)
			f.Add(r.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 16<<10 {
			t.Skip("larger than the size cap")
		}
		var out bytes.Buffer
		w := container.NewWriter(&out, "fuzz")
		for _, r := range archive.Records {
			if r.Name == container.RecordPickle {
				r.Data = data
			}
			if r.Name == container.RecordSerializationID {
				continue
			}
			if err := w.Add(r.Name, r.Data); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := tensor.Load(out.Bytes(), tensor.Options{Expanded: 1 << 20})
		if err != nil {
			return
		}
		if d, ok := file.Root.(*pickle.Dict); ok {
			for _, e := range d.Entries() {
				if v, ok := e.Value.(*tensor.Tensor); ok && int64(len(v.Bytes())) != v.Numel()*int64(v.DType.Size()) {
					t.Errorf("got %d bytes for %s%v", len(v.Bytes()), v.DType, v.Shape)
				}
			}
		}
	})
}
