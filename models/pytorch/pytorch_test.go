// Package pytorch holds no Go: validate.py shows the engine's operators in
// PyTorch, and the tests here run it.
package pytorch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const state = "../../checkpoints/testdata/checkpoints/validator_state_torch1.13.0.pt"

// python runs a program of this folder in the peers' Python.
func python(t *testing.T, arguments ...string) string {
	t.Helper()
	program := os.Getenv("FDQC_PEERS_PYTHON")
	if program == "" {
		t.Skip("no Python with PyTorch: run `make peers` and set FDQC_PEERS_PYTHON")
	}
	command := exec.CommandContext(t.Context(), program, arguments...)
	// Tests find the example, and leave the clone as it was.
	command.Env = append(os.Environ(), "PYTHONPATH=.", "PYTHONDONTWRITEBYTECODE=1")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

func library(t *testing.T) string {
	t.Helper()
	path := os.Getenv("FDQC_LIB")
	if path == "" {
		t.Skip("no shim: run make build and set FDQC_LIB")
	}
	return path
}

// TestOperators compares the operators in PyTorch with the specification and
// with each other.
func TestOperators(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute of Python, which the race detector does not see")
	}
	python(t, "testdata/check.py", library(t))
}

// TestExample judges a Python system's checkpoint as the example does.
func TestExample(t *testing.T) {
	out := python(t, "validate.py", "--library", library(t), state)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	// Three rows beside safe patterns, three beside unsafe ones, three beside none.
	if len(lines) != 9 {
		t.Fatalf("got\n%swant a line for each of 9 rows", out)
	}
	for i, want := range []string{"approved", "requires_approval", "low_coherence"} {
		for _, line := range lines[3*i : 3*i+3] {
			if !strings.Contains(line, want) || strings.Contains(line, "allow") {
				t.Errorf("got %q, want %s and never allow", line, want)
			}
		}
	}
}

// TestExampleProjects judges rows of another width, from a file.
func TestExampleProjects(t *testing.T) {
	rows := filepath.Join(t.TempDir(), "rows.npy")
	python(t, "-c", "import numpy, sys; numpy.save(sys.argv[1], numpy.ones((2, 384), numpy.float32))", rows)
	out := python(t, "validate.py", "--library", library(t), "--rows", rows,
		"--projections", filepath.Join(filepath.Dir(state), "projections.pt"), state)
	if strings.Count(out, "risk_score") != 2 {
		t.Errorf("got\n%swant two verdicts", out)
	}
}
