package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/engine"
)

// rows are the patterns of a memory, whatever ids come next.
func rows(d *engine.Directory) string { return fmt.Sprint(d.Patterns().Sides) }

// What an operator went back over must not come back when he goes back
// further.
func TestRollbackAgain(t *testing.T) {
	for _, reopened := range []bool{false, true} {
		t.Run(fmt.Sprintf("opened again %v", reopened), func(t *testing.T) {
			config := small(t)
			e := open(t, config)
			states := []string{rows(e.Directory())} // of the checkpoints 1 to 4
			for round := range uint64(3) {
				history(t, e, round)
				if _, err := e.Save(t.Context()); err != nil {
					t.Fatal(err)
				}
				states = append(states, rows(e.Directory()))
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			d := directory(t, config)
			for i := 2; i >= 0; i-- {
				if reopened {
					if err := d.Close(); err != nil {
						t.Fatal(err)
					}
					d = directory(t, config)
				}
				previous, err := d.Previous(0)
				if err != nil || previous.Sequence != int64(i+1) {
					t.Errorf("would go back to %+v, %v, want checkpoint %d", previous, err, i+1)
				}
				if _, err := d.Rollback(t.Context(), 0, "operator", "test"); err != nil {
					t.Fatal(err)
				}
				if got := rows(d); got != states[i] {
					t.Errorf("after a rollback: got\n%s\nwant that of checkpoint %d\n%s", got, i+1, states[i])
				}
			}
			if _, err := d.Rollback(t.Context(), 0, "operator", "test"); !errors.Is(err, engine.ErrNoPrevious) {
				t.Errorf("before the first: got %v, want ErrNoPrevious", err)
			}
		})
	}
}

// A restore is undone by a rollback, also one of a file.
func TestRollbackOfARestore(t *testing.T) {
	config := small(t)
	e := open(t, config)
	history(t, e, 1)
	path, err := e.Save(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "patterns_outside.pt")
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(outside, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, restore := range map[string]func(d *engine.Directory) error{
		"of a kept checkpoint": func(d *engine.Directory) error {
			_, err := d.Restore(t.Context(), 1, "operator", "test")
			return err
		},
		"of a file": func(d *engine.Directory) error {
			_, err := d.RestoreFile(t.Context(), outside, "operator", "test")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			history(t, e, 2)
			if _, err := e.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
			d, want := e.Directory(), rows(e.Directory())
			if err := restore(d); err != nil {
				t.Fatal(err)
			}
			if got := rows(d); got == want {
				t.Fatal("the restore changed nothing")
			}
			if _, err := d.Rollback(t.Context(), 0, "operator", "test"); err != nil {
				t.Fatal(err)
			}
			if got := rows(d); got != want {
				t.Errorf("got\n%s\nwant the memory before the restore\n%s", got, want)
			}
		})
	}
}

// A rollback that is cut off at any of its steps leaves the old memory or the
// new one, never another and never a refusal; the levers hold from their step
// on.
func TestInterruptedRollback(t *testing.T) {
	config := small(t)
	e := open(t, config)
	history(t, e, 1)
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	history(t, e, 2)
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	history(t, e, 3)
	old := rows(e.Directory())
	given := e.MemoryStats().NextID
	r, err := e.Directory().Rollback(t.Context(), 0, "operator", "test")
	if err != nil {
		t.Fatal(err)
	}
	fresh := rows(e.Directory())
	segment := func(dir string) string {
		segments, err := filepath.Glob(filepath.Join(dir, "journal", "*.journal"))
		if err != nil || len(segments) == 0 {
			t.Fatalf("segments: %q, %v", segments, err)
		}
		return slices.Max(segments)
	}
	name := filepath.Base(r.Checkpoint.Path)
	removeNew := func(dir string) error {
		return errors.Join(os.Remove(filepath.Join(dir, name)), os.Remove(filepath.Join(dir, name+".manifest.json")))
	}
	data, err := os.ReadFile(segment(config.Persistence.Dir))
	if err != nil {
		t.Fatal(err)
	}
	within := int64(bytes.Index(data, []byte(`{"sequence":`))) // the record of the replacement
	probe := config
	probe.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	if err := os.Truncate(segment(probe.Persistence.Dir), within); err != nil {
		t.Fatal(err)
	}
	before := within - directory(t, probe, engine.ReadOnly()).Recovered().Journal.CutBytes
	const header = 256
	for what, c := range map[string]struct {
		cut  func(dir string) error
		want string
	}{
		"before the record":               {func(dir string) error { return os.Truncate(segment(dir), before) }, fresh},
		"within the record":               {func(dir string) error { return os.Truncate(segment(dir), within+60) }, fresh},
		"before the checkpoint":           {func(dir string) error { return errors.Join(os.Truncate(segment(dir), before), removeNew(dir)) }, old},
		"before what stands":              {func(dir string) error { return errors.Join(os.Truncate(segment(dir), header), removeNew(dir)) }, old},
		"before the checkpoint's segment": {func(dir string) error { return errors.Join(os.Remove(segment(dir)), removeNew(dir)) }, old},
		"after the record":                {func(string) error { return nil }, fresh},
	} {
		t.Run(what, func(t *testing.T) {
			crashed := config
			crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
			if err := c.cut(crashed.Persistence.Dir); err != nil {
				t.Fatal(err)
			}
			// Of what was not there then the audit log could not know.
			switch head := r.Checkpoint.Manifest.Audit.Sequence; what {
			case "after the record":
			case "before what stands", "before the checkpoint's segment":
				cutAudit(t, crashed.Persistence.Dir, head-2) // what is carried, and a signature
			default:
				cutAudit(t, crashed.Persistence.Dir, head)
			}
			if got := rows(directory(t, crashed, engine.ReadOnly())); got != c.want {
				t.Errorf("a reader: got\n%s\nwant\n%s", got, c.want)
			}
			for range 2 { // what the first opening adds, the second one reads
				d, err := engine.OpenDirectory(crashed)
				if err != nil {
					t.Fatal(err)
				}
				if got := rows(d); got != c.want {
					t.Errorf("got\n%s\nwant\n%s", got, c.want)
				}
				if l := d.Levers().Demands(); !l.SafeMode || !l.RequireHumanApproval {
					t.Errorf("levers: got %+v, want both on", l)
				}
				if got := d.Stats().NextID; got != given {
					t.Errorf("next id: got %d, want %d", got, given)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
			}
			// So do an older checkpoint and the journal, as it goes on.
			d := directory(t, crashed)
			tier := "BETA"
			if _, err := d.PullLever(t.Context(), engine.LeverChange{Tier: &tier}); err != nil {
				t.Fatal(err)
			}
			want := whole(d)
			for damaged := range 3 {
				again := crashed
				again.Persistence.Dir = copyTree(t, crashed.Persistence.Dir)
				files := patternFiles(t, again.Persistence.Dir)
				for _, path := range files[len(files)-min(damaged, len(files)-1):] {
					flip(t, path)
				}
				if got := whole(directory(t, again)); got != want {
					t.Errorf("%d newest damaged: got\n%s\nwant\n%s", damaged, got, want)
				}
			}
		})
	}
}

// A file's memory is in no journal and no older checkpoint: it is saved twice,
// so that one damaged checkpoint loses nothing.
func TestRestoredFileSurvivesADamagedCheckpoint(t *testing.T) {
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
	record(t, e, outcomes(normal(2, 3, set.Width/2), set.Width/2))
	want := whole(e.Directory())
	files := patternFiles(t, config.Persistence.Dir)
	for _, damaged := range files[len(files)-2:] {
		spoilt := config
		spoilt.Persistence.Dir = copyTree(t, config.Persistence.Dir)
		flip(t, filepath.Join(spoilt.Persistence.Dir, filepath.Base(damaged)))
		if got := whole(directory(t, spoilt)); got != want {
			t.Errorf("%s damaged: another memory", damaged)
		}
	}
	t.Run("what the journal cannot cross is refused", func(t *testing.T) {
		spoilt := config
		spoilt.Persistence.Dir = copyTree(t, config.Persistence.Dir)
		for _, damaged := range files[len(files)-2:] {
			flip(t, filepath.Join(spoilt.Persistence.Dir, filepath.Base(damaged)))
		}
		before := tree(t, spoilt.Persistence.Dir)
		wantUnverified(t, spoilt)
		if after := tree(t, spoilt.Persistence.Dir); after != before {
			t.Errorf("files were moved: got %s, want %s", after, before)
		}
	})
}
