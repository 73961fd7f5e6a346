package policy

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func checks(t testing.TB, root string, patterns ...string) *Checks {
	t.Helper()
	c, err := NewChecks(patterns, nil, root)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pathOf(c *Checks, p string) error { return c.Check(&Action{Path: &p}) }

// TestHostilePaths: refused whatever is allowed, each with a reason that names
// the field.
func TestHostilePaths(t *testing.T) {
	root := t.TempDir()
	lists := map[string]*Checks{
		"nothing configured": checks(t, root),
		"everything allowed": checks(t, root, "**", "/**"),
	}
	count := 0
	for _, class := range hostile {
		for _, p := range class.paths {
			count++
			for name, c := range lists {
				err := pathOf(c, p)
				var refused *ActionError
				if !errors.As(err, &refused) || refused.Field != "path" {
					t.Errorf("%s, %s: %q: got %v, want it refused by its path", class.class, name, p, err)
				} else if !strings.Contains(refused.Reason, class.want) {
					t.Errorf("%s, %s: %q: got %v, want %q in it", class.class, name, p, err, class.want)
				}
			}
		}
	}
	if count < 200 {
		t.Errorf("%d hostile paths, want at least 200", count)
	}
	t.Logf("%d hostile paths in %d classes", count, len(hostile))
}

func TestHonestPaths(t *testing.T) {
	root := t.TempDir()
	for name, c := range map[string]*Checks{
		"nothing configured": checks(t, root),
		"everything allowed": checks(t, root, "**"),
	} {
		for _, p := range honest {
			if err := pathOf(c, p); err != nil {
				t.Errorf("%s: %q: got %v, want it to pass", name, p, err)
			}
		}
	}
	t.Logf("%d honest paths", len(honest))
}

func TestPatterns(t *testing.T) {
	root := t.TempDir()
	processOnly, err := NewChecks(nil, []string{"git"}, root)
	if err != nil {
		t.Fatal(err)
	}
	some := checks(t, root, "src/**/*.go", "docs/{a,b}.md", "/srv/data/**")
	for _, c := range []struct {
		checks *Checks
		path   string
		passes bool
	}{
		{some, "src/main.go", true}, {some, "src/a/b/main.go", true}, {some, "./src/main.go", true}, {some, "docs/a.md", true}, {some, "/srv/data/x", true},
		{some, "src/main.py", false}, {some, "main.go", false}, {some, "docs/c.md", false}, {some, "srv/data/x", false},
		{some, "SRC/main.go", false}, {some, "src/main.GO", false}, {some, "/SRV/data/x", false}, // case counts
		{some, "/src/main.go", false}, {some, "/etc/passwd", false}, {some, "/srv/database", false}, {some, "/srv", false}, {some, "/", false},
		{checks(t, root, "**"), "/etc/passwd", false}, // relative patterns allow no absolute path
		{checks(t, root, "/**"), "a", false},
		{checks(t, root), "/etc/passwd", false},
		{processOnly, "a", false}, // no pattern is allowed, and something is configured
	} {
		if err := pathOf(c.checks, c.path); (err == nil) != c.passes {
			t.Errorf("%q with %q, %q: got %v, want it to pass: %t", c.path, c.checks.relative, c.checks.absolute, err, c.passes)
		}
	}
	for _, pattern := range []string{"", "../**", "a/../b", "a//b", "[", "a\\b", "{a", "..", "a\u202eb", "src/"} {
		if err := ValidatePattern(pattern); err == nil {
			t.Errorf("pattern %q: got no error", pattern)
		}
	}
}

// TestLinks: a path is where its links lead to.
func TestLinks(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	outside, err := filepath.EvalSymlinks(outside)
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"in/deep", "other", "loop"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "in", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"in/out": outside, "in/up": "..", "in/top": "../..", "in/etc": "/etc", "in/same": "deep", "in/abs": filepath.Join(root, "in", "deep"),
		"in/other": "../other", "in/dangling": "nowhere", "in/gone": filepath.Join(outside, "nothing"), "loop/a": "b", "loop/b": "a", "in/chain": "out", "in/twice": "same",
	} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	linkedRoot := filepath.Join(t.TempDir(), "root")
	if err := os.Symlink(root, linkedRoot); err != nil {
		t.Fatal(err)
	}
	all, some, with := checks(t, root), checks(t, root, "in/**", "loop/**"), checks(t, root, "in/**", outside+"/ok/**")
	for _, c := range []struct {
		checks *Checks
		path   string
		passes bool
	}{
		{all, "in/file", true}, {all, "in/new", true}, {all, "in/same/x", true}, {all, "in/abs/x", true}, {all, "in/up/other/x", true}, {all, "in/other/x", true}, {all, "in/twice/x", true},
		{all, "in/out", false}, {all, "in/out/x", false}, {all, "in/top", false}, {all, "in/etc/passwd", false}, {all, "in/dangling", false}, {all, "in/gone", false}, {all, "loop/a/x", false}, {all, "in/chain/x", false},
		{all, "in/file/x", false}, // a file is no folder
		{some, "in/same/x", true}, {some, "in/abs", true},
		{some, "in/other/x", false}, {some, "in/up/other", false}, {some, "in/out/x", false}, // inside, and not allowed
		{with, "in/out/ok/x", true}, {with, "in/out/x", false}, {with, outside + "/ok/x", true}, {with, outside + "/x", false},
		{checks(t, linkedRoot, "in/**"), "in/same/x", true}, {checks(t, linkedRoot, "in/**"), "in/out/x", false},
	} {
		if err := pathOf(c.checks, c.path); (err == nil) != c.passes {
			t.Errorf("%q with %q, %q: got %v, want it to pass: %t", c.path, c.checks.relative, c.checks.absolute, err, c.passes)
		}
	}
	if err := os.Symlink(filepath.Join(root, "other"), filepath.Join(outside, "back")); err != nil {
		t.Fatal(err)
	}
	if err := pathOf(checks(t, root, "in/**", outside+"/**"), outside+"/back/x"); err == nil {
		t.Error("an allowed absolute path through a link to what is not allowed: got no error")
	}
	if _, err := NewChecks(nil, nil, filepath.Join(root, "absent")); err == nil {
		t.Error("a folder that is absent: got no error")
	}
}

