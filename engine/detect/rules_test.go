package detect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// blobs is a detector that has learned two clean sides of width 4, apart from
// each other.
func blobs(t testing.TB, c Config, count, capacity int) (m *memory, safe, unsafe *gaussian, at *clock) {
	t.Helper()
	random := rand.New(rand.NewPCG(11, 12))
	safe, unsafe = newGaussian(random, 4, 0.3, 0), newGaussian(random, 4, 0.3, 0)
	for j := range unsafe.mean {
		safe.mean[j], unsafe.mean[j] = -2, 2
	}
	c.Width, at = 4, newClock()
	m = newMemory(t, detector(t, c, naive{}, at), capacity)
	m.fill(safe.rows(count), unsafe.rows(count))
	return m, safe, unsafe, at
}

func ruleNames(findings []Finding) string {
	var names []string
	for _, f := range findings {
		names = append(names, string(f.Rule))
	}
	return strings.Join(names, " ")
}

func TestRules(t *testing.T) {
	m, safe, unsafe, _ := blobs(t, DefaultConfig(), 400, 1000)
	far := []float32{-2, -2, 30, -2}
	twice := safe.row()
	for _, c := range []struct {
		name string
		rows []outcome // all but the last are stored
		want string
	}{
		{"a clean row", []outcome{{safe.mean32(), true, ""}}, ""},
		{"far from everything", []outcome{{far, true, ""}}, "outlier"},
		{"a flipped label", []outcome{{m.sides[1][7].row, true, ""}}, "outlier contradiction near_copy"},
		{"beside a pattern of the other side", []outcome{{near32(m.sides[1][7].row, 1e-3), true, ""}}, "outlier contradiction"},
		{"a pattern again", []outcome{{m.sides[0][3].row, true, ""}}, "near_copy"},
		{"nearly again", []outcome{{near32(m.sides[0][3].row, 1e-4), true, ""}}, "near_copy"},
		{"again within the transaction", []outcome{{twice, true, ""}, {twice, true, ""}}, "near_copy"},
		{"what the transaction stored on the other side", []outcome{{unsafe.mean32(), false, ""}, {unsafe.mean32(), true, ""}}, "outlier contradiction"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := m.dry(c.rows)
			got := ruleNames(found[len(found)-1])
			if c.name == "a flipped label" {
				c.want = "outlier contradiction" // a copy of the other side's is none
			}
			if got != c.want {
				t.Fatalf("got %q, want %q: %+v", got, c.want, found[len(found)-1])
			}
			for _, f := range found[len(found)-1] {
				if !(f.Score >= 1 && f.Score <= mostScore) || f.Reason == "" || f.Holds != (f.Rule != NearCopy) {
					t.Errorf("got %+v, want a score of 1 to %g, a reason, and only near_copy not holding", f, mostScore)
				}
			}
		})
	}
}

func (g *gaussian) mean32() []float32 {
	out := make([]float32, len(g.mean))
	for j, v := range g.mean {
		out[j] = float32(v)
	}
	return out
}

func near32(row []float32, by float32) []float32 {
	out := append([]float32(nil), row...)
	out[0] += by
	return out
}

// dry is record of everything, rolled back.
func (m *memory) dry(outcomes []outcome) [][]Finding {
	m.t.Helper()
	tx := m.d.Begin()
	defer tx.Rollback()
	rows := make([]Row, len(outcomes))
	for i, o := range outcomes {
		rows[i] = m.asRow(o)
	}
	b := tx.Prepare(rows)
	var all [][]Finding
	for i := range rows {
		findings, err := b.Judge(m.t.Context(), i)
		if err != nil {
			m.t.Fatal(err)
		}
		all = append(all, findings)
		b.Store(i, m.nextID+int64(i))
	}
	return all
}

