package bench

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
)

// TestMissingPeerIsNamed runs with no Python and with one that is none.
func TestMissingPeerIsNamed(t *testing.T) {
	for _, c := range []struct{ name, python, want string }{
		{"not named", "", "FDQC_PEERS_PYTHON"},
		{"not there", "/nonexistent/python", "no such file"},
		{"no PyTorch", "/bin/false", "the peer ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			targets, missing, err := openTargets(t.Context(), &Options{Device: "cpu", Python: c.python})
			if err != nil {
				t.Fatal(err)
			}
			if len(targets) != 1 || len(missing) != 1 || !strings.Contains(missing[0], c.want) {
				t.Errorf("got %d targets, missing %q, want the engine alone and a reason with %q", len(targets), missing, c.want)
			}
		})
	}
}

// TestEngineAndPeerAnswerAlike is what makes the figures comparable.
func TestEngineAndPeerAnswerAlike(t *testing.T) {
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("no Python with PyTorch is named (FDQC_PEERS_PYTHON); run make peers")
	}
	report, err := Run(t.Context(), Options{
		Shapes:     []Shape{{8, 8}, {40, 8}, {384, 384}},
		BatchSizes: []int{1, 256}, Patterns: 50, Threads: 1, Rounds: 1, PerTurn: time.Millisecond, Python: python,
	})
	var unavailable *torch.UnavailableError
	if errors.As(err, &unavailable) {
		t.Skipf("%v; run make build", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Missing) != 0 || len(report.Targets) != 2 {
		t.Fatalf("got targets %q, missing %q, want the engine and PyTorch", report.Targets, report.Missing)
	}
	for _, r := range report.Results {
		if r.RiskDifference > Tolerance {
			t.Errorf("d=%d n=%d: risks differ by %v, want at most %v", r.Width, r.Workspace, r.RiskDifference, Tolerance)
		}
		for _, f := range r.Figures {
			if f.RowsPerSecond <= 0 || f.Batches < 3 {
				t.Errorf("d=%d n=%d B=%d: got %+v, want a measurement", r.Width, r.Workspace, r.BatchSize, f)
			}
		}
	}
}
