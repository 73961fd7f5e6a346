package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

func TestInspect(t *testing.T) {
	testdata, err := filepath.Abs("../../../checkpoints")
	if err != nil {
		t.Fatal(err)
	}
	folder(t, map[string]string{
		"bad.safetensors": "\x02\x00\x00\x00\x00\x00\x00\x00[]",
		"bad.npz":         "PK\x03\x04",
	})
	for _, c := range []struct {
		path string
		code int
		want []string // in the output, or in the message
	}{
		{testdata + "/safetensors/testdata/types.safetensors", exitDone, []string{`metadata "format": "pt <&>"`, "a.float32: tensor F32 [2 3]", `"schöner \"name\"\n": tensor F32 [1]`}},
		{testdata + "/npy/testdata/rows.npz", exitDone, []string{"npz, 548 bytes", "embedding: tensor <f4 [2 3]"}},
		{testdata + "/npy/testdata/f4.npy", exitDone, []string{"npy", "tensor <f4"}},
		{testdata + "/testdata/checkpoints/projections.pt", exitDone, []string{"archive ", "version 3"}},
		{"bad.safetensors", exitVerify, []string{"bad.safetensors", "byte 8"}},
		{"bad.npz", exitVerify, []string{"bad.npz"}},
		{".", exitUsage, []string{"regular file"}},
		{"absent.npz", exitUsage, []string{"absent.npz"}},
	} {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			got := fdqc(t, "", "inspect", c.path)
			if got.code != c.code {
				t.Errorf("exit %d, want %d: %s", got.code, c.code, got.errors)
			}
			for _, want := range c.want {
				if !strings.Contains(got.out+got.errors, want) {
					t.Errorf("got %s%s, want %q in it", got.out, got.errors, want)
				}
			}
		})
	}
	got := fdqc(t, "", "inspect", "--json", testdata+"/npy/testdata/rows.npz")
	var listing struct{ Format string }
	if err := json.Unmarshal([]byte(got.out), &listing); err != nil || listing.Format != "npz" {
		t.Errorf("got %s (%v), want JSON of format npz", got.out, err)
	}
}

// TestInspectKeepsTheTerminal quotes names that hold control characters.
func TestInspectKeepsTheTerminal(t *testing.T) {
	header := `{"\u001b[2J":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`
	folder(t, map[string]string{"a.safetensors": string([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}) + header})
	got := fdqc(t, "", "inspect", "a.safetensors")
	if got.code != exitDone || strings.Contains(got.out, "\x1b") || !strings.Contains(got.out, `"\x1b[2J"`) {
		t.Errorf("exit %d, got %q, want the name quoted: %s", got.code, got.out, got.errors)
	}
}
