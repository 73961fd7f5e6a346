package rows

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

// npyHeader is a file of any dictionary.
func npyHeader(dictionary string, data ...byte) []byte {
	return append([]byte("\x93NUMPY\x01\x00"+string(rune(len(dictionary)))+"\x00"+dictionary), data...)
}

func TestOpenRefuses(t *testing.T) {
	good := arrayBytes(t, []int64{2, 3}, 1, 2, 3, 4, 5, 6)
	dictionary := func(descr, shape string) string {
		return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + "}"
	}
	cases := []struct {
		name, file string
		data       []byte // nil: not made
		options    Options
		want       error
		says       string
	}{
		{"missing", "none.jsonl", nil, Options{}, fs.ErrNotExist, "none.jsonl"},
		{"directory", "", nil, Options{}, nil, "it is a directory"},
		{"empty .jsonl", "a.jsonl", []byte{}, Options{}, ErrNoRows, "holds no rows"},
		{"empty .npy", "a.npy", []byte{}, Options{}, ErrNoRows, "holds no rows"},
		{"empty .npz", "a.npz", []byte{}, Options{}, ErrNoRows, "holds no rows"},
		{"empty .parquet", "a.parquet", []byte{}, Options{}, ErrNoRows, "holds no rows"},
		{"short .parquet", "a.parquet", []byte("PAR1"), Options{}, ErrTruncated, "4 bytes"},
		{"no Parquet", "a.parquet", []byte("1,2,3,4,5,6,7\n"), Options{}, ErrDamaged, "expected \"PAR1\""},
		{"long footer", "a.parquet", []byte("PAR1\xff\xff\xff\x7fPAR1"), Options{}, ErrTooLong, "2147483647 bytes"},
		{"footer beyond the file", "a.parquet", []byte("PAR1\xff\x00\x00\x00PAR1"), Options{}, ErrDamaged, "metadata"},
		{"replay of .parquet", "a.parquet", []byte("PAR1"), Options{Kind: Replay}, ErrFormat, "replay"},
		{"labels beside .parquet", "a.parquet", []byte("PAR1"), Options{Labels: "b.jsonl"}, nil, ".npy input only"},
		{"unknown extension", "a.csv", []byte("1,2"), Options{}, ErrFormat, `".csv", expected .jsonl, .npy, .npz or .parquet`},
		{"no extension", "rows", []byte("1,2"), Options{}, ErrFormat, "expected .jsonl, .npy, .npz or .parquet"},
		{"no npy", "a.npy", []byte("{\"embedding\":[1,2]}"), Options{}, npy.ErrHeader, "NUMPY"},
		{"cut header", "a.npy", good[:50], Options{}, io.ErrUnexpectedEOF, "expected 128 bytes, got 50"},
		{"cut data", "a.npy", good[:128], Options{}, nil, ""}, // replaced below: cut so far that the sizes tell
		{"big-endian", "a.npy", npyHeader(dictionary(">f4", "(2, 3)")), Options{}, npy.ErrUnsupported, "big-endian float32"},
		{"float16", "a.npy", npyHeader(dictionary("<f2", "(2, 3)")), Options{}, npy.ErrUnsupported, "float16"},
		{"integers", "a.npy", npyHeader(dictionary("<i8", "(2, 3)")), Options{}, ErrType, "expected '<f4' or '<f8'"},
		{"vector", "a.npy", npyHeader(dictionary("<f4", "(6,)")), Options{}, ErrWidth, "expected [rows, width]"},
		{"cube", "a.npy", npyHeader(dictionary("<f4", "(2, 2, 2)")), Options{}, ErrWidth, "expected [rows, width]"},
		{"no rows", "a.npy", npyHeader(dictionary("<f4", "(0, 3)")), Options{}, ErrNoRows, "holds no rows"},
		{"width 0", "a.npy", npyHeader(dictionary("<f4", "(0, 0)")), Options{}, ErrNoRows, ""},
		{"too wide", "a.npy", npyHeader(dictionary("<f4", "(1, 4097)")), Options{}, ErrWidth, "4097 elements"},
		{"record without labels", "a.npy", good, Options{Kind: Record}, ErrMissing, "--labels"},
		{"labels beside .jsonl", "a.jsonl", []byte("{}"), Options{Labels: "b.jsonl"}, nil, ".npy input only"},
		{"labels missing", "a.npy", good, Options{Labels: "none.jsonl"}, fs.ErrNotExist, "open labels"},
		{"labels of another kind", "a.npy", good, Options{Labels: "none.csv"}, ErrFormat, "expected .jsonl"},
		{"replay of .npy", "a.npy", good, Options{Kind: Replay}, ErrFormat, "replay"},
		{"no zip", "a.npz", []byte("PK\x03\x04"), Options{}, nil, "zip"},
		{"standard input not given", "-", nil, Options{}, nil, "standard input"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			switch {
			case c.file == "-":
				path = "-"
			case c.data != nil:
				path = writeFile(t, c.file, c.data)
			}
			if c.name == "cut data" {
				path = writeFile(t, c.file, arrayBytes(t, []int64{200, 3}, make([]float32, 600)...)[:300])
				c.want, c.says = ErrTruncated, "expected 2400 bytes of rows"
			}
			r, err := Open(path, c.options)
			if err == nil {
				r.Close()
				t.Fatalf("got no error, want one saying %q", c.says)
			}
			if (c.want != nil && !errors.Is(err, c.want)) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v saying %q", err, c.want, c.says)
			}
			if c.file != "-" && c.options.Labels == "" && !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want it to name %s", err, path)
			}
		})
	}
}

