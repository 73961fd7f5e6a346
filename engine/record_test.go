package engine_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

func onDisk(t *testing.T) engine.Config {
	config := inMemory(8)
	config.Persistence.Dir = filepath.Join(t.TempDir(), "data")
	return config
}

func TestRecordedIsThereAfterOpeningAgain(t *testing.T) {
	config := onDisk(t)
	config.Memory.Capacity = 8
	e := open(t, config)
	var receipts []engine.Receipt
	for i := range 3 {
		receipts = append(receipts, record(t, e, outcomes(normal(uint64(i), 10, 8), 8))...)
	}
	for i, r := range receipts {
		if r.Result != engine.Stored || !r.Durable || r.Sequence != int64(i+1) || r.PatternID != int64(i+1) {
			t.Errorf("receipt %d: got %+v, want stored, durable, sequence and pattern %d", i, r, i+1)
		}
	}
	before := e.Patterns()
	rows := normal(9, 20, 8)
	want := validate(t, e, engine.Batch{Embeddings: rows, Width: 8})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, config)
	after := again.Patterns()
	if after.Counter != before.Counter || after.NextID != before.NextID {
		t.Errorf("counter %d and next id %d, want %d and %d", after.Counter, after.NextID, before.Counter, before.NextID)
	}
	for _, side := range memory.Sides() {
		if got, want := fmt.Sprint(after.Sides[side]), fmt.Sprint(before.Sides[side]); got != want {
			t.Errorf("%s side: got %s, want %s", side, got, want)
		}
	}
	for i, v := range validate(t, again, engine.Batch{Embeddings: rows, Width: 8}) {
		if v != want[i] {
			t.Errorf("row %d: got %+v, want %+v", i, v, want[i])
		}
	}
}

func TestReceiptsSayWhetherTheDiskHasThem(t *testing.T) {
	for mode, want := range map[string]bool{"always": true, "interval": false, "never": false} {
		config := onDisk(t)
		config.Persistence.JournalSync = mode
		if r := record(t, open(t, config), outcomes(normal(1, 1, 8), 8))[0]; r.Result != engine.Stored || r.Durable != want {
			t.Errorf("journal_sync %s: got %+v, want stored and durable %v", mode, r, want)
		}
	}
	if r := record(t, open(t, onDisk(t), engine.InMemory()), outcomes(normal(1, 1, 8), 8))[0]; r.Result != engine.Stored || r.Durable {
		t.Errorf("in memory: got %+v, want stored and not durable", r)
	}
}

func TestRefusedOutcomesChangeNothing(t *testing.T) {
	e := open(t, onDisk(t))
	negative, nan := float32(-1), float32(math.NaN())
	ones := []float32{1, 1, 1, 1, 1, 1, 1, 1}
	receipts := record(t, e, []engine.Outcome{
		{Embedding: ones, IsSafe: true},
		{Embedding: nil},
		{Embedding: []float32{nan, 1, 1, 1, 1, 1, 1, 1}},
		{Embedding: ones, Importance: &negative},
		{Embedding: ones, Importance: &nan},
		{Embedding: make([]float32, 4097)},
		{Embedding: normal(1, 1, 8)},
	})
	for i, r := range receipts {
		stored := i == 0 || i == 6
		if stored != (r.Result == engine.Stored) || stored != r.Durable || stored == (r.Reason != "") {
			t.Errorf("receipt %d: got %+v, stored: want %v", i, r, stored)
		}
	}
	if s := e.MemoryStats(); s.Counter != 2 || s.Patterns != [2]int{1, 1} {
		t.Errorf("memory: got %+v, want two patterns and counter 2", s)
	}
}

func TestRecordThatCannotBeSavedChangesNothing(t *testing.T) {
	if library == nil {
		t.Skip("run make build: there is no shim to compute with")
	}
	if os.Getenv(aloneVariable) == "" {
		inAProcess(t, "^TestRecordThatCannotBeSavedChangesNothing$")
		return
	}
	config := onDisk(t)
	e := open(t, config)
	record(t, e, outcomes(normal(1, 2, 8), 8))
	rows := normal(3, 4, 8)
	before := e.Patterns()
	full := limitFiles(t, 0)
	if receipts, err := e.Record(t.Context(), outcomes(normal(2, 2, 8), 8)); err == nil {
		t.Fatalf("record without room: got %v, want an error", receipts)
	}
	if got, want := fmt.Sprint(e.Patterns()), fmt.Sprint(before); got != want {
		t.Errorf("memory after the failure: got %s, want %s", got, want)
	}
	for i, v := range validate(t, e, engine.Batch{Embeddings: rows, Width: 8}) {
		if v.NearestSafe != 1 || v.NearestUnsafe != 2 {
			t.Errorf("row %d: nearest %d, %d, want the patterns that are stored", i, v.NearestSafe, v.NearestUnsafe)
		}
	}
	full()
	if r := record(t, e, outcomes(normal(2, 1, 8), 8)); r[0].Sequence != 3 || r[0].PatternID != 3 {
		t.Errorf("record when the fault is gone: got %+v, want sequence and pattern 3", r[0])
	}
}

