package migrate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// checkPaths refuses a source that is no folder, a target that exists and is
// not an empty folder, and two that lie in one another. It answers both
// without links and "..", as names that no longer depend on the working
// directory.
func checkPaths(from, to string) (cleanFrom, cleanTo string, err error) {
	if cleanFrom, err = resolve(from); err != nil {
		return "", "", inputf("--from %s: %w", from, err)
	}
	info, err := os.Stat(cleanFrom)
	if err != nil {
		return "", "", inputf("--from: %w", err)
	}
	if !info.IsDir() {
		return "", "", inputf("--from %s is a file, expected the folder of a Python installation's checkpoints", from)
	}
	if info, err := os.Lstat(to); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return "", "", inputf("--to %s is a symbolic link, expected an absent or empty folder", to)
	}
	if cleanTo, err = resolve(to); err != nil {
		return "", "", inputf("--to %s: %w", to, err)
	}
	for _, pair := range []struct{ inner, outer, say string }{
		{cleanTo, cleanFrom, "--to %s lies in --from %s, which is never written"},
		{cleanFrom, cleanTo, "--from %[2]s lies in --to %[1]s"},
	} {
		inside, err := within(pair.inner, pair.outer)
		if err != nil {
			return "", "", inputf("--to %s: %w", to, err)
		}
		if inside {
			return "", "", inputf(pair.say, to, from)
		}
	}
	return cleanFrom, cleanTo, checkEmpty(to)
}

// checkEmpty refuses a target that is there and is no empty folder.
func checkEmpty(to string) error {
	info, err := os.Stat(to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return inputf("--to: %w", err)
	}
	if !info.IsDir() {
		return inputf("--to %s is a file, expected an absent or empty folder", to)
	}
	folder, err := os.Open(to)
	if err != nil {
		return inputf("--to: %w", err)
	}
	defer folder.Close()
	names, err := folder.Readdirnames(1)
	if len(names) > 0 {
		return inputf("--to %s is not empty (it holds %q), expected an absent or empty folder", to, names[0])
	}
	if !errors.Is(err, io.EOF) {
		return inputf("--to: %w", err)
	}
	return nil
}

// resolve makes a path absolute and follows its links, as far as it exists.
func resolve(path string) (string, error) {
	const separator = string(filepath.Separator)
	if !filepath.IsAbs(path) {
		folder, err := os.Getwd()
		if err != nil {
			return "", err
		}
		path = folder + separator + path
	}
	rest := ""
	for {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		// Not filepath.Dir: it takes "link/.." out, which leads elsewhere.
		parent, name := filepath.Split(strings.TrimRight(path, separator))
		if !errors.Is(err, fs.ErrNotExist) || name == "" {
			return "", err
		}
		rest, path = filepath.Join(name, rest), parent
	}
}

// Within says whether a path that is there or not lies in a folder, or is it,
// by whatever links and names. A folder that is not there holds nothing.
func Within(path, folder string) (bool, error) {
	path, err := resolve(path)
	if err != nil {
		return false, err
	}
	return within(path, folder)
}

// within says whether a path is a folder or lies in it. Folders are compared
// as the file system knows them, since one may have several names.
func within(path, folder string) (bool, error) {
	outer, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for {
		if inner, err := os.Stat(path); err == nil && os.SameFile(inner, outer) {
			return true, nil
		}
		parent := filepath.Dir(path)
		if parent == path {
			return false, nil
		}
		path = parent
	}
}

// InputError says that a path or the policy that the user named cannot be
// used.
type InputError struct{ err error }

// Error says what cannot be used and what was expected.
func (e *InputError) Error() string { return "migrate: " + e.err.Error() }

// Unwrap gives the reason.
func (e *InputError) Unwrap() error { return e.err }

func inputf(format string, args ...any) error { return &InputError{fmt.Errorf(format, args...)} }
