package policy

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Checks are the basic checks of structured actions.
//
// Once a pattern or a process is allowed, every path must match a pattern and
// every process must be in the list: the list that is empty then allows none.
// While both are empty paths must only be plain, relative and lead nowhere
// else, and processes be plain names.
type Checks struct {
	relative, absolute []string
	processes          map[string]bool
	configured         bool
	root               string
}

// NewChecks makes checks. Patterns are globs with **, matched with case
// against whole paths; those that begin with / match absolute paths, the others
// paths within root, the folder that the agent's relative paths start from.
func NewChecks(patterns, processes []string, root string) (*Checks, error) {
	c := &Checks{processes: map[string]bool{}, configured: len(patterns)+len(processes) > 0}
	for _, p := range patterns {
		if err := ValidatePattern(p); err != nil {
			return nil, err
		}
		if strings.HasPrefix(p, "/") {
			c.absolute = append(c.absolute, p)
		} else {
			c.relative = append(c.relative, p)
		}
	}
	for _, name := range processes {
		if err := ValidateProcess(name); err != nil {
			return nil, err
		}
		c.processes[name] = true
	}
	var err error
	if c.root, err = filepath.Abs(root); err == nil {
		c.root, err = filepath.EvalSymlinks(c.root)
	}
	if err != nil {
		return nil, fmt.Errorf("folder of relative paths: %w", err)
	}
	return c, nil
}

// ValidatePattern says whether a pattern can match anything that is plain.
func ValidatePattern(pattern string) error {
	switch {
	case !doublestar.ValidatePattern(pattern) || strings.Contains(pattern, "\\"):
		return fmt.Errorf("pattern %q, expected a glob such as src/**/*.go", pattern)
	case path.Clean(pattern) != pattern || strings.HasPrefix(pattern, "..") || strange(pattern) != "":
		return fmt.Errorf("pattern %q, expected a clean path with no .. in it", pattern)
	}
	return nil
}

// ValidateProcess says whether a name is one that checks can find.
func ValidateProcess(name string) error {
	if err := new(Checks).checkProcess(name); err != nil {
		return err
	}
	return nil
}

// Check refuses an action that fails a check with an *ActionError.
func (c *Checks) Check(a *Action) error {
	if err := checkTool(a.Tool); err != nil {
		return err
	}
	if a.Path != nil {
		if err := c.checkPath(*a.Path); err != nil {
			return err
		}
	}
	if a.Process != nil {
		if err := c.checkProcess(*a.Process); err != nil {
			return err
		}
	}
	return c.checkArgs(a.Args, a.Process != nil)
}
