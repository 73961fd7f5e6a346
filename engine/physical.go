package engine

import (
	"path/filepath"
	"strings"
)

// physical gives a path without "..", as the system follows it. Joining names
// to a path cleans it by its letters: "link/.." is then the folder of the link,
// and really it is the one above where the link leads.
func physical(path string) (string, error) {
	const separator = string(filepath.Separator)
	names := strings.Split(path, separator)
	for at := len(names); at > 0; at-- {
		if names[at-1] == ".." {
			folder, err := filepath.EvalSymlinks(strings.Join(names[:at], separator))
			if err != nil {
				return "", err
			}
			return filepath.Join(folder, filepath.Join(names[at:]...)), nil
		}
	}
	return filepath.Clean(path), nil
}