// limitFiles lets no file of this process grow beyond a size, as a full disk
// would, until the function returned or the test's end takes that back.
func limitFiles(t *testing.T, size uint64) (lift func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	lift = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(lift)
	return lift
}

// TestRecordThatFailsHalfway acknowledges the outcomes of the commits that are on
// the disk, and no others.
func TestRecordThatFailsHalfway(t *testing.T) {
	const n = 1024
	const first = 16 << 20 / (1 + 4 + 8 + 8 + 4*n) // outcomes of the first commit
	config := inMemory(n)
	config.Persistence.Dir = filepath.Join(t.TempDir(), "data")
	config.Memory.Capacity = 4
	e := open(t, config, engine.WithoutDetector())
	row := make([]float32, n)
	all := make([]engine.Outcome, first+1000)
	for i := range all {
		all[i] = engine.Outcome{Embedding: row, IsSafe: i%2 == 0}
	}
	all[0].Embedding = nil
	lift := limitFiles(t, 17<<20)
	receipts, err := e.Record(t.Context(), all)
	lift()
	var failed *engine.RecordError
	if !errors.As(err, &failed) || !errors.Is(err, syscall.EFBIG) || failed.Recorded != first || failed.Of != len(all) {
		t.Fatalf("got %v, want %v after %d of %d outcomes", err, syscall.EFBIG, first, len(all))
	}
	if len(receipts) != first || receipts[0].Result != engine.Failed || !receipts[first-1].Durable || receipts[first-1].Sequence != first-1 {
		t.Errorf("got %d receipts, want %d, the last one durable", len(receipts), first)
	}
	crashed := config
	crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	for name, c := range map[string]int64{
		"the engine":    e.MemoryStats().Counter,
		"after a crash": directory(t, crashed).Stats().Counter,
		"what goes on":  record(t, e, all[first:])[0].Sequence - 1,
	} {
		if c != first-1 {
			t.Errorf("%s: got %d outcomes, want %d", name, c, first-1)
		}
	}
}

func TestDataDirectory(t *testing.T) {
	config := onDisk(t)
	e := open(t, config)
	record(t, e, outcomes(normal(1, 6, 8), 8))
	if info, err := os.Stat(config.Persistence.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("data directory: %v, %v, want mode 0700", info.Mode(), err)
	}
	t.Run("a second writer is refused", func(t *testing.T) {
		_, err := engine.Open(t.Context(), config, engine.WithLibrary(library))
		var locked *engine.LockedError
		if !errors.As(err, &locked) || locked.Path != filepath.Join(config.Persistence.Dir, "lock") {
			t.Errorf("got %v, want a LockedError that names the lock", err)
		}
	})
	t.Run("a reader is not, and writes nothing", func(t *testing.T) {
		reader := open(t, config, engine.ReadOnly())
		if s := reader.MemoryStats(); s.Counter != 6 {
			t.Errorf("reader sees counter %d, want 6", s.Counter)
		}
		if _, err := reader.Record(t.Context(), outcomes(normal(2, 1, 8), 8)); !errors.Is(err, engine.ErrReadOnly) {
			t.Errorf("record: got %v, want ErrReadOnly", err)
		}
		if _, err := reader.Save(t.Context()); !errors.Is(err, engine.ErrReadOnly) {
			t.Errorf("save: got %v, want ErrReadOnly", err)
		}
	})
	t.Run("a reader of an absent one draws the same and makes nothing", func(t *testing.T) {
		absent := onDisk(t)
		row := normal(5, 1, 8)
		got := validate(t, open(t, absent, engine.ReadOnly()), engine.Batch{Embeddings: row, Width: 8})[0]
		if _, err := os.Stat(absent.Persistence.Dir); err == nil {
			t.Error("the reader made the directory")
		}
		want := validate(t, open(t, absent), engine.Batch{Embeddings: row, Width: 8})[0]
		if got != want {
			t.Errorf("reader %+v, writer %+v", got, want)
		}
	})
	t.Run("another workspace is an error naming both", func(t *testing.T) {
		other := config
		other.Safety.WorkspaceDim = 16
		_, err := engine.Open(t.Context(), other, engine.WithLibrary(library), engine.ReadOnly())
		var mismatch *engine.MismatchError
		if !errors.As(err, &mismatch) || mismatch.Want != 16 || mismatch.Got != 8 {
			t.Errorf("got %v, want a MismatchError of 16 and 8", err)
		}
	})
	t.Run("more patterns than capacity is an error naming both", func(t *testing.T) {
		small := config
		small.Memory.Capacity = 2
		_, err := engine.Open(t.Context(), small, engine.WithLibrary(library), engine.ReadOnly())
		var full *memory.CapacityError
		if !errors.As(err, &full) || full.Patterns != 3 || full.Capacity != 2 {
			t.Errorf("got %v, want a CapacityError of 3 and 2", err)
		}
	})
}

