package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// directory opens a data directory that is closed with the test.
func directory(t *testing.T, config engine.Config, options ...engine.Option) *engine.Directory {
	t.Helper()
	d, err := engine.OpenDirectory(config, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// copyTree copies a directory as a crash would leave it: whatever is written.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return errors.Join(err, os.Chmod(path, 0o600))
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// flip changes the byte in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		data[len(data)/2] ^= 0x40
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// patternFiles lists the pattern checkpoints, oldest first.
func patternFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "patterns_*.pt"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// whole is everything that must come back: the memory, the levers and the
// quarantine.
func whole(d *engine.Directory) string {
	return fmt.Sprintf("%+v %+v %+v", d.Patterns(), d.Levers(), d.Quarantine())
}

// history does everything that a journal can hold, with evictions.
func history(t *testing.T, e *engine.Engine, seed uint64) {
	t.Helper()
	record(t, e, outcomes(normal(seed, 25, 8), 8))
	for i := range 5 {
		if err := e.SetImportance(t.Context(), memory.Side(i%2), i, float32(i)+0.1); err != nil {
			t.Fatal(err)
		}
	}
	tier := []string{"DELTA", "ALPHA"}[seed%2]
	if _, err := e.Directory().PullLever(t.Context(), engine.LeverChange{Tier: &tier, By: "operator", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	hold(t, e.Directory(), normal(seed+200, 5, 8))
	held := e.Directory().Quarantine()
	for i, accept := range []bool{true, false} {
		if _, err := e.Directory().Release(t.Context(), []int64{held[i].ID, held[i+2].ID}, accept, "operator", "test"); err != nil {
			t.Fatal(err)
		}
	}
	record(t, e, outcomes(normal(seed+100, 9, 8), 8))
}

// hold puts rows of 8 into the quarantine, by turns as safe and unsafe.
func hold(t *testing.T, d *engine.Directory, rows []float32) (ids []int64) {
	t.Helper()
	for i := range len(rows) / 8 {
		id, err := d.Hold(t.Context(), engine.Held{
			At: time.Unix(int64(i), 0).UTC(), Outcome: fmt.Sprint("o", i), Source: "somebody", Side: memory.Side(i % 2).String(),
			Workspace: rows[i*8 : (i+1)*8], Importance: 1.5,
			Findings: []engine.Finding{{Rule: "outlier", Score: 1.25, Reason: "far away"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func small(t *testing.T) engine.Config {
	config := onDisk(t)
	config.Memory.Capacity = 7
	return config
}

func TestACrashAndAReplayGiveTheSameMemory(t *testing.T) {
	config := small(t)
	e := open(t, config)
	for round := range uint64(4) {
		history(t, e, round)
		if round%2 == 0 {
			if _, err := e.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		crashed := config
		crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
		want := whole(e.Directory())
		if got := whole(directory(t, crashed)); got != want {
			t.Errorf("round %d: after the crash\n%s\nwant\n%s", round, got, want)
		}
		if got := whole(directory(t, config, engine.ReadOnly())); got != want {
			t.Errorf("round %d: a reader beside the writer sees\n%s\nwant\n%s", round, got, want)
		}
	}
}

func TestEveryKeptCheckpointAndTheJournalGiveTheSameMemory(t *testing.T) {
	config := small(t)
	config.Persistence.MaxCheckpoints = 4
	e := open(t, config)
	for round := range uint64(6) {
		history(t, e, round)
		if _, err := e.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Directory().Rollback(t.Context(), 0, "operator", "test"); err != nil {
		t.Fatal(err)
	}
	history(t, e, 7) // which tightens: an operator may no more after a rollback
	want := whole(e.Directory())
	files := patternFiles(t, config.Persistence.Dir)
	if len(files) != 4 {
		t.Fatalf("checkpoints: got %q, want 4", files)
	}
	// One segment after each kept checkpoint.
	if segments, err := filepath.Glob(filepath.Join(config.Persistence.Dir, "journal", "*.journal")); err != nil || len(segments) != 4 {
		t.Errorf("segments: got %q, %v, want 4", segments, err)
	}
	for damaged := 1; damaged < len(files); damaged++ {
		crashed := config
		crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
		names := patternFiles(t, crashed.Persistence.Dir)
		for _, path := range names[len(names)-damaged:] {
			flip(t, path)
		}
		reader := directory(t, crashed, engine.ReadOnly())
		if got := whole(reader); got != want {
			t.Errorf("%d newest damaged: a reader gets\n%s\nwant\n%s", damaged, got, want)
		}
		if got := patternFiles(t, crashed.Persistence.Dir); len(got) != len(files) {
			t.Errorf("%d newest damaged: a reader moved files, left %q", damaged, got)
		}
		d := directory(t, crashed)
		if got := whole(d); got != want {
			t.Errorf("%d newest damaged:\n%s\nwant\n%s", damaged, got, want)
		}
		if got := len(d.Recovered().Damaged); got != damaged {
			t.Errorf("%d newest damaged: %d counted", damaged, got)
		}
		aside, err := filepath.Glob(filepath.Join(crashed.Persistence.Dir, "set-aside", "*damaged*", "patterns_*.pt"))
		if err != nil || len(aside) != damaged {
			t.Errorf("%d newest damaged: set aside %q, %v", damaged, aside, err)
		}
	}
	t.Run("all damaged", func(t *testing.T) {
		crashed := config
		crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
		for _, path := range patternFiles(t, crashed.Persistence.Dir) {
			flip(t, path)
		}
		wantUnverified(t, crashed)
	})
}

// wantUnverified wants a directory refused for writing and reading alike.
func wantUnverified(t *testing.T, config engine.Config) {
	t.Helper()
	for name, options := range map[string][]engine.Option{"writer": nil, "reader": {engine.ReadOnly()}} {
		d, err := engine.OpenDirectory(config, options...)
		var refused *engine.VerificationError
		if !errors.As(err, &refused) {
			t.Errorf("%s: got %v, want a VerificationError", name, err)
		}
		if err == nil {
			t.Error(d.Close())
		}
	}
}

func TestWhatIsMissingOrForeignIsRefused(t *testing.T) {
	config := small(t)
	e := open(t, config)
	history(t, e, 1)
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	history(t, e, 2)
	glob := func(t *testing.T, dir, pattern string) string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %q, %v", pattern, found, err)
		}
		return found[len(found)-1]
	}
	remove := func(pattern string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.RemoveAll(glob(t, dir, pattern)); err != nil {
				t.Fatal(err)
			}
		}
	}
	damage := func(pattern string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { flip(t, glob(t, dir, pattern)) }
	}
	for name, spoil := range map[string]func(*testing.T, string){
		"no journal":        remove("journal"),
		"no newest segment": remove("journal/*.journal"),
		"damaged segment":   damage("journal/*.journal"),
		"damaged newest and damaged segment": func(t *testing.T, dir string) {
			damage("patterns_*.pt")(t, dir)
			damage("journal/*.journal")(t, dir)
		},
		"no weights":                 remove("validator_state.pt"),
		"damaged weights":            damage("validator_state.pt"),
		"no manifest of the weights": remove("validator_state.pt.manifest.json"),
		"no manifest of the newest":  remove("patterns_*.pt.manifest.json"),
		"a newer checkpoint from elsewhere": func(t *testing.T, dir string) {
			source := patternFiles(t, dir)[0]
			data, err := os.ReadFile(source)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "patterns_29990101_000000.pt"), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"a link for the newest": func(t *testing.T, dir string) {
			newest := glob(t, dir, "patterns_*.pt")
			moved := filepath.Join(t.TempDir(), "elsewhere.pt")
			if err := errors.Join(os.Rename(newest, moved), os.Symlink(moved, newest)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			spoilt := config
			spoilt.Persistence.Dir = copyTree(t, config.Persistence.Dir)
			spoil(t, spoilt.Persistence.Dir)
			before := tree(t, spoilt.Persistence.Dir)
			wantUnverified(t, spoilt)
			if after := tree(t, spoilt.Persistence.Dir); after != before {
				t.Errorf("files were moved: got %s, want %s", after, before)
			}
		})
	}
}

// tree lists the files of a directory, without its lock.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "lock" {
			names = append(names, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

func TestUnsignedDirectories(t *testing.T) {
	config := small(t)
	config.Safety.RequireSigning = false
	config.Persistence.SigningKeyFile = filepath.Join(t.TempDir(), "none", "signing.key")
	e := open(t, config)
	history(t, e, 1)
	want := whole(e.Directory())
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(config.Persistence.SigningKeyFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was made although nothing asks for one: %v", err)
	}
	t.Run("opens where signatures are not required", func(t *testing.T) {
		if got := whole(directory(t, config, engine.ReadOnly())); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
	t.Run("is refused where they are", func(t *testing.T) {
		strict := config
		strict.Safety.RequireSigning = true
		strict.Persistence.SigningKeyFile = ""
		wantUnverified(t, strict)
	})
	t.Run("a foreign key is refused", func(t *testing.T) {
		signed := small(t)
		signed.Persistence.SigningKeyFile = filepath.Join(t.TempDir(), "one", "signing.key")
		history(t, open(t, signed), 1)
		other := signed
		other.Persistence.Dir = copyTree(t, signed.Persistence.Dir)
		other.Persistence.SigningKeyFile = filepath.Join(t.TempDir(), "two", "signing.key")
		wantUnverified(t, other)
	})
}

func TestRollback(t *testing.T) {
	config := small(t)
	e := open(t, config)
	history(t, e, 1)
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := e.Patterns()
	history(t, e, 2)
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	history(t, e, 3)
	given := e.MemoryStats().NextID
	row := normal(9, 1, 8)
	if v := validate(t, e, engine.Batch{Embeddings: row, Width: 8}); len(v) != 1 {
		t.Fatal(v)
	}
	r, err := e.Directory().Rollback(t.Context(), 0, "operator", "poisoned")
	if err != nil {
		t.Fatal(err)
	}
	want := good
	want.NextID = given
	if got := e.Patterns(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("memory: got %+v, want that of the checkpoint before, with next id %d: %+v", got, given, want)
	}
	if l := e.Directory().Levers(); !l.Demands().SafeMode || !l.Demands().RequireHumanApproval || l.By != "operator" || !strings.Contains(l.Reason, "poisoned") {
		t.Errorf("levers: got %+v, want safe mode and human approval on, by whom and why", l)
	}
	if kept, err := filepath.Glob(filepath.Join(r.Aside, "*.journal")); err != nil || len(kept) == 0 {
		t.Errorf("journal aside in %q: got %q, %v, want segments", r.Aside, kept, err)
	}
	v := validate(t, e, engine.Batch{Embeddings: row, Width: 8})[0]
	if v.NearestSafe >= given || !slices.Contains(good.Sides[memory.Safe].IDs, v.NearestSafe) || v.Decision == engine.Allow {
		t.Errorf("verdict after the rollback: got nearest %d and %s, want a pattern of the old memory and no allow", v.NearestSafe, v.Decision)
	}
	if next := record(t, e, outcomes(normal(8, 1, 8), 8))[0]; next.PatternID != given {
		t.Errorf("next pattern: got id %d, want %d, which was never given", next.PatternID, given)
	}
	after := whole(e.Directory())
	crashed := config
	crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	if got := whole(directory(t, crashed)); got != after {
		t.Errorf("opened again:\n%s\nwant\n%s", got, after)
	}
	t.Run("nothing older is left", func(t *testing.T) {
		fresh := directory(t, small(t))
		if _, err := fresh.Rollback(t.Context(), 0, "operator", "test"); !errors.Is(err, engine.ErrNoPrevious) {
			t.Errorf("got %v, want ErrNoPrevious", err)
		}
	})
}

func TestRestoreAFileFromPython(t *testing.T) {
	file := filepath.Join("..", "checkpoints", "testdata", "checkpoints", "patterns_20241024_120000_torch1.13.0.pt")
	set, err := checkpoints.ReadPatterns(file)
	if err != nil {
		t.Fatal(err)
	}
	config := onDisk(t)
	config.Safety.WorkspaceDim = set.Width / 2
	e := open(t, config)
	record(t, e, outcomes(normal(1, 3, set.Width/2), set.Width/2))
	if _, err := e.Directory().RestoreFile(t.Context(), file, "operator", "test"); err != nil {
		t.Fatal(err)
	}
	if s := e.MemoryStats(); s.Patterns != [2]int{set.Safe.Len(), set.Unsafe.Len()} || s.Counter != set.Counter {
		t.Errorf("memory: got %+v, want the file's %s", s, set)
	}
	want := whole(e.Directory())
	crashed := config
	crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	if got := whole(directory(t, crashed)); got != want {
		t.Error("opened again: another memory")
	}
}

func TestLeversOnlyTighten(t *testing.T) {
	config := small(t)
	config.Safety.Tier = "DELTA"
	e := open(t, config)
	row := make([]float32, 8)
	row[0] = 1
	record(t, e, []engine.Outcome{{Embedding: row, IsSafe: true}})
	decide := func(e *engine.Engine) engine.Decision {
		return validate(t, e, engine.Batch{Embeddings: row, Width: 8})[0].Decision
	}
	if got := decide(e); got != engine.Allow {
		t.Fatalf("a recorded safe action: got %s, want allow", got)
	}
	loose, strict := "GAMMA", "EPSILON"
	for _, step := range []struct {
		tier *string
		want engine.Decision
	}{{&strict, engine.Block}, {&loose, engine.Allow}} {
		if _, err := e.Directory().PullLever(t.Context(), engine.LeverChange{Tier: step.tier, By: "operator"}); err != nil {
			t.Fatal(err)
		}
		if got := decide(e); got != step.want {
			t.Errorf("tier %s: got %s, want %s", *step.tier, got, step.want)
		}
	}
	if got := e.Directory().Levers().Apply(config).Safety.Tier; got != "DELTA" {
		t.Errorf("tier in force under a looser lever: got %s, want the configured DELTA", got)
	}
	unknown := "SIGMA"
	if _, err := e.Directory().PullLever(t.Context(), engine.LeverChange{Tier: &unknown}); err == nil {
		t.Error("an unknown tier was taken")
	}
	on := true
	if _, err := e.Directory().PullLever(t.Context(), engine.LeverChange{SafeMode: &on, By: "operator"}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got := decide(open(t, config)); got == engine.Allow {
		t.Error("a restart loosened safe mode")
	}
	if got := decide(open(t, config, engine.ReadOnly())); got == engine.Allow {
		t.Error("a reader does not obey safe mode")
	}
}

func TestAutomaticSaves(t *testing.T) {
	config := small(t)
	config.Persistence.AutoSaveInterval = engine.Duration(time.Second)
	e := open(t, config)
	history(t, e, 1)
	before := patternFiles(t, config.Persistence.Dir)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(patternFiles(t, config.Persistence.Dir)) == len(before) {
		select {
		case <-ctx.Done():
			t.Fatal("no checkpoint came by itself")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestCreateDirectory(t *testing.T) {
	file := filepath.Join("..", "checkpoints", "testdata", "checkpoints", "patterns_20241024_120000_torch1.13.0.pt")
	set, err := checkpoints.ReadPatterns(file)
	if err != nil {
		t.Fatal(err)
	}
	config := onDisk(t)
	config.Safety.WorkspaceDim = set.Width / 2
	contents := engine.Contents{Patterns: set, Settings: []byte("[safety]\nstate_update = \"first_element\"\n"), Copies: map[string][]byte{"python/ppo_state.pt": {1, 2, 3}}}
	dir := config.Persistence.Dir
	if err := engine.CreateDirectory(dir, config, contents, nil); err != nil {
		t.Fatal(err)
	}
	d := directory(t, config)
	if s := d.Stats(); s.Patterns != [2]int{set.Safe.Len(), set.Unsafe.Len()} || s.Counter != set.Counter {
		t.Errorf("memory: got %+v, want %s", s, set)
	}
	if _, err := d.Rollback(t.Context(), 0, "operator", "test"); !errors.Is(err, engine.ErrNoPrevious) {
		t.Errorf("rollback of a new directory: got %v, want ErrNoPrevious", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "python", "ppo_state.pt")); err != nil || string(got) != "\x01\x02\x03" {
		t.Errorf("copy: got %x, %v", got, err)
	}
	if err := engine.CreateDirectory(dir, config, contents, nil); err == nil {
		t.Error("a directory that is not empty was overwritten")
	}
	other := filepath.Join(t.TempDir(), "other")
	bad := contents
	bad.Copies = map[string][]byte{"../outside": nil}
	if err := engine.CreateDirectory(other, config, bad, nil); err == nil {
		t.Error("a copy outside of the directory was made")
	}
	if left, _ := filepath.Glob(other + "*"); len(left) > 0 {
		t.Errorf("left after a failure: %q", left)
	}
}

func TestAReplacedKeyStopsTheWriter(t *testing.T) {
	config := small(t)
	key := filepath.Join(t.TempDir(), "keys", "signing.key")
	config.Persistence.SigningKeyFile = key
	e := open(t, config)
	history(t, e, 1)
	want := whole(e.Directory())
	if _, _, err := signing.RotateKey(key, filepath.Join(filepath.Dir(key), "trusted_keys"), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Record(t.Context(), outcomes(normal(2, 1, 8), 8)); !errors.Is(err, engine.ErrKeyReplaced) {
		t.Errorf("record: got %v, want ErrKeyReplaced", err)
	}
	if _, err := e.Save(t.Context()); !errors.Is(err, engine.ErrKeyReplaced) {
		t.Errorf("save: got %v, want ErrKeyReplaced", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, config)
	if got := whole(again.Directory()); got != want {
		t.Errorf("opened with the new key: got\n%s\nwant\n%s", got, want)
	}
	history(t, again, 3)
}
