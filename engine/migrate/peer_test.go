package migrate

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPyTorchReadsMigrated has PyTorch compare a data directory with the
// installation that it was made of.
func TestPyTorchReadsMigrated(t *testing.T) {
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("no Python with PyTorch: run `make peers` and set FDQC_PEERS_PYTHON")
	}
	from, to := installation(t, map[string]string{
		"patterns_20241024_120000.pt": "@checkpoints/" + kitPatterns,
		"validator_state.pt":          "@checkpoints/" + kitValidator, "projections.pt": "@checkpoints/projections.pt",
	}), filepath.Join(t.TempDir(), "data")
	if _, err := Run(t.Context(), Options{From: from, To: to, Config: configuration(t)}); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), python, "testdata/peer.py", from, to).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
