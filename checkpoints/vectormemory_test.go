package checkpoints

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

const pythonMemory = "testdata/checkpoints/vector_memory_20241024_120000.pkl"

func TestReadVectorMemory(t *testing.T) {
	m, err := ReadVectorMemory(pythonMemory)
	if err != nil {
		t.Fatal(err)
	}
	if m.Module != "vector_memory" || len(m.Entries) != 3 || m.Rest.Len() != 4 {
		t.Fatalf("got %d entries of %s and %d other keys, want 3 of vector_memory and 4", len(m.Entries), m.Module, m.Rest.Len())
	}
	e := m.Entries[2]
	topic, _ := e.Metadata.Get("topic")
	if e.ID != "92d46e6dd8723b61" || e.Content != "Deep learning models require large datasets." || e.Compressed != (pickle.Value(pickle.Str("Deep"))) || topic != (pickle.Value(pickle.Str("AI"))) ||
		e.SourceFile != (pickle.Value(pickle.Path{Class: "PosixPath", Text: "data/doc2.txt"})) || e.Timestamp != (pickle.Value(pickle.Int(0))) || e.Embedding.Shape[0] != 768 {
		t.Errorf("got %+v", e)
	}
}

func memoryBytes(t *testing.T, m *VectorMemory) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteVectorMemory(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestVectorMemoryAgain writes what was read, and what it writes of that is the same file.
func TestVectorMemoryAgain(t *testing.T) {
	files, err := filepath.Glob("testdata/pt/pickle/vm_*.pkl")
	if err != nil || len(files) < 15 {
		t.Fatalf("got %d files (%v), want at least 15", len(files), err)
	}
	for _, path := range append(files, pythonMemory) {
		m, err := ReadVectorMemory(path)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		first := memoryBytes(t, m)
		again, err := ParseVectorMemory("again", first)
		if err != nil || len(again.Entries) != len(m.Entries) || again.Rest.Len() != m.Rest.Len() {
			t.Errorf("%s: written and read again: got %+v (%v)", path, again, err)
			continue
		}
		if !bytes.Equal(first, memoryBytes(t, again)) {
			t.Errorf("%s: written again, the file differs", path)
		}
	}
}

func TestVectorMemoryRefused(t *testing.T) {
	good := func() *pickle.Dict {
		return pickle.NewDict("id", pickle.Str("a"), "content", pickle.Str("text"), "embedding", tensor.FromFloat32s([]float32{1, 2}, 2),
			"metadata", &pickle.Dict{}, "timestamp", pickle.Float(1))
	}
	without := func(key string) *pickle.Dict {
		d := &pickle.Dict{}
		for _, e := range good().Entries() {
			if e.Key != (pickle.Value(pickle.Str(key))) {
				_ = d.Add(e.Key, e.Value)
			}
		}
		return d
	}
	instead := func(key string, v pickle.Value) *pickle.Dict {
		d := without(key)
		_ = d.Add(pickle.Str(key), v)
		return d
	}
	class := pickle.Global{Module: "vector_memory", Name: "MemoryEntry"}
	of := func(fields *pickle.Dict) pickle.Value {
		return pickle.NewDict("entries", pickle.NewDict("a", &pickle.Record{Class: class, Fields: fields}))
	}
	for _, c := range []struct {
		name string
		root pickle.Value
		want string
	}{
		{"good", of(good()), ""},
		{"a field of another version", of(instead("importance", pickle.Float(1))), ""},
		{"in a package", pickle.NewDict("entries", pickle.NewDict("a", &pickle.Record{Class: pickle.Global{Module: "app.core.vector_memory", Name: "MemoryEntry"}, Fields: good()})), ""},
		{"run as a script", pickle.NewDict("entries", pickle.NewDict("a", &pickle.Record{Class: pickle.Global{Module: "__main__", Name: "MemoryEntry"}, Fields: good()})), ""},
		{"a list", &pickle.List{}, "expected a dict"},
		{"no entries", &pickle.Dict{}, "expected a dict of entries"},
		{"entries in a list", pickle.NewDict("entries", &pickle.List{}), "expected a dict of entries"},
		{"an entry of text", pickle.NewDict("entries", pickle.NewDict("a", pickle.Str("x"))), "expected a MemoryEntry"},
		{"no fields", pickle.NewDict("entries", pickle.NewDict("a", &pickle.Record{Class: class})), "expected a MemoryEntry"},
		{"another class", pickle.NewDict("entries", pickle.NewDict("a", &pickle.Record{Class: pickle.Global{Module: "os", Name: "system"}, Fields: good()})), "not accepted"},
		{"a module that looks alike", pickle.NewDict("entries", pickle.NewDict("a", &pickle.Record{Class: pickle.Global{Module: "my_vector_memory", Name: "MemoryEntry"}, Fields: good()})), "not accepted"},
		{"no content", of(without("content")), `key "entries.a.content": missing`},
		{"other id", of(instead("id", pickle.Str("b"))), "filed under"},
		{"content of bytes", of(instead("content", pickle.Bytes("x"))), "expected a string"},
		{"embedding of text", of(instead("embedding", pickle.Str("x"))), "one dimension"},
		{"embedding of two dimensions", of(instead("embedding", tensor.FromFloat32s([]float32{1, 2}, 1, 2))), "one dimension"},
		{"metadata of text", of(instead("metadata", pickle.Str("x"))), "expected a dict"},
		{"time of text", of(instead("timestamp", pickle.Str("x"))), "expected seconds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := tensor.Dump(&b, c.root); err != nil {
				t.Fatal(err)
			}
			_, err := ParseVectorMemory("m.pkl", b.Bytes())
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want it read", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "m.pkl") || !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestPythonReadsVectorMemory has Python compare what is written here with the files it was read from, and writes its
// own files in every protocol for us to read.
func TestPythonReadsVectorMemory(t *testing.T) {
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("no Python with PyTorch: run `make peers` and set FDQC_PEERS_PYTHON")
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), python, append([]string{"testdata/peer_memory.py"}, args...)...).CombinedOutput(); err != nil {
			t.Errorf("peer_memory.py %v: %v\n%s", args, err, out)
		}
	}
	for _, fixture := range []string{pythonMemory, "testdata/pt/pickle/vm_2.14.1.pkl", "testdata/pt/pickle/vm_2.6.0_p2.pkl"} {
		m, err := ReadVectorMemory(fixture)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		written := filepath.Join(dir, "written.pkl")
		want := memoryBytes(t, m)
		if err := os.WriteFile(written, want, 0o600); err != nil {
			t.Fatal(err)
		}
		run("check", fixture, written)
		run("rewrite", written, dir)
		for protocol := range 6 {
			again, err := ReadVectorMemory(filepath.Join(dir, fmt.Sprintf("p%d.pkl", protocol)))
			if err != nil {
				t.Errorf("%s in protocol %d: %v", fixture, protocol, err)
				continue
			}
			if !bytes.Equal(memoryBytes(t, again), want) {
				t.Errorf("%s: from Go to Python and back in protocol %d, the memory differs", fixture, protocol)
			}
		}
	}
}
