package detect

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

// counts of clean rows that were judged.
type counts struct {
	rows, outlier, contradiction, drift, held, reference int
}

func (c *counts) add(findings []Finding) {
	c.rows++
	for _, f := range findings {
		switch f.Rule {
		case Outlier:
			c.outlier++
		case Contradiction:
			c.contradiction++
		case Drift:
			c.drift++
		}
	}
	if holds(findings) {
		c.held++
	}
}

func (c *counts) share(of int) float64 { return 100 * float64(of) / float64(max(1, c.rows)) }

func (c *counts) String() string {
	return fmt.Sprintf("| %d | %.1f | %.1f | %.1f | %.1f | %.1f |", c.rows,
		c.share(c.reference), c.share(c.outlier), c.share(c.contradiction), c.share(c.drift), c.share(c.held))
}

const cleanHead = "| data | n | memory a side | rows judged | reference % | outlier % | contradiction % | drift % | held by all % |\n|---|---|---|---|---|---|---|---|---|"

// judgeOnly judges clean rows against a memory, each as if it came first.
func (m *memory) judgeOnly(to *counts, outcomes []outcome) {
	m.t.Helper()
	tx := m.d.Begin()
	defer tx.Rollback()
	rows := make([]Row, len(outcomes))
	for i, o := range outcomes {
		rows[i] = m.asRow(o)
	}
	b := tx.Prepare(rows)
	for i, o := range outcomes {
		findings, err := b.Judge(m.t.Context(), i)
		if err != nil {
			m.t.Fatal(err)
		}
		to.add(findings)
		if outlier, _, _ := m.d.Anomaly(o.row, o.safe); outlier {
			to.reference++
		}
	}
}

// expectClean holds the shares of a table's row to what is promised, within
// five standard deviations of a binomial, of which the limits take part too:
// they come from as few rows as the memory has.
func (c *counts) expectClean(t *testing.T, name string, draws int) {
	t.Helper()
	wide := func(p float64) float64 {
		return 500 * math.Sqrt(p*(1-p)*(1/float64(c.rows)+1/float64(draws)))
	}
	if got := c.share(c.outlier); math.Abs(got-5) > wide(0.05)+0.5 {
		t.Errorf("%s: outlier rule holds %.2f %% of %d clean rows, want 5 %% within %.2f", name, got, c.rows, wide(0.05)+0.5)
	}
	if got := c.share(c.held); got > 7+wide(0.07) {
		t.Errorf("%s: all rules hold %.2f %% of %d clean rows, want at most 7 %% and %.2f", name, got, c.rows, wide(0.07))
	}
}

// times multiplies how often rows are drawn: -args -times 20 makes the tables
// that are worth quoting.
var times = flag.Int("times", 1, "draw clean rows so many times as often")

func turns(of int) int {
	if testing.Short() {
		return max(1, of/10)
	}
	return *times * of
}

func TestCleanGaussianRowsAreHeldAsPromised(t *testing.T) {
	computer := shim(t)
	var table strings.Builder
	for _, c := range []struct {
		n, memory, times int
		decay            float64
	}{
		{8, 50, 30, 0}, {8, 200, 10, 0.5}, {8, 1000, 2, 1}, {32, 50, 20, 0.5}, {32, 300, 5, 0}, {128, 60, 10, 0.5}, {128, 400, 2, 0.5},
		{384, 100, 4, 0.5}, {384, 600, 1, 0}, {768, 120, 2, 0.5}, {768, 500, 1, 0.5},
	} {
		if testing.Short() && c.n*c.memory > 10_000 {
			continue
		}
		var got counts
		for turn := range turns(c.times) {
			random := rand.New(rand.NewPCG(uint64(turn), uint64(1000*c.n+c.memory)))
			apart := 2 * random.Float64()
			safe, unsafe := newGaussian(random, c.n, c.decay, apart), newGaussian(random, c.n, c.decay, apart)
			config := DefaultConfig()
			config.Width = c.n
			m := newMemory(t, detector(t, config, computer, newClock()), c.memory)
			m.fill(safe.rows(c.memory), unsafe.rows(c.memory))
			var fresh []outcome
			for range 200 {
				fresh = append(fresh, outcome{safe.row(), true, ""}, outcome{unsafe.row(), false, ""})
			}
			m.judgeOnly(&got, fresh)
		}
		name := fmt.Sprintf("Gaussian, spectrum 1/k^%g | %d | %d", c.decay, c.n, c.memory)
		fmt.Fprintf(&table, "| %s %s\n", name, &got)
		got.expectClean(t, name, 2*turns(c.times)*c.memory)
	}
	t.Logf("clean rows held, sensitivity 0.95:\n%s\n%s", cleanHead, table.String())
}

