package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConfusion(t *testing.T) {
	now := newClock() // 03:00
	path := filepath.Join(t.TempDir(), "monitor", ConfusionFile)
	open := func() *Confusion {
		c, err := OpenConfusion(path, now.Now)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	ago := func(d time.Duration) time.Time { return now.Now().Add(-d) }
	c.Count(true, true, time.Time{})
	c.Count(true, false, ago(5*time.Hour))
	c.Count(false, true, ago(30*time.Hour))
	c.Count(false, false, ago(30*time.Hour))
	c.Count(false, false, ago(100*24*time.Hour))  // in no window
	c.Count(true, true, now.Now().Add(time.Hour)) // not yet: now
	check := func(what string, c *Confusion, hour, day, week, total Counts) {
		t.Helper()
		got := []Counts{c.Total()}
		for _, w := range Windows() {
			got = append(got, c.Window(w))
		}
		for i, want := range []Counts{total, hour, day, week} {
			if got[i] != want {
				t.Errorf("%s, %d: got %+v, want %+v", what, i, got[i], want)
			}
		}
	}
	day := Counts{TrueApprovals: 2, FalseApprovals: 1}
	week := Counts{2, 1, 1, 1}
	total := Counts{2, 1, 2, 1}
	check("counted", c, Counts{TrueApprovals: 2}, day, week, total)
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	check("read again", open(), Counts{TrueApprovals: 2}, day, week, total)
	now.add(2 * time.Hour)
	check("two hours later", c, Counts{}, day, week, total)
	now.add(7 * 24 * time.Hour)
	check("nine days later", c, Counts{}, Counts{}, Counts{}, total)
	c.Count(false, true, time.Time{})
	if got := len(c.saved.Hours); got != 1 {
		t.Errorf("%d hours are kept, want 1: the others are over", got)
	}
}

func TestDamagedConfusion(t *testing.T) {
	for _, c := range []struct{ name, content string }{
		{"empty", ""},
		{"cut", `{"version":1,"total":{"true_app`},
		{"zeros", strings.Repeat("\x00", 50)},
		{"another version", `{"version":2}`},
		{"unknown field", `{"version":1,"x":1}`},
		{"negative", `{"version":1,"total":{"true_approvals":-1}}`},
		{"no hour", `{"version":1,"hours":[{"at":"2026-11-26T00:30:00Z"}]}`},
		{"out of order", `{"version":1,"hours":[{"at":"2026-11-26T02:00:00Z"},{"at":"2026-11-26T01:00:00Z"}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ConfusionFile)
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := OpenConfusion(path, newClock().Now)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) || got == nil {
				t.Fatalf("got %v, %v, want counts and an error that names %s", got, err, path)
			}
			if got.Total() != (Counts{}) {
				t.Errorf("total %+v, want nothing", got.Total())
			}
			aside, err := filepath.Glob(path + ".damaged-*")
			if err != nil || len(aside) != 1 {
				t.Errorf("set aside: %q, %v, want one", aside, err)
			}
			got.Count(true, true, time.Time{})
			if err := got.Save(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAMonitorGoesOnBesideDamage: what is damaged is an alert, never an end.
func TestAMonitorGoesOnBesideDamage(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{AlertsFile, ConfusionFile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("nonsense\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := Open(Options{Folder: dir})
	defer m.Close()
	alerts := m.Alerts.List()
	if len(alerts) != 2 {
		t.Fatalf("alerts %q, want one for each file", texts(alerts))
	}
	for i, name := range []string{AlertsFile, ConfusionFile} {
		if alerts[i].Kind != StateDamaged || !strings.Contains(alerts[i].Message, name) {
			t.Errorf("alert %q, want one about %s", alerts[i], name)
		}
	}
}
