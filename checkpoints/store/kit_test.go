package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// soak asks for the long form of tests.
var soak = os.Getenv("FDQC_SOAK") != ""

func newKey(t testing.TB) *signing.Key {
	t.Helper()
	k, err := signing.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// set makes a memory of n patterns a side; counter tells them apart.
func set(n int, counter int64) *checkpoints.PatternSet {
	p := &checkpoints.PatternSet{Width: 4, Capacity: max(n, 2), Counter: counter, NextID: 1, SaveTime: 1}
	for _, s := range []*checkpoints.PatternSide{&p.Safe, &p.Unsafe} {
		for i := range n {
			s.Rows = append(s.Rows, float32(i), 1, 0.5, -2)
			s.Timestamps = append(s.Timestamps, min(int64(i), counter))
			s.Importance = append(s.Importance, 1)
			s.IDs = append(s.IDs, p.NextID)
			p.NextID++
		}
	}
	return p
}

// open makes a store at noon.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newestAside is what a writer does that can go on without the damaged ones.
func newestAside(s *Store) (*Loaded, error) {
	l, err := s.Newest()
	if l != nil {
		s.SetDamagedAside(l.Damaged)
	}
	return l, err
}

func save(t testing.TB, s *Store, counter int64) Checkpoint {
	t.Helper()
	c, err := s.Save(set(1, counter), About{Reason: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// tree reads all files below a folder.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// pythonFile writes a checkpoint without a manifest.
func pythonFile(t testing.TB, dir, name string, counter int64) {
	t.Helper()
	err := checkpoints.WriteAtomic(filepath.Join(dir, name), 0o600, writePatterns(name, set(1, counter)))
	if err != nil {
		t.Fatal(err)
	}
}

func writePatterns(name string, p *checkpoints.PatternSet) func(io.Writer) error {
	return func(w io.Writer) error { return checkpoints.WritePatterns(w, container.Root(name), p) }
}

// newest expects a counter, or an error.
func newest(t testing.TB, s *Store, want int64, wantErr error) *Loaded {
	t.Helper()
	l, err := s.Newest()
	switch {
	case wantErr != nil:
		if !errors.Is(err, wantErr) {
			t.Errorf("got %v, %v, want %v", l, err, wantErr)
		}
	case err != nil:
		t.Errorf("got %v, want counter %d", err, want)
	case l == nil || l.Patterns.Counter != want:
		t.Errorf("got %+v, want counter %d", l, want)
	}
	return l
}

func equal(a, b any) bool { return reflect.DeepEqual(a, b) }
