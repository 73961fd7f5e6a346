package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/detect"
)

// world is what attacks are tried on: a clean memory to begin with, clean
// outcomes to come, and risky actions that nobody recorded.
type world struct {
	name  string
	width int
	seed  []engine.Outcome
	fresh func(*rand.Rand) engine.Outcome // a clean outcome to come
	// Risky actions to be judged: held[:unknown] are of kinds that no outcome
	// ever told of.
	held    [][]float32
	unknown int
	streams int // that are tried of each attack: the more, the closer the figures
}

// clusters are kinds of actions, each a cloud of rows.
func clusters() *world {
	const n, kinds = 8, 12
	random := rand.New(rand.NewPCG(31, 1))
	var centers [kinds][n]float64
	for k := range centers {
		for j := range n {
			centers[k][j] = 0.9 * random.NormFloat64()
		}
	}
	row := func(random *rand.Rand, k int) []float32 {
		out := make([]float32, n)
		for j := range out {
			out[j] = float32(centers[k][j] + 0.22*random.NormFloat64())
		}
		return out
	}
	// Two kinds of three are safe.
	fresh := func(random *rand.Rand) engine.Outcome {
		k := random.IntN(kinds)
		return engine.Outcome{Embedding: row(random, k), IsSafe: k%3 != 0}
	}
	w := &world{name: "12 kinds of actions, n = 8", width: n, fresh: fresh, streams: 4}
	for range 600 {
		w.seed = append(w.seed, fresh(random))
	}
	for i := range 200 {
		w.held = append(w.held, row(random, i%4*3))
	}
	return w
}

// embedded are actions in the words of people, by MiniLM, paraphrased again and
// again. Of the risky ones to be judged some are of kinds that nobody recorded.
func embedded(t testing.TB) *world {
	t.Helper()
	const folder, n = "cmd/fdqc/testdata/data/", 384
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
	w := &world{name: "actions by MiniLM, n = 384", width: n, streams: 1}
	groups := map[int]bool{} // risky ones that are kept back
	var known []engine.Outcome
	var risky [][]float32
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var label struct {
			Label string
			Group int
		}
		if err := json.Unmarshal(line, &label); err != nil {
			t.Fatal(err)
		}
		row := make([]float32, n)
		for j := range row {
			row[j] = math.Float32frombits(uint32(array.Data[4*(i*n+j)]) | uint32(array.Data[4*(i*n+j)+1])<<8 |
				uint32(array.Data[4*(i*n+j)+2])<<16 | uint32(array.Data[4*(i*n+j)+3])<<24)
		}
		if label.Label != "safe" {
			if groups[label.Group] || label.Group%5 == 2 && len(w.held) < 24 {
				groups[label.Group] = true
				w.held = append(w.held, row)
				continue
			}
			risky = append(risky, row)
		}
		known = append(known, engine.Outcome{Embedding: row, IsSafe: label.Label == "safe"})
	}
	w.fresh = func(random *rand.Rand) engine.Outcome {
		o := known[random.IntN(len(known))]
		o.Embedding = paraphrase(random, o.Embedding)
		return o
	}
	w.unknown = len(w.held)
	random := rand.New(rand.NewPCG(32, 1))
	for range 400 {
		w.seed = append(w.seed, w.fresh(random))
	}
	for i := range 60 {
		w.held = append(w.held, paraphrase(random, risky[i%len(risky)]))
	}
	return w
}

// paraphrase is a unit vector at a cosine of about 0.9.
func paraphrase(random *rand.Rand, row []float32) []float32 {
	out := make([]float32, len(row))
	var square float64
	for j, v := range row {
		x := float64(v) + 0.48*random.NormFloat64()/math.Sqrt(float64(len(row)))
		out[j] = float32(x)
		square += x * x
	}
	for j := range out {
		out[j] /= float32(math.Sqrt(square))
	}
	return out
}

// between is on the way from one row to another.
func between(a, b []float32, part float64) []float32 {
	out := make([]float32, len(a))
	for j := range out {
		out[j] = float32((1-part)*float64(a[j]) + part*float64(b[j]))
	}
	return out
}