// stream is outcomes of all kinds.
func stream(random *rand.Rand, safe, unsafe *gaussian, count int) []outcome {
	var out []outcome
	for i := range count {
		o := outcome{safe.row(), true, ""}
		if random.IntN(3) == 0 {
			o = outcome{unsafe.row(), false, ""}
		}
		switch random.IntN(8) {
		case 0:
			o.safe = !o.safe
		case 1:
			if i > 0 {
				o.row = near32(out[random.IntN(i)].row, 1e-5)
			}
		case 2:
			o.row = near32(o.row, 4)
		}
		o.source = []string{"", "a", "b"}[random.IntN(3)]
		out = append(out, o)
	}
	return out
}

// A row is judged as if all before it had come one by one.
func TestFindingsDoNotDependOnTheSplit(t *testing.T) {
	for _, c := range []struct {
		mode    string
		learned int
	}{{Calibrated, 150}, {Calibrated, 0}, {Reference, 0}} {
		var want [][]Finding
		for _, split := range []struct{ transaction, batch int }{{1, 1}, {700, 700}, {700, 1}, {700, 64}, {64, 7}, {9, 9}} {
			config := DefaultConfig()
			config.Mode, config.Quota = c.mode, 40
			m, safe, unsafe, _ := blobs(t, config, c.learned, 5000)
			outcomes := stream(rand.New(rand.NewPCG(5, 6)), safe, unsafe, 700)
			var got [][]Finding
			for from := 0; from < len(outcomes); from += split.transaction {
				got = append(got, m.record(outcomes[from:min(from+split.transaction, len(outcomes))], split.batch, false)...)
			}
			if want == nil {
				want = got
				seen := map[Rule]int{}
				for _, findings := range want {
					for _, f := range findings {
						seen[f.Rule]++
					}
				}
				for _, rule := range []Rule{Outlier, Contradiction, Burst, NearCopy} {
					if seen[rule] == 0 {
						t.Fatalf("%s from %d: %s never fired: %v", c.mode, c.learned, rule, seen)
					}
				}
				continue
			}
			for i := range want {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("%s from %d, transactions of %d in batches of %d, row %d: got %+v, want %+v", c.mode, c.learned, split.transaction, split.batch, i, got[i], want[i])
				}
			}
		}
	}
}

func TestRollbackLeavesEverythingAsBefore(t *testing.T) {
	config := DefaultConfig()
	config.Quota = 30
	m, safe, unsafe, at := blobs(t, config, 150, 200)
	random := rand.New(rand.NewPCG(7, 8))
	m.record(stream(random, safe, unsafe, 100), 10, false)
	probes := stream(random, safe, unsafe, 50)
	before, beforeState, beforeFound := fmt.Sprintf("%+v", *m.d.sides[0]), m.d.State(), m.dry(probes)
	for range 3 {
		twin := *m
		twin.sides = [2][]pattern{append([]pattern(nil), m.sides[0]...), append([]pattern(nil), m.sides[1]...)}
		tx := m.d.Begin()
		rows := make([]Row, 0, 300)
		for _, o := range stream(random, safe, unsafe, 300) {
			rows = append(rows, Row{Values: o.row, Safe: o.safe, Source: fmt.Sprint(o.source, "x"), NearestSame: 1, NearestOther: 1})
		}
		b := tx.Prepare(rows)
		for i := range rows {
			if _, err := b.Judge(t.Context(), i); err != nil {
				t.Fatal(err)
			}
			if i%5 == 0 {
				b.Hold(i)
			} else {
				twin.store(tx, b, i)
			}
		}
		at.at = at.at.Add(time.Second)
		tx.Rollback()
		at.at = at.at.Add(-time.Second)
		tx.Commit()
		tx.Rollback()
	}
	if got := fmt.Sprintf("%+v", *m.d.sides[0]); got != before {
		t.Errorf("side: got\n%.2000s\nwant\n%.2000s", got, before)
	}
	if got := m.d.State(); !reflect.DeepEqual(got, beforeState) {
		t.Errorf("state: got %+v, want %+v", got, beforeState)
	}
	if got := m.dry(probes); !reflect.DeepEqual(got, beforeFound) {
		t.Errorf("findings: got %+v, want %+v", got, beforeFound)
	}
}

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

