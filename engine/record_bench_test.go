package engine_test

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// BenchmarkRecord records batches of outcomes into a data directory; every
// call returns when the batch is durable, so with journal_sync = "always" it
// measures the disk.
func BenchmarkRecord(b *testing.B) {
	for _, sync := range []string{"always", "interval", "never"} {
		for _, batch := range []int{1, 64, 4096} {
			b.Run(fmt.Sprintf("sync=%s/batch=%d", sync, batch), func(b *testing.B) {
				config := inMemory(8)
				config.Persistence.Dir = filepath.Join(b.TempDir(), "data")
				config.Persistence.JournalSync = sync
				e := open(b, config)
				all := outcomes(normal(1, batch, 8), 8)
				for b.Loop() {
					record(b, e, all)
				}
				b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "outcomes/s")
			})
		}
	}
}

// BenchmarkRecordLooking records kinds of rows into a full memory of no folder,
// with the detector and without: what looking costs.
func BenchmarkRecordLooking(b *testing.B) {
	for _, c := range []struct{ n, capacity, batch int }{
		{8, 1000, 1}, {8, 1000, 1024}, {8, 1000, engine.MaxBatch}, {8, 100_000, 1024}, {8, 100_000, engine.MaxBatch},
		{384, 1000, 1}, {384, 1000, 1024}, {384, 10_000, 1024},
	} {
		all := clustered(c.n, engine.MaxBatch)
		for _, looks := range []bool{true, false} {
			b.Run(fmt.Sprintf("n=%d/capacity=%d/batch=%d/detector=%v", c.n, c.capacity, c.batch, looks), func(b *testing.B) {
				config, options := inMemory(c.n), []engine.Option{engine.InMemory()}
				if config.Memory.Capacity = c.capacity; !looks {
					options = append(options, engine.WithoutDetector())
				}
				e := open(b, config, options...)
				for from := 0; from < 2*c.capacity; from += len(all) {
					record(b, e, all[:min(len(all), 2*c.capacity-from)])
				}
				at := 0
				for b.Loop() {
					record(b, e, all[at:at+c.batch])
					at = (at + c.batch) % (len(all) - c.batch + 1)
				}
				b.ReportMetric(float64(c.batch)*float64(b.N)/b.Elapsed().Seconds(), "outcomes/s")
			})
		}
	}
}

// BenchmarkRecordFirst records as many as a call takes into an empty memory.
func BenchmarkRecordFirst(b *testing.B) {
	all := outcomes(normal(1, engine.MaxBatch, 8), 8)
	for _, options := range [][]engine.Option{{engine.InMemory()}, {engine.InMemory(), engine.WithoutDetector()}} {
		b.Run(fmt.Sprintf("detector=%v", len(options) == 1), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				config := inMemory(8)
				config.Memory.Capacity = engine.MaxBatch
				e := open(b, config, options...)
				b.StartTimer()
				record(b, e, all)
			}
		})
	}
}

// clustered are outcomes of 16 kinds of action, 8 of them safe, of about unit length.
func clustered(width, count int) []engine.Outcome {
	rows, centers := normal(1, count, width), normal(2, 16, width)
	scale := float32(1 / math.Sqrt(float64(width)))
	all := outcomes(rows, width)
	for i := range all {
		for j := range all[i].Embedding {
			all[i].Embedding[j] = scale * (centers[i%16*width+j] + all[i].Embedding[j]/2)
		}
	}
	return all
}

// BenchmarkRecordAtOnce is 64 callers of one outcome each, which share syncs.
func BenchmarkRecordAtOnce(b *testing.B) {
	config := inMemory(8)
	config.Persistence.Dir = filepath.Join(b.TempDir(), "data")
	e := open(b, config)
	one := outcomes(normal(1, 1, 8), 8)
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			record(b, e, one)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "outcomes/s")
}

// BenchmarkValidateWhileSaving judges one row after another while checkpoints
// are saved without a pause, beside the same without any, and reports the
// slowest and the median call of both: what a save costs a validation.
func BenchmarkValidateWhileSaving(b *testing.B) {
	for _, patterns := range []int{1_000, 1_000_000} {
		config := inMemory(8)
		config.Persistence.Dir = filepath.Join(b.TempDir(), "data")
		config.Persistence.AutoSaveInterval = 0
		config.Persistence.JournalSync = "never"
		config.Memory.Capacity = patterns
		e := open(b, config)
		for left := 2 * patterns; left > 0; left -= engine.MaxBatch {
			record(b, e, outcomes(normal(uint64(left), min(left, engine.MaxBatch), 8), 8))
		}
		for _, saving := range []bool{false, true} {
			b.Run(fmt.Sprintf("patterns=%d+%d/saving=%v", patterns, patterns, saving), func(b *testing.B) {
				stop, ended := make(chan struct{}), make(chan int)
				go func() {
					saves := 0
					for saving {
						select {
						case <-stop:
							ended <- saves
							return
						default:
						}
						if _, err := e.Save(b.Context()); err != nil {
							b.Error(err)
						}
						saves++
					}
					ended <- saves
				}()
				row, out := normal(3, 1, 8), make([]engine.Verdict, 1)
				var times []time.Duration
				for b.Loop() {
					start := time.Now()
					if err := e.ValidateInto(b.Context(), engine.Batch{Embeddings: row, Width: 8}, out); err != nil {
						b.Fatal(err)
					}
					times = append(times, time.Since(start))
				}
				close(stop)
				saves := <-ended
				slices.Sort(times)
				at := func(q float64) float64 { return float64(times[int(q*float64(len(times)-1))].Microseconds()) }
				b.ReportMetric(at(0.5), "p50-µs")
				b.ReportMetric(at(0.999), "p999-µs")
				b.ReportMetric(at(1), "max-µs")
				b.ReportMetric(float64(saves), "saves")
			})
		}
	}
}
