package tensor_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

func readFixture(t testing.TB, parts ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{testdata}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestMalformed reads every hostile file of the fixtures and does as expect.json says, strictly and for listing, with
// little memory.
func TestMalformed(t *testing.T) {
	var expect map[string]string
	if err := json.Unmarshal(readFixture(t, "pt", "malformed", "expect.json"), &expect); err != nil {
		t.Fatal(err)
	}
	if len(expect) < 40 {
		t.Fatalf("got %d expectations, want at least 40", len(expect))
	}
	for name, want := range expect {
		for _, opaque := range []bool{false, true} {
			data := readFixture(t, "pt", "malformed", name)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := tensor.Load(data, tensor.Options{Opaque: opaque})
			runtime.ReadMemStats(&after)
			switch {
			case want == "accept" && err != nil:
				t.Errorf("%s: got %v, want it read", name, err)
			case want == "refuse" && err == nil:
				t.Errorf("%s: got it read, want an error", name)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
				t.Errorf("%s: reading took %d bytes, want at most 4 MiB", name, used)
			}
		}
	}
}

// TestOpaqueObjects lists what only Python could make, and refuses it otherwise.
func TestOpaqueObjects(t *testing.T) {
	for _, version := range []string{"1.13.0", "2.6.0", "2.14.1"} {
		data := readFixture(t, "pt", "torch-"+version, "module.pt")
		if _, err := tensor.Load(data, tensor.Options{}); err == nil || !strings.Contains(err.Error(), "not accepted") || !strings.Contains(err.Error(), "Sequential") {
			t.Errorf("%s: got %v, want its class refused by name", version, err)
		}
		if _, err := tensor.Load(data, tensor.Options{Opaque: true}); err != nil {
			t.Errorf("%s: got %v, want it listed", version, err)
		}
	}
}

// TestPlainPickles lists pickles with tensors inside, of all protocols.
func TestPlainPickles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testdata, "pt", "pickle", "*.pkl"))
	if err != nil || len(files) < 15 {
		t.Fatalf("got %d files (%v), want at least 15", len(files), err)
	}
	files = append(files, filepath.Join(testdata, "checkpoints", "vector_memory_20241024_120000.pkl"))
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tensor.Load(data, tensor.Options{Opaque: true}); err != nil {
			t.Errorf("%s: got %v, want it read", path, err)
		}
	}
}

// smallFiles are the files that the damage tests work on: one of each format.
func smallFiles(t testing.TB) map[string][]byte {
	var written bytes.Buffer
	root := pickle.NewDict(
		"weight", tensor.FromFloat32s([]float32{1, 2, 3, 4, 5, 6}, 2, 3),
		"steps", tensor.FromInt64s([]int64{7, 8}, 2),
		"note", pickle.Str("ok"))
	if err := tensor.Save(&written, "small", root); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"zip":    written.Bytes(),
		"views":  readFixture(t, "pt", "torch-2.14.1", "views.pt"),
		"legacy": legacyFile(t),
		"plain":  readFixture(t, "pt", "pickle", "vm_2.6.0.pkl"),
	}
}

// legacyFile cuts the storage out of a pickled memory entry: a whole file of the old format, 250 bytes long.
func legacyFile(t testing.TB) []byte {
	data := readFixture(t, "pt", "pickle", "vm_2.6.0.pkl")
	magic := []byte{0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46}
	at := bytes.Index(data, magic)
	if at < 2 {
		t.Fatal("no file of the old format in the fixture")
	}
	length := int(data[at-1])
	if data[at-2] != 'C' { // SHORT_BINBYTES; else BINBYTES with four bytes of length
		length = int(data[at-4]) | int(data[at-3])<<8
	}
	return data[at : at+length]
}

// TestTruncated cuts each file at every length: an error each time, never a panic.
func TestTruncated(t *testing.T) {
	for name, data := range smallFiles(t) {
		if _, err := tensor.Load(data, tensor.Options{Opaque: true}); err != nil {
			t.Fatalf("%s: whole file: %v", name, err)
		}
		for n := range data {
			if _, err := tensor.Load(data[:n], tensor.Options{Opaque: true}); err == nil {
				t.Errorf("%s cut at %d of %d bytes: got it read, want an error", name, n, len(data))
			}
		}
	}
}

// TestFlipped changes every byte of each file in three ways. A zip file that is still read must hold the same values: its
// checksums cover all that matters.
func TestFlipped(t *testing.T) {
	for name, original := range smallFiles(t) {
		file, err := tensor.Load(original, tensor.Options{Opaque: true})
		if err != nil {
			t.Fatal(err)
		}
		want := make(map[string]fact)
		collect("", file.Root, want)
		data := bytes.Clone(original)
		accepted := 0
		for i := range data {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				data[i] ^= flip
				file, err := tensor.Load(data, tensor.Options{Opaque: true})
				if err == nil {
					accepted++
					got := make(map[string]fact)
					collect("", file.Root, got)
					if file.Format == tensor.Zip && !sameFacts(got, want) {
						t.Errorf("%s, byte %d flipped by %#x: read with other values", name, i, flip)
					}
				}
				data[i] ^= flip
			}
		}
		t.Logf("%s: %d of %d flips are harmless", name, accepted, 3*len(data))
	}
}

func sameFacts(a, b map[string]fact) bool {
	if len(a) != len(b) {
		return false
	}
	for path, f := range a {
		if f.String() != b[path].String() {
			return false
		}
	}
	return true
}
