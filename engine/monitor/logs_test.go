package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func openLogs(t *testing.T, o LogOptions) *Logs {
	t.Helper()
	o.Name = "fdqc"
	l, err := OpenLogs(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestComponentsHaveLevels(t *testing.T) {
	out := &log{}
	l := openLogs(t, LogOptions{Level: "info", Levels: map[string]string{"memory": "debug"}, Stream: out})
	root := l.Logger()
	memory, engine := root.Named("memory"), root.Named("engine")
	below := engine.Named("part").With("x", 1)
	for _, c := range []struct {
		component, level string
		said             string // of: root, memory, engine, below
	}{
		{"", "", "m"},
		{"engine", "debug", "meb"},
		{"memory", "error", "eb"},
		{"all", "trace", "rmeb"},
		{"all", "warn", ""},
		{"checkpoints", "debug", ""},
	} {
		if c.component != "" {
			if err := l.SetLevel(c.component, c.level); err != nil {
				t.Fatal(err)
			}
		}
		said := ""
		for _, who := range []struct {
			name   string
			logger hclog.Logger
		}{{"r", root}, {"m", memory}, {"e", engine}, {"b", below}} {
			before := len(out.String())
			who.logger.Debug("something")
			if len(out.String()) > before {
				said += who.name
			}
		}
		if said != c.said {
			t.Errorf("%s=%s: debug of %q is heard, want %q", c.component, c.level, said, c.said)
		}
	}
	before := len(out.String())
	root.Named("checkpoints").Debug("made after its level was set")
	if got := out.String()[before:]; !strings.Contains(got, "fdqc.checkpoints") {
		t.Errorf("got %q, want a line of fdqc.checkpoints", got)
	}
	if got := l.Levels(); got["checkpoints"] != "debug" || got["memory"] != "warn" {
		t.Errorf("levels %v", got)
	}
	for _, c := range [][2]string{{"nobody", "info"}, {"engine", "loud"}, {"", "info"}, {"engine", ""}} {
		if err := l.SetLevel(c[0], c[1]); err == nil {
			t.Errorf("%q=%q is accepted", c[0], c[1])
		}
	}
}

func TestLogFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "logs", "fdqc.log")
	out := &log{}
	l := openLogs(t, LogOptions{Level: "info", JSON: true, Stream: out, File: path, MaxSize: 1, MaxBackups: 2, Compress: false})
	for range 50 {
		l.Logger().Info("line", "text", strings.Repeat("x", 100_000))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("late")
	if !strings.Contains(out.String(), "late") {
		t.Error("a line after Close is lost to the stream")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 {
		t.Errorf("%d files, want the log and 2 before it", len(entries))
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 || info.Size() > 1<<20 {
			t.Errorf("%s has mode %v and %d bytes, want 0600 and at most 1 MiB", e.Name(), info.Mode(), info.Size())
		}
	}
}

func TestLogFilesArePrivate(t *testing.T) {
	dir := t.TempDir()
	loose := filepath.Join(dir, "loose")
	if err := os.WriteFile(loose, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	openLogs(t, LogOptions{Level: "info", Stream: &log{}, File: loose, MaxSize: 1})
	if info, err := os.Stat(loose); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(loose, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, dir} {
		if _, err := OpenLogs(LogOptions{Name: "fdqc", Level: "info", Stream: &log{}, File: path}); err == nil {
			t.Errorf("%s is taken for a log file", path)
		}
	}
}

// TestAFileThatFails is said once, and the stream has every line.
func TestAFileThatFails(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := &log{}
	l := openLogs(t, LogOptions{Level: "info", Stream: out, MaxSize: 1, File: filepath.Join(t.TempDir(), "x.log")})
	l.out.file.Filename = filepath.Join(blocked, "fdqc.log")
	for range 3 {
		l.Logger().Info("line")
	}
	if got := out.String(); strings.Count(got, "line\n") != 3 || strings.Count(got, "cannot be written") != 1 {
		t.Errorf("the stream has\n%s", got)
	}
	l = openLogs(t, LogOptions{Level: "info", Stream: broken{}, MaxSize: 1, File: filepath.Join(t.TempDir(), "x.log")})
	l.Logger().Info("line")
	if text, err := os.ReadFile(l.o.File); err != nil || !strings.Contains(string(text), "line") {
		t.Errorf("with a broken stream the file has %q, %v", text, err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("nobody reads") }

func TestParseLevels(t *testing.T) {
	for _, c := range []struct {
		texts []string
		want  int
		ok    bool
	}{
		{nil, 0, true},
		{[]string{"engine=debug", "memory=error"}, 2, true},
		{[]string{"engine=debug", "engine=info"}, 0, false},
		{[]string{"engine"}, 0, false},
		{[]string{"nobody=info"}, 0, false},
		{[]string{"engine=loud"}, 0, false},
	} {
		got, err := ParseLevels(c.texts)
		if (err == nil) != c.ok || c.ok && len(got) != c.want {
			t.Errorf("%q: %v, %v", c.texts, got, err)
		}
	}
}