// Clean rows, each a little farther along than the one before: the side's mean
// goes no farther than the limit, also over restarts.
func TestSlowDriftIsBounded(t *testing.T) {
	m, safe, _, at := blobs(t, DefaultConfig(), 400, 400)
	start := m.d.sides[0].columns.means()
	spread := math.Sqrt(m.d.sides[0].columns.trace())
	moved := func() float64 { return math.Sqrt(square(m.d.sides[0].columns.means(), start)) }
	held := 0
	for i := range 2000 {
		row := safe.row()
		for j := range row {
			row[j] += float32(0.00125 * float64(i))
		}
		found := m.record([]outcome{{row, true, ""}}, 1, false)[0]
		if has(found, Drift) {
			held++
		}
		if i%500 == 499 {
			state := m.d.State()
			m.d = detector(t, m.d.config, naive{}, at)
			if err := m.d.Restore(state); err != nil {
				t.Fatal(err)
			}
			m.fill(nil, nil)
		}
	}
	// 2,000 steps would have moved it by 2.5 a column, 5 in all.
	if got := moved(); got > 0.35*spread || held < 500 {
		t.Errorf("got a mean that moved by %.3f of a spread of %.3f, %d held, want at most 0.35 of it and most held", got, spread, held)
	}
	m.d.Reanchor()
	if m.d.sides[0].anchor.After != m.d.sides[0].lastID || len(m.d.sides[0].window.rows) != 0 {
		t.Errorf("reanchored: got %+v", m.d.sides[0].anchor)
	}
}

// What must survive a restart does, and what is wrong is refused whole.
func TestState(t *testing.T) {
	config := DefaultConfig()
	config.Quota = 5
	m, safe, unsafe, at := blobs(t, config, 150, 180)
	m.record(stream(rand.New(rand.NewPCG(9, 10)), safe, unsafe, 200), 50, false)
	state := m.d.State()
	if state.Sides[0].Held.Outlier == 0 || state.Sides[0].Anchor == nil || len(state.Sources) != 3 {
		t.Fatalf("got %+v, want something to keep", state)
	}
	again := detector(t, m.d.config, naive{}, at)
	if err := again.Restore(state); err != nil {
		t.Fatal(err)
	}
	twin := newMemory(t, again, 180)
	twin.sides, twin.nextID = m.sides, m.nextID
	twin.fill(nil, nil)
	if got := again.State(); !reflect.DeepEqual(got, state) {
		t.Errorf("got %+v, want %+v", got, state)
	}
	// Both fitted alike, the findings are the same.
	if err := m.d.Refit(t.Context()); err != nil {
		t.Fatal(err)
	}
	probes := stream(rand.New(rand.NewPCG(11, 10)), safe, unsafe, 100)
	for i, want := range m.dry(probes) {
		if got := twin.dry(probes)[i]; ruleNames(got) != ruleNames(want) {
			t.Fatalf("row %d: got %+v, want %+v", i, got, want)
		}
	}
	for name, spoil := range map[string]func(*State){
		"columns":          func(s *State) { s.Sides[1].Anchor = &Anchor{Count: 3, Mean: []float64{1}} },
		"not a number":     func(s *State) { s.Sides[0].Anchor.Mean[1] = math.NaN() },
		"infinite trace":   func(s *State) { s.Sides[0].Anchor.Trace = math.Inf(1) },
		"no rows":          func(s *State) { s.Sides[0].Anchor.Count = 0 },
		"limits":           func(s *State) { s.Sides[0].Limits.Ratio = math.Inf(1) },
		"held":             func(s *State) { s.Sides[0].Held.Ratio = -1 },
		"held not numbers": func(s *State) { s.Sides[0].Held.Outlier = math.NaN() },
		"used":             func(s *State) { s.Sources["a"] = Consumed{Rows: math.NaN()} },
		"sources": func(s *State) {
			for i := range mostSources + 3 {
				s.Sources[fmt.Sprint(i)] = Consumed{}
			}
		},
	} {
		bad := m.d.State()
		spoil(&bad)
		fresh := detector(t, m.d.config, naive{}, at)
		if err := fresh.Restore(bad); err == nil || len(fresh.quotas.sources) != 0 || fresh.restored[0].Anchor != nil {
			t.Errorf("%s: got %v, want an error and nothing taken", name, err)
		}
	}
}

