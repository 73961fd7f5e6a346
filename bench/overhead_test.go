package bench

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestPairs: the ratio is that of the pairs' times, whoever is first.
func TestPairs(t *testing.T) {
	with, without := newFake("with", 4*time.Millisecond), newFake("without", 3*time.Millisecond)
	o, err := pairs(t.Context(), with, without, 1, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(o.Ratio-0.75) > 1e-9 || o.With != 0.004 || o.Without != 0.003 || o.Pairs != 25 {
		t.Errorf("got %+v, want a ratio of 0.75 over 25 pairs", o)
	}
	var b strings.Builder
	r := &Report{Overheads: []Overhead{o}}
	if err := r.overheadTable(&b); err != nil || !strings.Contains(b.String(), "0.750") {
		t.Errorf("table (%v):\n%s", err, b.String())
	}
}

// TestOverheads measures both engines of each part, if only for a moment.
func TestOverheads(t *testing.T) {
	r := &run{Options: &Options{Plan: Plan{Groups: []Group{{Threads: 1}}, Overhead: time.Millisecond}}}
	all, err := r.overheads(t.Context())
	needLibTorch(t, err)
	if len(all) != 4 {
		t.Fatalf("got %+v, want two parts in batches of 1 and of 1,024 rows", all)
	}
	for i, of := range []string{ofMonitoring, ofMonitoring, ofDetection, ofDetection} {
		if o := all[i]; o.Of != of || o.BatchSize != []int{1, 1024}[i%2] || !(o.Ratio > 0) {
			t.Errorf("got %+v, want %s", o, of)
		}
	}
}
