package rows

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

func atomicFile(path string) (Sink, error) { return checkpoints.Create(path, 0o600) }

func sampleResults() []Result {
	return []Result{
		{
			ID: TextID("a"), Approved: true, Decision: "allow", RiskScore: 0.1, RawRisk: 1e-7, BaseRisk: 0.30000001, Entropy: 1,
			Coherence: 0.015625, Novelty: 0, SafeSimilarity: 0.5, UnsafeSimilarity: 1e21, MatchedSafe: true, NearestSafe: 0, NearestUnsafe: -1,
		},
		{
			ID: IntID(7), Decision: "review", RiskScore: 0.8, RawRisk: 1.35, RequiresApproval: true, RequiresHuman: true, NearestSafe: 5,
			NearestUnsafe: 9, MatchedUnsafe: true, Violations: []string{"High entropy: 0.900 > 0.70", "x \"quoted\"\n"}, ViolationMask: 3, Reason: "日本",
		},
		Refused(ID{}, errors.New("a.jsonl, line 3: bad")),
	}
}

// write sends results to a new file of that name and returns its path.
func write(t *testing.T, name string, o WriterOptions, batches ...[]Result) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	out, err := CreateOutput(path, nil, atomicFile)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(out, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range batches {
		if err := w.Write(batch); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: it is there before Commit", path)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err == nil {
		t.Error("second Commit: got no error")
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after Commit: got %v", err)
	}
	return path
}

func TestVerdictLines(t *testing.T) {
	want := `{"id":"a","approved":true,"decision":"allow","risk_score":0.1,"raw_risk":1e-07,"base_risk":0.3,"entropy":1,` +
		`"coherence":0.015625,"novelty":0,"safe_similarity":0.5,"unsafe_similarity":1e+21,"matched_safe":true,"matched_unsafe":false,` +
		`"nearest_safe":0,"nearest_unsafe":null,"requires_approval":false,"requires_human_approval":false,"safety_violations":[],"reason":""}
{"id":7,"approved":false,"decision":"review","risk_score":0.8,"raw_risk":1.35,"base_risk":0,"entropy":0,"coherence":0,"novelty":0,` +
		`"safe_similarity":0,"unsafe_similarity":0,"matched_safe":false,"matched_unsafe":true,"nearest_safe":5,"nearest_unsafe":9,` +
		`"requires_approval":true,"requires_human_approval":true,"safety_violations":["High entropy: 0.900 > 0.70","x \"quoted\"\n"],"reason":"日本"}
{"id":null,"approved":false,"decision":"block","risk_score":null,"raw_risk":null,"base_risk":null,"entropy":null,"coherence":null,` +
		`"novelty":null,"safe_similarity":null,"unsafe_similarity":null,"matched_safe":false,"matched_unsafe":false,"nearest_safe":null,` +
		`"nearest_unsafe":null,"requires_approval":true,"requires_human_approval":true,"safety_violations":[],"reason":"","error":"a.jsonl, line 3: bad"}
`
	all := sampleResults()
	if got := string(mustRead(t, write(t, "out.jsonl", WriterOptions{}, all[:2], all[2:]))); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	fields, err := ParseFields("decision, id,error")
	if err != nil {
		t.Fatal(err)
	}
	want = `{"id":"a","decision":"allow"}` + "\n" + `{"id":7,"decision":"review"}` + "\n" + `{"id":null,"decision":"block","error":"a.jsonl, line 3: bad"}` + "\n"
	if got := string(mustRead(t, write(t, "out.ndjson", WriterOptions{Fields: fields}, all))); got != want {
		t.Errorf("three fields: got\n%s\nwant\n%s", got, want)
	}
}

func TestParseFields(t *testing.T) {
	all, err := ParseFields("")
	if err != nil || len(all) != int(fieldCount) {
		t.Errorf("no list: got %v, %v, want all", all, err)
	}
	for _, list := range []string{"id,bogus", ",", "id,", "Approved"} {
		if got, err := ParseFields(list); err == nil || !strings.Contains(err.Error(), "requires_human_approval, safety_violations, reason, error") {
			t.Errorf("%q: got %v, %v, want an error that lists the fields", list, got, err)
		}
	}
}

