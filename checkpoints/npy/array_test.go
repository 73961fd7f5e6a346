package npy

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// arrays has one array of every type and shape that can be written.
func arrays() []Entry {
	var all []Entry
	for _, d := range []DType{{Float, 2}, {Float, 4}, {Float, 8}, {Int, 1}, {Int, 2}, {Int, 4}, {Int, 8}, {Uint, 1}, {Uint, 2}, {Uint, 4}, {Uint, 8}, {Complex, 8}, {Complex, 16}} {
		for i, shape := range [][]int64{{}, {3}, {2, 3}, {0, 4}, {2, 1, 2}} {
			h := Header{DType: d, Shape: shape}
			data := make([]byte, h.DataBytes())
			for j := range data {
				data[j] = byte(j % 60)
			}
			all = append(all, Entry{Name: fmt.Sprintf("a.%c%d.%d", d.Kind, d.Size, i), Array: Array{h, data}})
		}
	}
	return append(all, Entry{Name: "bools", Array: Array{Header{DType{Bool, 1}, []int64{2}}, []byte{0, 1}}})
}

func pack(t *testing.T, entries []Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	s := NewSaver(&b)
	for _, e := range entries {
		if err := s.Add(e.Name, e.Header, func(w io.Writer) error { _, err := w.Write(e.Data); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sameArrays(t *testing.T, got, want []Entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d arrays, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Name != w.Name || g.DType != w.DType || fmt.Sprint(g.Shape) != fmt.Sprint(w.Shape) || !bytes.Equal(g.Data, w.Data) {
			t.Errorf("got %s %s%v %x, want %s %s%v %x", g.Name, g.DType, g.Shape, g.Data, w.Name, w.DType, w.Shape, w.Data)
		}
	}
}

func TestWholeArchive(t *testing.T) {
	data := pack(t, arrays())
	got, err := ReadArrays(data, 0)
	if err != nil {
		t.Fatal(err)
	}
	sameArrays(t, got, arrays())
	if !bytes.Equal(data, pack(t, arrays())) {
		t.Error("equal arrays gave other bytes")
	}
}

// TestNumPyAgrees has NumPy read the archive and write it again, plain and compressed, rows first and columns first.
func TestNumPyAgrees(t *testing.T) {
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("no Python with NumPy: run `make peers` and set FDQC_PEERS_PYTHON")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.npz"), pack(t, arrays()), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `
import numpy as np, sys
a = dict(np.load("a.npz", allow_pickle=False))
np.savez("plain.npz", **a)
np.savez_compressed("packed.npz", **a)
np.savez("columns.npz", **{k: np.asfortranarray(v) if v.ndim else v for k, v in a.items()})
np.savez("text.npz", t=np.array("schön"))
print(len(a), a["a.i2.1"].tolist(), a["a.f2.0"].dtype, a["bools"].tolist())
`
	c := exec.CommandContext(t.Context(), python, "-c", script)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if want := "66 [256, 770, 1284] float16 [False, True]\n"; err != nil || string(out) != want {
		t.Fatalf("NumPy says %q (%v), want %q", out, err, want)
	}
	for _, name := range []string{"plain", "packed", "columns"} {
		data, err := os.ReadFile(filepath.Join(dir, name+".npz"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadArrays(data, 1<<20)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sameArrays(t, got, arrays())
	}
	data, err := os.ReadFile(filepath.Join(dir, "text.npz"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadArrays(data, 0)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := got[0].Text(); text != "schön" || err != nil {
		t.Errorf("got %q (%v), want schön", text, err)
	}
	h, raw, err := NewText("schön")
	if err != nil || !reflect.DeepEqual(got[0].Data, raw) || h.DType != got[0].DType {
		t.Errorf("NewText: got %v %x (%v), want NumPy's %v %x", h, raw, err, got[0].Header, got[0].Data)
	}
}

// zipOf makes an archive by hand.
func zipOf(t *testing.T, entries map[string]string, method uint16) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range entries {
		e, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(e, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHostileArchives(t *testing.T) {
	good := pack(t, arrays()[:1])
	flipped := bytes.Clone(good)
	flipped[bytes.Index(flipped, []byte(" \n"))+2] ^= 1
	many := map[string]string{}
	for i := range 160_000 {
		many[fmt.Sprintf("%d.npy", i)] = ""
	}
	var twice bytes.Buffer
	w := zip.NewWriter(&twice)
	for range 2 {
		if _, err := w.Create("a.npy"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"flipped bit", flipped, zip.ErrChecksum},
		{"other entries", zipOf(t, map[string]string{"readme.txt": "hello"}, zip.Store), ErrUnsupported},
		{"no array", zipOf(t, map[string]string{"a.npy": "hello"}, zip.Store), io.ErrUnexpectedEOF},
		{"bomb", zipOf(t, map[string]string{"a.npy": strings.Repeat("\x00", 2<<20)}, zip.Deflate), ErrTooLarge},
		{"large directory", zipOf(t, many, zip.Store), ErrTooLarge},
		{"name twice", twice.Bytes(), ErrHeader},
		{"cut", good[:len(good)-30], zip.ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ReadArrays(c.data, 1<<20); !errors.Is(err, c.want) {
				t.Errorf("read: got %v, want %v", err, c.want)
			}
			if _, err := ListArrays(c.data, 1<<20); !errors.Is(err, c.want) {
				t.Errorf("list: got %v, want %v", err, c.want)
			}
		})
	}
}

// TestManyBombs limits what all entries inflate to, not only each, and takes the memory of one.
func TestManyBombs(t *testing.T) {
	h, err := Header{DType: DType{Uint, 1}, Shape: []int64{32 << 20}}.encode(DType.whole)
	if err != nil {
		t.Fatal(err)
	}
	bomb := string(h) + strings.Repeat("\x00", 32<<20)
	for count, good := range map[int]bool{1: true, 3: false} {
		entries := map[string]string{}
		for i := range count {
			entries[fmt.Sprintf("%d.npy", i)] = bomb
		}
		data := zipOf(t, entries, zip.Deflate)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := ListArrays(data, 48<<20)
		runtime.ReadMemStats(&after)
		if good != (err == nil) || !good && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d entries: got %d arrays (%v), want them listed: %t", count, len(got), err, good)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 48<<20 {
			t.Errorf("%d entries: %d bytes were allocated, want at most 48 MiB", count, took)
		}
	}
}

func TestSaverRefuses(t *testing.T) {
	s := NewSaver(io.Discard)
	one := func(w io.Writer) error { _, err := w.Write([]byte{1}); return err }
	h := Header{DType: DType{Uint, 1}, Shape: []int64{1}}
	if err := s.Add("a", h, one); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		h    Header
		want error
	}{
		{"a", h, ErrValue},
		{"b.npy", h, ErrValue},
		{"c", Header{DType: DType{Uint, 1}, Shape: []int64{2}}, ErrCount},
		{"d", Header{DType: DType{Float, 3}}, ErrUnsupported},
	} {
		if err := s.Add(c.name, c.h, one); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// FuzzReadArrays looks for panics; what is read must be written and read again alike.
func FuzzReadArrays(f *testing.F) {
	for _, name := range []string{"rows.npz", "rows_compressed.npz"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		got, err := ReadArrays(data, 1<<20)
		if err != nil {
			return
		}
		for _, e := range got {
			if strings.HasSuffix(e.Name, extension) {
				return
			}
		}
		again, err := ReadArrays(pack(t, got), 0)
		if err != nil {
			t.Fatal(err)
		}
		sameArrays(t, again, got)
	})
}
