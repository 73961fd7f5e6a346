package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
)

func TestSaveAndNewest(t *testing.T) {
	for _, key := range []*signing.Key{nil, newKey(t)} {
		dir := t.TempDir()
		clock := []time.Time{noon, noon, noon.Add(-time.Hour), noon.Add(time.Hour)}
		s := open(t, Options{Dir: dir, Key: key, RequireSigning: key != nil, Keep: 3, Now: func() time.Time { return clock[0] }})
		if l, err := newestAside(s); l != nil || err != nil {
			t.Errorf("empty: got %v, %v", l, err)
		}
		chain := strings.Repeat("ab", 32)
		var got []string
		for i := range clock {
			p := set(1, int64(i))
			c, err := s.Save(p, About{Reason: "auto", Levers: json.RawMessage(`{"tier":"GAMMA"}`), Journal: Position{Sequence: int64(i), Chain: chain}})
			if err != nil {
				t.Fatal(err)
			}
			if p.Sequence != int64(i+1) || c.Manifest.Sequence != int64(i+1) || c.Signed != (key != nil) {
				t.Errorf("save %d: got sequence %d, %+v", i, p.Sequence, c)
			}
			got = append(got, c.Name)
			l := newest(t, s, int64(i), nil)
			if !equal(l.Manifest, c.Manifest) || l.Signed != c.Signed || l.KeyID != c.KeyID || l.Path != c.Path {
				t.Errorf("got %+v, saved %+v", l.Manifest, c.Manifest)
			}
			clock = append(clock[1:], noon)
		}
		want := []string{"patterns_20260301_120000.pt", "patterns_20260301_120001.pt", "patterns_20260301_120002.pt", "patterns_20260301_130000.pt"}
		if !slices.Equal(got, want) {
			t.Errorf("got names %v, want %v", got, want)
		}
		if left := names(t, dir); len(left) != 6 || left[0] != want[1] || left[1] != want[1]+manifestSuffix {
			t.Errorf("got files %v, want three checkpoints with manifests", left)
		}
		if oldest, err := s.OldestKept(); err != nil || oldest.Journal.Sequence != 1 {
			t.Errorf("oldest kept: got %+v, %v, want journal at 1", oldest, err)
		}
		list, err := s.Verify()
		if err != nil || len(list) != 3 {
			t.Fatalf("verify: got %v, %v", list, err)
		}
		for _, c := range list {
			if c.Problem != nil {
				t.Errorf("verify: %v", c.Problem)
			}
		}
		info, err := os.Stat(list[0].Path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("got %v, %v, want mode 0600", info, err)
		}
	}
}

