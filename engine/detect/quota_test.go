package detect

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestQuota(t *testing.T) {
	config := DefaultConfig()
	config.Quota, config.Window = 10, time.Hour
	m, safe, _, at := blobs(t, config, 100, 10_000)
	bring := func(source string, count int) (held int) {
		for range count {
			found := m.record([]outcome{{safe.mean32(), true, source}}, 1, false)[0]
			m.sides[0] = m.sides[0][:len(m.sides[0])-btoi(!holds(found))] // no copies
			if has(found, Burst) {
				held++
			}
		}
		return held
	}
	copyOf := m.sides[0][0].row
	steps := []struct {
		name   string
		after  time.Duration
		source string
		rows   int
		want   int // of them held
	}{
		{"within the quota", 0, "a", 10, 0},
		{"beyond it", 0, "a", 5, 5},
		{"another source", 0, "b", 3, 0},
		{"the operator", 0, "", 200, 0},
		{"a tenth of the window later", 6 * time.Minute, "a", 3, 2},
		{"a clock that was put back", -2 * time.Hour, "a", 1, 1},
		{"the window later", 3 * time.Hour, "a", 12, 2},
	}
	for _, s := range steps {
		at.at = at.at.Add(s.after)
		if got := bring(s.source, s.rows); got != s.want {
			t.Errorf("%s: got %d of %d held, want %d", s.name, got, s.rows, s.want)
		}
	}
	// Copies take four of the ten.
	at.at = at.at.Add(2 * time.Hour)
	for i, want := range []bool{false, false, true} {
		found := m.record([]outcome{{copyOf, true, "c"}}, 1, false)[0]
		if has(found, Burst) != want || !has(found, NearCopy) {
			t.Errorf("copy %d: got %v, want burst %v", i, ruleNames(found), want)
		}
	}
	// A flood of names loses nobody's count, and gets one quota.
	at.at = at.at.Add(2 * time.Hour)
	if got := bring("victim", 12); got != 2 {
		t.Fatalf("victim: got %d of 12 held, want 2", got)
	}
	q := &m.d.quotas
	for i := range 3 * mostSources {
		name := q.key(fmt.Sprint("flood", i), at.at)
		q.use(name, 1, at.at)
	}
	if len(q.sources) > mostSources+1 || q.used("victim", at.at) != 10 || q.key("new", at.at) != crowd || q.used(crowd, at.at) != 10 {
		t.Errorf("after a flood: got %d sources, victim %v, new as %q with %v, want at most %d, 10, the crowd's with 10",
			len(q.sources), q.used("victim", at.at), q.key("new", at.at), q.used(crowd, at.at), mostSources+1)
	}
	at.at = at.at.Add(2 * time.Hour)
	if got := q.key("new", at.at); got != "new" {
		t.Errorf("when all have leaked: got %q, want a quota of its own", got)
	}
	long := strings.Repeat("x", 10_000)
	if key := q.key(long, at.at); len(key) > longName || key == q.key(long+"y", at.at) {
		t.Errorf("long name: got %q, want a short key of its own", key)
	}
}

// A name that is no UTF-8 has its own quota after a restart too.
func TestSourcesThatAreNoText(t *testing.T) {
	q := quotas{quota: 10, window: time.Hour, sources: map[string]Consumed{}}
	at := time.Unix(1e9, 0)
	for i, name := range []string{"a\x80", "a\x81"} {
		q.use(q.key(name, at), float64(i+1), at)
	}
	text, err := json.Marshal(q.sources)
	if err != nil {
		t.Fatal(err)
	}
	q.sources = nil
	if err := json.Unmarshal(text, &q.sources); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"a\x80", "a\x81"} {
		if got := q.used(q.key(name, at), at); got != float64(i+1) {
			t.Errorf("%q: used %v, want %d", name, got, i+1)
		}
	}
}

// TestQuotaOfAllSources: invented names share one quota, over restarts too; ten
// honest sources that use up their own pass.
func TestQuotaOfAllSources(t *testing.T) {
	config := DefaultConfig()
	config.Quota, config.Total = 20, 200
	m, safe, _, at := blobs(t, config, 200, 100_000)
	restart := func() {
		state := m.d.State()
		m.d = detector(t, m.d.config, naive{}, at)
		if err := m.d.Restore(state); err != nil {
			t.Fatal(err)
		}
		m.fill(nil, nil)
	}
	bring := func(name func(int) string, count int) (held int) {
		for i := range count {
			found := m.record([]outcome{{safe.row(), true, name(i)}}, 1, false)[0]
			for _, f := range found {
				if f.Rule == Burst {
					held++
					if !strings.Contains(f.Reason, "all sources together") || !strings.Contains(f.Reason, "200 in 1h0m0s") {
						t.Fatalf("got %q, want the quota of all named", f.Reason)
					}
				}
			}
			if i == count/2 {
				restart()
			}
		}
		return held
	}
	if held := bring(func(i int) string { return fmt.Sprint("honest", i%10) }, 200); held != 0 {
		t.Errorf("ten sources of twenty rows each: got %d held, want none", held)
	}
	if held := bring(func(i int) string { return fmt.Sprint("invented", i) }, 60); held != 60 {
		t.Errorf("the quota is used up: got %d of 60 held, want all", held)
	}
	if held := bring(func(int) string { return "" }, 50); held != 0 {
		t.Errorf("the operator: got %d held, want none", held)
	}
	at.at = at.at.Add(6 * time.Minute) // a tenth of the window
	if held := bring(func(i int) string { return fmt.Sprint("\x01", i) }, 40); held != 20 {
		t.Errorf("a tenth of the window later: got %d of 40 held, want 20", held)
	}
	at.at = at.at.Add(2 * time.Hour)
	if held := bring(func(i int) string { return fmt.Sprint("more", i) }, 300); held != 100 {
		t.Errorf("a new window: got %d of 300 held, want 100", held)
	}
	// What a rollback takes back is not used.
	at.at = at.at.Add(2 * time.Hour)
	before := m.d.State()
	var flood []outcome
	for i := range 50 {
		flood = append(flood, outcome{safe.row(), true, fmt.Sprint("undone", i)})
	}
	m.dry(flood)
	if got := m.d.State(); !reflect.DeepEqual(got.Sources, before.Sources) {
		t.Errorf("after a rollback: got %v, want %v", got.Sources, before.Sources)
	}
	m.d.quotas.total, m.d.config.Total = 0, 0
	if held := bring(func(i int) string { return fmt.Sprint("free", i) }, 300); held != 0 {
		t.Errorf("without a quota of all: got %d held, want none", held)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
