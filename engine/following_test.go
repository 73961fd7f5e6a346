package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// longReader is an engine that reads the directory of another.
type longReader struct {
	*engine.Engine
	clock *clock
	log   logBuffer
	row   []float32 // was recorded as safe
}

// startReader opens a writer with a pattern and a checkpoint, and a reader beside
// it, by which a row like the pattern is allowed.
func startReader(t *testing.T, options ...engine.Option) (writer *engine.Engine, r *longReader) {
	t.Helper()
	config := onDisk(t)
	config.Persistence.AutoSaveInterval = 0
	config.Safety.QuietPeriod = 0
	r = &longReader{clock: newClock(), row: make([]float32, 8)}
	r.row[0] = 1
	writer = open(t, config)
	record(t, writer, []engine.Outcome{{Embedding: r.row, IsSafe: true}})
	if _, err := writer.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Engine = open(t, config, append(options, engine.ReadOnly(), engine.WithClock(r.clock.now),
		engine.WithLogger(hclog.New(&hclog.LoggerOptions{Output: &r.log, Level: hclog.Info})))...)
	r.wants(t, "opened", engine.Allow)
	return writer, r
}

// wants looks at the decision on the row, as soon as the reader looks again.
func (r *longReader) wants(t *testing.T, when string, want engine.Decision) {
	t.Helper()
	r.clock.forward(time.Second)
	if got := r.decision(t); got != want {
		t.Errorf("%s: got %s, want %s\n%s", when, got, want, r.log.String())
	}
}

func (r *longReader) decision(t *testing.T) engine.Decision {
	t.Helper()
	return validate(t, r.Engine, engine.Batch{Embeddings: r.row, Width: 8})[0].Decision
}

func pullLevers(t *testing.T, d *engine.Directory, tier string, safeMode bool) {
	t.Helper()
	c := engine.LeverChange{SafeMode: &safeMode, By: "operator", Reason: "test"}
	if tier != "" {
		c.Tier = &tier
	}
	if _, err := d.PullLever(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// TestReaderLearnsOfLevers within a second, and no sooner: it looks no more often.
func TestReaderLearnsOfLevers(t *testing.T) {
	writer, r := startReader(t)
	d := writer.Directory()
	pullLevers(t, d, "", true)
	r.clock.forward(time.Second - 1)
	if got := r.decision(t); got != engine.Allow {
		t.Errorf("before the second is over: got %s, want allow", got)
	}
	r.clock.forward(1)
	if got := r.decision(t); got != engine.Review {
		t.Errorf("after a second: got %s, want review", got)
	}
	pullLevers(t, d, "", false)
	r.wants(t, "safe mode off", engine.Allow)
	pullLevers(t, d, policy.Omega, false)
	r.wants(t, "OMEGA", engine.Block)
	pullLevers(t, d, policy.Gamma, true)
	pullLevers(t, d, policy.Gamma, false)
	r.wants(t, "GAMMA, two changes at once", engine.Allow)
	pullLevers(t, d, "", true)
	r.clock.forward(-time.Hour)
	if got := r.decision(t); got != engine.Review {
		t.Errorf("a clock that was put back: got %s, want review", got)
	}
	pullLevers(t, d, "", false)
	r.wants(t, "safe mode off again", engine.Allow)

	// Its own alarm holds, whatever operators do elsewhere.
	if _, err := r.Directory().Alarm(t.Context(), "critical alert"); !errors.Is(err, engine.ErrReadOnly) {
		t.Fatalf("alarm: got %v, want ErrReadOnly", err)
	}
	pullLevers(t, d, policy.Delta, false)
	r.wants(t, "its own alarm", engine.Review)
	if l := r.Directory().Levers(); l.Tier != policy.Delta || l.Stage != policy.Alarmed || l.Cause != "critical alert" {
		t.Errorf("its own alarm beside the levers: got %+v", l)
	}
	if got := r.log.String(); strings.Contains(got, "cannot be read") {
		t.Errorf("nothing was wrong, and it says:\n%s", got)
	}
}

// TestReaderKeepsItsMemory over what is recorded, until the memory is replaced
// or a lever is pulled.
func TestReaderKeepsItsMemory(t *testing.T) {
	writer, r := startReader(t)
	d := writer.Directory()
	before := rows(r.Directory())
	record(t, writer, outcomes(normal(1, 20, 8), 8))
	if _, err := writer.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.wants(t, "recorded", engine.Allow)
	if got := rows(r.Directory()); got != before || strings.Contains(r.log.String(), "read again") {
		t.Errorf("what was recorded reached the reader: got\n%s\nwant\n%s", got, before)
	}
	if _, err := d.Restore(t.Context(), 1, "operator", "test"); err != nil { // empty
		t.Fatal(err)
	}
	r.wants(t, "restored", engine.Review)
	if got, want := rows(r.Directory()), rows(d); got != want || got == before {
		t.Errorf("restored: got\n%s\nwant\n%s", got, want)
	}
	record(t, writer, []engine.Outcome{{Embedding: r.row, IsSafe: true}})
	r.wants(t, "recorded again", engine.Review)
	pullLevers(t, d, policy.Gamma, false)
	r.wants(t, "a lever", engine.Allow)
	if _, err := d.Rollback(t.Context(), 0, "operator", "test"); err != nil {
		t.Fatal(err)
	}
	r.wants(t, "rolled back", engine.Review)
	if got, want := rows(r.Directory()), rows(d); got != want {
		t.Errorf("rolled back: got\n%s\nwant\n%s", got, want)
	}
	if l := r.Directory().Levers(); l.Stage != policy.Alarmed {
		t.Errorf("rolled back: got %+v, want the alarm", l)
	}
}

// A reader of a patterns file that was named keeps it, and obeys the levers.
func TestReaderOfANamedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "patterns.pt")
	writer, r := startReader(t)
	path := patternFiles(t, writer.Config().Persistence.Dir)
	data, err := os.ReadFile(path[len(path)-1])
	must(t, errors.Join(err, os.WriteFile(file, data, 0o600)))
	named := &longReader{clock: newClock(), row: r.row}
	named.Engine = open(t, writer.Config(), engine.ReadOnly(), engine.WithClock(named.clock.now), engine.WithPatternsFile(file))
	want := rows(named.Directory())
	if _, err := writer.Directory().Restore(t.Context(), 1, "operator", "test"); err != nil {
		t.Fatal(err)
	}
	named.wants(t, "restored", engine.Allow)
	if got := rows(named.Directory()); got != want {
		t.Errorf("restored: got\n%s\nwant the file's\n%s", got, want)
	}
	pullLevers(t, writer.Directory(), "", true)
	named.wants(t, "safe mode", engine.Review)
}

