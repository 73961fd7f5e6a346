package checkpoints

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func itoa(n uintptr) string { return strconv.FormatUint(uint64(n), 10) }

// noon is a time in a zone east of Greenwich, to see that names are in UTC.
func noon() time.Time {
	return time.Date(2026, 3, 1, 0, 30, 0, 999, time.FixedZone("east", 3600))
}

func TestSavePatterns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	if path, ok, err := LatestPatterns(dir); ok || err != nil {
		t.Errorf("no folder: got %q, %v", path, err)
	}
	var names []string
	// The clock stands still, goes back, and on.
	for i, now := range []time.Time{noon(), noon(), noon().Add(-time.Hour), noon().Add(time.Hour)} {
		p := smallSet()
		p.Sequence = int64(i)
		path, err := SavePatterns(dir, p, now)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.Base(path))
		latest, ok, err := LatestPatterns(dir)
		if err != nil || !ok || latest != path {
			t.Errorf("latest: got %q, %t, %v, want %q", latest, ok, err, path)
		}
		got, err := ReadPatterns(path)
		if err != nil || got.Sequence != int64(i) {
			t.Errorf("%s: got %v (%v), want sequence %d", path, got, err, i)
		}
	}
	want := []string{"patterns_20260228_233000.pt", "patterns_20260228_233001.pt", "patterns_20260228_233002.pt", "patterns_20260301_003000.pt"}
	if !slices.Equal(names, want) {
		t.Errorf("got names %v, want %v", names, want)
	}
	info, err := os.Stat(filepath.Join(dir, names[0]))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: got %v (%v), want mode 0600", info, err)
	}
	if info, err = os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: got %v (%v), want mode 0700", info, err)
	}
}

func TestRotate(t *testing.T) {
	dir := t.TempDir()
	if removed, err := Rotate(filepath.Join(dir, "absent"), 1); err != nil || removed != nil {
		t.Errorf("no folder: got %v, %v", removed, err)
	}
	for range 5 {
		if _, err := SavePatterns(dir, smallSet(), noon()); err != nil {
			t.Fatal(err)
		}
	}
	others := []string{"patterns_x.pt", "patterns_20260101_000000.pt.sig", "patterns_20261301_000000.pt", "notes.txt"}
	for _, name := range append(others, ".patterns_20260101_000000.pt.tmp-ABC") {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Rotate(dir, 0); err == nil {
		t.Error("keep 0: got no error")
	}
	newest, _, err := LatestPatterns(dir)
	if err != nil {
		t.Fatal(err)
	}
	removed, err := Rotate(dir, 2)
	if err != nil || len(removed) != 3 {
		t.Errorf("keep 2 of 5: removed %v (%v), want 3", removed, err)
	}
	if after, _, _ := LatestPatterns(dir); after != newest {
		t.Errorf("newest: got %q, want %q", after, newest)
	}
	left := onlyFiles(t, dir)
	for _, name := range others {
		if !slices.Contains(left, name) {
			t.Errorf("%s was deleted, it is no checkpoint", name)
		}
	}
	if len(left) != len(others)+2 {
		t.Errorf("left: got %v, want two checkpoints and %v", left, others)
	}
	if removed, err := Rotate(dir, 2); err != nil || len(removed) != 0 {
		t.Errorf("again: removed %v (%v), want none", removed, err)
	}
}

// TestSavePatternsFails leaves the folder as it was when the disk is full at any point.
func TestSavePatternsFails(t *testing.T) {
	dir := t.TempDir()
	first, err := SavePatterns(dir, smallSet(), noon())
	if err != nil {
		t.Fatal(err)
	}
	size := len(content(t, first))
	for _, room := range []int{0, 1, 64, size / 2, size - 1} {
		ops := systemOps()
		open := ops.open
		ops.open = func(path string, flags int, mode fs.FileMode) (osFile, error) {
			f, err := open(path, flags, mode)
			return &fullDisk{osFile: f, room: room}, err
		}
		if _, err := savePatterns(dir, smallSet(), noon(), ops); !errors.Is(err, errDisk) {
			t.Errorf("room for %d bytes: got %v, want the fault", room, err)
		}
		if names := onlyFiles(t, dir); len(names) != 1 {
			t.Errorf("room for %d bytes: got files %v, want the first checkpoint only", room, names)
		}
	}
}

// fullDisk has room for some bytes.
type fullDisk struct {
	osFile
	room int
}

func (f *fullDisk) Write(b []byte) (int, error) {
	if len(b) > f.room {
		n, _ := f.osFile.Write(b[:f.room])
		f.room = 0
		return n, errDisk
	}
	f.room -= len(b)
	return f.osFile.Write(b)
}

func TestReadRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pt")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: "is a folder", "/dev/null": "is a device", filepath.Join(dir, "absent"): "no such file", empty: "the file is empty",
	} {
		if _, err := ReadPatterns(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", path, err, want)
		}
		_, err := ReadFile(path)
		if err == nil || errors.Is(err, ErrMalformed) != (path == empty) {
			t.Errorf("%s: got %v, want ErrMalformed only for the empty file", path, err)
		}
	}
}
