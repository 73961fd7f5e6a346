package checkpoints

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The Python system takes the last of patterns_*.pt by name, whatever follows
// the time. To pass over one would be to open an older memory.
func TestLatestIsThatOfThePythonSystem(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	touch := func(t *testing.T, dir, name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a time and more", func(t *testing.T) {
		dir := t.TempDir()
		touch(t, dir, "patterns_20260430_000000.pt")
		touch(t, dir, "patterns_20260430_000000_nightly.pt")
		got, found, err := LatestPatterns(dir)
		if err != nil || !found || filepath.Base(got) != "patterns_20260430_000000_nightly.pt" {
			t.Errorf("got %s, %v, %v, want the name that sorts last", got, found, err)
		}
	})
	t.Run("a save sorts after it", func(t *testing.T) {
		dir := t.TempDir()
		touch(t, dir, "patterns_20260601_120000_nightly.pt") // later than now
		path, err := SavePatterns(dir, &PatternSet{Width: 8, Capacity: 1, NextID: 1}, now)
		if err != nil || filepath.Base(path) != "patterns_20260601_120001.pt" {
			t.Errorf("got %s, %v, want one second after the newest", path, err)
		}
		if got, _, err := LatestPatterns(dir); err != nil || got != path {
			t.Errorf("latest: got %s, %v, want %s", got, err, path)
		}
	})
	t.Run("a name without a time that sorts last", func(t *testing.T) {
		dir := t.TempDir()
		touch(t, dir, "patterns_best.pt")
		_, err := SavePatterns(dir, &PatternSet{Width: 8, Capacity: 1, NextID: 1}, now)
		if err == nil || !strings.Contains(err.Error(), "patterns_best.pt") {
			t.Errorf("got %v, want an error that names it: nothing saved could be the newest", err)
		}
	})
	t.Run("a link", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink("/nonexistent", filepath.Join(dir, "patterns_20260430_000000.pt")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LatestPatterns(dir); err == nil || !strings.Contains(err.Error(), "regular") {
			t.Errorf("got %v, want an error", err)
		}
	})
}
