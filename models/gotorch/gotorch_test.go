//go:build gotorch

package gotorch

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	torch "github.com/wangkuiyi/gotorch"

	"github.com/fdqc-cockpit/fdqc/engine"
)

const state = "../../checkpoints/testdata/checkpoints/validator_state_torch1.13.0.pt"

// open is an engine with the Python system's weights, patterns and projections.
func open(t *testing.T) *engine.Engine {
	t.Helper()
	if os.Getenv("FDQC_LIB") == "" {
		t.Skip("no shim: run make build and set FDQC_LIB")
	}
	e, err := engine.Open(t.Context(), engine.DefaultConfig(), engine.InMemory(),
		engine.WithStateFile(state), engine.WithProjectionsFile(filepath.Join(filepath.Dir(state), "projections.pt")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func normal(seed uint64, count int) []float32 {
	draw := rand.New(rand.NewPCG(seed, 0))
	numbers := make([]float32, count)
	for i := range numbers {
		numbers[i] = float32(draw.NormFloat64())
	}
	return numbers
}

// tensor copies numbers into a new tensor.
func tensor[T any](numbers []T, dtype int8, shape ...int64) torch.Tensor {
	defer runtime.KeepAlive(numbers)
	return torch.FromBlob(unsafe.Pointer(unsafe.SliceData(numbers)), dtype, shape)
}

// equal compares by gotorch's own operator.
func equal(a, b torch.Tensor) bool {
	defer runtime.KeepAlive(a.T)
	defer runtime.KeepAlive(b.T)
	return torch.Equal(a, b)
}

func must(t *testing.T) func(torch.Tensor, error) torch.Tensor {
	return func(of torch.Tensor, err error) torch.Tensor {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return of
	}
}

// TestVerdictsAreThoseOfSlices compares tensors in and out with Go slices in
// and verdicts out, bit for bit.
func TestVerdictsAreThoseOfSlices(t *testing.T) {
	for _, c := range []struct{ count, width int }{{1, 8}, {500, 8}, {37, 32}, {300, 384}} {
		slices, tensors := open(t), open(t)
		for batch := range 3 { // the state moves alike
			rows := normal(uint64(batch), c.count*c.width)
			want, err := slices.Validate(t.Context(), engine.Batch{Embeddings: rows, Width: c.width})
			if err != nil {
				t.Fatal(err)
			}
			in := tensor(rows, torch.Float, int64(c.count), int64(c.width))
			got, err := Validate(t.Context(), tensors, in, engine.Batch{})
			if err != nil {
				t.Fatal(err)
			}
			var scores []float32
			var nearest []int64
			var decisions, approved []byte
			for i := range want {
				w := &want[i]
				if g := got.Row(i); g != *w {
					t.Fatalf("%+v, batch %d, row %d: got %+v, want %+v", c, batch, i, g, *w)
				}
				scores = append(scores, w.RiskScore, w.RawRisk, w.BaseRisk, w.Entropy, w.Coherence, w.Novelty,
					w.SafeSimilarity, w.UnsafeSimilarity, w.SafeDistance, w.UnsafeDistance)
				nearest = append(nearest, w.NearestSafe, w.NearestUnsafe)
				decisions = append(decisions, byte(w.Decision))
				approved = append(approved, 0)
				if w.Approved {
					approved[i] = 1
				}
			}
			n := int64(got.Len())
			for name, pair := range map[string][2]torch.Tensor{
				"scores":    {must(t)(got.Scores()), tensor(scores, torch.Float, n, ScoreColumns)},
				"nearest":   {must(t)(got.Nearest()), tensor(nearest, torch.Long, n, 2)},
				"decisions": {must(t)(got.Decisions()), tensor(decisions, torch.Byte, n)},
				"approved":  {must(t)(got.Approved()), tensor(approved, torch.Bool, n)},
			} {
				if pair[0].Dtype() != pair[1].Dtype() || !equal(pair[0], pair[1]) {
					t.Errorf("%+v, batch %d: got %s\n%vwant\n%v", c, batch, name, pair[0], pair[1])
				}
			}
		}
	}
}

// TestNothingIsCopied changes memory on one side and sees it on the other.
func TestNothingIsCopied(t *testing.T) {
	e := open(t)
	in := tensor(normal(1, 16), torch.Float, 2, 8)
	address := func() (at *float32, first float32) {
		if err := Rows(in, func(rows []float32, width int) error {
			if len(rows) != 16 || width != 8 {
				t.Errorf("got %d numbers in rows of %d, want 16 and 8", len(rows), width)
			}
			at, first = unsafe.SliceData(rows), rows[0]
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return at, first
	}
	before, first := address()
	in.AddI(in, 1)
	after, doubled := address()
	if before != after || doubled != 2*first {
		t.Errorf("got %v at %p after %v at %p, want the doubled number at the same place", doubled, after, first, before)
	}
	v, err := Validate(t.Context(), e, in, engine.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	want := 2 * v.Row(1).SafeDistance
	scores := must(t)(v.Scores())
	scores.AddI(scores, 1)
	if got := v.Row(1).SafeDistance; got != want {
		t.Errorf("got %v after the scores were doubled, want %v", got, want)
	}
	runtime.KeepAlive(in.T)
	runtime.KeepAlive(scores.T)
}

// TestTheRestOfABatch passes on what b says, and refusals of rows.
func TestTheRestOfABatch(t *testing.T) {
	e := open(t)
	rows := normal(3, 3*8)
	rows[17] = float32(math.NaN())
	v, err := Validate(t.Context(), e, tensor(rows, torch.Float, 3, 8), engine.Batch{
		Sessions: []string{"a", "b", "a"}, BasicChecks: []bool{true, false, true}, Width: 5, Widths: []int{1},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []engine.Status{v.Row(0).Status, v.Row(1).Status, v.Row(2).Status}
	if want := []engine.Status{engine.Judged, engine.BasicChecksFailed, engine.NotFinite}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if d := v.Row(2).Decision; d != engine.Block {
		t.Errorf("a NaN: got %v, want block", d)
	}
	if _, err := Validate(t.Context(), e, tensor(rows, torch.Float, 3, 8), engine.Batch{Sessions: []string{"a"}}); err == nil || !strings.Contains(err.Error(), "3 rows") {
		t.Errorf("one session for three rows: got %v, want them counted", err)
	}
}

func TestWrongTensorsAreNamed(t *testing.T) {
	e := open(t)
	null := unsafe.Pointer(nil)
	good := tensor(normal(1, 32), torch.Float, 4, 8)
	for _, c := range []struct {
		name   string
		tensor torch.Tensor
		want   string
	}{
		{"zero value", torch.Tensor{}, "a zero value"},
		{"nothing in it", torch.Tensor{T: &null}, "a zero value"},
		{"float64", good.CastTo(torch.Double), "the tensor is Double, expected Float"},
		{"integers", good.CastTo(torch.Long), "the tensor is Long, expected Float"},
		{"no dimension", good.Sum(), "has the shape [], expected [rows, width]"},
		{"one dimension", good.View(32), "has the shape [32], expected"},
		{"three dimensions", good.View(2, 2, 8), "has the shape [2, 2, 8], expected"},
		{"no rows", torch.Empty([]int64{0, 8}, false), "has the shape [0, 8], expected at least one row"},
		{"no width", torch.Empty([]int64{8, 0}, false), "has the shape [8, 0], expected at least one row"},
		{"turned", good.Transpose(0, 1), "the tensor [8, 4] is not contiguous, its strides are [1, 8]"},
		{"too wide", torch.Empty([]int64{1, 5000}, false), "5000"},
		{"too many rows", torch.Empty([]int64{engine.MaxBatch + 1, 8}, false), "65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := Validate(t.Context(), e, c.tensor, engine.Batch{})
			if v != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want an error with %q", v, err, c.want)
			}
		})
	}
	runtime.KeepAlive(good.T)
}

// TestAContiguousCopy is what README.md advises.
func TestAContiguousCopy(t *testing.T) {
	x := tensor(normal(1, 32), torch.Float, 4, 8)
	turned := x.Transpose(0, 1)
	copied := torch.Stack([]torch.Tensor{turned}, 0).Squeeze(0)
	if err := Rows(copied, func(rows []float32, width int) error {
		if want := normal(1, 32)[8]; width != 4 || rows[1] != want {
			t.Errorf("got %v in rows of %d, want %v in rows of 4", rows[1], width, want)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	runtime.KeepAlive(turned.T)
}

// TestGarbageCollection drops every tensor as early as can be, while the
// collector runs all the time.
func TestGarbageCollection(t *testing.T) {
	e := open(t)
	const count, width = 64, 8
	rows := normal(7, count*width)
	sessions := func(name string) (names []string) {
		for range count {
			names = append(names, name)
		}
		return names
	}
	first, err := e.Validate(t.Context(), engine.Batch{Embeddings: rows, Width: width, Sessions: sessions("first")})
	if err != nil {
		t.Fatal(err)
	}
	distances := make([]float32, count) // do not depend on the state
	for i := range first {
		distances[i] = first[i].SafeDistance
	}
	done := make(chan struct{})
	var collector, work sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC()
			}
		}
	})
	for _, name := range []string{"a", "b", "c", "d"} {
		work.Go(func() {
			for range 200 {
				v, err := Validate(t.Context(), e, tensor(rows, torch.Float, count, width), engine.Batch{Sessions: sessions(name)})
				if err != nil {
					t.Error(err)
					return
				}
				for i, want := range distances {
					if got := v.Row(i).SafeDistance; got != want {
						t.Errorf("row %d: got the distance %v, want %v", i, got, want)
						return
					}
				}
				// The scores outlive the verdicts.
				scores, err := v.Scores()
				if err != nil {
					t.Error(err)
					return
				}
				v = nil
				if !equal(scores, scores) {
					t.Error("got scores that are not themselves")
					return
				}
			}
		})
	}
	work.Wait()
	close(done)
	collector.Wait()
}

// TestOneLibTorch: gotorch, the shim and what is between them share one.
func TestOneLibTorch(t *testing.T) {
	open(t)
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for line := range strings.Lines(string(maps)) {
		if fields := strings.Fields(line); len(fields) == 6 {
			if name := filepath.Base(fields[5]); name == "libtorch_cpu.so" || name == "libc10.so" || name == "libcgotorch.so" || name == "libfdqc.so" {
				found[fields[5]] = true
			}
		}
	}
	if len(found) != 4 {
		t.Errorf("got %v, want LibTorch's two libraries, gotorch's and the shim, once each", found)
	}
}