// TestTrust puts files of other origin beside good ones.
func TestTrust(t *testing.T) {
	key, foreign, old := newKey(t), newKey(t), newKey(t)
	ring, err := signing.NewRing(signing.Trusted{Public: old.Public(), Until: noon.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	late := func() time.Time { return noon.Add(time.Hour) }
	for _, c := range []struct {
		name          string
		by            *signing.Key
		now           func() time.Time
		strict, loose error // what Newest says with and without RequireSigning
	}{
		{"own", key, nil, nil, nil},
		{"retired", old, nil, nil, nil},
		{"expired", old, late, signing.ErrExpiredKey, nil},
		{"foreign", foreign, nil, signing.ErrUnknownKey, nil},
		{"unsigned", nil, nil, signing.ErrUnsigned, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			save(t, open(t, Options{Dir: dir, Key: key}), 1)
			save(t, open(t, Options{Dir: dir, Key: c.by, Now: c.now}), 2)
			before := tree(t, dir)
			strict := open(t, Options{Dir: dir, Key: key, Ring: ring, RequireSigning: true})
			newest(t, strict, 2, c.strict)
			if c.strict != nil {
				if _, err := newestAside(strict); !errors.Is(err, ErrUntrusted) {
					t.Errorf("got %v, want ErrUntrusted", err)
				}
			}
			newest(t, open(t, Options{Dir: dir, Key: key, Ring: ring}), 2, c.loose)
			if !equal(tree(t, dir), before) {
				t.Error("files were moved")
			}
		})
	}
}

func TestWithoutManifest(t *testing.T) {
	t.Run("Python folder", func(t *testing.T) {
		dir := t.TempDir()
		pythonFile(t, dir, "patterns_20260101_000000.pt", 1)
		pythonFile(t, dir, "patterns_20260102_000000.pt", 2)
		if l := newest(t, open(t, Options{Dir: dir}), 2, nil); l.Manifest != nil {
			t.Errorf("got manifest %+v, want none", l.Manifest)
		}
		newest(t, open(t, Options{Dir: dir, RequireSigning: true}), 0, ErrUntrusted)
		if err := os.Truncate(filepath.Join(dir, "patterns_20260102_000000.pt"), 100); err != nil {
			t.Fatal(err)
		}
		if l := newest(t, open(t, Options{Dir: dir}), 1, nil); len(l.Damaged) != 1 {
			t.Errorf("got %+v, want one damaged", l)
		}
	})
	t.Run("newer beside managed", func(t *testing.T) {
		dir, key := t.TempDir(), newKey(t)
		save(t, open(t, Options{Dir: dir, Key: key}), 1)
		pythonFile(t, dir, "patterns_20260401_000000.pt", 2)
		for _, require := range []bool{false, true} {
			newest(t, open(t, Options{Dir: dir, Key: key, RequireSigning: require}), 0, ErrUntrusted)
		}
	})
	t.Run("older beside managed", func(t *testing.T) {
		dir, key := t.TempDir(), newKey(t)
		pythonFile(t, dir, "patterns_20260101_000000.pt", 2)
		c := save(t, open(t, Options{Dir: dir, Key: key}), 1)
		newest(t, open(t, Options{Dir: dir, Key: key}), 1, nil)
		newest(t, open(t, Options{Dir: dir, Key: key, RequireSigning: true}), 1, nil)
		if err := os.Truncate(c.Path, 100); err != nil {
			t.Fatal(err)
		}
		newest(t, open(t, Options{Dir: dir, Key: key}), 0, ErrNoneLeft)
		newest(t, open(t, Options{Dir: dir, Key: key, RequireSigning: true}), 0, ErrUntrusted)
	})
}

// TestDamage damages the newest in many ways: the older one is taken and the newest set aside with its manifest.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"cut":           func(path string) error { return os.Truncate(path, 1000) },
		"empty":         func(path string) error { return os.Truncate(path, 0) },
		"manifest cut":  func(path string) error { return os.Truncate(manifestOf(path), 100) },
		"no manifest":   func(path string) error { return os.WriteFile(manifestOf(path), nil, 0o600) },
		"bytes":         func(path string) error { return change(path, 500) },
		"other version": func(path string) error { return os.WriteFile(path, []byte("PK\x03\x04 hello"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, key := t.TempDir(), newKey(t)
			s := open(t, Options{Dir: dir, Key: key, RequireSigning: true})
			save(t, s, 1)
			c := save(t, s, 2)
			if err := damage(c.Path); err != nil {
				t.Fatal(err)
			}
			l, err := newestAside(s)
			if err != nil || l.Patterns.Counter != 1 || len(l.Damaged) != 1 || l.Damaged[0].Path != c.Path || !errors.Is(l.Damaged[0].Reason, ErrDamaged) {
				t.Fatalf("got %+v, %v, want the older one", l, err)
			}
			aside := filepath.Join(dir, "set-aside", "20260301_120000-damaged-"+c.Name)
			if got := names(t, aside); l.Damaged[0].Aside != aside || len(got) != 2 {
				t.Errorf("got %q with %v, want both files in %s", l.Damaged[0].Aside, got, aside)
			}
			// Its sequence is not given again, as far as it can be read.
			next := save(t, open(t, Options{Dir: dir, Key: key, RequireSigning: true}), 3)
			want := int64(3)
			if strings.Contains(name, "manifest") {
				want = 2
			}
			if next.Manifest.Sequence != want {
				t.Errorf("next sequence is %d, want %d", next.Manifest.Sequence, want)
			}
			newest(t, s, 3, nil)
		})
	}
	t.Run("all", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, Options{Dir: dir})
		for i := range int64(2) {
			if err := os.Truncate(save(t, s, i).Path, 10); err != nil {
				t.Fatal(err)
			}
		}
		before := tree(t, dir)
		if _, err := newestAside(s); !errors.Is(err, ErrNoneLeft) || !strings.Contains(err.Error(), "120000") || !strings.Contains(err.Error(), "120001") {
			t.Errorf("got %v, want ErrNoneLeft naming both", err)
		}
		if !equal(tree(t, dir), before) {
			t.Error("files were moved")
		}
		if _, err := s.Prune(1); !errors.Is(err, ErrNoneLeft) {
			t.Errorf("prune: got %v, want ErrNoneLeft", err)
		}
	})
}