// TestReaderOfADirectoryThatCannotBeRead blocks everything, says why once, and
// goes on when it can be read.
func TestReaderOfADirectoryThatCannotBeRead(t *testing.T) {
	segment := func(t *testing.T, dir string) string {
		t.Helper()
		all, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
		if err != nil || len(all) == 0 {
			t.Fatalf("segments: %q, %v", all, err)
		}
		return all[len(all)-1]
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		says  string
	}{
		"damaged journal": {func(t *testing.T, dir string) { flip(t, segment(t, dir)) }, "damaged journal"},
		"no segment":      {func(t *testing.T, dir string) { must(t, os.Remove(segment(t, dir))) }, "journal is missing"},
		"no checkpoint": {func(t *testing.T, dir string) {
			for _, path := range patternFiles(t, dir) {
				must(t, errors.Join(os.Remove(path), os.Remove(path+".manifest.json")))
			}
		}, "no checkpoint"},
		"removed":      {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, "is gone"},
		"lock removed": {func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "lock"))) }, "is gone"},
		"emptied but for its lock": {func(t *testing.T, dir string) {
			for _, path := range parts(t, dir) {
				if filepath.Base(path) != "lock" {
					must(t, os.Remove(path))
				}
			}
			must(t, os.RemoveAll(filepath.Join(dir, "journal")))
		}, "an older state"},
	} {
		t.Run(name, func(t *testing.T) {
			writer, r := startReader(t)
			dir := writer.Config().Persistence.Dir
			pullLevers(t, writer.Directory(), policy.Delta, false)
			must(t, writer.Close())
			r.wants(t, "DELTA", engine.Allow)

			intact := copyTree(t, dir)
			c.spoil(t, dir)
			if _, err := os.Stat(filepath.Join(dir, "lock")); err == nil {
				lengthen(t, filepath.Join(dir, "lock"))
			}
			for range 3 {
				r.wants(t, "spoilt", engine.Block)
			}
			log := r.log.String()
			if n := strings.Count(log, "everything is blocked until they can"); n != 1 || !strings.Contains(log, c.says) {
				t.Errorf("said %d times that levers cannot be read, want once, with %q:\n%s", n, c.says, log)
			}
			if got := kinds(r.Engine); !strings.Contains(got, "state_damaged") {
				t.Errorf("alerts: got %q, want one of the state", got)
			}
			must(t, os.RemoveAll(dir))
			must(t, os.Rename(intact, dir))
			r.wants(t, "put right", engine.Allow)
			if l := r.Directory().Levers(); l.Tier != policy.Delta {
				t.Errorf("put right: got %+v, want DELTA", l)
			}
		})
	}
}

// An older copy of a directory, put back whole, loosens nothing.
func TestReaderOfAnOlderState(t *testing.T) {
	writer, r := startReader(t)
	dir := writer.Config().Persistence.Dir
	older := copyTree(t, dir)
	pullLevers(t, writer.Directory(), "", true)
	r.wants(t, "safe mode", engine.Review)
	must(t, writer.Close())
	must(t, os.RemoveAll(dir))
	must(t, os.Rename(older, dir))
	r.wants(t, "an older state", engine.Block)
	if got := r.log.String(); !strings.Contains(got, "an older state") {
		t.Errorf("it does not say why:\n%s", got)
	}
}

