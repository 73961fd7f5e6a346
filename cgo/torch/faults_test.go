package torch

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// Rule 2: whatever is thrown inside a native function comes back as its
// error, and the library goes on working.
func TestEveryFunctionSurvivesWhatIsThrown(t *testing.T) {
	faults := os.Getenv("FDQC_FAULTS_LIB")
	if faults == "" {
		t.Skip("FDQC_FAULTS_LIB is not set: run `make build`")
	}
	// One shim a process: the build with faults has one of its own.
	if !inChild(t, nil, "FDQC_LIB="+faults, "FDQC_FAULT_DEVICE=none") {
		return
	}
	l := library(t)
	if !l.canFail() {
		t.Fatalf("%s: got a build without faults", faults)
	}
	ctx := context.Background()
	f := newFixture(t, l, 8, 10)
	b := f.batch(4)
	room := numbers(8, 1)
	// Handles for the *_free functions: the fault comes first, so the handle
	// stays open and the last Close frees it.
	weights := func() (*Weights, error) { return l.NewWeights(ctx, CPU, 8, riskTensors(8)) }
	projection := func() (*Projection, error) {
		return l.NewProjection(ctx, CPU, 8, 4, numbers(32, 1), numbers(8, 1))
	}
	patterns := func() (*Patterns, error) { return l.NewPatterns(ctx, CPU, 8) }
	states := func() (*States, error) { return l.NewStates(ctx, CPU, 8, room, room) }
	functions := []struct {
		name string
		call func() error
	}{
		{"runtime_configure", func() error { return l.setThreads(2) }},
		{"runtime_info", func() error { _, err := l.Info(); return err }},
		{"runtime_open_cuda", func() error { _, err := l.openCUDA(); return err }},
		{"live_handles", func() error { _, err := l.LiveHandles(); return err }},
		{"weights_new", func() error { return closing(weights()) }},
		{"weights_free", nil},
		{"projection_new", func() error { return closing(projection()) }},
		{"projection_free", nil},
		{"patterns_new", func() error { return closing(patterns()) }},
		{"patterns_put", func() error { return f.patterns.Put(ctx, Safe, []int64{0}, numbers(16, 1), []int64{7}) }},
		{"patterns_truncate", func() error { return f.patterns.Truncate(ctx, Safe, 5) }},
		{"patterns_free", nil},
		{"states_new", func() error { return closing(states()) }},
		{"states_read", func() error { return f.states.Read(ctx, 0, room, room) }},
		{"states_free", nil},
		{"project", func() error { return l.Project(ctx, b, make([]float32, 32), make([]uint32, 4)) }},
		{"validate", func() error { return l.Validate(ctx, b, make([]Verdict, 4)) }},
		{"fault_arm", func() error { return l.armFault(1) }},
		{"roofline_measure", func() error { _, err := l.Roofline(ctx, 1, time.Millisecond); return err }},
		{"device_info", func() error { _, err := l.DeviceInfo(0); return err }},
		{"detector_fit", func() error {
			_, _, err := l.DetectorFit(ctx, CPU, 8, numbers(24, 1), nil, make([]float64, 8), make([]float64, 64), make([]float64, 3), nil, nil)
			return err
		}},
		{"detector_distances", func() error {
			return l.DetectorDistances(ctx, CPU, 8, make([]float64, 8), make([]float64, 64), numbers(8, 1), make([]float64, 1))
		}},
		{"detector_nearest", func() error {
			return l.DetectorNearest(ctx, CPU, 8, numbers(8, 1), numbers(8, 2), make([]float64, 1))
		}},
		{"states_copy", func() error { return closing(f.states.CopyTo(ctx, CPU)) }},
	}
	// All but status_free, which has no status of its own.
	if got := len(functions) + 1; got != tableEntries {
		t.Fatalf("the table has %d functions, the test knows %d", tableEntries, got)
	}
	kinds := []struct {
		name, message string
		code          Code
	}{
		{"std::runtime_error", "injected std::runtime_error", Internal},
		{"std::bad_alloc", "out of memory", OutOfMemory},
		{"int", "not a std::exception", Internal},
		{"c10::Error", "injected c10::Error", Internal},
	}
	for _, function := range functions {
		for i, kind := range kinds {
			t.Run(function.name+"/"+kind.name, func(t *testing.T) {
				call := function.call
				if call == nil {
					h := map[string]func() (interface{ Close() error }, error){
						"weights_free":    func() (interface{ Close() error }, error) { return weights() },
						"projection_free": func() (interface{ Close() error }, error) { return projection() },
						"patterns_free":   func() (interface{ Close() error }, error) { return patterns() },
						"states_free":     func() (interface{ Close() error }, error) { return states() },
					}[function.name]
					made, err := h()
					if err != nil {
						t.Fatal(err)
					}
					call = made.Close
				}
				if err := l.armFault(i + 1); err != nil {
					t.Fatalf("arm: %v", err)
				}
				err := call()
				var e *Error
				if !errors.As(err, &e) || e.Op != function.name || e.Code != kind.code || !strings.Contains(e.Message, kind.message) {
					t.Errorf("got %v, want %s with code %d and %q", err, function.name, kind.code, kind.message)
				}
				switch err = call(); {
				case function.name == "runtime_open_cuda":
					if err != nil && !isUnavailable(err) {
						t.Errorf("without the fault: got %v, want success or no device", err)
					}
				case function.name == "fault_arm":
					if err != nil {
						t.Errorf("without the fault: got %v", err)
					}
					if err := l.armFault(1); err == nil {
						t.Error("an armed fault was lost")
					}
				case err != nil:
					t.Errorf("without the fault: got %v", err)
				}
			})
		}
	}
}

// closing closes what a constructor answered.
func closing[T interface{ Close() error }](made T, err error) error {
	if err != nil {
		return err
	}
	return made.Close()
}
