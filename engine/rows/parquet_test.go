package rows

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/parquet/file"
)

// tableFile makes a .parquet of columns that were filled with rows rows.
func tableFile(t testing.TB, rows int, columns ...*tableColumn) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.parquet")
	out, err := CreateOutput(path, nil, atomicFile)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newTable(out, t.TempDir(), columns...)
	if err != nil {
		t.Fatal(err)
	}
	w.rows = rows
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	return path
}

// vectors makes a column of lists.
func vectors(name string, rows ...[]float32) *tableColumn {
	c := &tableColumn{name: name, kind: vectorColumn}
	for _, row := range rows {
		c.elements(len(row))
		c.numbers = append(c.numbers, row...)
	}
	return c
}

// texts makes a column of texts, "" being null.
func texts(name string, rows ...string) *tableColumn {
	c := &tableColumn{name: name, kind: textColumn, nulls: true}
	for _, row := range rows {
		if !c.null(row == "") {
			c.addText(row)
		}
	}
	return c
}

func TestTables(t *testing.T) {
	nan := float32(math.NaN())
	embedding := vectors("embedding", []float32{1, 2}, []float32{3, nan}, []float32{4, 5}, nil, []float32{6, 7, 8}, []float32{9, 10})
	path := tableFile(t, 6, embedding,
		texts("id", "a", "b", "", "d", "e", "f"), texts("label", "safe", "safe", "risky", "safe", "safe", ""),
		texts("session", "s"+strings.Repeat("x", MaxText), "", "s", "", "", ""), texts("action", "", "", "rm", "", "", ""),
		&tableColumn{name: "is_safe", kind: flagColumn, flags: []bool{true, true, false, true, true, true}},
		&tableColumn{name: "importance", kind: numberColumn, numbers: []float32{1, 1, 0.5, 1, 1, -1}},
		&tableColumn{name: "other", kind: integerColumn, integers: make([]int64, 6)})
	rows, refused, err := open1(t, path, Options{Kind: Record})
	want := Row{Number: 2, Op: OpRecord, ID: IntID(2), Embedding: []float32{4, 5}, Action: "rm", HasAction: true, Session: "s",
		BasicChecks: true, Importance: 0.5, HasImportance: true, HasOutcome: true}
	if err != nil || len(rows) != 1 || !reflect.DeepEqual(rows[0], want) {
		t.Fatalf("got %+v, %v, want %+v", rows, err, want)
	}
	says := []string{
		"row 0, field session: too long: 4097 bytes", "row 1, field embedding: element 1: out of range: NaN",
		"row 3, field embedding: wrong width: 0 elements", "row 4, field embedding: wrong width: 3 elements, expected 2 as in row 2",
		"row 5, field importance: out of range: -1",
	}
	for i, refusal := range refused {
		if i >= len(says) || !strings.Contains(refusal.Error(), says[i]) || refusal.File != path {
			t.Errorf("refusal %d: got %v, want %q", i, refusal, says)
		}
	}
	if len(refused) != len(says) {
		t.Errorf("got %d refusals, want %d", len(refused), len(says))
	}
	bad := []struct {
		name    string
		columns []*tableColumn
		want    error
		says    string
	}{
		{"nothing to judge", []*tableColumn{texts("id", "a")}, ErrMissing, "columns embedding and action"},
		{"no outcome", []*tableColumn{vectors("embedding", []float32{1})}, ErrMissing, "is_safe and label"},
		{"embedding of texts", []*tableColumn{texts("embedding", "a")}, ErrType, "byte_array (string), expected a list of float32 or float64"},
		{"embedding of single numbers", []*tableColumn{{name: "embedding", kind: numberColumn, numbers: []float32{1}}}, ErrType, "float, expected a list"},
		{"label of lists", []*tableColumn{vectors("label", []float32{1})}, ErrType, "lists of float, expected strings"},
		{"id of numbers", []*tableColumn{{name: "id", kind: numberColumn, numbers: []float32{1}}}, ErrType, "float, expected strings or integers"},
	}
	for _, c := range bad {
		t.Run(c.name, func(t *testing.T) {
			path := tableFile(t, 1, c.columns...)
			r, err := Open(path, Options{Kind: Record})
			if err == nil {
				r.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %v saying %q", err, c.want, c.says)
			}
		})
	}
}

