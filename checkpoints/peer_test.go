package checkpoints

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPyTorchReadsState has PyTorch compare what is written here with the Python system's files it was read from.
func TestPyTorchReadsState(t *testing.T) {
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("no Python with PyTorch: run `make peers` and set FDQC_PEERS_PYTHON")
	}
	dir := t.TempDir()
	for _, c := range []struct {
		name, fixture string
		rewrite       func(fixture string) (string, error)
		extra         []string
	}{
		{"patterns", pythonPatterns, func(fixture string) (string, error) {
			p, err := ReadPatterns(fixture)
			if err != nil {
				return "", err
			}
			return SavePatterns(dir, p, noon())
		}, []string{"safe_timestamps_int64", "unsafe_timestamps_int64", "safe_pattern_ids", "unsafe_pattern_ids", keyCounter, keyNextID, keySequence, keyEvictions}},
		{"state", "testdata/checkpoints/validator_state_torch1.13.0.pt", func(fixture string) (string, error) {
			s, err := ReadValidatorState(fixture)
			if err != nil {
				return "", err
			}
			path := filepath.Join(dir, "validator_state.pt")
			return path, SaveValidatorState(path, s)
		}, nil},
		{"projections", "testdata/checkpoints/projections.pt", func(fixture string) (string, error) {
			p, err := ReadProjections(fixture)
			if err != nil {
				return "", err
			}
			path := filepath.Join(dir, "projections.pt")
			return path, SaveProjections(path, p)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, err := c.rewrite(c.fixture)
			if err != nil {
				t.Fatal(err)
			}
			args := append([]string{"testdata/peer_state.py", c.fixture, path}, c.extra...)
			if out, err := exec.CommandContext(t.Context(), python, args...).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