func TestBlankInputHoldsNoRows(t *testing.T) {
	for _, text := range []string{"", "\n \n\r\n"} {
		if _, _, err := readText(t, text, Validate); !errors.Is(err, ErrNoRows) {
			t.Errorf("%q: got %v, want ErrNoRows", text, err)
		}
	}
}

func open1(t *testing.T, path string, o Options) ([]Row, []*RowError, error) {
	t.Helper()
	r, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rows, refused, err := read(t, r)
	if err == nil && r.Done() != r.Size() {
		t.Errorf("%s: got %d done of %d, want all", path, r.Done(), r.Size())
	}
	return rows, refused, err
}

func TestArrays(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	data := arrayBytes(t, []int64{4, 2}, 1, 2, nan, 1, 3, inf, 5, 6)
	rows, refused, err := open1(t, writeFile(t, "a.npy", data), Options{})
	if err != nil || len(rows) != 2 || rows[0].ID != IntID(0) || rows[1].ID != IntID(3) || !reflect.DeepEqual(rows[1].Embedding, []float32{5, 6}) {
		t.Errorf("got %v, %v, want rows 0 and 3", rows, err)
	}
	if len(refused) != 2 || refused[0].Number != 1 || refused[1].Number != 2 || !errors.Is(refused[0], ErrRange) ||
		!strings.Contains(refused[0].Error(), "row 1, field embedding: element 0: out of range: NaN") {
		t.Errorf("refused: got %v, want rows 1 and 2", refused)
	}
	t.Run("cut at every length", func(t *testing.T) {
		for n := 1; n < len(data); n++ {
			r, err := Open(writeFile(t, "a.npy", data[:n]), Options{})
			if err == nil {
				_, _, err = read(t, r)
				r.Close()
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "bytes") {
				t.Fatalf("cut at %d: got %v, want an error that names bytes", n, err)
			}
		}
	})
	t.Run("bytes after the end", func(t *testing.T) {
		if _, _, err := open1(t, writeFile(t, "a.npy", append(data, 1)), Options{}); !errors.Is(err, npy.ErrTrailing) {
			t.Errorf("got %v, want ErrTrailing", err)
		}
	})
}

