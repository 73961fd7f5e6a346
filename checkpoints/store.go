package checkpoints

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

const (
	filePerm   fs.FileMode = 0o600
	folderPerm fs.FileMode = 0o700

	patternPrefix = "patterns_"
	patternSuffix = ".pt"
	nameLayout    = "20060102_150405"
)

// SavePatterns writes a pattern checkpoint into a folder, which is made when absent, and returns its path. The file is
// named patterns_<UTC yyyymmdd_hhmmss>.pt by the later of now and one second after the newest that is there, so that the order
// of names is the order of saving even when a clock goes back. It is durable on return.
func SavePatterns(dir string, p *PatternSet, now time.Time) (string, error) {
	return savePatterns(dir, p, now, systemOps())
}

func savePatterns(dir string, p *PatternSet, now time.Time, ops fileOps) (string, error) {
	if err := disk.MakeFolder(dir); err != nil {
		return "", fmt.Errorf("save patterns: %w", err)
	}
	names, err := patternFiles(dir)
	if err != nil {
		return "", fmt.Errorf("save patterns: %w", err)
	}
	at := now.UTC().Truncate(time.Second)
	if len(names) > 0 {
		newest, dated := patternTime(names[len(names)-1])
		if !dated {
			return "", fmt.Errorf("save patterns: %s in %s sorts as newest and carries no time, expected %s<yyyymmdd_hhmmss>…%s; rename it",
				names[len(names)-1], dir, patternPrefix, patternSuffix)
		}
		if next := newest.Add(time.Second); at.Before(next) {
			at = next
		}
	}
	path := filepath.Join(dir, patternPrefix+at.Format(nameLayout)+patternSuffix)
	err = writeAtomic(path, filePerm, ops, func(w io.Writer) error {
		return WritePatterns(w, container.Root(path), p)
	})
	if err != nil {
		return "", fmt.Errorf("save patterns: %w", err)
	}
	return path, nil
}

// LatestPatterns finds the newest pattern checkpoint of a folder: the last of patterns_*.pt by name, which is the one that
// the Python system takes. It is false when there is none or no folder.
func LatestPatterns(dir string) (string, bool, error) {
	names, err := patternFiles(dir)
	if err != nil {
		return "", false, fmt.Errorf("find patterns: %w", err)
	}
	if len(names) == 0 {
		return "", false, nil
	}
	return filepath.Join(dir, names[len(names)-1]), true, nil
}

// Rotate deletes the oldest pattern checkpoints until keep are left, at least 1, and what interrupted writers left of
// others; only the one process that writes to the folder may call it. It returns the deleted checkpoints.
func Rotate(dir string, keep int) ([]string, error) {
	if keep < 1 {
		return nil, fmt.Errorf("rotate patterns: keep %d, expected at least 1", keep)
	}
	names, err := patternFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("rotate patterns: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		_, dated := patternTime(name) // the others are not ours to delete
		return !dated
	})
	var removed []string
	for _, name := range names[:max(len(names)-keep, 0)] {
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("rotate patterns: %w", err)
		}
		removed = append(removed, path)
	}
	abandoned, err := filepath.Glob(filepath.Join(escapeGlob(dir), "."+patternPrefix+"*"+patternSuffix+".tmp-*"))
	if err != nil {
		return removed, fmt.Errorf("rotate patterns: %w", err)
	}
	for _, path := range abandoned {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("rotate patterns: %w", err)
		}
	}
	if len(removed)+len(abandoned) > 0 {
		if err := disk.SyncFolder(dir); err != nil {
			return removed, fmt.Errorf("rotate patterns: %w", err)
		}
	}
	return removed, nil
}

// patternFiles lists the names of pattern checkpoints, oldest first.
func patternFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), patternPrefix) || !strings.HasSuffix(e.Name(), patternSuffix) {
			continue
		}
		// Passing over one would open an older memory without a word.
		if !e.Type().IsRegular() {
			return nil, fmt.Errorf("%s is no regular file, expected a pattern checkpoint", filepath.Join(dir, e.Name()))
		}
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

// patternTime reads the time that a name begins with; anything may follow it.
func patternTime(name string) (time.Time, bool) {
	stamp := strings.TrimSuffix(strings.TrimPrefix(name, patternPrefix), patternSuffix)
	if len(stamp) < len(nameLayout) {
		return time.Time{}, false
	}
	t, err := time.Parse(nameLayout, stamp[:len(nameLayout)])
	return t, err == nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
