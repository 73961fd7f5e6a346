package bench

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// Sweeps of a plan: what a series of cases differs in.
const (
	SweepBatch    = "batch"
	SweepPatterns = "patterns"
	SweepThreads  = "threads"
)

// Plan says what is measured, and how long.
type Plan struct {
	Groups  []Group
	Rounds  int           // turns of each target in a case
	PerTurn time.Duration // of each turn
	Roof    time.Duration // of a measurement of the machine's roof; 0: none
	// FileRows are the rows of 8 and of 768 numbers that the command judges
	// from a file; 0: none.
	FileRows, LineRows int
	// Overhead is for how long an engine takes turns with one that lacks a
	// part, for each size of a batch; 0: not at all.
	Overhead time.Duration
}

// Group is a workload with its cases: all targets are set up once.
type Group struct {
	Sweep     string
	Width     int // d, of an embedding
	Workspace int // n
	Patterns  int // on each side
	Threads   int
	Sizes     []int    // batch sizes
	Kinds     []string // of targets that are measured
}

// validators judge; a matcher finds nearest patterns only.
var validators = []string{"engine", "loop", "eager", "compile", "gotorch"}

// FullPlan measures everything, on as many threads. Most of its time goes into
// PyTorch's compiling, once for each shape and size of a batch.
func FullPlan(threads, patterns int) Plan {
	p := Plan{Rounds: 4, PerTurn: 250 * time.Millisecond, Roof: 2 * time.Second, FileRows: 4_000_000, LineRows: 20_000, Overhead: 4 * time.Second}
	p.shapes(threads, patterns, []int{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536}, []int{1, 64, 1024, 16384}, validators,
		[][2]int{{8, 8}, {384, 8}, {768, 8}, {384, 384}})
	p.scaling(threads, patterns, 16384, []int{100, 1000, 10_000, 100_000, 1_000_000})
	return p
}

// QuickPlan takes less than a minute, and leaves out what takes long:
// torch.compile, large memories and files.
func QuickPlan(threads, patterns int) Plan {
	p := Plan{Rounds: 2, PerTurn: 50 * time.Millisecond, Roof: 400 * time.Millisecond, Overhead: time.Second}
	p.shapes(threads, patterns, []int{1, 64, 1024, 4096}, []int{1, 64, 1024}, []string{"engine", "loop", "eager", "gotorch"},
		[][2]int{{8, 8}, {768, 8}})
	p.scaling(threads, patterns, 4096, []int{100, 1000, 10_000})
	return p
}

// shapes adds a group for each d, n; the first with more batch sizes.
func (p *Plan) shapes(threads, patterns int, first, others []int, kinds []string, shapes [][2]int) {
	for i, shape := range shapes {
		sizes := others
		if i == 0 {
			sizes = first
		}
		p.Groups = append(p.Groups, Group{SweepBatch, shape[0], shape[1], patterns, threads, sizes, kinds})
	}
}

// scaling adds the sweeps over patterns, in batches of 1,024 rows, and threads.
func (p *Plan) scaling(threads, patterns, size int, counts []int) {
	for _, count := range counts {
		p.Groups = append(p.Groups, Group{SweepPatterns, 8, 8, count, threads, []int{1024}, []string{"engine", "eager", "faiss", "tree"}})
	}
	for _, t := range threadCounts(threads) {
		p.Groups = append(p.Groups, Group{SweepThreads, 8, 8, patterns, t, []int{size}, []string{"engine", "eager", "faiss", "tree"}})
	}
}

// threadCounts are 1, 2, 4, … and the last itself.
func threadCounts(last int) (counts []int) {
	for t := 1; t < last; t *= 2 {
		counts = append(counts, t)
	}
	return append(counts, last)
}

// wants tells whether any group measures targets of a kind.
func (p *Plan) wants(kind string) bool {
	return slices.ContainsFunc(p.Groups, func(g Group) bool { return slices.Contains(g.Kinds, kind) })
}

// steps counts what the progress of a run is told in.
func (p *Plan) steps() int {
	steps := 0
	for i := range p.Groups {
		steps += len(p.Groups[i].Sizes)
	}
	if p.Roof > 0 {
		steps += len(p.threads())
	}
	if p.Overhead > 0 {
		steps += 2
	}
	if p.FileRows > 0 {
		steps++
	}
	if p.LineRows > 0 {
		steps++
	}
	return steps
}

// threads are the thread counts of all groups, ascending.
func (p *Plan) threads() (counts []int) {
	for i := range p.Groups {
		counts = append(counts, p.Groups[i].Threads)
	}
	slices.Sort(counts)
	return slices.Compact(counts)
}

// check reports a plan that cannot be run.
func (p *Plan) check() error {
	if len(p.Groups) == 0 || p.Rounds < 1 || p.PerTurn <= 0 {
		return errors.New("bench: expected at least one group, one round and some time a turn")
	}
	for i := range p.Groups {
		g := &p.Groups[i]
		if g.Width < 1 || g.Workspace < 2 || g.Patterns < 1 || g.Threads < 1 || len(g.Sizes) == 0 {
			return fmt.Errorf("bench: d=%d n=%d with %d patterns on %d threads and %d batch sizes: expected n of at least 2 and all others of at least 1",
				g.Width, g.Workspace, g.Patterns, g.Threads, len(g.Sizes))
		}
		for _, size := range g.Sizes {
			if size < 1 || size > engine.MaxBatch {
				return fmt.Errorf("bench: batch size %d, expected 1 to %d", size, engine.MaxBatch)
			}
		}
		if err := checkKinds(g.Kinds); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	return nil
}