func change(path string, at int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[at] ^= 0xff
	return os.WriteFile(path, b, 0o600)
}

// TestPruneKeepsTheGood keeps the newest that verifies beyond the number.
func TestPruneKeepsTheGood(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	for i := range int64(3) {
		save(t, s, i)
	}
	if err := change(save(t, s, 3).Path, 500); err != nil {
		t.Fatal(err)
	}
	removed, err := s.Prune(1)
	if err != nil || len(removed) != 2 {
		t.Errorf("got %v, %v, want two removed", removed, err)
	}
	newest(t, s, 2, nil)
	if _, err := s.Prune(0); err == nil {
		t.Error("keep 0: got no error")
	}
}

// TestFlips changes each byte of a checkpoint and of its manifest: the older one is taken, it is refused, or it is equal.
func TestFlips(t *testing.T) {
	key := newKey(t)
	for _, signed := range []bool{false, true} {
		dir := t.TempDir()
		o := Options{Dir: dir, RequireSigning: signed}
		if signed {
			o.Key = key
		}
		s := open(t, o)
		save(t, s, 1)
		c := save(t, s, 2)
		older, refused, same := 0, 0, 0
		for _, path := range []string{c.Path, manifestOf(c.Path)} {
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			step := 1
			if !soak {
				step = 37
			}
			for i := 0; i < len(whole); i += step {
				for _, x := range []byte{1, 0x20, 0xff} {
					b := bytes.Clone(whole)
					b[i] ^= x
					if err := os.WriteFile(path, b, 0o600); err != nil {
						t.Fatal(err)
					}
					l, err := s.Newest()
					switch {
					case errors.Is(err, ErrUntrusted):
						refused++
					case err != nil:
						t.Errorf("byte %d ^ %#x of %s: got %v", i, x, path, err)
					case l.Patterns.Counter == 1 && len(l.Damaged) == 1:
						older++
					case l.Patterns.Counter == 2 && equal(l.Manifest, c.Manifest) && strings.HasSuffix(path, manifestSuffix):
						same++
					default:
						t.Errorf("byte %d ^ %#x of %s: loaded %+v", i, x, path, l)
					}
				}
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("signed %t: older taken %d, refused %d, equal %d", signed, older, refused, same)
		newest(t, s, 2, nil)
	}
}

// TestCuts cuts checkpoint and manifest at each length.
func TestCuts(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), Key: newKey(t), RequireSigning: true})
	save(t, s, 1)
	c := save(t, s, 2)
	for _, path := range []string{c.Path, manifestOf(c.Path)} {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		step := 1
		if !soak {
			step = 17
		}
		for n := 0; n < len(whole)-1; n += step {
			if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			if l, err := s.Newest(); err != nil || l.Patterns.Counter != 1 {
				t.Errorf("%s cut to %d: got %+v, %v, want the older one", path, n, l, err)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLinks puts links and other things in the place of files.
func TestLinks(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"link": func(path string) error { return errors.Join(os.Rename(path, path+".x"), os.Symlink(path+".x", path)) },
		"manifest link": func(path string) error {
			path += manifestSuffix
			return errors.Join(os.Rename(path, path+".x"), os.Symlink(path+".x", path))
		},
		"folder": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"pipe":   func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{Dir: t.TempDir()})
			save(t, s, 1)
			if err := make(save(t, s, 2).Path); err != nil {
				t.Fatal(err)
			}
			newest(t, s, 0, ErrUntrusted)
		})
	}
}

