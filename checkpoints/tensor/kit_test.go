package tensor_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// TestMalformed reads every hostile file of the conformance kit and does as expect.json says, strictly and for listing.
func TestMalformed(t *testing.T) {
	folder := filepath.Join("..", "testdata", "pt", "malformed")
	var expect map[string]string
	text, err := os.ReadFile(filepath.Join(folder, "expect.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &expect); err != nil {
		t.Fatal(err)
	}
	if len(expect) < 40 {
		t.Fatalf("got %d expectations, want the whole kit", len(expect))
	}
	for name, want := range expect {
		for _, opaque := range []bool{false, true} {
			data, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			_, err = tensor.Load(data, tensor.Options{Opaque: opaque})
			switch {
			case want == "accept" && err != nil:
				t.Errorf("%s: got %v, want it read", name, err)
			case want == "refuse" && err == nil:
				t.Errorf("%s: got it read, want an error", name)
			}
			t.Logf("%-26s %-6s opaque %-5t %v", name, want, opaque, err)
		}
	}
}