// A reader that is there before the writer learns of what that one makes.
func TestReaderBeforeTheWriter(t *testing.T) {
	config := onDisk(t)
	r := &longReader{clock: newClock(), row: make([]float32, 8)}
	r.row[0] = 1
	r.Engine = open(t, config, engine.ReadOnly(), engine.WithClock(r.clock.now),
		engine.WithLogger(hclog.New(&hclog.LoggerOptions{Output: &r.log, Level: hclog.Info})))
	r.wants(t, "empty", engine.Review)
	writer := open(t, config)
	record(t, writer, []engine.Outcome{{Embedding: r.row, IsSafe: true}})
	pullLevers(t, writer.Directory(), policy.Gamma, false)
	r.wants(t, "made", engine.Allow)
	pullLevers(t, writer.Directory(), "", true)
	r.wants(t, "safe mode", engine.Review)
}

// The memory of another validator is nothing to judge by with these weights.
func TestReaderOfAnotherValidator(t *testing.T) {
	writer, r := startReader(t)
	config := writer.Config()
	must(t, writer.Close())
	other := config
	other.Persistence.Dir = filepath.Join(t.TempDir(), "other")
	other.Safety.Seed++
	d := directory(t, other)
	for range 20 { // its journal goes farther
		pullLevers(t, d, policy.Gamma, false)
	}
	must(t, d.Close())
	must(t, os.RemoveAll(config.Persistence.Dir))
	must(t, os.Rename(other.Persistence.Dir, config.Persistence.Dir))
	r.wants(t, "another validator", engine.Block)
	if got := r.log.String(); !strings.Contains(got, "another validator") {
		t.Errorf("it does not say why:\n%s", got)
	}
}

func lengthen(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	must(t, os.Truncate(path, info.Size()+1))
}

// A writer that was killed before it told readers is spoken for by the next one,
// and nobody else says anything.
func TestReadersAreToldAfterACrash(t *testing.T) {
	config := onDisk(t)
	writer := open(t, config)
	size := func(dir string) int64 {
		t.Helper()
		info, err := os.Stat(filepath.Join(dir, "lock"))
		must(t, err)
		return info.Size()
	}
	record(t, writer, outcomes(normal(1, 4, 8), 8))
	if got := size(config.Persistence.Dir); got != 0 {
		t.Errorf("recorded: the lock has %d bytes, want none", got)
	}
	pullLevers(t, writer.Directory(), "", true)
	crashed := config
	crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	must(t, os.Truncate(filepath.Join(crashed.Persistence.Dir, "lock"), 0))
	for _, want := range []int64{1, 1} { // the first one saves a checkpoint
		must(t, directory(t, crashed).Close())
		if got := size(crashed.Persistence.Dir); got != want {
			t.Errorf("opened after a crash: the lock has %d bytes, want %d", got, want)
		}
	}
}

// TestReadersAreToldLater of what could not be told at once, and the operator hears
// that they are not.
func TestReadersAreToldLater(t *testing.T) {
	if library == nil {
		t.Skip("run make build: there is no shim to compute with")
	}
	if os.Getenv(aloneVariable) == "" {
		inAProcess(t, "^TestReadersAreToldLater$")
		return
	}
	writer, r := startReader(t)
	lock := filepath.Join(writer.Config().Persistence.Dir, "lock")
	must(t, os.Truncate(lock, 1<<20))
	r.wants(t, "a longer lock", engine.Allow)
	lift := limitFiles(t, 1<<19) // it cannot grow, and the journal can
	on := true
	if _, err := writer.Directory().PullLever(t.Context(), engine.LeverChange{SafeMode: &on, By: "operator"}); err == nil || !strings.Contains(err.Error(), "not told") {
		t.Errorf("safe mode: got %v, want that readers are not told", err)
	}
	lift()
	if !writer.Directory().Levers().SafeMode {
		t.Error("safe mode is not on")
	}
	r.wants(t, "not told", engine.Allow)
	record(t, writer, outcomes(normal(1, 2, 8), 8))
	r.wants(t, "told with the next change", engine.Review)

	lift = limitFiles(t, 1<<19)
	if _, err := writer.Directory().Rollback(t.Context(), 0, "operator", "test"); err == nil || !strings.Contains(err.Error(), "not told") {
		t.Errorf("rollback: got %v, want that readers are not told", err)
	}
	lift()
	must(t, writer.Close())
	r.wants(t, "told at the end", engine.Review)
	if l := r.Directory().Levers(); l.Stage != policy.Alarmed {
		t.Errorf("told at the end: got %+v, want the alarm", l)
	}
}
