package torch

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// Rule 5: a wrong slice never reaches native code; the message names what is
// wrong.
func TestWrongShapesAreRefusedInGo(t *testing.T) {
	l := library(t)
	f, other := newFixture(t, l, 8, 2), newFixture(t, l, 16, 2)
	ctx := t.Context()
	room := make([]float32, 8)
	batch := func(change func(*Batch)) func() error {
		return func() error {
			b := f.batch(4)
			change(b)
			return l.Validate(ctx, b, make([]Verdict, 4))
		}
	}
	tensors := riskTensors(8)
	tensors[2] = tensors[2][1:]
	for _, c := range []struct {
		name, want string
		call       func() error
	}{
		{"short rows", "segment 0", batch(func(b *Batch) { b.Segments[0].Rows = b.Segments[0].Rows[1:] })},
		{"no rows", "segment 1", batch(func(b *Batch) { b.Segments[1].Rows = nil })},
		{"width", "segment 0", batch(func(b *Batch) { b.Segments[0].Width = 4 })},
		{"missing projection", "segment 1", batch(func(b *Batch) { b.Segments[1].Projection = nil })},
		{"projection to another workspace", "segment 1", batch(func(b *Batch) { b.Segments[1].Projection = other.projection })},
		{"no count", "segment 0", batch(func(b *Batch) { b.Segments[0].Count = 0 })},
		{"negative count", "segment 0", batch(func(b *Batch) { b.Segments[0].Count = -2 })},
		{"a count that overflows", "segment 0", batch(func(b *Batch) { b.Segments[0].Count = math.MaxInt/8 + 1 })},
		{"fewer rows than said", "segments of 2 rows", batch(func(b *Batch) { b.Segments = b.Segments[:1] })},
		{"no segments", "segments of 0 rows", batch(func(b *Batch) { b.Segments = nil })},
		{"short slots", "3 slots", batch(func(b *Batch) { b.Slots = make([]int32, 3) })},
		{"negative slot", "slot -1 of row 2", batch(func(b *Batch) { b.Slots = []int32{0, 0, -1, 0} })},
		{"short flags", "3 flags", batch(func(b *Batch) { b.RowFlags = make([]uint8, 3) })},
		{"no states", "are needed", batch(func(b *Batch) { b.States = nil })},
		{"no weights", "are needed", batch(func(b *Batch) { b.Weights = nil })},
		{"weights of another workspace", "weights of workspace 16", batch(func(b *Batch) { b.Weights = other.weights })},
		{"patterns of another workspace", "patterns of workspace 16", batch(func(b *Batch) { b.Patterns = other.patterns })},
		{"tier", "tier 6", batch(func(b *Batch) { b.Policy.Tier = Omega + 1 })},
		{"state update", "state update 2", batch(func(b *Batch) { b.Policy.StateUpdate = 2 })},
		{"output", "output of 3", func() error { return l.Validate(ctx, f.batch(4), make([]Verdict, 3)) }},
		{"too many rows", "65537 rows", func() error {
			return l.Validate(ctx, f.batch(MaxBatch+1), make([]Verdict, MaxBatch+1))
		}},
		{"project, output", "outputs of 31", func() error { return l.Project(ctx, f.batch(4), make([]float32, 31), make([]uint32, 4)) }},
		{"project, statuses", "3 statuses", func() error { return l.Project(ctx, f.batch(4), make([]float32, 32), make([]uint32, 3)) }},
		{"weights", "tensor 2", func() error { _, err := l.NewWeights(ctx, CPU, 8, tensors); return err }},
		{"workspace", "workspace 3", func() error { _, err := l.NewPatterns(ctx, CPU, 3); return err }},
		{"device", "device -2", func() error { _, err := l.NewPatterns(ctx, -2, 8); return err }},
		{"projection weight", "weight holds 31", func() error {
			_, err := l.NewProjection(ctx, CPU, 8, 4, make([]float32, 31), room)
			return err
		}},
		{"projection width", "width 4097", func() error { _, err := l.NewProjection(ctx, CPU, 8, 4097, nil, room); return err }},
		{"loaded state", "state_imag 7", func() error { _, err := l.NewStates(ctx, CPU, 8, room, room[1:]); return err }},
		{"read", "room for 7", func() error { return f.states.Read(ctx, 0, room[1:], room) }},
		{"read slot", "slot -1", func() error { return f.states.Read(ctx, -1, room, room) }},
		{"put", "15 numbers", func() error { return f.patterns.Put(ctx, Safe, []int64{0}, make([]float32, 15), []int64{1}) }},
		{"put ids", "2 ids", func() error { return f.patterns.Put(ctx, Safe, []int64{0}, make([]float32, 16), []int64{1, 2}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.call()
			var e *Error
			if !errors.As(err, &e) || e.Code != InvalidArgument || !strings.Contains(e.Message, c.want) {
				t.Errorf("got %v, want an invalid argument with %q", err, c.want)
			}
		})
	}
}

// What a projection does is plain arithmetic: W·x + b.
func TestProjectAgreesWithItsFormula(t *testing.T) {
	l := library(t)
	const n, rows = 8, 37
	f := newFixture(t, l, n, 0)
	b := f.batch(rows)
	b.Segments[0].Rows[3] = float32(math.Inf(1))
	b.Segments[1].Rows[5] = float32(math.NaN())
	out, status := make([]float32, rows*n), make([]uint32, rows)
	if err := l.Project(t.Context(), b, out, status); err != nil {
		t.Fatal(err)
	}
	first := b.Segments[0].Count
	weight, bias := numbers(n*projectionWidth, 3), numbers(n, 4)
	for i := range rows {
		if i == 0 || i == first {
			if status[i] != RowNotFinite {
				t.Errorf("row %d: got status %d, want %d", i, status[i], RowNotFinite)
			}
			continue
		}
		for k := range n {
			want := float64(b.Segments[0].Rows[min(i, first-1)*n+k])
			if i >= first {
				want = float64(bias[k])
				for j := range projectionWidth {
					want += float64(weight[k*projectionWidth+j]) * float64(b.Segments[1].Rows[(i-first)*projectionWidth+j])
				}
			}
			if got := float64(out[i*n+k]); status[i] != RowOK || math.Abs(got-want) > 1e-5 {
				t.Errorf("row %d element %d: got %v (status %d), want %v", i, k, got, status[i], want)
			}
		}
	}
}

// Every member of a verdict arrives where Go reads it, and slots are apart.
func TestVerdictsArrive(t *testing.T) {
	l := library(t)
	const n = 8
	f := newFixture(t, l, n, 0)
	ctx := t.Context()
	row := numbers(2*n, 30)
	clear(row[n:])
	if err := f.patterns.Put(ctx, Safe, []int64{0}, row, []int64{41}); err != nil {
		t.Fatal(err)
	}
	b := f.batch(1)
	b.Segments[0] = Segment{Rows: append(append([]float32{}, row[:n]...), row[:n]...), Width: n, Count: 2}
	b.Count, b.Slots, b.RowFlags = 2, []int32{3, 0}, []uint8{0, RowSkip}
	out := make([]Verdict, 2)
	if err := l.Validate(ctx, b, out); err != nil {
		t.Fatal(err)
	}
	v := out[0]
	if v.NearestSafe != 41 || v.NearestUnsafe != -1 || v.SafeDistance != 0 || v.SafeSimilarity != 1 || v.UnsafeSimilarity != 0 ||
		!math.IsInf(float64(v.UnsafeDistance), 1) || v.Novelty != 0 || v.RowStatus != RowOK ||
		v.Flags&MatchedSafe == 0 || v.Flags&MatchedUnsafe != 0 {
		t.Errorf("a known safe row: got %+v", v)
	}
	if want := v.BaseRisk * 0.3; v.BaseRisk <= 0 || v.BaseRisk >= 1 || math.Abs(float64(v.RawRisk-want)) > 1e-6 {
		t.Errorf("risk: got %v of base risk %v, want 0.3 of it", v.RawRisk, v.BaseRisk)
	}
	if s := out[1]; s.RowStatus != RowSkipped || s.NearestSafe != -1 || s.Flags != RequiresApproval|RequiresHumanApproval|DecisionBlock {
		t.Errorf("a skipped row: got %+v", s)
	}
	loaded, moved, imag := numbers(n, 1), make([]float32, n), make([]float32, n)
	for slot, moves := range map[int]bool{0: false, 3: true, 9: false} {
		if err := f.states.Read(ctx, slot, moved, imag); err != nil {
			t.Fatal(err)
		}
		for k := range n {
			want := loaded[k]
			if moves {
				want = 0.9*loaded[k] + 0.1*row[k]
			}
			if math.Abs(float64(moved[k]-want)) > 1e-6 {
				t.Errorf("slot %d element %d: got %v, want %v", slot, k, moved[k], want)
			}
		}
	}
}

// In steady state a batch allocates nothing, however many parts it has.
func TestBatchesAllocateNothing(t *testing.T) {
	l := library(t)
	f := newFixture(t, l, 8, 20)
	for _, segments := range []int{1, 3, 50} {
		b := f.batch(1)
		b.Segments = nil
		for i := range segments {
			s := Segment{Rows: numbers(8, uint64(i)), Width: 8, Count: 1}
			if i%2 == 1 {
				s = Segment{Rows: numbers(projectionWidth, uint64(i)), Width: projectionWidth, Count: 1, Projection: f.projection}
			}
			b.Segments = append(b.Segments, s)
		}
		b.Count = segments
		b.Slots, b.RowFlags = make([]int32, segments), make([]uint8, segments)
		out, rows, status := make([]Verdict, segments), make([]float32, segments*8), make([]uint32, segments)
		ctx := t.Context()
		for name, call := range map[string]func() error{
			"validate": func() error { return l.Validate(ctx, b, out) },
			"project":  func() error { return l.Project(ctx, b, rows, status) },
		} {
			if got := testing.AllocsPerRun(200, func() {
				if err := call(); err != nil {
					t.Fatal(err)
				}
			}); got != 0 {
				t.Errorf("%s of %d segments: got %v allocations, want 0", name, segments, got)
			}
		}
	}
}
