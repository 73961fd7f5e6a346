package store

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

const (
	patternPrefix  = "patterns_"
	fileSuffix     = ".pt"
	manifestSuffix = ".manifest.json"
	tempMark       = ".tmp-"
	asideFolder    = "set-aside"
	nameLayout     = "20060102_150405"
)

// manifestOf is the path of a file's manifest.
func manifestOf(path string) string { return path + manifestSuffix }

// isPatterns tells whether a name is one that the Python system takes for a pattern checkpoint.
func isPatterns(name string) bool {
	return strings.HasPrefix(name, patternPrefix) && strings.HasSuffix(name, fileSuffix)
}

// isTemporary tells whether a name is one of ours that an interrupted write has left.
func isTemporary(name string) bool {
	target, _, found := strings.Cut(strings.TrimPrefix(name, "."), tempMark)
	return found && strings.HasPrefix(name, ".") && (strings.HasSuffix(target, fileSuffix) || strings.HasSuffix(target, fileSuffix+manifestSuffix))
}

// nameTime reads the time that the name of a pattern checkpoint begins with; anything may follow it.
func nameTime(name string) (time.Time, bool) {
	stamp := strings.TrimSuffix(strings.TrimPrefix(name, patternPrefix), fileSuffix)
	if !isPatterns(name) || len(stamp) < len(nameLayout) {
		return time.Time{}, false
	}
	t, err := time.Parse(nameLayout, stamp[:len(nameLayout)])
	return t, err == nil
}

// nextName is the name of a new checkpoint: the later of now and one second after the newest, so that names sort in the
// order of saving even when a clock goes back.
func nextName(newest string, now time.Time) (string, error) {
	at := now.UTC().Truncate(time.Second)
	if newest != "" {
		last, dated := nameTime(newest)
		if !dated {
			return "", fmt.Errorf("%s sorts as newest and carries no time, expected %s<yyyymmdd_hhmmss>%s; rename it", newest, patternPrefix, fileSuffix)
		}
		if next := last.Add(time.Second); at.Before(next) {
			at = next
		}
	}
	if at.Year() < 1 || at.Year() > 9999 {
		return "", fmt.Errorf("time %v of a checkpoint's name, expected a year of four digits", at)
	}
	return patternPrefix + at.Format(nameLayout) + fileSuffix, nil
}

// checkName demands a plain file name that is no pattern checkpoint's: no folder, not hidden, ending in .pt.
func checkName(name string) error {
	if name != filepath.Base(name) || !filepath.IsLocal(name) || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "\\\x00") ||
		!strings.HasSuffix(name, fileSuffix) || isPatterns(name) {
		return fmt.Errorf("file name %.80q, expected a plain name that ends in %s and does not begin with %s", name, fileSuffix, patternPrefix)
	}
	return nil
}