func TestResizeMovesPatternsOnTheDeviceToo(t *testing.T) {
	e := open(t, onDisk(t))
	rows := normal(1, 20, 8)
	record(t, e, outcomes(rows, 8))
	evicted, err := e.ResizeMemory(t.Context(), 4)
	if err != nil || evicted != 12 {
		t.Fatalf("evicted %d, %v, want 12", evicted, err)
	}
	snapshot := e.Patterns()
	kept := map[int64]bool{}
	for _, side := range memory.Sides() {
		for _, id := range snapshot.Sides[side].IDs {
			kept[id] = true
		}
	}
	for i, v := range validate(t, e, engine.Batch{Embeddings: rows, Width: 8}) {
		if !kept[v.NearestSafe] || !kept[v.NearestUnsafe] {
			t.Errorf("row %d: nearest %d, %d, but %v were kept", i, v.NearestSafe, v.NearestUnsafe, kept)
		}
		if id := int64(i + 1); kept[id] && v.SafeSimilarity != 1 && v.UnsafeSimilarity != 1 {
			t.Errorf("row %d: pattern %d was kept, got similarities %v and %v", i, id, v.SafeSimilarity, v.UnsafeSimilarity)
		}
	}
}

// Every call records one row on both sides, so that at any moment the two hold
// the same rows. A batch that saw half of a call would find other distances on
// one side than on the other.
func TestRecordAndValidateAtOnce(t *testing.T) {
	config := inMemory(8)
	config.Memory.Capacity = 50
	e := open(t, config, engine.InMemory())
	first := normal(1, 1, 8)
	record(t, e, []engine.Outcome{{Embedding: first, IsSafe: true}, {Embedding: first}})
	var wait sync.WaitGroup
	stop := make(chan struct{})
	for worker := range 4 {
		wait.Go(func() {
			batch := engine.Batch{Embeddings: normal(uint64(worker), 32, 8), Width: 8}
			out := make([]engine.Verdict, 32)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := e.ValidateInto(t.Context(), batch, out); err != nil {
					t.Error(err)
					return
				}
				for _, v := range out {
					if v.Status != engine.Judged || v.NearestSafe < 1 || v.SafeDistance != v.UnsafeDistance {
						t.Errorf("got %+v, want judged and the same distance on both sides", v)
						return
					}
				}
			}
		})
	}
	for worker := range 3 {
		wait.Go(func() {
			for i := range 60 {
				row := normal(uint64(1000*worker+i), 1, 8)
				if _, err := e.Record(t.Context(), []engine.Outcome{{Embedding: row, IsSafe: true}, {Embedding: row}}); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(time.Millisecond)
		})
	}
	done := make(chan struct{})
	go func() {
		for e.MemoryStats().Counter < 2+3*120 && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		close(stop)
		wait.Wait()
		close(done)
	}()
	<-done
	if got := e.MemoryStats().Counter; got != 362 {
		t.Errorf("counter %d, want 362", got)
	}
	// What is on the device is what is in the memory.
	snapshot := e.Patterns()
	for _, side := range memory.Sides() {
		s := snapshot.Sides[side]
		for i, id := range s.IDs {
			row := s.Rows[i*16 : i*16+8]
			v := validate(t, e, engine.Batch{Embeddings: row, Width: 8, Sessions: []string{"probe"}})[0]
			if got := [2]int64{v.NearestSafe, v.NearestUnsafe}[side]; got != id {
				t.Errorf("%s pattern %d: nearest is %d", side, id, got)
			}
		}
	}
}
