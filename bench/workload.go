package bench

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/fdqc-cockpit/fdqc/models"
)

// Workload is what all targets of a comparison judge.
type Workload struct {
	Width     int // d, of an embedding
	Workspace int // n
	Patterns  int // on each side
	Count     int // of rows to be judged, and the largest batch
	Seed      int64

	Weights    *models.Weights    // by models.DrawWeights of Seed
	Projection *models.Projection // by models.DrawProjection of Seed; nil when d = n

	Safe   []float32 // [Patterns, d] embeddings to be recorded as safe
	Unsafe []float32 // [Patterns, d] … as unsafe
	Rows   []float32 // [Count, d] embeddings to be judged
}

// minRows is how many rows a workload has at least, so that small batches are
// not of the same few.
const minRows = 16384

// clusters is how many kinds of action a workload has. Real embeddings come
// in groups; the rows of a group lie closer to its patterns than to others.
const clusters = 16

// Name says the shapes, such as "d=384 n=8 P=1000".
func (w *Workload) Name() string {
	return fmt.Sprintf("d=%d n=%d P=%d", w.Width, w.Workspace, w.Patterns)
}

// NewWorkload makes a workload of at least as many rows, a function of its
// arguments only.
func NewWorkload(width, workspace, patterns, rows int, seed int64) *Workload {
	w := &Workload{
		Width: width, Workspace: workspace, Patterns: patterns, Count: max(rows, minRows), Seed: seed,
		Weights: models.DrawWeights(seed, workspace),
	}
	if width != workspace {
		w.Projection = models.DrawProjection(seed, workspace, width)
	}
	random := rand.New(rand.NewPCG(uint64(seed), uint64(width)<<32|uint64(workspace)))
	// Unit length on the whole, as text embeddings have.
	scale := 1 / math.Sqrt(float64(width))
	centers := make([]float32, clusters*width)
	for i := range centers {
		centers[i] = float32(random.NormFloat64() * scale)
	}
	draw := func(count, firstCluster, clusterCount int) []float32 {
		out := make([]float32, count*width)
		for i := range count {
			center := centers[(firstCluster+random.IntN(clusterCount))*width:]
			for j := range width {
				out[i*width+j] = center[j] + float32(random.NormFloat64()*scale*0.5)
			}
		}
		return out
	}
	w.Safe = draw(patterns, 0, clusters/2)
	w.Unsafe = draw(patterns, clusters/2, clusters/2)
	w.Rows = draw(w.Count, 0, clusters)
	return w
}

// Batch is the rows of the i-th batch of a size: batches walk through the rows
// and start again at the end.
func (w *Workload) Batch(i, size int) []float32 {
	first := i % (w.Count / size) * size
	return w.Rows[first*w.Width : (first+size)*w.Width]
}
