package disk

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Numbered is a file that is named after the first number in it.
type Numbered struct {
	First int64
	Path  string
}

// NumberedName is the name of the file that begins with a number, in 20 digits,
// so that names sort as numbers do.
func NumberedName(first int64, suffix string) string { return fmt.Sprintf("%020d%s", first, suffix) }

// ParseNumbered is the number of a name, not ok where it has not that form.
func ParseNumbered(name, suffix string) (first int64, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return int64(n), err == nil
}

// ListNumbered lists the files of a folder that have a number, by number; others
// are passed over.
func ListNumbered(dir, suffix string) ([]Numbered, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []Numbered
	for _, e := range entries {
		if first, ok := ParseNumbered(e.Name(), suffix); ok {
			all = append(all, Numbered{first, filepath.Join(dir, e.Name())})
		}
	}
	slices.SortFunc(all, func(a, b Numbered) int { return cmp.Compare(a.First, b.First) })
	return all, nil
}