var errBroken = errors.New("broken")

// broken computes until it is told not to.
type broken struct {
	naive
	fits, distances, nearest bool
}

func (b *broken) DetectorFit(ctx context.Context, n int, rows, others []float32, location, factor, left, same, other []float64) (float64, float64, error) {
	if b.fits {
		return 0, 0, errBroken
	}
	return b.naive.DetectorFit(ctx, n, rows, others, location, factor, left, same, other)
}

func (b *broken) DetectorDistances(ctx context.Context, n int, location, factor []float64, rows []float32, out []float64) error {
	if b.distances {
		return errBroken
	}
	return b.naive.DetectorDistances(ctx, n, location, factor, rows, out)
}

func (b *broken) DetectorNearest(ctx context.Context, n int, rows, others []float32, out []float64) error {
	if b.nearest {
		return errBroken
	}
	return b.naive.DetectorNearest(ctx, n, rows, others, out)
}

// What cannot be computed is an error, and after a rollback the next try works.
func TestAComputerThatFails(t *testing.T) {
	m, safe, _, _ := blobs(t, DefaultConfig(), 50, 1000)
	computer := &broken{}
	m.d.computer = computer
	rows := make([]Row, leafRows+1)
	for i := range rows {
		rows[i] = Row{Values: safe.row(), Safe: true, NearestSame: 1, NearestOther: 9}
	}
	try := func() error {
		tx := m.d.Begin()
		defer tx.Rollback()
		b := tx.Prepare(rows)
		for i := range rows { // a fit is due on the way
			if _, err := b.Judge(t.Context(), i); err != nil {
				return err
			}
			b.Store(i, 1000+int64(i))
		}
		return nil
	}
	for _, c := range []struct{ fits, distances, nearest bool }{{true, false, false}, {false, true, false}, {false, false, true}} {
		computer.fits, computer.distances, computer.nearest = c.fits, c.distances, c.nearest
		if err := try(); !errors.Is(err, errBroken) {
			t.Errorf("%+v: got %v, want %v", c, err, errBroken)
		}
	}
	computer.nearest = false
	if err := try(); err != nil {
		t.Errorf("got %v", err)
	}
	computer.fits = true
	if err := m.d.Load(t.Context(), m.patterns(0), m.patterns(1)); !errors.Is(err, errBroken) {
		t.Errorf("load: got %v, want %v", err, errBroken)
	}
	bad := m.patterns(0)
	bad.Rows = bad.Rows[1:]
	if err := m.d.Load(t.Context(), bad, m.patterns(1)); err == nil || !strings.Contains(err.Error(), "safe side") {
		t.Errorf("rows cut short: got %v, want an error", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := DefaultConfig()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"mode":        func(c *Config) { c.Mode = "" },
		"sensitivity": func(c *Config) { c.Sensitivity = math.NaN() },
		"certainty":   func(c *Config) { c.Sensitivity = 1 },
		"width":       func(c *Config) { c.Width = 1 },
		"quota":       func(c *Config) { c.Quota = -1 },
		"total":       func(c *Config) { c.Total = -1 },
		"window":      func(c *Config) { c.Window = 0 },
	} {
		bad := DefaultConfig()
		spoil(&bad)
		if d, err := New(bad, naive{}, time.Now); err == nil || d != nil {
			t.Errorf("%s: got no error for %+v", name, bad)
		}
	}
}