func TestLabels(t *testing.T) {
	array := writeFile(t, "a.npy", arrayBytes(t, []int64{3, 2}, 1, 2, 3, 4, 5, 6))
	lines := []string{
		`{"id":"x","action":"ls","label":"safe","session":"s","part":"learn"}`,
		`{"is_safe":false,"importance":3,"embedding":"another field here"}`,
		`{"id":9,"label":"risky","is_safe":false,"basic_checks":false}`,
	}
	t.Run("joined", func(t *testing.T) {
		labels := writeFile(t, "l.jsonl", []byte(strings.Join(lines, "\n\n")))
		rows, refused, err := open1(t, array, Options{Kind: Record, Labels: labels})
		if err != nil || len(refused) > 0 || len(rows) != 3 {
			t.Fatal(rows, refused, err)
		}
		want := Row{Number: 0, Op: OpRecord, ID: TextID("x"), Embedding: []float32{1, 2}, Action: "ls", HasAction: true, Session: "s", BasicChecks: true, IsSafe: true, HasOutcome: true}
		if !reflect.DeepEqual(rows[0], want) {
			t.Errorf("got %+v, want %+v", rows[0], want)
		}
		if rows[1].ID != IntID(1) || rows[1].Importance != 3 || rows[1].IsSafe || rows[2].ID != IntID(9) || rows[2].BasicChecks || rows[2].Op != OpRecord {
			t.Errorf("got %+v", rows[1:])
		}
	})
	for name, text := range map[string]string{"too few": lines[0] + "\n" + lines[1] + "\n", "too many": strings.Join(append(lines, lines...), "\n")} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(array, Options{Labels: writeFile(t, "l.jsonl", []byte(text))})
			got := map[string]string{"too few": "2 lines, expected 3", "too many": "6 lines, expected 3"}[name]
			if !errors.Is(err, ErrDisagreeCount) || !strings.Contains(err.Error(), got) {
				t.Errorf("got %v, want %q", err, got)
			}
		})
	}
	t.Run("bad line", func(t *testing.T) {
		labels := writeFile(t, "l.jsonl", []byte(lines[0]+"\n{\"label\":1}\n"+lines[2]))
		rows, refused, err := open1(t, array, Options{Kind: Record, Labels: labels})
		if err != nil || len(rows) != 2 || rows[1].ID != IntID(9) || len(refused) != 1 || refused[0].File != labels || refused[0].Number != 2 {
			t.Errorf("got %v, %v, %v, want line 2 of the labels refused", rows, refused, err)
		}
	})
	t.Run("no outcome", func(t *testing.T) {
		labels := writeFile(t, "l.jsonl", []byte("{}\n{\"id\":1}\n"+lines[2]))
		_, refused, err := open1(t, array, Options{Kind: Record, Labels: labels})
		if err != nil || len(refused) != 2 || !errors.Is(refused[0], ErrMissing) || refused[0].File != array {
			t.Errorf("got %v, %v, want rows 0 and 1 refused", refused, err)
		}
	})
}

