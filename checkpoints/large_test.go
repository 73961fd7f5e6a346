package checkpoints

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// TestLargeFile lists a checkpoint beyond 4 GiB, whose sizes and offsets need zip64, within 64 MiB of memory.
func TestLargeFile(t *testing.T) {
	if os.Getenv("FDQC_SOAK") == "" {
		t.Skip("writes 4.3 GB: set FDQC_SOAK=1")
	}
	path := filepath.Join(t.TempDir(), "large.pt")
	const rows = 1_075_000_000 // of 4 bytes
	// Both make no elements until they are written.
	root := pickle.NewDict("large", tensor.Float32Rows(nil, rows), "small", tensor.FromInt64s([]int64{1, 2, 3}, 3))
	if err := WriteAtomic(path, 0o600, func(w io.Writer) error { return tensor.Save(w, "large", root) }); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := ReadFile(path)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if f.Bytes <= 4*rows || find(f.Content, "large").Shape[0] != rows || find(f.Content, "small").Shape[0] != 3 {
		t.Errorf("got %d bytes, %+v", f.Bytes, f.Content)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
		t.Errorf("listing allocated %d bytes, want at most 64 MiB", took)
	}
}