func TestBareTableIsOneMatrix(t *testing.T) {
	const rows, width = 20_000, 3
	var all [][]float32
	for i := range rows {
		all = append(all, []float32{float32(i), 1, 2})
	}
	r, err := Open(tableFile(t, rows, vectors("embedding", all...)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := new(RowBatch)
	for err == nil {
		err = r.Append(b, 777)
	}
	if b.Bare() != width || b.Len() != rows || b.ID(rows-1) != IntID(rows-1) {
		t.Fatalf("got %d rows of %d, %v, want %d bare ones of %d", b.Len(), b.Bare(), err, rows, width)
	}
	for i, v := range b.Numbers(0, rows) {
		if want := all[i/width][i%width]; v != want {
			t.Fatalf("number %d: got %v, want %v", i, v, want)
		}
	}
}

// TestDamagedTables cuts a file at every length and flips every byte: an error or rows, never a panic.
func TestDamagedTables(t *testing.T) {
	data := mustRead(t, tableFile(t, 3, vectors("embedding", []float32{1, 2}, []float32{3, 4}, []float32{5, 6}), texts("id", "a", "b", "c")))
	for n := 1; n < len(data); n++ {
		if err := readTable(t, data[:n]); err == nil || !strings.Contains(err.Error(), "rows.parquet") {
			t.Fatalf("cut at %d: got %v, want an error that names the file", n, err)
		}
	}
	for i := range data {
		for _, flip := range []byte{1, 0x80, 0xff} {
			damaged := bytes.Clone(data)
			damaged[i] ^= flip
			if err := readTable(t, damaged); err != nil && !strings.Contains(err.Error(), "rows.parquet") {
				t.Errorf("byte %d: got %v, want it to name the file", i, err)
			}
		}
	}
}

// readTable reads a .parquet whole, and answers the error that ended it.
func readTable(t testing.TB, data []byte) error {
	r, err := Open(writeFile(t, "rows.parquet", data), Options{})
	if err != nil {
		return err
	}
	defer r.Close()
	b := &RowBatch{}
	for err == nil {
		if err = r.Append(b, 100); b.Len() > 100_000 {
			break // a run of nulls may say that it is two thousand million
		}
		if b.start(b.Len()) != len(b.numbers) {
			t.Fatalf("the numbers have %d more than the rows", len(b.numbers)-b.start(b.Len()))
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if r.Done() == r.Size() && strings.HasSuffix(err.Error(), "EOF") {
		return nil
	}
	return err
}

func FuzzTable(f *testing.F) {
	f.Add(mustRead(f, tableFile(f, 2, vectors("embedding", []float32{1, 2}, nil), texts("id", "a", ""))))
	f.Add(mustRead(f, tableFile(f, 1, texts("action", "ls"), &tableColumn{name: "is_safe", kind: flagColumn, flags: []bool{true}})))
	fixtures, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(fixtures) == 0 {
		f.Fatal("no fixtures: ", err)
	}
	for _, fixture := range fixtures {
		f.Add(mustRead(f, fixture))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			t.Skip("size cap")
		}
		_ = readTable(t, data)
	})
}

// TestTableThatShrinks: a file cut while it is read is an error that says so.
func TestTableThatShrinks(t *testing.T) {
	var all [][]float32
	for i := range 3 * groupRows {
		all = append(all, []float32{float32(i), float32(i) / 3})
	}
	path := tableFile(t, len(all), vectors("embedding", all...))
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Append(new(RowBatch), 10); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(t, r); !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), "expected") {
		t.Errorf("got %v, want ErrTruncated with both sizes", err)
	}
}

// foreignRows are what testdata/parquet.py writes in each of its layouts.
func foreignRows(t *testing.T, path string) {
	t.Helper()
	rows, refused, err := open1(t, path, Options{})
	if err != nil || len(rows) != 2 || len(refused) != 1 {
		t.Fatalf("%s: got %+v, %v, %v, want two rows and a refusal", path, rows, refused, err)
	}
	want := Row{Number: 0, ID: IntID(7), Embedding: []float32{0.1, -2.5, 3e10}, Session: "s", BasicChecks: true, Importance: 2, HasImportance: true, HasOutcome: true, IsSafe: true}
	if filepath.Base(path) == "texts.parquet" {
		want = Row{Number: 0, ID: TextID("é"), Action: "ls -l", HasAction: true, BasicChecks: true, HasOutcome: true}
	}
	if !reflect.DeepEqual(rows[0], want) || rows[1].Number != 2 || refused[0].Number != 1 {
		t.Errorf("%s:\n got %+v\nwant %+v, row 1 refused", path, rows, want)
	}
}

func TestTablesOfPython(t *testing.T) {
	fixtures, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(fixtures) < 4 {
		t.Fatalf("got %v, %v, want the fixtures of testdata/parquet.py", fixtures, err)
	}
	for _, path := range fixtures {
		foreignRows(t, path)
	}
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("FDQC_PEERS_PYTHON is not set; run make peers")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), python, "testdata/parquet.py", dir).CombinedOutput(); err != nil {
		t.Fatalf("parquet.py: %v\n%s", err, out)
	}
	fresh, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil || len(fresh) < 3 {
		t.Fatalf("got %v, %v, want what parquet.py wrote", fresh, err)
	}
	for _, path := range fresh {
		foreignRows(t, path)
	}
}

