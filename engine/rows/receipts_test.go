package rows

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

func TestReceipts(t *testing.T) {
	path := writeFile(t, "receipts.jsonl", []byte(`{"id":"cut by a cra`))
	for range 2 {
		w, err := OpenReceipts(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Write([]Receipt{
			{ID: TextID("a"), Sequence: 12, Side: Unsafe, PatternID: 0, Result: "stored", Durable: true},
			{ID: IntID(3), Sequence: -1, PatternID: -1, Result: "error", Reason: "no \"room\""},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(nil), w.Close()); err != nil {
			t.Error(err)
		}
	}
	lines := `{"id":"a","sequence":12,"side":"unsafe","pattern_id":0,"result":"stored","durable":true,"reason":""}
{"id":3,"sequence":null,"side":null,"pattern_id":null,"result":"error","durable":false,"reason":"no \"room\""}
`
	if got, want := string(mustRead(t, path)), "{\"id\":\"cut by a cra\n"+lines+lines; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, name := range []string{"r.npz", "r.txt", ""} {
		if _, err := OpenReceipts(filepath.Join(t.TempDir(), name), nil); err == nil {
			t.Errorf("%q: got no error", name)
		}
	}
}

func TestPatterns(t *testing.T) {
	patterns := []Pattern{
		{PatternID: 4, Side: Safe, Sequence: 10, Timestamp: 11, Importance: 1.5, Vector: []float32{0.1, 0}},
		{PatternID: 5, Side: Unsafe, Sequence: 12, Timestamp: 13, Importance: 1, Vector: []float32{-1, 1e-10}},
	}
	export := func(name string, width int) (string, error) {
		path := filepath.Join(t.TempDir(), name)
		out, err := CreateOutput(path, nil, atomicFile)
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewPatternWriter(out, width, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(patterns); err != nil {
			return path, errors.Join(err, w.Abort())
		}
		return path, w.Commit()
	}
	path, err := export("p.jsonl", 2)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"pattern_id":4,"side":"safe","sequence":10,"timestamp":11,"importance":1.5,"vector":[0.1,0]}
{"pattern_id":5,"side":"unsafe","sequence":12,"timestamp":13,"importance":1,"vector":[-1,1e-10]}
`
	if got := string(mustRead(t, path)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if path, err = export("p.npz", 2); err != nil {
		t.Fatal(err)
	}
	data := mustRead(t, path)
	archive, err := npy.OpenArchive(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"pattern_id": []int64{4, 5}, "side": []string{"safe", "unsafe"}, "timestamp": []int64{11, 13}, "vector": []float32{0.1, 0, -1, 1e-10},
	} {
		if got := column(t, archive, name); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"w.jsonl", "w.npz"} {
		path, err := export(name, 3)
		if !errors.Is(err, ErrWidth) {
			t.Errorf("%s: got %v, want ErrWidth", name, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: it is there after Abort", name)
		}
	}
}