// labelled are rows of both sides; group joins rows of near-equal texts.
type labelled struct {
	row   []float32
	safe  bool
	group int
	learn bool // part of the split that tests generalisation
}

// actions are the embeddings of labelled actions by MiniLM (384 columns), through
// a random projection where n is smaller.
func actions(t testing.TB, n int, seed uint64) []labelled {
	t.Helper()
	const folder = "../cmd/fdqc/testdata/data/"
	data, err := os.ReadFile(folder + "actions_minilm.npy")
	if err != nil {
		t.Fatal(err)
	}
	array, err := npy.ReadArray(data)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(folder + "actions.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	const d = 384
	// As nn.Linear draws: uniform within 1/sqrt(d).
	random := rand.New(rand.NewPCG(seed, d))
	weight := make([]float64, n*d)
	for i := range weight {
		weight[i] = (2*random.Float64() - 1) / math.Sqrt(d)
	}
	var out []labelled
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var label struct {
			Label string
			Group int
			Part  string
		}
		if err := json.Unmarshal(line, &label); err != nil {
			t.Fatal(err)
		}
		wide := make([]float32, d)
		for j := range wide {
			wide[j] = math.Float32frombits(binary.LittleEndian.Uint32(array.Data[4*(i*d+j):]))
		}
		row := wide
		if n < d {
			row = make([]float32, n)
			for k := range row {
				var sum float64
				for j, v := range wide {
					sum += weight[k*d+j] * float64(v)
				}
				row[k] = float32(sum)
			}
		}
		out = append(out, labelled{row, label.Label == "safe", label.Group, label.Part == "learn"})
	}
	return out
}

// kitRows are the clean rows of the kit's detector.
func kitRows(t testing.TB) (out []labelled) {
	k := readKit(t)
	for which, rows := range [2][]float32{k.Safe, k.Unsafe} {
		for i := range len(rows) / kitWidth {
			out = append(out, labelled{row: rows[i*kitWidth:][:kitWidth], safe: which == 0})
		}
	}
	return out
}

// Rows are drawn again and again: a part becomes the memory, the rest comes new.
func TestCleanRealRowsAreHeldAsPromised(t *testing.T) {
	computer := shim(t)
	var table strings.Builder
	for _, c := range []struct {
		name  string
		rows  []labelled
		part  float64 // becomes the memory
		times int
	}{
		{"detector.json", kitRows(t), 0.8, 40},
		{"MiniLM", actions(t, 384, 0), 0.8, 10}, {"MiniLM", actions(t, 384, 0), 0.5, 5},
		{"MiniLM, random projection", actions(t, 8, 1), 0.8, 40}, {"MiniLM, random projection", actions(t, 8, 2), 0.5, 20},
	} {
		var got counts
		n := len(c.rows[0].row)
		var sides [2]int
		for turn := range turns(c.times) {
			random := rand.New(rand.NewPCG(uint64(turn), 7))
			config := DefaultConfig()
			config.Width = n
			m := newMemory(t, detector(t, config, computer, newClock()), len(c.rows))
			var first [2][][]float32
			var fresh []outcome
			for k, i := range random.Perm(len(c.rows)) {
				r := &c.rows[i]
				if which := (&Row{Safe: r.safe}).side(); float64(k) < c.part*float64(len(c.rows)) {
					first[which] = append(first[which], r.row)
				} else {
					fresh = append(fresh, outcome{r.row, r.safe, ""})
				}
			}
			m.fill(first[0], first[1])
			m.judgeOnly(&got, fresh)
			sides = [2]int{len(first[0]), len(first[1])}
		}
		name := fmt.Sprintf("%s | %d | %d + %d", c.name, n, sides[0], sides[1])
		fmt.Fprintf(&table, "| %s %s\n", name, &got)
		// The rows are the same few in every turn.
		got.expectClean(t, name, len(c.rows))
	}
	t.Logf("clean rows held, sensitivity 0.95:\n%s\n%s", cleanHead, table.String())
}

