package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// close32 compares two scores of one row in batches of different sizes.
func close32(a, b float32) bool {
	return a == b || math.Abs(float64(a-b)) <= 2e-5*max(1, math.Abs(float64(a)))
}

func same(t *testing.T, what string, got, want engine.Verdict) {
	t.Helper()
	for _, c := range []struct {
		name      string
		got, want float32
	}{
		{"raw_risk", got.RawRisk, want.RawRisk},
		{"base_risk", got.BaseRisk, want.BaseRisk},
		{"entropy", got.Entropy, want.Entropy},
		{"coherence", got.Coherence, want.Coherence},
		{"safe_similarity", got.SafeSimilarity, want.SafeSimilarity},
		{"unsafe_similarity", got.UnsafeSimilarity, want.UnsafeSimilarity},
	} {
		if !close32(c.got, c.want) {
			t.Errorf("%s: %s: got %v, want %v", what, c.name, c.got, c.want)
		}
	}
	if got.NearestSafe != want.NearestSafe || got.NearestUnsafe != want.NearestUnsafe {
		t.Errorf("%s: nearest: got %d, %d, want %d, %d", what, got.NearestSafe, got.NearestUnsafe, want.NearestSafe, want.NearestUnsafe)
	}
}

func TestAnySplitIntoBatchesGivesTheSame(t *testing.T) {
	const rows = 700
	for _, c := range []struct{ n, d int }{{8, 8}, {8, 96}, {32, 32}} {
		embeddings := normal(1, rows, c.d)
		sessions := make([]string, rows)
		checks := make([]bool, rows)
		for i := range sessions {
			sessions[i] = []string{"", "a", "b"}[i*7%3]
			checks[i] = i%11 != 0
		}
		var want []engine.Verdict
		for _, size := range []int{rows, 1, 7, 64, 256} {
			t.Run(fmt.Sprintf("n %d d %d batch %d", c.n, c.d, size), func(t *testing.T) {
				e := open(t, inMemory(c.n), engine.InMemory())
				record(t, e, outcomes(normal(2, 50, c.n), c.n))
				var got []engine.Verdict
				for first := 0; first < rows; first += size {
					last := min(first+size, rows)
					got = append(got, validate(t, e, engine.Batch{
						Embeddings: embeddings[first*c.d : last*c.d], Width: c.d,
						Sessions: sessions[first:last], BasicChecks: checks[first:last],
					})...)
				}
				if want == nil {
					want = got
				}
				for i := range got {
					if checks[i] != (got[i].Status == engine.Judged) {
						t.Fatalf("row %d: status %v, basic checks %v", i, got[i].Status, checks[i])
					}
					if checks[i] {
						same(t, fmt.Sprint("row ", i), got[i], want[i])
					}
				}
			})
		}
	}
}

// Sessions in one engine are as engines of their own.
func TestSessionsAreIndependent(t *testing.T) {
	const rows, n = 300, 8
	embeddings := normal(3, rows, n)
	together := open(t, inMemory(n), engine.InMemory())
	sessions := make([]string, rows)
	for i := range sessions {
		sessions[i] = fmt.Sprint("client ", i*i%5)
	}
	got := validate(t, together, engine.Batch{Embeddings: embeddings, Width: n, Sessions: sessions})
	alone := map[string]*engine.Engine{}
	for i, name := range sessions {
		if alone[name] == nil {
			alone[name] = open(t, inMemory(n), engine.InMemory())
		}
		want := validate(t, alone[name], engine.Batch{Embeddings: embeddings[i*n : (i+1)*n], Width: n})
		same(t, fmt.Sprintf("row %d of %s", i, name), got[i], want[0])
	}
}

// A session that was dropped starts anew, within one batch too.
func TestDroppedSessionsStartAnew(t *testing.T) {
	const n = 8
	config := inMemory(n)
	config.Engine.MaxSessions = 1
	e := open(t, config, engine.InMemory())
	row := normal(4, 1, n)
	batch := engine.Batch{Width: n, Sessions: []string{"a", "b", "a", "a"}}
	for range batch.Sessions {
		batch.Embeddings = append(batch.Embeddings, row...)
	}
	v := validate(t, e, batch)
	same(t, "a after b took its place", v[2], v[0])
	if v[3].Entropy == v[2].Entropy {
		t.Errorf("a's second row in a row has the entropy of its first, %v: its state did not move", v[3].Entropy)
	}
}

func TestRefusedRows(t *testing.T) {
	const n = 8
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	e := open(t, inMemory(n), engine.InMemory())
	clean := open(t, inMemory(n), engine.InMemory())
	good := normal(5, 3, n)
	rows := append([]float32{}, good[:n]...)
	rows = append(rows, nan, 0, 0, 0, 0, 0, 0, 0)
	rows = append(rows, good[n:2*n]...)
	rows = append(rows, 0, 0, 0, 0, 0, 0, 0, -inf)
	rows = append(rows, good[2*n:]...)
	got := validate(t, e, engine.Batch{Embeddings: rows, Width: n})
	want := validate(t, clean, engine.Batch{Embeddings: good, Width: n})
	for i, v := range got {
		if i%2 == 1 {
			if v.Status != engine.NotFinite || v.Decision != engine.Block || v.Approved || !math.IsNaN(float64(v.RawRisk)) || v.Status.Err() == nil {
				t.Errorf("row %d: got %+v, want refused and blocked", i, v)
			}
			continue
		}
		same(t, fmt.Sprint("row ", i), v, want[i/2])
	}
	huge := make([]float32, 64)
	for i := range huge {
		huge[i] = math.MaxFloat32
	}
	v := validate(t, e, engine.Batch{Embeddings: huge, Width: 64})[0]
	if v.Decision == engine.Allow || (v.Status == engine.Judged && math.IsNaN(float64(v.RawRisk))) {
		t.Errorf("an embedding at the limit of float32: got %+v, want no allow and no NaN risk", v)
	}
	after := validate(t, e, engine.Batch{Embeddings: good[:n], Width: n})[0]
	if after.Status != engine.Judged {
		t.Errorf("the row after it: got %+v, want judged", after)
	}
}

