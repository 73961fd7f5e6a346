package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/engine"
)

// library is what all engines of these tests share, as those of a process do;
// nil on a machine without the shim.
var library *torch.Library

func TestMain(m *testing.M) {
	// Keys are made here, not in the home of whoever runs the tests.
	home, err := os.MkdirTemp("", "fdqc-engine-*")
	if err == nil {
		err = os.Setenv("XDG_CONFIG_HOME", home)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var unavailable *torch.UnavailableError
	if library, err = torch.Open(torch.Options{}); err != nil && !errors.As(err, &unavailable) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if library != nil {
		live, err := library.LiveHandles()
		if err != nil || live != 0 {
			fmt.Fprintf(os.Stderr, "%d native handles live after the tests, want 0 (%v)\n", live, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := os.RemoveAll(home); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// open opens an engine that is closed with the test.
func open(t testing.TB, config engine.Config, options ...engine.Option) *engine.Engine {
	t.Helper()
	if library == nil {
		t.Skip("run make build: there is no shim to compute with")
	}
	e, err := engine.Open(t.Context(), config, append(options, engine.WithLibrary(library))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// logBuffer is what an engine logs, from whichever goroutine.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// inMemory is a configuration in which every decision can happen, and every
// outcome is stored.
func inMemory(workspace int) engine.Config {
	config := engine.DefaultConfig()
	config.Safety.WorkspaceDim = workspace
	config.Safety.SafeMode = false
	config.Safety.RequireHumanApproval = false
	config.Detector.OnOutlier = engine.OnOutlierFlag
	return config
}

// normal draws rows of N(0,1).
func normal(seed uint64, count, width int) []float32 {
	random := rand.New(rand.NewPCG(seed, 7))
	values := make([]float32, count*width)
	for i := range values {
		values[i] = float32(random.NormFloat64())
	}
	return values
}

// outcomes makes outcomes of rows, safe and unsafe in turn.
func outcomes(rows []float32, width int) []engine.Outcome {
	var all []engine.Outcome
	for i := 0; i*width < len(rows); i++ {
		all = append(all, engine.Outcome{Embedding: rows[i*width : (i+1)*width], IsSafe: i%2 == 0})
	}
	return all
}

func record(t testing.TB, e *engine.Engine, all []engine.Outcome) []engine.Receipt {
	t.Helper()
	receipts, err := e.Record(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	return receipts
}

func validate(t testing.TB, e *engine.Engine, b engine.Batch) []engine.Verdict {
	t.Helper()
	verdicts, err := e.Validate(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return verdicts
}
