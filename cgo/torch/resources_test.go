package torch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Rule 6: goroutines do not multiply threads. Nothing but the gate keeps 64
// calls from 64 threads, each with an OpenMP team of its own.
func TestThreadsStayFewUnderManyGoroutines(t *testing.T) {
	library(t)
	// A process of its own: no thread of an earlier test is counted.
	if !inChild(t, nil, "GOMAXPROCS=4") {
		return
	}
	l := library(t)
	f := newFixture(t, l, 64, 500)
	var most atomic.Int64
	stop := make(chan struct{})
	var sampler, group sync.WaitGroup
	sampler.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				most.Store(max(most.Load(), int64(threads(t))))
			}
		}
	})
	for range 64 {
		group.Go(func() {
			b, out := f.batch(256), make([]Verdict, 256)
			rows, status := make([]float32, 256*64), make([]uint32, 256)
			for range 10 {
				if err := l.Validate(t.Context(), b, out); err != nil {
					t.Errorf("validate: %v", err)
				}
				if err := l.Project(t.Context(), b, rows, status); err != nil {
					t.Errorf("project: %v", err)
				}
			}
		})
	}
	group.Wait()
	close(stop)
	sampler.Wait()
	// Go's own (GOMAXPROCS and a few for system calls), one in native code,
	// one worker of the pool.
	if got, limit := most.Load(), int64(24); got > limit || got == 0 {
		t.Errorf("got up to %d threads under 64 goroutines, want at most %d", got, limit)
	} else {
		t.Logf("up to %d threads under 64 goroutines", got)
	}
}

func threads(t *testing.T) int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Error(err)
	}
	return len(tasks)
}

// Rules 1 and 3: 100,000 calls leave nothing behind, errors and handles
// included. What a call leaves grows with the calls; what the allocator keeps
// for later calls does not, once it has seen enough of them.
func TestMemoryDoesNotGrow(t *testing.T) {
	library(t)
	// One arena: a goroutine moves between threads, and each would fill one
	// of its own at a time of its choosing.
	if !inChild(t, nil, "MALLOC_ARENA_MAX=1") {
		return
	}
	l := library(t)
	f := newFixture(t, l, 8, 100)
	b, out := f.batch(8), make([]Verdict, 8)
	room, bad := make([]float32, 16), []int64{1 << 40}
	ctx := context.Background()
	calls := func(count int) {
		for i := range count {
			switch i % 3 {
			case 0:
				if err := f.patterns.Put(ctx, Safe, bad, room, bad); err == nil {
					t.Fatal("a put beyond the end succeeded")
				}
			case 1:
				p, err := l.NewProjection(ctx, CPU, 8, 2, room, room[:8])
				if err == nil {
					err = p.Close()
				}
				if err != nil {
					t.Fatal(err)
				}
			default:
				if err := l.Validate(ctx, b, out); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	calls(60_000)
	var growth []int
	whole := -anonymousKiB(t)
	for range 10 {
		before := anonymousKiB(t)
		calls(10_000)
		runtime.GC()
		growth = append(growth, anonymousKiB(t)-before)
	}
	whole += anonymousKiB(t)
	slices.Sort(growth)
	// A leak grows in every part alike, and so on the whole, the allocators'
	// keeping and giving back now here, now there. A status (some 100 bytes) that each failed
	// put left would be 330 KiB a part, a projection or a batch more.
	median := growth[len(growth)/2]
	if limit := 200; median > limit && whole > 0 && !raceEnabled {
		t.Errorf("memory grew by %d KiB in the median part of 10,000 calls (%v) and %d KiB in all, want at most %d a part", median, growth, whole, limit)
	} else {
		t.Logf("memory grew by %d KiB in the median part of 10,000 calls (%v)", median, growth)
	}
}

// anonymousKiB is the resident memory that is not a file's: pages of LibTorch
// itself come and go as the system likes.
func anonymousKiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("RssAnon: %v", err)
	}
	return kib
}

// On one CPU nothing spins for ever or refuses to start.
func TestOneCPU(t *testing.T) {
	library(t)
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		t.Skip("taskset is not installed")
	}
	if !inChild(t, []string{taskset, "-c", "0"}) {
		return
	}
	if got := AvailableCPUs(); got != 1 {
		t.Errorf("got %d CPUs, want 1", got)
	}
	for _, threads := range []int{0, 4} {
		l, err := Open(Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		info, err := l.Info()
		if want := max(threads, 1); err != nil || info.Threads != want {
			t.Errorf("threads %d: got %d (%v), want %d", threads, info.Threads, err, want)
		}
		f := newFixture(t, l, 8, 100)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				b, out := f.batch(512), make([]Verdict, 512)
				for range 20 {
					if err := l.Validate(t.Context(), b, out); err != nil {
						t.Errorf("validate: %v", err)
					}
				}
			})
		}
		group.Wait()
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}