func TestArchives(t *testing.T) {
	embedding := [][]float32{{1, 2}, {3, 4}, {5, float32(math.NaN())}, {7, 8}}
	path := archiveFile(t, map[string]any{
		"embedding": embedding, "id": []string{"a", "b", "c", "d"}, "label": []string{"safe", "risky", "safe", ""},
		"session": []string{"s", "", "", ""}, "is_safe": []bool{true, true, true, false}, "basic_checks": []bool{true, true, true, false},
		"importance": []float32{0, 1, 2, 3}, "action": []string{"", "", "", "rm"}, "other": []int64{1},
	})
	rows, refused, err := open1(t, path, Options{Kind: Record})
	if err != nil || len(rows) != 2 || len(refused) != 2 {
		t.Fatalf("got %v, %v, %v, want two rows and two refusals", rows, refused, err)
	}
	want := Row{Number: 3, Op: OpRecord, ID: TextID("d"), Embedding: []float32{7, 8}, Action: "rm", HasAction: true, Importance: 3, HasImportance: true, HasOutcome: true}
	if !reflect.DeepEqual(rows[1], want) || rows[0].Session != "s" || !rows[0].IsSafe {
		t.Errorf("got %+v, want %+v", rows, want)
	}
	if !errors.Is(refused[0], ErrDisagree) || refused[0].Number != 1 || !errors.Is(refused[1], ErrRange) || refused[1].Number != 2 {
		t.Errorf("got %v, want row 1 disagreeing and row 2 not finite", refused)
	}
	t.Run("ids are row numbers", func(t *testing.T) {
		rows, _, err := open1(t, archiveFile(t, map[string]any{"embedding": embedding[:2]}), Options{})
		if err != nil || len(rows) != 2 || rows[1].ID != IntID(1) {
			t.Errorf("got %v, %v", rows, err)
		}
	})
	bad := []struct {
		name   string
		arrays map[string]any
		want   error
		says   string
	}{
		{"no embedding", map[string]any{"id": []int64{1}}, nil, "embedding"},
		{"another count", map[string]any{"embedding": embedding, "id": []int64{1}}, ErrDisagreeCount, "[1], expected [4]"},
		{"label of numbers", map[string]any{"embedding": embedding, "label": []int64{1, 0, 1, 0}}, ErrType, "<i8, expected '<U"},
		{"id of floats", map[string]any{"embedding": embedding, "id": []float32{1, 0, 1, 0}}, ErrType, "<f4, expected '<i8'"},
		{"no outcome", map[string]any{"embedding": embedding}, ErrMissing, "is_safe and label"},
		{"vector", map[string]any{"embedding": []float32{1}}, ErrWidth, "[rows, width]"},
	}
	for _, c := range bad {
		t.Run(c.name, func(t *testing.T) {
			r, err := Open(archiveFile(t, c.arrays), Options{Kind: Record})
			if err == nil {
				r.Close()
			}
			if err == nil || (c.want != nil && !errors.Is(err, c.want)) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v saying %q", err, c.want, c.says)
			}
		})
	}
	t.Run("damaged column", func(t *testing.T) {
		data := bytes.Clone(mustRead(t, path))
		at := bytes.Index(data, []byte("r\x00\x00\x00i\x00\x00\x00s\x00\x00\x00k"))
		data[at] ^= 2
		if _, _, err := open1(t, writeFile(t, "b.npz", data), Options{Kind: Record}); err == nil || !strings.Contains(err.Error(), "label: read npy data: zip: checksum error") {
			t.Errorf("got %v, want the checksum of label", err)
		}
	})
}

// TestArrayThatShrinks: a .npy that is cut while it is read gives the rows before the cut and an error that says so.
func TestArrayThatShrinks(t *testing.T) {
	const rows, width = 100_000, 8
	path := writeFile(t, "a.npy", arrayBytes(t, []int64{rows, width}, make([]float32, rows*width)...))
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Append(new(RowBatch), 1000); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 128+4*width*50_000+1); err != nil {
		t.Fatal(err)
	}
	got, _, err := read(t, r)
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 49_000 {
		t.Errorf("got %d more rows, %v, want 49,000 and io.ErrUnexpectedEOF", len(got), err)
	}
}

// TestMemoryOfArrays reads a .npy and one eight times as long within the same memory, as views of what was read.
func TestMemoryOfArrays(t *testing.T) {
	const width, limit = 16, 8 << 20
	for _, rows := range []int{100_000, 800_000} {
		path := writeFile(t, "a.npy", arrayBytes(t, []int64{int64(rows), width}, make([]float32, rows*width)...))
		heap := newHeap()
		r, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := NewBatcher(r, BatchOptions{Size: 4096})
		got := 0
		for {
			batch, err := b.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if batch.Bare() != width || len(batch.Numbers(0, batch.Len())) != batch.Len()*width {
				t.Fatalf("got %d rows of %d, want bare ones of %d", batch.Len(), batch.Bare(), width)
			}
			got += batch.Len()
			heap.look()
			batch.Release()
		}
		if err := b.Close(); err != nil || got != rows {
			t.Errorf("got %d rows, %v, want %d", got, err, rows)
		}
		if heap.peak > limit {
			t.Errorf("%d rows: got %d MiB of heap, want at most %d", rows, heap.peak>>20, limit>>20)
		}
	}
}

// TestAllFinite puts what is not finite at every place.
func TestAllFinite(t *testing.T) {
	for n := range 9 {
		numbers := make([]float32, n)
		for i := range numbers {
			numbers[i] = math.MaxFloat32 * float32(1-2*(i%2))
		}
		if !allFinite(numbers) {
			t.Errorf("%v: got false", numbers)
		}
		for i := range numbers {
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				changed := append([]float32{}, numbers...)
				changed[i] = float32(bad)
				if allFinite(changed) {
					t.Errorf("%v: got true", changed)
				}
			}
		}
	}
}
