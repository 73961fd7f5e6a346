package engine_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// many is the configuration of a directory in which as much may wait as ever.
func many(t testing.TB) engine.Config {
	config := inMemory(8)
	config.Persistence.Dir = filepath.Join(t.TempDir(), "data")
	config.Persistence.JournalSync, config.Persistence.AutoSaveInterval = "never", 0
	config.Detector.QuarantineCapacity, config.Safety.MaxPendingApprovals = 100_000, 100_000
	return config
}

// holding holds outcomes, a few MiB of records at once, and answers their ids.
func holding(t testing.TB, d *engine.Directory, count int) (ids []int64) {
	t.Helper()
	rows := normal(1, 1024, 8)
	for len(ids) < count {
		all := make([]engine.Held, min(8192, count-len(ids)))
		for i := range all {
			all[i] = engine.Held{
				At: time.Unix(int64(i), 0).UTC(), Source: "web", Side: "safe", Workspace: rows[i%1024*8:][:8], Importance: 1,
				Findings: []engine.Finding{{Rule: "outlier", Score: 1.25, Reason: "far away"}},
			}
		}
		more, err := d.HoldAll(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, more...)
	}
	return ids
}

// asking fills the queue of approvals, and answers their ids.
func asking(t testing.TB, d *engine.Directory, round, count int) (ids []int64) {
	t.Helper()
	for len(ids) < count {
		all := make([]engine.Ask, min(1024, count-len(ids)))
		for i := range all {
			all[i] = engine.Ask{Row: fmt.Sprint(round, " ", len(ids)+i), Workspace: make([]float32, 8)}
		}
		answers, err := d.AskApproval(t.Context(), all, "agent")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			if a.Refused != "" {
				t.Fatal(a.Refused)
			}
			ids = append(ids, a.ID)
		}
	}
	return ids
}

// BenchmarkQuarantine is what an outcome costs that is held, dropped or accepted
// where so many are held.
func BenchmarkQuarantine(b *testing.B) {
	for _, held := range []int{1_000, 100_000} {
		for _, does := range []string{"hold", "drop", "accept"} {
			b.Run(fmt.Sprintf("%s/held=%d", does, held), func(b *testing.B) {
				d := open(b, many(b)).Directory()
				batch, reason := min(held, 1024), strings.Repeat("r", 1000)
				ids := holding(b, d, held)
				for b.Loop() {
					b.StopTimer()
					if does == "hold" {
						if _, err := d.Release(b.Context(), ids[:batch], false, "me", reason); err != nil {
							b.Fatal(err)
						}
						ids = ids[batch:]
						b.StartTimer()
						ids = append(ids, holding(b, d, batch)...)
						continue
					}
					ids = append(ids, holding(b, d, held-len(ids))...)
					b.StartTimer()
					if _, err := d.Release(b.Context(), ids, does == "accept", "me", reason); err != nil {
						b.Fatal(err)
					}
					ids, batch = nil, held
				}
				b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N)/float64(batch), "µs/outcome")
			})
		}
	}
}

// BenchmarkApprovals is what an action costs that is asked about or decided on
// where so many wait.
func BenchmarkApprovals(b *testing.B) {
	for _, waiting := range []int{1_000, 30_000} {
		for _, does := range []string{"ask", "deny"} {
			b.Run(fmt.Sprintf("%s/waiting=%d", does, waiting), func(b *testing.B) {
				d := open(b, many(b)).Directory()
				batch, reason, round := min(waiting, 1024), strings.Repeat("r", 1000), 0
				ids := asking(b, d, round, waiting)
				for b.Loop() {
					b.StopTimer()
					round++
					if does == "ask" {
						if _, err := d.Decide(b.Context(), ids[:batch], false, false, "me", reason); err != nil {
							b.Fatal(err)
						}
						ids = ids[batch:]
						b.StartTimer()
						ids = append(ids, asking(b, d, round, batch)...)
						continue
					}
					ids = append(ids, asking(b, d, round, waiting-len(ids))...)
					b.StartTimer()
					if _, err := d.Decide(b.Context(), ids, false, false, "me", reason); err != nil {
						b.Fatal(err)
					}
					ids, batch = nil, waiting
				}
				b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N)/float64(batch), "µs/action")
			})
		}
	}
}
