package torch

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestDetector(t *testing.T) {
	l := library(t)
	const n, count = 8, 60
	rows, others := numbers(n*count, 1), numbers(n*20, 2)
	location, factor, left := make([]float64, n), make([]float64, n*n), make([]float64, count)
	same, other, far := make([]float64, 30), make([]float64, 30), make([]float64, 20)
	trace, square, err := l.DetectorFit(t.Context(), CPU, n, rows, others, location, factor, left, same, other)
	if err != nil || !(trace > 0) || !(square > 0) {
		t.Fatalf("fit: got %v, %v, %v", trace, square, err)
	}
	if err := l.DetectorDistances(t.Context(), CPU, n, location, factor, others, far); err != nil {
		t.Fatal(err)
	}
	for i, row := 0, others; i < len(far); i, row = i+1, row[n:] {
		var want float64
		for j := range n {
			var sum float64
			for k := range n {
				sum += factor[j*n+k] * (float64(row[k]) - location[k])
			}
			want += sum * sum
		}
		if want = math.Sqrt(want); math.Abs(far[i]-want) > 1e-9*want {
			t.Errorf("row %d: got a distance of %v, want %v", i, far[i], want)
		}
	}
	for i := range same {
		nearest := [2]float64{math.Inf(1), math.Inf(1)}
		for side, against := range [2][]float32{rows, others} {
			for k := range len(against) / n {
				if side == 0 && k == i {
					continue
				}
				var sum float64
				for j := range n {
					d := float64(rows[i*n+j]) - float64(against[k*n+j])
					sum += d * d
				}
				nearest[side] = min(nearest[side], math.Sqrt(sum))
			}
		}
		if err := l.DetectorNearest(t.Context(), CPU, n, rows[i*n:(i+1)*n], others, far[:1]); err != nil || math.Abs(far[0]-nearest[1]) > 1e-9 {
			t.Errorf("row %d: got nearest %v, %v, want %v", i, far[0], err, nearest[1])
		}
		if math.Abs(same[i]-nearest[0]) > 1e-9 || math.Abs(other[i]-nearest[1]) > 1e-9 || !(left[i] > 0) {
			t.Errorf("row %d: got nearest %v and %v, left out at %v, want %v and above 0", i, same[i], other[i], left[i], nearest)
		}
	}
}

func TestDetectorRefuses(t *testing.T) {
	l := library(t)
	const n = 8
	room := func(count int) []float64 { return make([]float64, count) }
	fit := func(rows, others []float32, location, factor, left, same, other []float64) func() error {
		return func() error {
			_, _, err := l.DetectorFit(t.Context(), CPU, n, rows, others, location, factor, left, same, other)
			return err
		}
	}
	distances := func(location, factor []float64, rows []float32, out []float64) func() error {
		return func() error { return l.DetectorDistances(t.Context(), CPU, n, location, factor, rows, out) }
	}
	three := numbers(3*n, 1)
	for _, c := range []struct {
		name string
		call func() error
		want string
	}{
		{"one row", fit(three[:n], nil, room(n), room(n*n), room(1), nil, nil), "1 rows"},
		{"a part of a row", fit(three[:2*n+1], nil, room(n), room(n*n), room(2), nil, nil), "17 and 0 numbers"},
		{"others of another width", fit(three, three[:1], room(n), room(n*n), room(3), nil, nil), "24 and 1 numbers"},
		{"no room for the location", fit(three, nil, room(n-1), room(n*n), room(3), nil, nil), "room for 7"},
		{"no room for the factor", fit(three, nil, room(n), room(n), room(3), nil, nil), "8 and 3"},
		{"no room for what is left out", fit(three, nil, room(n), room(n*n), room(2), nil, nil), "64 and 2"},
		{"more nearest rows than rows", fit(three, nil, room(n), room(n*n), room(3), room(4), room(4)), "at most 3"},
		{"nearest rows of one kind", fit(three, nil, room(n), room(n*n), room(3), room(2), nil), "2 and 0"},
		{"workspace", func() error {
			_, _, err := l.DetectorFit(t.Context(), CPU, 1, three, nil, room(1), room(1), room(3*n), nil, nil)
			return err
		}, "workspace 1"},
		{"no rows", distances(room(n), room(n*n), nil, nil), "0 rows"},
		{"rows of another width", distances(room(n), room(n*n), three[:5], room(1)), "5 numbers of 1 rows"},
		{"a fit of another width", distances(room(n), room(n), three, room(3)), "8 and 8 numbers"},
		{"device", func() error {
			return l.DetectorDistances(t.Context(), -2, n, room(n), room(n*n), three, room(3))
		}, "device -2"},
	} {
		var e *Error
		if err := c.call(); !errors.As(err, &e) || e.Code != InvalidArgument || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an invalid argument that says %q", c.name, err, c.want)
		}
	}
	for _, c := range []struct {
		rows, others []float32
		out          []float64
	}{{nil, three, nil}, {three, three, room(2)}, {three[:1], three, room(1)}, {three, three[:1], room(3)}} {
		var e *Error
		if err := l.DetectorNearest(t.Context(), CPU, n, c.rows, c.others, c.out); !errors.As(err, &e) || e.Code != InvalidArgument || !strings.Contains(err.Error(), "expected rows of 8") {
			t.Errorf("nearest of %d, %d numbers, room for %d: got %v, want an invalid argument", len(c.rows), len(c.others), len(c.out), err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.DetectorDistances(ended, CPU, n, room(n), room(n*n), three, room(3)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: got %v", err)
	}
}
