package checkpoints

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// filledSet is a memory of n patterns a side, each of two halves with norm 1 as a validator records them.
func filledSet(n, capacity int) *PatternSet {
	const width = 16
	r := rand.New(rand.NewPCG(1, uint64(n)))
	p := &PatternSet{Width: width, Capacity: capacity, Counter: int64(2*n + 1), NextID: int64(2*n + 1), Sequence: 1, Evictions: 5}
	for i, s := range []*PatternSide{&p.Safe, &p.Unsafe} {
		for j := range n {
			for range width {
				s.Rows = append(s.Rows, float32(r.NormFloat64()/4))
			}
			s.Timestamps = append(s.Timestamps, int64(2*j+i+1))
			s.Importance = append(s.Importance, float32(r.Float64()))
			s.IDs = append(s.IDs, int64(2*j+i+1))
		}
	}
	return p
}

func writePatterns(t testing.TB, p *PatternSet, options ...WriteOption) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WritePatterns(&b, "patterns", p, options...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDeflatedPatterns reads compressed checkpoints back: nearly empty ones, which compress most, only as trusted files.
func TestDeflatedPatterns(t *testing.T) {
	for _, c := range []struct {
		n, capacity int
		unknown     string // error of a file of unknown origin; empty: read
	}{
		{0, 1000, ""},
		{1000, 1000, ""},
		{10, 100_000, "times as many are accepted"},
		{100_000, 100_000, ""},
	} {
		p := filledSet(c.n, c.capacity)
		data := writePatterns(t, p, Deflate())
		if _, err := ParsePatterns("x.pt", data); c.unknown == "" && err != nil || c.unknown != "" && (err == nil || !strings.Contains(err.Error(), c.unknown)) {
			t.Errorf("%d of %d: got %v, want %q", c.n, c.capacity, err, c.unknown)
		}
		got, err := ParsePatterns("x.pt", data, Trusted())
		if err != nil {
			t.Errorf("%d of %d, trusted: %v", c.n, c.capacity, err)
			continue
		}
		got.Metadata = nil
		if !equalSets(got, p) {
			t.Errorf("%d of %d: read back, the set differs", c.n, c.capacity)
		}
	}
}

// TestRowsAreNotCopied finds the rows of a parsed file within the file's bytes, and little memory beside them.
func TestRowsAreNotCopied(t *testing.T) {
	data := writePatterns(t, filledSet(50_000, 50_000))
	within := func(p unsafe.Pointer) bool {
		from := uintptr(unsafe.Pointer(&data[0]))
		return uintptr(p) >= from && uintptr(p) < from+uintptr(len(data))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := ParsePatterns("x.pt", data)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if !within(unsafe.Pointer(&p.Safe.Rows[0])) || !within(unsafe.Pointer(&p.Unsafe.Rows[0])) || !within(unsafe.Pointer(&p.Safe.IDs[0])) {
		t.Error("rows or ids are copies, want the file's bytes")
	}
	// Ids are looked up to be unique; rows alone have 6.4 MB.
	if used := after.TotalAlloc - before.TotalAlloc; used > 14<<20 {
		t.Errorf("parsing took %d bytes beside the file's %d", used, len(data))
	}
}

func BenchmarkPatterns(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"1000", 1000}, {"100000", 100_000}} {
		p := filledSet(size.n, size.n)
		for _, mode := range []struct {
			name    string
			options []WriteOption
		}{{"stored", nil}, {"deflated", []WriteOption{Deflate()}}} {
			data := writePatterns(b, p, mode.options...)
			b.Run(size.name+"/"+mode.name+"/write", func(b *testing.B) {
				var out bytes.Buffer
				for b.Loop() {
					out.Reset()
					if err := WritePatterns(&out, "patterns", p, mode.options...); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(data)), "file-bytes")
			})
			b.Run(size.name+"/"+mode.name+"/parse", func(b *testing.B) {
				for b.Loop() {
					if _, err := ParsePatterns("x", data, Trusted()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
