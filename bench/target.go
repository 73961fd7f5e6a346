package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Target is a program under measurement.
type Target interface {
	// Info says what it is and what it takes.
	Info() Info
	// Setup takes a workload, in place of the one before, with a fresh state,
	// and computes with as many threads from then on.
	Setup(ctx context.Context, w *Workload, threads int) error
	// Answer judges the first rows of the workload as one batch. It is called
	// once, right after Setup.
	Answer(ctx context.Context, rows int) (*Answer, error)
	// Run judges count batches of size rows and answers the time of each.
	Run(ctx context.Context, size, count int) ([]time.Duration, error)
	// Memory is what it holds now.
	Memory(ctx context.Context) (Memory, error)
	// Close frees what the target holds.
	Close() error
}

// Info is what a target says of itself.
type Info struct {
	ID     string `json:"id"`     // Kind, "/" and Device
	Kind   string `json:"kind"`   // engine, loop, eager, compile, gotorch, faiss or tree
	Name   string `json:"name"`   // with the versions that matter
	Device string `json:"device"` // cpu or cuda:N
	// Matching: it finds the nearest patterns of workspace rows and does no
	// more of a validation.
	Matching bool `json:"matching"`
	// What it is not asked beyond, because it would take hours; 0: nothing.
	MaxBatch     int `json:"max_batch,omitempty"`
	MaxWorkspace int `json:"max_workspace,omitempty"`
	MaxPatterns  int `json:"max_patterns_a_side,omitempty"`
}

// takes tells whether the target is measured on a workload.
func (i *Info) takes(w *Workload) bool {
	return (i.MaxWorkspace == 0 || w.Workspace <= i.MaxWorkspace) && (i.MaxPatterns == 0 || w.Patterns <= i.MaxPatterns)
}

// Limits says in words what it is not asked beyond.
func (i Info) Limits() string {
	var limits []string
	for _, l := range []struct {
		most int
		what string
	}{{i.MaxBatch, "batches of %s"}, {i.MaxWorkspace, "n = %s"}, {i.MaxPatterns, "%s patterns on a side"}} {
		if l.most > 0 {
			limits = append(limits, fmt.Sprintf(l.what, thousands(float64(l.most))))
		}
	}
	if limits == nil {
		return ""
	}
	return "; up to " + strings.Join(limits, ", ")
}

// takesBatch tells whether the target is measured at a batch size.
func (i *Info) takesBatch(size int) bool { return i.MaxBatch == 0 || size <= i.MaxBatch }

// Memory is what a target holds, in bytes.
type Memory struct {
	Resident int64 `json:"resident_bytes"` // of its process, the workload included
	Device   int64 `json:"device_bytes"`   // of the GPU
}

// Answer is what a target found about some rows; what it does not compute is
// nil. Both sides of the memory: safe, then unsafe.
type Answer struct {
	Risks    []float32    // raw risks
	Nearest  [2][]int64   // indices into the workload's patterns
	Distance [2][]float32 // to them
}

// Tolerance is how far the risks of two targets, and their distances, may
// differ: what the conformance kit allows for a score.
const Tolerance = 1e-4

// checkedRows is how many rows are compared before a workload is timed.
const checkedRows = 2048

// compare answers the largest difference between two targets' risks, or
// between the distances of patterns that both hold for the nearest.
func compare(want, got *Answer) (float64, error) {
	worst, compared := 0.0, false
	if want.Risks != nil && got.Risks != nil {
		difference, err := compareNumbers("risk", want.Risks, got.Risks)
		if err != nil {
			return 0, err
		}
		worst, compared = difference, true
	}
	for side, name := range []string{"safe", "unsafe"} {
		if want.Nearest[side] == nil || got.Nearest[side] == nil {
			continue
		}
		// Sums in another order may prefer another pattern as near.
		difference, err := compareNumbers("distance of the nearest "+name+" pattern", want.Distance[side], got.Distance[side])
		if err != nil {
			return 0, err
		}
		others := 0
		for i, id := range got.Nearest[side] {
			if id != want.Nearest[side][i] {
				others++
			}
		}
		if others > len(want.Nearest[side])/10 {
			return 0, fmt.Errorf("%d of %d nearest %s patterns are others", others, len(want.Nearest[side]), name)
		}
		worst, compared = max(worst, difference), true
	}
	if !compared {
		return 0, errors.New("no answer in common")
	}
	return worst, nil
}

func compareNumbers(what string, want, got []float32) (float64, error) {
	if len(want) != len(got) {
		return 0, fmt.Errorf("%s: got %d rows, want %d", what, len(got), len(want))
	}
	worst := 0.0
	for i := range want {
		difference := math.Abs(float64(want[i]) - float64(got[i]))
		if !(difference <= Tolerance) { // NaN is a difference too
			return 0, fmt.Errorf("row %d: %s %v, want %v", i, what, got[i], want[i])
		}
		worst = max(worst, difference)
	}
	return worst, nil
}
