package engine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// soak says whether faults are tried at every place instead of at a sample.
func soak() bool { return os.Getenv("FDQC_SOAK") != "" }

// sample gives about as many offsets of a file as asked for, evenly, the first
// and the last among them; all of them when the tests soak.
func sample(size, count int) []int {
	if testing.Short() { // under the race detector, which learns nothing from more
		count /= 5
	}
	if soak() || size <= count {
		count = size
	}
	var offsets []int
	for i := range count {
		offsets = append(offsets, i*(size-1)/max(1, count-1))
	}
	return offsets
}

// everything is all that decides verdicts.
func everything(d *engine.Directory) string {
	return fmt.Sprintf("%s %+v", whole(d), *d.Weights())
}

// smallDirectory is a data directory with two checkpoints and a journal that
// continues them, left by a writer that never ended. after are the states since
// the newest checkpoint, the present one last.
func smallDirectory(t *testing.T, signed bool) (config engine.Config, after []string) {
	t.Helper()
	config = small(t)
	config.Safety.RequireSigning = signed
	if !signed {
		config.Persistence.SigningKeyFile = filepath.Join(t.TempDir(), "none", "signing.key")
	}
	config.Persistence.MaxCheckpoints = 2
	e := open(t, config)
	for round := range uint64(3) {
		history(t, e, round)
		if _, err := e.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	after = append(after, everything(e.Directory()))
	for i := range uint64(4) {
		record(t, e, outcomes(normal(50+i, 2, 8), 8))
		after = append(after, everything(e.Directory()))
	}
	on := true
	if _, err := e.Directory().PullLever(t.Context(), engine.LeverChange{SafeMode: &on, By: "operator"}); err != nil {
		t.Fatal(err)
	}
	after = append(after, everything(e.Directory()))
	config.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	return config, after
}

// parts are the files of a data directory that carry something.
func parts(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && e.Name() != "lock" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// opened opens a directory and answers what it holds; a refusal must be a
// VerificationError.
func opened(config engine.Config, options ...engine.Option) (state string, damaged int, err error) {
	d, err := engine.OpenDirectory(config, options...)
	var refused *engine.VerificationError
	switch {
	case errors.As(err, &refused):
		return "", 0, nil
	case err != nil:
		return "", 0, fmt.Errorf("got %w, want a VerificationError or the same memory", err)
	}
	state, damaged = everything(d), len(d.Recovered().Damaged)
	return state, damaged, d.Close()
}

// tally counts what became of damaged directories.
type tally struct{ tried, refused, recovered, same, older int }

func (c *tally) count(state string, damaged int, want string) {
	c.tried++
	switch {
	case state == "":
		c.refused++
	case state != want:
		c.older++
	case damaged > 0:
		c.recovered++
	default:
		c.same++
	}
}

func (c *tally) add(o tally) {
	c.tried += o.tried
	c.refused += o.refused
	c.recovered += o.recovered
	c.same += o.same
	c.older += o.older
}

func (c tally) String() string {
	return fmt.Sprintf("%d tried: %d refused, %d recovered equal, %d equal, %d an earlier state", c.tried, c.refused, c.recovered, c.same, c.older)
}

// masks are how a byte is changed, in turn: one bit, several, all.
var masks = []byte{0x01, 0x80, 0xff, 0x20, 0x10, 0x5a}

func TestFlippedBytes(t *testing.T) {
	for _, signed := range []bool{true, false} {
		t.Run(fmt.Sprintf("signed %v", signed), func(t *testing.T) {
			config, states := smallDirectory(t, signed)
			want := states[len(states)-1]
			var total, writers tally
			for _, path := range parts(t, config.Persistence.Dir) {
				good, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				name := filepath.Base(path)
				var files tally
				for i, offset := range sample(len(good), 150) {
					bad := append([]byte(nil), good...)
					bad[offset] ^= masks[i%len(masks)]
					if err := os.WriteFile(path, bad, 0o600); err != nil {
						t.Fatal(err)
					}
					state, damaged, err := opened(config, engine.ReadOnly())
					if err != nil || state != "" && state != want {
						t.Errorf("%s, byte %d of %d: %v\ngot %s\nwant %s", name, offset, len(good), err, state, want)
					}
					files.count(state, damaged, want)
					if i%30 != 0 {
						continue
					}
					written := config
					written.Persistence.Dir = copyTree(t, config.Persistence.Dir)
					state, damaged, err = opened(written)
					if err != nil || state != "" && state != want {
						t.Errorf("%s, byte %d of %d, as writer: %v\ngot %s\nwant %s", name, offset, len(good), err, state, want)
					}
					writers.count(state, damaged, want)
				}
				if err := os.WriteFile(path, good, 0o600); err != nil {
					t.Fatal(err)
				}
				t.Logf("%s, %d bytes: %v", name, len(good), files)
				total.add(files)
			}
			t.Logf("readers: %v", total)
			t.Logf("writers: %v", writers)
			if total.refused == 0 || total.recovered == 0 {
				t.Errorf("got %v, want refused ones and recovered ones: nothing was damaged", total)
			}
			if state, _, err := opened(config, engine.ReadOnly()); err != nil || state != want {
				t.Errorf("with all bytes put back: %v\ngot %s\nwant %s", err, state, want)
			}
		})
	}
}

func TestTruncatedFiles(t *testing.T) {
	for _, signed := range []bool{true, false} {
		t.Run(fmt.Sprintf("signed %v", signed), func(t *testing.T) {
			config, states := smallDirectory(t, signed)
			want := states[len(states)-1]
			earlier := map[string]bool{}
			for _, state := range states {
				earlier[state] = true
			}
			files := parts(t, config.Persistence.Dir)
			last := ""
			for _, path := range files {
				if strings.HasSuffix(path, ".journal") {
					last = max(last, path)
				}
			}
			var total tally
			for _, path := range files {
				good, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				name := filepath.Base(path)
				var file tally
				for _, size := range sample(len(good), 100) {
					if err := os.WriteFile(path, good[:size], 0o600); err != nil {
						t.Fatal(err)
					}
					state, damaged, err := opened(config, engine.ReadOnly())
					// What ends the journal cannot tell that more followed:
					// whole commits that are gone are an earlier state.
					ok := state == "" || state == want || path == last && earlier[state]
					if err != nil || !ok {
						t.Errorf("%s, %d of %d bytes: %v\ngot %s\nwant %s", name, size, len(good), err, state, want)
					}
					file.count(state, damaged, want)
				}
				if err := os.WriteFile(path, good, 0o600); err != nil {
					t.Fatal(err)
				}
				t.Logf("%s, %d bytes: %v", name, len(good), file)
				total.add(file)
			}
			t.Logf("%v", total)
			if total.refused == 0 || total.recovered == 0 || total.older == 0 {
				t.Errorf("got %v, want refused, recovered and earlier ones: nothing was cut", total)
			}
			if state, _, err := opened(config, engine.ReadOnly()); err != nil || state != want {
				t.Errorf("with all bytes put back: %v\ngot %s\nwant %s", err, state, want)
			}
		})
	}
}