// TestNumbersReadBack writes any float32 and reads it with another JSON package.
func TestNumbersReadBack(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 50000 {
		v := math.Float32frombits(random.Uint32())
		text := string(appendNumber(nil, v))
		if v != v || math.IsInf(float64(v), 0) {
			if text != "null" {
				t.Fatalf("%v: got %s, want null", v, text)
			}
			continue
		}
		var back float64
		if err := json.Unmarshal([]byte(text), &back); err != nil || float32(back) != v {
			t.Fatalf("%v: got %s, which reads as %v, %v", v, text, back, err)
		}
		if shortest := strconv.FormatFloat(float64(v), 'e', -1, 32); strings.Count(text, "") > strings.Count(shortest, "")+22 {
			t.Fatalf("%v: got %s, want about as short as %s", v, text, shortest)
		}
	}
}

func TestVerdictArchive(t *testing.T) {
	names := []string{"High entropy", "Low coherence", "High novelty"}
	all := sampleResults()
	path := write(t, "out.npz", WriterOptions{ViolationNames: names, SpoolDir: t.TempDir()}, all[:1], all[1:])
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, _ := file.Stat()
	archive, err := npy.OpenArchive(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	nan := float32(math.NaN())
	want := map[string]any{
		"id": []string{"a", "7", ""}, "approved": []bool{true, false, false}, "decision": []string{"allow", "review", "block"},
		"raw_risk": []float32{1e-7, 1.35, nan}, "nearest_unsafe": []int64{-1, 9, -1}, "safety_violations": []int64{0, 3, 0},
		"violation_names": names, "reason": []string{"", "日本", ""}, "error": []string{"", "", "a.jsonl, line 3: bad"},
	}
	if got := len(archive.Names()); got != int(fieldCount)+1 {
		t.Errorf("got %d arrays, want all fields and violation_names", got)
	}
	for name, values := range want {
		if got := column(t, archive, name); fmt.Sprint(got) != fmt.Sprint(values) || reflect.TypeOf(got) != reflect.TypeOf(values) {
			t.Errorf("%s: got %T %v, want %T %v", name, got, got, values, values)
		}
	}
	t.Run("integer ids", func(t *testing.T) {
		path := write(t, "ids.npz", WriterOptions{Fields: []Field{FieldID}}, []Result{{ID: IntID(-5)}, {ID: IntID(math.MaxInt64)}})
		data := mustRead(t, path)
		archive, err := npy.OpenArchive(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if got := column(t, archive, "id"); !reflect.DeepEqual(got, []int64{-5, math.MaxInt64}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("numpy", func(t *testing.T) {
		python := os.Getenv("FDQC_PEERS_PYTHON")
		if python == "" {
			t.Skip("FDQC_PEERS_PYTHON is not set; run make peers")
		}
		const script = `import sys, numpy as np
a = np.load(sys.argv[1], allow_pickle=False)
print([k + " " + a[k].dtype.str for k in a.files], a["id"].tolist(), a["error"].tolist(), np.isnan(a["risk_score"]).tolist())`
		got, err := exec.CommandContext(t.Context(), python, "-c", script, path).CombinedOutput()
		const want = `['id <U1', 'approved |b1', 'decision <U6', 'risk_score <f4', 'raw_risk <f4', 'base_risk <f4', 'entropy <f4', ` +
			`'coherence <f4', 'novelty <f4', 'safe_similarity <f4', 'unsafe_similarity <f4', 'matched_safe |b1', 'matched_unsafe |b1', ` +
			`'nearest_safe <i8', 'nearest_unsafe <i8', 'requires_approval |b1', 'requires_human_approval |b1', 'safety_violations <i8', ` +
			`'violation_names <U13', 'reason <U2', 'error <U20'] ['a', '7', ''] ['', '', 'a.jsonl, line 3: bad'] [False, False, True]`
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("got %s, %v\nwant %s", got, err, want)
		}
	})
}

// column reads a whole vector.
func column(t *testing.T, archive *npy.Archive, name string) any {
	t.Helper()
	r, err := archive.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var floats []float32
	var ints []int64
	var bools []bool
	var texts []string
	kind := r.Header().DType.Kind
	for {
		err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case npy.Float:
			floats = r.Float32s(floats)
		case npy.Int:
			ints = append(ints, r.Int64())
		case npy.Bool:
			v, _ := r.Bool()
			bools = append(bools, v)
		default:
			v, _ := r.Text()
			texts = append(texts, v)
		}
	}
	switch kind {
	case npy.Float:
		return floats
	case npy.Int:
		return ints
	case npy.Bool:
		return bools
	}
	return texts
}

func TestAbortLeavesNothing(t *testing.T) {
	for _, name := range []string{"out.jsonl", "out.npz"} {
		dir := t.TempDir()
		out, err := CreateOutput(filepath.Join(dir, name), nil, atomicFile)
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(out, WriterOptions{SpoolDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(sampleResults()), w.Abort(), w.Abort()); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: got %v left, want nothing", name, left)
		}
	}
}

func TestOutputRefuses(t *testing.T) {
	cases := []struct {
		name, file string
		want       error
		says       string
	}{
		{"directory", "", nil, "it is a directory"},
		{"parquet", "a.parquet", ErrFormat, "not supported in this version"},
		{"npy", "a.npy", ErrFormat, "one array only"},
		{"unknown", "a.txt", ErrFormat, `".txt", expected .jsonl or .npz`},
		{"no folder", "none/a.jsonl", fs.ErrNotExist, "none"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := CreateOutput(filepath.Join(dir, c.file), nil, atomicFile)
			if err == nil || (c.want != nil && !errors.Is(err, c.want)) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v saying %q", err, c.want, c.says)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("got %v made, want nothing", left)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	t.Run("device", func(t *testing.T) {
		out, err := CreateOutput("/dev/full", nil, func(string) (Sink, error) { return nil, errors.New("a device was to be replaced") })
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(out, WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(sampleResults()); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "/dev/full") {
			t.Errorf("got %v, want ENOSPC naming the output", err)
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
	})
	t.Run("file", func(t *testing.T) {
		for _, name := range []string{"out.jsonl", "out.npz"} {
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			out, err := CreateOutput(path, nil, func(path string) (Sink, error) {
				sink, err := atomicFile(path)
				return &fullSink{Sink: sink, left: 100}, err
			})
			if err != nil {
				t.Fatal(err)
			}
			w, err := NewWriter(out, WriterOptions{})
			if err != nil {
				t.Fatal(err)
			}
			err = w.Write(sampleResults())
			if err == nil {
				err = w.Commit()
			}
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: got %v, want ENOSPC naming the output", name, err)
			}
			if err := w.Abort(); err != nil {
				t.Error(err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("%s: got %v left, want nothing", name, left)
			}
		}
	})
}

// fullSink is a disk with little room.
type fullSink struct {
	Sink
	left int
}

func (s *fullSink) Write(p []byte) (int, error) {
	if len(p) > s.left {
		return 0, syscall.ENOSPC
	}
	s.left -= len(p)
	return s.Sink.Write(p)
}

func TestClosedPipe(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in.Close()
	sink, err := CreateOutput("-", out, atomicFile)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(sink, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(sampleResults()); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("verdicts: got %v, want EPIPE", err)
	}
	receipts, err := OpenReceipts("-", out)
	if err != nil {
		t.Fatal(err)
	}
	if err := receipts.Write(make([]Receipt, 1)); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("receipts: got %v, want EPIPE", err)
	}
}

func TestPipeAndSocketAreWrittenAtOnce(t *testing.T) {
	dir := t.TempDir()
	t.Run("named pipe", func(t *testing.T) {
		path := filepath.Join(dir, "pipe.jsonl")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		checkDirect(t, path, in)
	})
	t.Run("socket", func(t *testing.T) {
		path := filepath.Join(dir, "socket")
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, _ := listener.Accept()
			accepted <- conn
		}()
		checkDirect(t, path, lazyReader(func() io.Reader { return <-accepted }))
	})
}

type lazyReader func() io.Reader

func (r lazyReader) Read(p []byte) (int, error) { return r().Read(p) }

func checkDirect(t *testing.T, path string, in io.Reader) {
	t.Helper()
	out, err := CreateOutput(path, nil, func(string) (Sink, error) { return nil, errors.New("it was to be replaced") })
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(out, WriterOptions{Fields: []Field{FieldID}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write([]Result{{ID: IntID(1)}}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	if n, err := in.Read(got); err != nil || string(got[:n]) != "{\"id\":1}\n" {
		t.Errorf("got %q, %v, want the line before Commit", got[:n], err)
	}
	if err := w.Commit(); err != nil {
		t.Error(err)
	}
}

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
