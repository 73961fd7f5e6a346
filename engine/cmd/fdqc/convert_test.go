package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConvert(t *testing.T) {
	testdata, err := filepath.Abs("../../../checkpoints/testdata")
	if err != nil {
		t.Fatal(err)
	}
	folder(t, map[string]string{"cut.pt": "PK\x03\x04", "cut.npz": "PK\x03\x04", "bad.safetensors": "\x02\x00\x00\x00\x00\x00\x00\x00[]"})
	projections := filepath.Join(testdata, "checkpoints", "projections.pt")
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"to safetensors", []string{projections, "a.safetensors"}, exitDone, "a.safetensors: "},
		{"and back", []string{"a.safetensors", "b.pt"}, exitDone, "tensors"},
		{"to npz", []string{"b.pt", "c.npz"}, exitDone, "tensors"},
		{"without metadata", []string{"--drop-metadata", "b.pt", "d.npz"}, exitDone, "tensors"},
		{"to pkl", []string{"c.npz", "e.pkl"}, exitDone, "tensors"},
		{"same file", []string{"b.pt", "./b.pt"}, exitUsage, "same file"},
		{"ending", []string{"b.pt", "b.txt"}, exitUsage, ".safetensors"},
		{"absent", []string{"absent.pt", "x.npz"}, exitUsage, "absent.pt"},
		{"one name", []string{"b.pt"}, exitUsage, "arg"},
		{"expand", []string{"--expand", "0", "b.pt", "x.npz"}, exitUsage, "--expand"},
		{"too small for the target", []string{filepath.Join(testdata, "pt", "torch-2.6.0", "dt_bfloat16.pt"), "x.npz"}, exitUsage, "bfloat16"},
		{"damaged pt", []string{"cut.pt", "x.npz"}, exitVerify, "cut.pt"},
		{"damaged npz", []string{"cut.npz", "x.pt"}, exitVerify, "cut.npz"},
		{"damaged safetensors", []string{"bad.safetensors", "x.pt"}, exitVerify, "byte 8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := fdqc(t, "", append([]string{"convert"}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.out+got.errors, c.want) {
				t.Errorf("exit %d, %s%s; want %d and %q", got.code, got.out, got.errors, c.code, c.want)
			}
		})
	}
	for _, name := range []string{"x.npz", "x.pt"} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is there after refused conversions", name)
		}
	}
}