func TestDrawnProjections(t *testing.T) {
	config := inMemory(8)
	config.Safety.MaxCachedProjections = 2
	config.Safety.Tier = "GAMMA"
	e := open(t, config, engine.InMemory())
	widths := []int{5, 3, 9, 700, 5, 4096, 1, 5}
	rows := map[int][]float32{}
	first := map[int]engine.Verdict{}
	for _, w := range widths {
		if rows[w] == nil {
			rows[w] = normal(uint64(w), 1, w)
		}
		v := validate(t, e, engine.Batch{Embeddings: rows[w], Width: w, Sessions: []string{fmt.Sprint(len(first), w)}})[0]
		if v.Decision == engine.Allow {
			t.Errorf("width %d: allow on a drawn projection", w)
		}
		if want, seen := first[w]; seen {
			same(t, fmt.Sprintf("width %d after its eviction", w), v, want)
		}
		first[w] = v
	}
	// More widths in one batch than the cache holds.
	mixed := engine.Batch{Widths: widths}
	for i, w := range widths {
		mixed.Embeddings = append(mixed.Embeddings, rows[w]...)
		mixed.Sessions = append(mixed.Sessions, fmt.Sprint("mixed ", i))
	}
	for i, v := range validate(t, e, mixed) {
		same(t, fmt.Sprint("mixed row ", i), v, first[widths[i]])
	}
}

func TestShapesAreChecked(t *testing.T) {
	e := open(t, inMemory(8), engine.InMemory())
	for _, c := range []struct {
		name  string
		batch engine.Batch
	}{
		{"empty", engine.Batch{Width: 8}},
		{"no width", engine.Batch{Embeddings: make([]float32, 8)}},
		{"half a row", engine.Batch{Embeddings: make([]float32, 12), Width: 8}},
		{"too wide", engine.Batch{Embeddings: make([]float32, 4097), Width: 4097}},
		{"widths beyond the numbers", engine.Batch{Embeddings: make([]float32, 8), Widths: []int{8, 8}}},
		{"width 0 among others", engine.Batch{Embeddings: make([]float32, 8), Widths: []int{8, 0}}},
		{"too few sessions", engine.Batch{Embeddings: make([]float32, 16), Width: 8, Sessions: []string{""}}},
		{"too many rows", engine.Batch{Embeddings: make([]float32, engine.MaxBatch+1), Width: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := e.Validate(t.Context(), c.batch)
			var bad *engine.BatchError
			if !errors.As(err, &bad) {
				t.Errorf("got %v, want a BatchError", err)
			}
		})
	}
}

func TestLargestShapes(t *testing.T) {
	for _, c := range []struct{ n, d, rows int }{{4, 1, 1}, {1024, 4096, 3}, {1024, 1024, 2}, {8, 8, engine.MaxBatch}} {
		t.Run(fmt.Sprintf("n %d d %d rows %d", c.n, c.d, c.rows), func(t *testing.T) {
			e := open(t, inMemory(c.n), engine.InMemory())
			record(t, e, outcomes(normal(1, 4, c.n), c.n))
			for i, v := range validate(t, e, engine.Batch{Embeddings: normal(2, c.rows, c.d), Width: c.d}) {
				if v.Status != engine.Judged || v.NearestSafe < 1 || math.IsNaN(float64(v.RawRisk)) {
					t.Fatalf("row %d: got %+v, want judged with a nearest pattern", i, v)
				}
			}
		})
	}
}

func TestContextsAndClosing(t *testing.T) {
	e := open(t, inMemory(8), engine.InMemory())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	batch := engine.Batch{Embeddings: make([]float32, 8), Width: 8}
	if _, err := e.Validate(ended, batch); !errors.Is(err, context.Canceled) {
		t.Errorf("validate with an ended context: got %v, want context.Canceled", err)
	}
	if _, err := e.Record(ended, outcomes(make([]float32, 8), 8)); !errors.Is(err, context.Canceled) {
		t.Errorf("record with an ended context: got %v, want context.Canceled", err)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if _, err := e.Validate(t.Context(), batch); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("validate after close: got %v, want ErrClosed", err)
	}
	if _, err := e.Record(t.Context(), outcomes(make([]float32, 8), 8)); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("record after close: got %v, want ErrClosed", err)
	}
}

func TestValidateIntoAllocatesNothing(t *testing.T) {
	e := open(t, inMemory(8), engine.InMemory())
	record(t, e, outcomes(normal(1, 20, 8), 8))
	batch := engine.Batch{Embeddings: normal(2, 64, 8), Width: 8, Sessions: make([]string, 64)}
	for i := range batch.Sessions {
		batch.Sessions[i] = []string{"", "a"}[i%2]
	}
	out := make([]engine.Verdict, 64)
	ctx := t.Context()
	allocs := testing.AllocsPerRun(200, func() {
		if err := e.ValidateInto(ctx, batch, out); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a batch, want 0", allocs)
	}
}