// FuzzPath: whatever passes stays in its folder, and matches a pattern.
func FuzzPath(f *testing.F) {
	for _, class := range hostile {
		for _, p := range class.paths {
			f.Add(p)
		}
	}
	for _, p := range honest {
		f.Add(p)
	}
	f.Add("/srv/data/x")
	f.Add("/srv/data")
	root := f.TempDir()
	c := checks(f, root, "**/*.go", "docs/**", "/srv/data/**")
	f.Fuzz(func(t *testing.T, p string) {
		if len(p) > 1<<13 || pathOf(c, p) != nil {
			return
		}
		for _, joined := range []string{path.Join(c.root, p), filepath.Join(c.root, strings.ReplaceAll(strings.ToLower(p), "\\", "/"))} {
			inside := joined != c.root && strings.HasPrefix(joined, c.root+"/")
			if path.IsAbs(p) {
				inside = strings.HasPrefix(path.Clean(p)+"/", "/srv/data/") // ** is no folder too
			}
			if !inside {
				t.Errorf("%q passes and is %q", p, joined)
			}
		}
		if clean := path.Clean(p); !matches(c.relative, clean) && !matches(c.absolute, clean) {
			t.Errorf("%q passes and matches nothing", p)
		}
		if strings.ContainsAny(p, "\\:\x00\r\n") || strings.Contains(p, "..") && strings.Contains("/"+p+"/", "/../") {
			t.Errorf("%q passes", p)
		}
	})
}
