package torch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// childEnv names, in a process that a test started, the part that it is to
// play.
const childEnv = "FDQC_TORCH_TEST_CHILD"

// TestMain asserts that the tests freed every handle that they made.
func TestMain(m *testing.M) {
	code := m.Run()
	if l, err := shared(); err == nil && code == 0 {
		if live, err := l.LiveHandles(); err != nil || live != 0 || l.Forgotten() != wantForgotten {
			fmt.Fprintf(os.Stderr, "after all tests: got %d live handles, %d forgotten (%v), want 0 and %d\n", live, l.Forgotten(), err, wantForgotten)
			code = 1
		}
	}
	os.Exit(code)
}

// wantForgotten is what the test of the safety net forgets on purpose.
var wantForgotten int64

var shared = sync.OnceValues(func() (*Library, error) {
	if os.Getenv("FDQC_LIB") == "" {
		return nil, fmt.Errorf("FDQC_LIB is not set")
	}
	return Open(Options{Threads: 2})
})

func library(t testing.TB) *Library {
	t.Helper()
	if os.Getenv("FDQC_LIB") == "" {
		t.Skip("FDQC_LIB is not set: run `make build`")
	}
	l, err := shared()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l
}

// inChild runs the test again in a process of its own: below is what to start
// before it (taskset, say), env what its environment has besides. It answers
// true in that process.
func inChild(t *testing.T, below []string, env ...string) bool {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		return true
	}
	args := append(slices.Clone(below), os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v", "-test.timeout=5m")
	command := exec.CommandContext(t.Context(), args[0], args[1:]...)
	command.Env = append(os.Environ(), append(env, childEnv+"="+t.Name())...)
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("child %v with %v: %v\n%s", args, env, err, out)
	}
	t.Logf("%s", out)
	return false
}

// fixture is a validator with random weights and patterns.
type fixture struct {
	*Library
	n          int
	weights    *Weights
	patterns   *Patterns
	states     *States
	projection *Projection // of width projectionWidth
}

const projectionWidth = 24

func newFixture(t testing.TB, l *Library, n, patterns int) *fixture {
	t.Helper()
	ctx := context.Background()
	f := &fixture{Library: l, n: n}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("fixture of %d: %v", n, err)
		}
	}
	t.Cleanup(func() { must(f.close()) })
	var err error
	f.weights, err = l.NewWeights(ctx, CPU, n, riskTensors(n))
	must(err)
	f.patterns, err = l.NewPatterns(ctx, CPU, n)
	must(err)
	f.states, err = l.NewStates(ctx, CPU, n, numbers(n, 1), numbers(n, 2))
	must(err)
	f.projection, err = l.NewProjection(ctx, CPU, n, projectionWidth, numbers(n*projectionWidth, 3), numbers(n, 4))
	must(err)
	if patterns > 0 {
		index := make([]int64, patterns)
		for i := range index {
			index[i] = int64(i)
		}
		for side := Safe; side <= Unsafe; side++ {
			must(f.patterns.Put(ctx, side, index, numbers(patterns*2*n, 5+uint64(side)), index))
		}
	}
	return f
}

func (f *fixture) close() error {
	for _, c := range []interface{ Close() error }{f.weights, f.patterns, f.states, f.projection} {
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

// batch has rows of width n, then as many that need the projection.
func (f *fixture) batch(rows int) *Batch {
	b := &Batch{
		Segments: []Segment{{Rows: numbers(rows*f.n, 10), Width: f.n, Count: rows}},
		Count:    rows, Weights: f.weights, Patterns: f.patterns, States: f.states,
		Policy: Policy{EntropyThreshold: 0.7, CollapseThreshold: 0.85, BlockThreshold: 0.8, Tier: Gamma, SafeMode: true, RequireHumanApproval: true},
	}
	if rows > 1 {
		half := rows / 2
		b.Segments[0].Rows, b.Segments[0].Count = b.Segments[0].Rows[:(rows-half)*f.n], rows-half
		b.Segments = append(b.Segments, Segment{Rows: numbers(half*projectionWidth, 11), Width: projectionWidth, Count: half, Projection: f.projection})
	}
	return b
}

func riskTensors(n int) (out [6][]float32) {
	for i, count := range []int{64 * 2 * n, 64, 32 * 64, 32, 32, 1} {
		out[i] = numbers(count, 20+uint64(i))
	}
	return out
}

// numbers draws count numbers from -0.5 to 0.5.
func numbers(count int, seed uint64) []float32 {
	random := rand.New(rand.NewPCG(seed, 0))
	out := make([]float32, count)
	for i := range out {
		out[i] = random.Float32() - 0.5
	}
	return out
}

// collected runs collections until a condition holds.
func collected(condition func() bool) bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		runtime.GC()
		if condition() {
			return true
		}
	}
	return false
}