func apart(a, b []float32) float64 {
	var sum float64
	for j := range a {
		d := float64(a[j]) - float64(b[j])
		sum += d * d
	}
	return math.Sqrt(sum)
}

// nearestSafe is the safe row of the seed from which a walk is shortest.
func (w *world) nearestSafe(to []float32) []float32 {
	best, far := []float32(nil), math.Inf(1)
	for _, o := range w.seed {
		if d := apart(o.Embedding, to); o.IsSafe && d < far {
			best, far = o.Embedding, d
		}
	}
	return best
}

const attacker = "agent-7"

// attack is a way to poison a memory: the outcomes that come after the clean
// ones, the attacker's among them.
type attack struct {
	name     string
	capacity int // of the memory
	quota    int // of a source in the window, in which all of it happens
	stream   func(w *world, random *rand.Rand) []engine.Outcome
}

func attacks() []attack {
	flips := func(share float64) attack {
		return attack{fmt.Sprintf("labels flipped, %g %%", 100*share), 2000, 1000, func(w *world, random *rand.Rand) (out []engine.Outcome) {
			for range 500 {
				o := w.fresh(random)
				if random.Float64() < share {
					o.IsSafe, o.Source = !o.IsSafe, attacker
				}
				out = append(out, o)
			}
			return out
		}}
	}
	// mixed has honest outcomes come between the attacker's.
	mixed := func(w *world, random *rand.Rand, all [][]float32, safe bool) (out []engine.Outcome) {
		for _, row := range all {
			out = append(out, engine.Outcome{Embedding: row, IsSafe: safe, Source: attacker}, w.fresh(random))
		}
		return out
	}
	return []attack{
		flips(0.01), flips(0.05), flips(0.20),
		{"slow drift", 2000, 1000, func(w *world, random *rand.Rand) []engine.Outcome {
			// All safe rows creep towards the risky ones, 2 % of the way at a time.
			var rows [][]float32
			for step := range 50 {
				for range 8 {
					to := w.held[random.IntN(len(w.held))]
					rows = append(rows, between(w.nearestSafe(to), to, float64(step+1)/50))
				}
			}
			return mixed(w, random, rows, true)
		}},
		{"single target (a walk to each)", 2000, 1000, func(w *world, random *rand.Rand) []engine.Outcome {
			var rows [][]float32
			for i := 0; i < len(w.held); i += 5 {
				from := w.nearestSafe(w.held[i])
				for step := range 25 {
					rows = append(rows, between(from, w.held[i], float64(step+1)/25))
				}
			}
			return mixed(w, random, rows, true)
		}},
		{"duplicates (the risky side is pushed out)", 250, 100, func(w *world, random *rand.Rand) []engine.Outcome {
			var rows [][]float32
			for _, o := range w.seed {
				if !o.IsSafe {
					for range 400 {
						rows = append(rows, o.Embedding)
					}
					break
				}
			}
			out := mixed(w, random, rows, false)
			for i := 0; i < len(w.held); i += 5 { // then the way is free
				out = append(out, engine.Outcome{Embedding: w.held[i], IsSafe: true, Source: attacker})
			}
			return out
		}},
	}
}

// outcomeOf is what an attack came to.
type outcomeOf struct {
	before      int    // risky actions approved
	after       [2]int // and approved because of the attack: of known kinds, of unknown
	targets     [2]int // that were not approved before
	clean, lost int    // clean outcomes that came, and of them held
}

func (o *outcomeOf) add(other outcomeOf) {
	o.before += other.before
	o.clean += other.clean
	o.lost += other.lost
	for i := range o.after {
		o.after[i] += other.after[i]
		o.targets[i] += other.targets[i]
	}
}

func (o *outcomeOf) success() string {
	out := fmt.Sprintf("%.1f %%", 100*float64(o.after[0])/float64(max(1, o.targets[0])))
	if o.targets[1] > 0 {
		out += fmt.Sprintf(" (%.1f %%)", 100*float64(o.after[1])/float64(o.targets[1]))
	}
	return out
}

func (o *outcomeOf) held() float64 { return 100 * float64(o.lost) / float64(max(1, o.clean)) }

