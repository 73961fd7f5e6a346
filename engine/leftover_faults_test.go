package engine_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
)

func TestClockSetBack(t *testing.T) {
	config := small(t)
	config.Persistence.MaxCheckpoints = 4
	want := ""
	for run, year := range []int{2031, 1999, 2026, 1970} {
		now := time.Date(year, 5, 6, 7, 8, 9, 0, time.UTC)
		e := open(t, config, engine.WithClock(func() time.Time { return now }))
		if got := whole(e.Directory()); want != "" && got != want {
			t.Errorf("run in %d: opened\n%s\nwant\n%s", year, got, want)
		}
		history(t, e, uint64(run))
		if _, err := e.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		history(t, e, uint64(run+10))
		want = whole(e.Directory())
		crashed := config
		crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
		if got := whole(directory(t, crashed, engine.ReadOnly())); got != want {
			t.Errorf("run in %d: a reader finds\n%s\nwant\n%s", year, got, want)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := engine.OpenStore(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := kept.List()
	if err != nil || len(list) != 4 {
		t.Fatalf("list: got %d, %v, want 4", len(list), err)
	}
	// First 1, then two in each of the runs.
	for i, c := range list {
		if c.Problem != nil || c.Manifest.Sequence != int64(9-i) {
			t.Errorf("checkpoint %d of the list: got %+v, want sequence %d", i, c, 9-i)
		}
		if i > 0 && c.Name >= list[i-1].Name {
			t.Errorf("%s, of an earlier save, sorts after %s", c.Name, list[i-1].Name)
		}
	}
}

func TestWhatInterruptedWritersLeft(t *testing.T) {
	config := small(t)
	e := open(t, config)
	history(t, e, 1)
	if _, err := e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	history(t, e, 2)
	want := whole(e.Directory())
	left := config
	left.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	dir := left.Persistence.Dir
	newest := slices.Max(patternFiles(t, dir))
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	checkpoint, manifest := read(newest), read(newest+".manifest.json")
	stale := map[string][]byte{
		".patterns_20200101_000000.pt.tmp-ABCDEFGHIJ":               checkpoint,
		".patterns_29990101_000000.pt.tmp-ABCDEFGHIJ":               checkpoint[:100],
		".patterns_29990101_000000.pt.manifest.json.tmp-ABCDEFGHIJ": manifest,
		".validator_state.pt.tmp-ABCDEFGHIJ":                        nil,
		".validator_state.pt.manifest.json.tmp-ABCDEFGHIJ":          manifest[:10],
		"patterns_20200101_000000.pt.manifest.json":                 manifest,
		"patterns_29990101_000000.pt.manifest.json":                 manifest[:len(manifest)/2],
		"patterns_29990101_000001.pt.manifest.json":                 nil,
	}
	others := map[string][]byte{
		"notes.txt":              []byte("of a person"),
		".notes.txt.tmp-ABCDE":   []byte("of another program"),
		"journal/README":         []byte("of a person"),
		"validator_state.pt.bak": nil,
	}
	for _, files := range []map[string][]byte{stale, others} {
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := tree(t, dir)
	if got := whole(directory(t, left, engine.ReadOnly())); got != want {
		t.Errorf("a reader finds\n%s\nwant\n%s", got, want)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("a reader changed files: got %s, want %s", after, before)
	}
	d := directory(t, left)
	if got := whole(d); got != want {
		t.Errorf("a writer finds\n%s\nwant\n%s", got, want)
	}
	if _, err := d.Save(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	for name := range stale {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is left after a save", name)
		}
	}
	for name := range others {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s, which is not the engine's: %v", name, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if got := whole(directory(t, left)); got != want {
		t.Errorf("opened again\n%s\nwant\n%s", got, want)
	}
}
