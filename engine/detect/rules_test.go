package detect

import (
	"context"
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
