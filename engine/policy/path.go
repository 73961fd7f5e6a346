package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

const (
	maxPath      = 4096 // bytes, as Linux has it
	maxComponent = 255  // likewise
	// Characters that a path needs for nothing but mischief: separators and
	// streams of other systems, what a shell acts on, wildcards.
	barredInPath = "\\:*?\"<>|$`;"
)

// plainPath says what is wrong with a path as a text, "" for nothing.
func plainPath(p string) string {
	switch {
	case p == "":
		return "is empty"
	case len(p) > maxPath:
		return fmt.Sprintf("has %d bytes, expected at most %d", len(p), maxPath)
	}
	if why := strange(p); why != "" {
		return why
	}
	switch i := strings.IndexAny(p, barredInPath); {
	case i >= 0:
		return fmt.Sprintf("holds %q", p[i])
	case encoded(p):
		return "holds an escape, expected characters as they are"
	case strings.HasPrefix(p, "~"):
		return "begins with ~, which stands for another folder"
	}
	within := strings.TrimSuffix(strings.TrimPrefix(p, "/"), "/")
	if within == "" && p != "/" {
		return "begins with //"
	}
	for i, component := range strings.Split(within, "/") {
		if why := plainComponent(component); why != "" && p != "/" {
			return fmt.Sprintf("component %d, %q, %s", i+1, component, why)
		}
	}
	if kernels(p) {
		return kernelReason
	}
	return ""
}

const kernelReason = "leads to devices or to other processes"

// kernels says whether an absolute path leads to what is no file.
func kernels(p string) bool {
	clean := path.Clean(p) + "/"
	return strings.HasPrefix(clean, "/proc/") || strings.HasPrefix(clean, "/dev/") || strings.HasPrefix(clean, "/sys/")
}

func plainComponent(c string) string {
	switch {
	case c == "":
		return "is empty"
	case len(c) > maxComponent:
		return fmt.Sprintf("has %d bytes, expected at most %d", len(c), maxComponent)
	case c == ".":
		return ""
	case strings.HasPrefix(c, ".."):
		return "leads or looks like leading to the folder above"
	case c != strings.Trim(c, " ") || strings.HasSuffix(c, "."):
		return "begins with a space or ends in a space or a dot, which some systems drop"
	case deviceName(c):
		return "is the name of a device"
	case shortName(c):
		return "may be the short name of another file"
	}
	return ""
}

// deviceName says whether a component names a device on Windows, whatever its
// extension.
func deviceName(c string) bool {
	base, _, _ := strings.Cut(c, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	return len(base) == 4 && (strings.HasPrefix(base, "COM") || strings.HasPrefix(base, "LPT")) && base[3]-'0' < 10
}

// shortName says whether a component has the form of an 8.3 name, such as
// PROGRA~1.
func shortName(c string) bool {
	base, extension, _ := strings.Cut(c, ".")
	stem, number, has := strings.Cut(base, "~")
	return has && len(base) <= 8 && len(extension) <= 3 && stem != "" && number != "" && strings.Trim(number, "0123456789") == ""
}

// checkPath refuses a path that is not plain, not allowed, or leads through
// links to where it would not be allowed.
func (c *Checks) checkPath(p string) error {
	if why := plainPath(p); why != "" {
		return refuse("path", "%.200q %s", p, why)
	}
	clean := path.Clean(p)
	absolute := path.IsAbs(clean)
	patterns := c.relative
	if absolute {
		patterns = c.absolute
	}
	switch {
	case absolute && len(patterns) == 0:
		return refuse("path", "%.200q is absolute, and no absolute pattern is allowed", p)
	case (absolute || c.configured) && !matches(patterns, clean):
		return refuse("path", "%.200q matches no allowed pattern", p)
	}
	from := c.root
	if absolute {
		from = "/"
	}
	resolved, linked, err := resolve(from, clean)
	if err != nil {
		return refuse("path", "%.200q: %v", p, err)
	}
	if kernels(resolved) {
		return refuse("path", "%.200q %s", p, kernelReason)
	}
	if linked && !c.allowsResolved(resolved) {
		return refuse("path", "%.200q leads through a link to %.200q, which is not allowed", p, resolved)
	}
	return nil
}

// allowsResolved says whether a place that links led to may be reached.
func (c *Checks) allowsResolved(at string) bool {
	if matches(c.absolute, at) {
		return true
	}
	within, err := filepath.Rel(c.root, at)
	return err == nil && filepath.IsLocal(within) && (!c.configured || matches(c.relative, within))
}

func matches(patterns []string, p string) bool {
	for _, pattern := range patterns {
		if doublestar.MatchUnvalidated(pattern, p) {
			return true
		}
	}
	return false
}

// resolve follows the links of a path as far as it exists. What cannot be
// looked at is an error: nobody knows where it leads.
func resolve(from, p string) (at string, linked bool, err error) {
	at = from
	rest := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for i, component := range rest {
		next := filepath.Join(at, component)
		info, err := os.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return filepath.Join(append([]string{at}, rest[i:]...)...), linked, nil
		case err != nil:
			return "", linked, err
		case info.Mode().Type()&fs.ModeSymlink != 0:
			linked = true
			if next, err = filepath.EvalSymlinks(next); err != nil {
				return "", linked, err
			}
		}
		at = next
	}
	return at, linked, nil
}