// TestVerdictTable reads what is written with pyarrow, and with the library that wrote it.
func TestVerdictTable(t *testing.T) {
	all := sampleResults()
	path := write(t, "out.parquet", WriterOptions{SpoolDir: t.TempDir()}, all[1:2], all[:1], all[2:]) // ids: 7, then "a", then none
	integers := write(t, "ids.parquet", WriterOptions{Fields: []Field{FieldID, FieldRiskScore}}, []Result{{ID: IntID(-5)}, Refused(ID{}, errors.New("x")), {ID: IntID(math.MaxInt64)}})
	empty := write(t, "empty.parquet", WriterOptions{Fields: []Field{FieldID}})
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.NumRows() != 3 || r.MetaData().Schema.NumColumns() != int(fieldCount) {
		t.Errorf("got %d rows of %d columns, want 3 of %d", r.NumRows(), r.MetaData().Schema.NumColumns(), fieldCount)
	}
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("FDQC_PEERS_PYTHON is not set; run make peers")
	}
	const script = `import sys, pyarrow.parquet as pq
t = pq.read_table(sys.argv[1])
print(t.schema.field("id").type, t["id"].to_pylist(), t["decision"].to_pylist(), t["approved"].to_pylist())
print([None if x is None else round(x, 6) for x in t["raw_risk"].to_pylist()], t["nearest_safe"].to_pylist(), t["nearest_unsafe"].to_pylist())
print(t["safety_violations"].to_pylist(), t["reason"].to_pylist(), t["error"].to_pylist(), t.num_columns)
t = pq.read_table(sys.argv[2])
print(t.schema.field("id").type, t["id"].to_pylist(), t["risk_score"].to_pylist(), t.column_names)
print(pq.read_table(sys.argv[3]).num_rows)
`
	out, err := exec.CommandContext(t.Context(), python, "-c", script, path, integers, empty).CombinedOutput()
	want := `string ['7', 'a', None] ['review', 'allow', 'block'] [False, True, False]
[1.35, 0.0, None] [5, 0, None] [9, None, None]
[['High entropy: 0.900 > 0.70', 'x "quoted"\n'], [], []] ['日本', '', ''] [None, None, 'a.jsonl, line 3: bad'] 20
int64 [-5, None, 9223372036854775807] [0.0, None, 0.0] ['id', 'risk_score']
0
`
	if err != nil || string(out) != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, out, want)
	}
}

// TestManyGroups: ids that turn to texts after several row groups.
func TestManyGroups(t *testing.T) {
	const rows = 3*groupRows + 5
	batch := make([]Result, rows)
	for i := range batch {
		batch[i] = Result{ID: IntID(int64(i)), Decision: "allow", NearestSafe: int64(i) - 1, Texts: said{[]string{"v"}, fmt.Sprint("r", i)}}
	}
	batch[rows-2].ID = TextID("x")
	fields := []Field{FieldID, FieldNearestSafe, FieldViolations, FieldReason}
	path := write(t, "out.parquet", WriterOptions{Fields: fields}, batch[:rows/2], batch[rows/2:])
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	columns := []*tableColumn{{kind: textColumn}, {kind: integerColumn}, {kind: textsColumn}, {kind: textColumn}}
	for g := range r.NumRowGroups() {
		for i, c := range columns {
			chunk, err := r.RowGroup(g).Column(i)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.read(chunk, r.MetaData().Schema.Column(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range batch {
		want := []string{batch[i].ID.String(), "v", fmt.Sprint("r", i)}
		got := []string{string(columns[0].texts[i]), string(columns[2].texts[i]), string(columns[3].texts[i])}
		if !reflect.DeepEqual(got, want) || i > 0 && columns[1].integers[i-1] != int64(i)-1 {
			t.Fatalf("row %d: got %q, want %q", i, got, want)
		}
	}
	if len(columns[0].texts) != rows || len(columns[1].integers) != rows-1 {
		t.Errorf("got %d ids, %d pattern ids, want %d and one less", len(columns[0].texts), len(columns[1].integers), rows)
	}
}

// TestMemoryOfTables writes and reads a table and one eight times as long, within the same memory.
func TestMemoryOfTables(t *testing.T) {
	if testing.Short() {
		t.Skip("the heap is measured without the race detector, under which the collector comes late")
	}
	const width, limit = 64, 96 << 20
	for _, rows := range []int{50_000, 400_000} {
		path := filepath.Join(t.TempDir(), "rows.parquet")
		out, err := CreateOutput(path, nil, atomicFile)
		if err != nil {
			t.Fatal(err)
		}
		heap := newHeap()
		embedding := &tableColumn{name: "embedding", kind: vectorColumn}
		w, err := newTable(out, "", embedding)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			embedding.elements(width)
			for j := range width {
				embedding.numbers = append(embedding.numbers, float32(i*j)*1.7)
			}
			if err := w.row(4 * width); err != nil {
				t.Fatal(err)
			}
			if i%5000 == 0 {
				heap.look()
			}
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
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
		t.Logf("%d rows: %d MiB of heap at most", rows, heap.peak>>20)
	}
}

// heap watches how the heap grows.
type heap struct{ base, peak uint64 }

func newHeap() *heap {
	h := new(heap)
	runtime.GC()
	h.look()
	h.base, h.peak = h.peak, 0
	return h
}

func (h *heap) look() {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	h.peak = max(h.peak, stats.HeapAlloc-min(h.base, stats.HeapAlloc))
}