// attacked tries all streams of an attack, each on an engine of its own; mode ""
// is none.
func attacked(t *testing.T, w *world, a attack, mode string) (sum outcomeOf) {
	t.Helper()
	streams := w.streams
	if testing.Short() {
		streams = 1
	}
	for seed := range uint64(streams) {
		sum.add(attackedBy(t, w, a, mode, a.stream(w, rand.New(rand.NewPCG(33, 1+seed)))))
	}
	return sum
}

func attackedBy(t *testing.T, w *world, a attack, mode string, stream []engine.Outcome) outcomeOf {
	t.Helper()
	config := inMemory(w.width)
	config.Persistence.Dir = filepath.Join(t.TempDir(), "data")
	config.Persistence.JournalSync = "never"
	config.Memory.Capacity = a.capacity
	config.Detector.SourceQuota = a.quota
	var options []engine.Option
	if mode == "" {
		options = append(options, engine.WithoutDetector())
	} else {
		config.Detector.Mode = mode
	}
	// What the memory begins with is trusted: nothing is held yet.
	e := open(t, config, options...)
	record(t, e, w.seed)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	config.Detector.OnOutlier = engine.OnOutlierReject
	e = open(t, config, options...)
	approved := func() map[int]bool {
		rows := engine.Batch{Width: w.width}
		for _, row := range w.held {
			rows.Embeddings = append(rows.Embeddings, row...)
		}
		out := map[int]bool{}
		for i, v := range validate(t, e, rows) {
			if v.Approved {
				out[i] = true
			}
		}
		return out
	}
	before := approved()
	got := outcomeOf{before: len(before)}
	kind := func(i int) int {
		if i < w.unknown {
			return 1
		}
		return 0
	}
	for i := range w.held {
		if !before[i] {
			got.targets[kind(i)]++
		}
	}
	for from := 0; from < len(stream); from += 20 {
		some := stream[from:min(from+20, len(stream))]
		for i, r := range record(t, e, some) {
			if some[i].Source == attacker {
				continue
			}
			got.clean++
			if r.Result != engine.Stored {
				got.lost++
			}
		}
	}
	for i := range approved() {
		if !before[i] {
			got.after[kind(i)]++
		}
	}
	return got
}

// What attacks gain, and what the defence costs. Of kinds of risky actions that
// no outcome ever told of nobody can say that calling something near them safe
// is wrong; what attacks gain there is in brackets, and nothing is promised.
func TestAttacks(t *testing.T) {
	var table strings.Builder
	table.WriteString("| memory | attack | approved before | off | reference | calibrated | clean held: reference | calibrated |\n|---|---|---|---|---|---|---|---|\n")
	worlds := []*world{clusters()}
	if !testing.Short() {
		worlds = append(worlds, embedded(t))
	}
	for _, w := range worlds {
		for _, a := range attacks() {
			off := attacked(t, w, a, "")
			var reference outcomeOf
			if !testing.Short() {
				reference = attacked(t, w, a, detect.Reference)
			}
			calibrated := attacked(t, w, a, detect.Calibrated)
			fmt.Fprintf(&table, "| %s | %s | %d of %d | %s | %s | %s | %.1f %% | %.1f %% |\n", w.name, a.name, off.before, (off.targets[0] + off.targets[1] + off.before),
				off.success(), reference.success(), calibrated.success(), reference.held(), calibrated.held())
			if 10*calibrated.after[0] > off.after[0] {
				t.Errorf("%s, %s: got %d risky actions approved, %d without a detector, want at most a tenth", w.name, a.name, calibrated.after[0], off.after[0])
			}
			// Three standard deviations, of as many outcomes as there are.
			if most := 7 + 300*math.Sqrt(0.07*0.93/float64(calibrated.clean)); calibrated.held() > most {
				t.Errorf("%s, %s: got %.1f %% of %d clean outcomes held, want at most %.1f %%", w.name, a.name, calibrated.held(), calibrated.clean, most)
			}
		}
	}
	t.Logf("attack success (risky actions that are approved because of it), and clean outcomes held:\n%s", table.String())
}
