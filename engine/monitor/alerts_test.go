package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// openAlerts opens alerts that are closed with the test.
func openAlerts(t *testing.T, o AlertOptions) *Alerts {
	t.Helper()
	a := OpenAlerts(o)
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return a
}

// texts are alerts in a line each.
func texts(alerts []Alert) []string {
	all := []string{}
	for _, a := range alerts {
		all = append(all, fmt.Sprintf("%s %s", a.Level, a))
	}
	return all
}

func TestHoldTimes(t *testing.T) {
	high := Alert{Level: Warning, Kind: HighRisk, Source: "a", Message: "high"}
	full := Alert{Level: Warning, Kind: MemoryUtilization, Source: "b", Message: "full"}
	ok := full
	ok.Message = "not full"
	for _, c := range []struct {
		name string
		do   func(*Alerts, *clock)
		want []string
	}{
		{"the first goes out", func(a *Alerts, c *clock) { a.Raise(high) }, []string{"warning high"}},
		{"one a hold time", func(a *Alerts, c *clock) {
			for range 10 {
				a.Raise(high)
			}
		}, []string{"warning high"}},
		{"the next says how many were swallowed", func(a *Alerts, c *clock) {
			for range 10 {
				a.Raise(high)
			}
			c.add(time.Hour)
			a.Raise(high)
		}, []string{"warning high", "warning high (and 9 more since the last such alert)"}},
		{"or time does", func(a *Alerts, c *clock) {
			for range 10 {
				a.Raise(high)
			}
			a.Tick()
			c.add(time.Hour)
			a.Tick()
			a.Tick()
		}, []string{"warning high", "warning high (and 8 more since the last such alert)"}},
		{"kinds and sources are held apart", func(a *Alerts, c *clock) {
			other := high
			other.Source = "b"
			a.Raise(high)
			a.Raise(other)
			a.Raise(full)
		}, []string{"warning high", "warning high", "warning full"}},
		{"a condition resolves once", func(a *Alerts, c *clock) {
			a.Condition(false, ok)
			a.Condition(true, full)
			a.Condition(false, ok)
			a.Condition(false, ok)
		}, []string{"warning full", "warning resolved: not full"}},
		{"what was never announced is not resolved", func(a *Alerts, c *clock) {
			for range 5 {
				a.Condition(true, full)
				a.Condition(false, ok)
			}
		}, []string{"warning full", "warning resolved: not full"}},
		{"a clock that was set back silences nothing", func(a *Alerts, c *clock) {
			a.Raise(high)
			c.add(-100 * time.Hour)
			a.Raise(high)
		}, []string{"warning high", "warning high"}},
		{"a long message is cut", func(a *Alerts, c *clock) {
			long := high
			long.Message = strings.Repeat("ä", 600)
			a.Raise(long)
		}, []string{"warning " + strings.Repeat("ä", 500) + "…"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := newClock()
			a := openAlerts(t, AlertOptions{Now: now.Now, Hold: time.Hour})
			c.do(a, now)
			if got := texts(a.List()); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRecentAlerts(t *testing.T) {
	now := newClock()
	a := openAlerts(t, AlertOptions{Now: now.Now, Hold: time.Minute})
	for range 5 {
		a.Raise(Alert{Kind: Test})
		now.add(20 * time.Minute)
	}
	if got := a.Recent(); got != 2 {
		t.Errorf("%d alerts in the last hour, want 2", got)
	}
}

// TestCriticalReachesTheHook: every one, swallowed or not, and what follows
// Close does not.
func TestCriticalReachesTheHook(t *testing.T) {
	heard := make(chan Alert, 10)
	a := openAlerts(t, AlertOptions{Now: newClock().Now, Hold: time.Hour, OnCritical: func(a Alert) { heard <- a }})
	a.Raise(Alert{Level: Error, Kind: ValidationError, Message: "no"})
	a.Raise(Alert{Level: Critical, Kind: ErrorRate, Message: "one"})
	a.Raise(Alert{Level: Critical, Kind: ErrorRate, Message: "two"})
	a.Resolve(ErrorRate, "", "over")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a.Raise(Alert{Level: Critical, Kind: ErrorRate, Message: "late"})
	close(heard)
	var got []string
	for alert := range heard {
		got = append(got, alert.Message)
	}
	if !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("heard %q, want one and two", got)
	}
}

// TestAHookThatHangsHoldsNothingUp: raising goes on, and the alerts are kept.
func TestAHookThatHangsHoldsNothingUp(t *testing.T) {
	release := make(chan struct{})
	a := openAlerts(t, AlertOptions{Now: newClock().Now, OnCritical: func(Alert) { <-release }})
	for range 100 {
		a.Raise(Alert{Level: Critical, Kind: ErrorRate})
	}
	if got := len(a.List()); got != 100 {
		t.Errorf("%d alerts are kept, want 100", got)
	}
	close(release)
}

func TestAlertsAreKept(t *testing.T) {
	now := newClock()
	path := filepath.Join(t.TempDir(), "monitor", AlertsFile)
	open := func() *Alerts { return openAlerts(t, AlertOptions{Now: now.Now, Hold: time.Hour, File: path}) }
	if got, err := ReadAlerts(path); err != nil || len(got) != 0 {
		t.Errorf("an absent file: %v, %v, want none", got, err)
	}
	// As many as a process wrote that ended just before it would compact.
	var lines []byte
	const before = 2*keptAlerts - 10
	for i := range before {
		lines = fmt.Appendf(lines, `{"at":"2026-11-26T02:59:00Z","level":"warning","kind":"kind%d","source":"","message":"%d"}`+"\n", i, i)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	a := open()
	for i := before; i < before+20; i++ {
		a.Raise(Alert{Level: Warning, Kind: fmt.Sprint("kind", i), Message: fmt.Sprint(i)})
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || strings.Count(string(data), "\n") >= 2*keptAlerts {
		t.Errorf("%d lines (%v), want less than %d: it is cut down", strings.Count(string(data), "\n"), err, 2*keptAlerts)
	}
	check := func(what string, got []Alert) {
		t.Helper()
		if len(got) != keptAlerts || got[0].Message != "1010" || got[keptAlerts-1].Message != "2009" {
			t.Errorf("%s: %d alerts, %q to %q, want the last 1000", what, len(got), got[0].Message, got[len(got)-1].Message)
		}
	}
	check("in memory", a.List())
	got, err := ReadAlerts(path)
	if err != nil {
		t.Fatal(err)
	}
	check("read", got)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	a = open()
	check("opened again", a.List())
	// A restart does not repeat what was just said.
	a.Raise(Alert{Level: Warning, Kind: "kind2009", Message: "again"})
	check("held over the restart", a.List())
	now.add(time.Hour)
	a.Raise(Alert{Level: Warning, Kind: "kind2009", Message: "again"})
	if got := a.List(); got[len(got)-1].String() != "again (and 1 more since the last such alert)" {
		t.Errorf("after the hold time: %q", got[len(got)-1])
	}
}

func TestDamagedAlertFiles(t *testing.T) {
	const one = `{"at":"2026-11-26T00:00:00Z","level":"warning","kind":"test","source":"s","message":"one"}` + "\n"
	two := strings.Replace(one, "one", "two", 1)
	for _, c := range []struct {
		name, content string
		kept          []string
		aside         bool
	}{
		{"empty", "", nil, false},
		{"whole", one + two, []string{"one", "two"}, false},
		{"cut tail", one + two[:40], []string{"one"}, false},
		{"cut before the end of the line", one + two[:len(two)-1], []string{"one"}, false},
		{"no JSON", one + "nonsense\n" + two, []string{"one", "two"}, true},
		{"unknown level", one + strings.Replace(two, "warning", "loud", 1), []string{"one"}, true},
		{"zeros", one + strings.Repeat("\x00", 100) + "\n", []string{"one"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), AlertsFile)
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			read, err := ReadAlerts(path)
			if (err != nil) != c.aside || err != nil && !strings.Contains(err.Error(), path+", line 2 is damaged") {
				t.Errorf("read: %v, want an error: %v", err, c.aside)
			}
			a := openAlerts(t, AlertOptions{Now: newClock().Now, File: path})
			var kept []string
			for _, alert := range a.List() {
				if alert.Kind == Test {
					kept = append(kept, alert.Message)
				}
			}
			if !slices.Equal(kept, c.kept) || len(read) != len(c.kept) {
				t.Errorf("kept %q, read %d, want %q", kept, len(read), c.kept)
			}
			aside, err := filepath.Glob(path + ".damaged-*")
			if err != nil || (len(aside) == 1) != c.aside {
				t.Errorf("set aside: %q, want one: %v", aside, c.aside)
			}
			last := a.List()
			if c.aside {
				if alert := last[len(last)-1]; alert.Kind != StateDamaged || !strings.Contains(alert.Message, aside[0]) {
					t.Errorf("the alert about it is %q, expected to name %s", alert, aside[0])
				}
			}
			// It goes on, in a file that is whole.
			a.Raise(Alert{Kind: "another"})
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			if again, err := ReadAlerts(path); err != nil || len(again) != len(a.List()) {
				t.Errorf("afterwards: %d alerts, %v, want %d", len(again), err, len(a.List()))
			}
		})
	}
}

// TestAnAlertThatCannotBeWritten is logged, counted and otherwise as any.
func TestAnAlertThatCannotBeWritten(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	logs := &log{}
	metrics := NewMetrics(MetricsOptions{})
	a := openAlerts(t, AlertOptions{Now: newClock().Now, File: filepath.Join(t.TempDir(), "x", AlertsFile), Logger: logger(logs), Metrics: metrics})
	a.file.path = filepath.Join(blocked, AlertsFile)
	a.Raise(Alert{Level: Error, Kind: Test, Message: "hear me"})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got := value(t, metrics.alertsUnsaved); got != 1 {
		t.Errorf("%v alerts unsaved, want 1", got)
	}
	for _, want := range []string{"hear me", "an alert is not on disk", blocked} {
		if !strings.Contains(logs.String(), want) {
			t.Errorf("the log lacks %q: %s", want, logs)
		}
	}
}

// TestLinksAreNotFollowed: the folder is this user's, but a link there is none
// of this program's.
func TestLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{AlertsFile, ConfusionFile} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		m := Open(Options{Folder: dir})
		alerts := m.Alerts.List()
		if len(alerts) != 1 || alerts[0].Kind != StateDamaged || !strings.Contains(alerts[0].Message, name) {
			t.Errorf("%s is a link: alerts %q, want one about it", name, texts(alerts))
		}
		m.Alerts.Raise(Alert{Kind: Test})
		m.Confusion.Count(true, true, time.Time{})
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(target); err != nil || info.Size() != 0 {
			t.Errorf("%s is a link and was followed: %v", name, err)
		}
		for _, left := range []string{AlertsFile, ConfusionFile} {
			if err := os.RemoveAll(filepath.Join(dir, left)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
