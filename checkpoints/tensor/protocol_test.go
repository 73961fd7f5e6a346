package tensor_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// TestPythonProtocols reads values of plain Python and a tensor in all six protocols of its own pickler: they are the
// same, and Python finds in what Dump writes of them what it wrote.
func TestPythonProtocols(t *testing.T) {
	folder := t.TempDir()
	memory := func(args ...string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), peersPython(t), append([]string{filepath.Join(testdata, "peer_memory.py")}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("peer_memory.py %v: %v\n%s", args, err, out)
		}
	}
	memory("values", folder)
	var want map[string]fact
	for _, protocol := range []int{4, 0, 1, 2, 3, 5} {
		path := filepath.Join(folder, fmt.Sprintf("p%d.pkl", protocol))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := tensor.Load(data, tensor.Options{})
		if err != nil {
			t.Errorf("protocol %d: %v", protocol, err)
			continue
		}
		got := make(map[string]fact)
		collect("", file.Root, got)
		if want == nil {
			want = got
		}
		for name, w := range want {
			if g := got[name]; g.String() != w.String() {
				t.Errorf("protocol %d, %s: got %v, want %v", protocol, name, g, w)
			}
		}
		var out bytes.Buffer
		if err := tensor.Dump(&out, file.Root); err != nil {
			t.Fatal(err)
		}
		written := filepath.Join(folder, "written.pkl")
		if err := os.WriteFile(written, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if protocol == 0 || protocol == 5 {
			memory("check", path, written)
		}
	}
	if len(want) < 5000 {
		t.Errorf("got %d values, want at least 5,000", len(want))
	}
}