// A memory that turns over keeps its limits: what was held does not tighten them
// from one generation to the next, and they do not creep up either.
func TestLimitsStayOverGenerations(t *testing.T) {
	computer := shim(t)
	for _, c := range []struct {
		n, memory, generations int
		restart                bool
	}{{8, 400, 12, false}, {8, 400, 12, true}, {64, 300, 6, false}} {
		if testing.Short() {
			c.generations, c.memory = 3, 200
		}
		random := rand.New(rand.NewPCG(21, uint64(c.n)))
		config := DefaultConfig()
		config.Width = c.n
		at := newClock()
		m := newMemory(t, detector(t, config, computer, at), c.memory)
		safe, unsafe := newGaussian(random, c.n, 0.5, 1), newGaussian(random, c.n, 0.5, 1)
		m.fill(safe.rows(c.memory), unsafe.rows(c.memory))
		var all counts
		var by []string
		for range c.generations {
			var got counts
			for range c.memory / 50 {
				var outcomes []outcome
				for range 50 {
					outcomes = append(outcomes, outcome{safe.row(), true, ""}, outcome{unsafe.row(), false, ""})
				}
				for _, findings := range m.record(outcomes, 100, false) {
					got.add(findings)
					all.add(findings)
				}
			}
			by = append(by, fmt.Sprintf("%.1f/%.1f", got.share(got.outlier), got.share(got.held)))
			if c.restart {
				state := m.d.State()
				m.d = detector(t, config, computer, at)
				if err := m.d.Restore(state); err != nil {
					t.Fatal(err)
				}
				m.fill(nil, nil)
			}
		}
		t.Logf("n %d, %d a side, restarts %v, outlier/held %% a generation: %s, all %.2f/%.2f (contradiction %.2f, drift %.2f)",
			c.n, c.memory, c.restart, strings.Join(by, " "), all.share(all.outlier), all.share(all.held), all.share(all.contradiction), all.share(all.drift))
		if got := all.share(all.outlier); got < 3 || got > 6 {
			t.Errorf("n %d, %d a side, restarts %v: got %.2f %% outliers over %d generations, want 3 to 6", c.n, c.memory, c.restart, got, c.generations)
		}
		if got := all.share(all.held); got > 7 {
			t.Errorf("n %d, %d a side, restarts %v: got %.2f %% held over %d generations, want at most 7", c.n, c.memory, c.restart, got, c.generations)
		}
	}
}

// A memory that grows from nothing, judged from the first row on, in which the
// sides overlap: limits follow how near patterns come.
func TestLimitsFollowAGrowingMemory(t *testing.T) {
	computer := shim(t)
	for _, apart := range []float64{0, 1} {
		random := rand.New(rand.NewPCG(1, 1))
		const n = 8
		safe, unsafe := newGaussian(random, n, 0.3, apart), newGaussian(random, n, 0.3, apart)
		d := detector(t, DefaultConfig(), computer, newClock())
		rows := make([]Row, 6000)
		for i := range rows {
			rows[i] = Row{NearestSame: math.Inf(1), NearestOther: math.Inf(1), Safe: i%3 != 0, Values: safe.row()}
			if !rows[i].Safe {
				rows[i].Values = unsafe.row()
			}
		}
		tx := d.Begin()
		b := tx.Prepare(rows)
		var got counts
		for i := range rows {
			findings, err := b.Judge(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			got.add(findings)
			if holds(findings) {
				b.Hold(i)
			} else {
				b.Store(i, int64(i)+1)
			}
		}
		tx.Commit()
		t.Logf("means %v apart: outlier %.2f %%, contradiction %.2f %%, held %.2f %%", apart, got.share(got.outlier), got.share(got.contradiction), got.share(got.held))
		if got.share(got.held) > 7 || got.share(got.outlier) < 3 {
			t.Errorf("means %v apart: got %.2f %% outliers, %.2f %% held of %d clean rows, want 3 to 7 %%", apart, got.share(got.outlier), got.share(got.held), got.rows)
		}
	}
}
