package bench

import (
	"context"
	"errors"
	"time"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
)

// Roof is what a number of threads can do at best, as measured in the run:
// the most of a measurement before and one after everything else.
type Roof struct {
	Threads        int     `json:"threads"`
	FlopsPerSecond float64 `json:"flops_per_second"` // float32 multiply-adds, two each
	BytesPerSecond float64 `json:"bytes_per_second"` // read from memory
}

// Need is what one row takes at least in a stage of a validation: in flops,
// where one instruction that a multiply-add could stand for (an addition, a
// minimum, a root) counts two like it, and in bytes that have to come from
// memory or go there when everything else stays in the cache. Steps are those
// of the validator specification, section 2.
//
//	project   step 1      n·d multiply-adds; reads the embedding, and the weights once a batch
//	scan      step 2      two multiply-adds for each of n
//	score     steps 3–5   for each of n: amplitude 3, its sum, a division, a square, its sum,
//	                      a division, an addition, a logarithm of 12 (a polynomial of degree 8
//	                      and its range), a multiply-add: 22
//	detector  step 6      n·64 (the half of state_imag never moves and is a constant) + 64·32 + 32
//	match     step 7      for each pattern of both sides n multiply-adds, in the expanded form
//	                      ‖p‖² − 2·z·p, and a minimum; reads the patterns once a batch
//	verdict   steps 8–16  writes 64 bytes; its flops are not counted
type Need struct {
	Stage string  `json:"stage"`
	Flops float64 `json:"flops"`
	Bytes float64 `json:"bytes"`
}

// The network of the risk detector is 2n → 64 → 32 → 1 (validator
// specification, section 1).
const hidden0, hidden3 = 64, 32

// verdictBytes is what a row's verdict takes in memory (fdqc_verdict).
const verdictBytes = 64

// needs answers what each stage needs a row.
func needs(c *Case) []Need {
	n, d, batch := float64(c.Workspace), float64(c.Width), float64(c.BatchSize)
	patterns := 2 * float64(c.Patterns)
	project := Need{Stage: "project", Bytes: 4 * d}
	if c.Width != c.Workspace {
		project.Flops = 2 * n * d
		project.Bytes += 4 * n * (d + 1) / batch
	}
	return []Need{
		project,
		{"scan", 2 * 2 * n, 0},
		{"score", 2 * 22 * n, 0},
		{"detector", 2 * (n*hidden0 + hidden0*hidden3 + hidden3), 0},
		{"match", 2 * (n + 1) * patterns, 4 * (n + 1) * patterns / batch},
		{"verdict", 0, verdictBytes},
	}
}

// total adds up the stages.
func total(stages []Need) (sum Need) {
	for _, s := range stages {
		sum.Flops += s.Flops
		sum.Bytes += s.Bytes
	}
	return sum
}

// limit is the most rows per second that the roof allows.
func (r *Roof) limit(need Need) float64 {
	return min(r.FlopsPerSecond/need.Flops, r.BytesPerSecond/need.Bytes)
}

// share is the rate by that limit. An index that leaves work out can have
// more than 1.
func (r *Roof) share(c *Case, rowsPerSecond float64) float64 {
	return rowsPerSecond / r.limit(total(needs(c)))
}

// measureRoofs raises the roofs of some thread counts to what is measured now.
func measureRoofs(ctx context.Context, roofs []Roof, threads []int, within time.Duration, step func(string)) (_ []Roof, err error) {
	library, err := torch.Open(torch.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, library.Close()) }()
	if roofs == nil {
		roofs = make([]Roof, len(threads))
	}
	for i, t := range threads {
		step("roofline")
		measured, err := library.Roofline(ctx, t, within)
		if err != nil {
			return nil, err
		}
		roofs[i] = Roof{t, max(roofs[i].FlopsPerSecond, measured.FlopsPerSecond), max(roofs[i].BytesPerSecond, measured.BytesPerSecond)}
	}
	return roofs, nil
}