func TestFiles(t *testing.T) {
	dir, key := t.TempDir(), newKey(t)
	s := open(t, Options{Dir: dir, Key: key, RequireSigning: true})
	if _, _, err := s.ReadFile(StateFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: got %v, want fs.ErrNotExist", err)
	}
	for i := range int64(3) {
		if err := s.SaveFile(StateFile, writePatterns(StateFile, set(1, i))); err != nil {
			t.Fatal(err)
		}
		if _, m, err := s.ReadFile(StateFile); err != nil || m.Sequence != i+1 {
			t.Errorf("got %+v, %v, want sequence %d", m, err, i+1)
		}
	}
	if got := names(t, dir); len(got) != 2 {
		t.Errorf("got files %v, want the state and its manifest", got)
	}
	if err := change(filepath.Join(dir, StateFile), 700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.ReadFile(StateFile); !errors.Is(err, ErrDamaged) {
		t.Errorf("changed: got %v, want ErrDamaged", err)
	}
	pythonFile(t, dir, ProjectionsFile, 1)
	if _, _, err := s.ReadFile(ProjectionsFile); !errors.Is(err, ErrUntrusted) {
		t.Errorf("no manifest: got %v, want ErrUntrusted", err)
	}
	if _, m, err := open(t, Options{Dir: dir}).ReadFile(ProjectionsFile); err != nil || m != nil {
		t.Errorf("no manifest, none required: got %v, %v", m, err)
	}
	for _, name := range []string{"", ".", "..", "../x.pt", "a/b.pt", "/x.pt", ".x.pt", `a\b.pt`, "x", "patterns_20260101_000000.pt", "x.pt.manifest.json"} {
		if _, _, err := s.ReadFile(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read %q: got %v, want a refusal of the name", name, err)
		}
		if err := s.SaveFile(name, func(io.Writer) error { return nil }); err == nil {
			t.Errorf("save %q: got no error", name)
		}
	}
}

// TestReadersBesideWriter reads without a lock while another store saves and rotates.
func TestReadersBesideWriter(t *testing.T) {
	dir, key := t.TempDir(), newKey(t)
	writer := open(t, Options{Dir: dir, Key: key, RequireSigning: true, Keep: 2})
	save(t, writer, 0)
	if err := writer.SaveFile(StateFile, writePatterns(StateFile, set(1, 0))); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			reader := open(t, Options{Dir: dir, Key: key, RequireSigning: true})
			last := int64(-1)
			for {
				select {
				case <-done:
					return
				default:
				}
				l, err := reader.Newest()
				if err != nil || l == nil || len(l.Damaged) != 0 || l.Patterns.Counter < last {
					t.Errorf("got %+v, %v after counter %d", l, err, last)
					return
				}
				last = l.Patterns.Counter
				if _, _, err := reader.ReadFile(StateFile); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range int64(60) {
		save(t, writer, i+1)
		if err := writer.SaveFile(StateFile, writePatterns(StateFile, set(1, i))); err != nil {
			t.Error(err)
		}
	}
	close(done)
	group.Wait()
}
