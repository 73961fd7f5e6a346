package rows

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

func atomicFile(path string) (Sink, error) { return checkpoints.Create(path, 0o600) }

// said are texts made beforehand.
type said struct {
	violations []string
	reason     string
}

func (s said) SafetyViolations() []string { return s.violations }
func (s said) Reason() string             { return s.reason }

func sampleResults() []Result {
	return []Result{
		{
			ID: TextID("a"), Approved: true, Decision: "allow", RiskScore: 0.1, RawRisk: 1e-7, BaseRisk: 0.30000001, Entropy: 1,
			Coherence: 0.015625, Novelty: 0, SafeSimilarity: 0.5, UnsafeSimilarity: 1e21, MatchedSafe: true, NearestSafe: 0, NearestUnsafe: -1,
		},
		{
			ID: IntID(7), Decision: "review", RiskScore: 0.8, RawRisk: 1.35, RequiresApproval: true, RequiresHuman: true, NearestSafe: 5,
			NearestUnsafe: 9, MatchedUnsafe: true, ViolationMask: 3, Texts: said{[]string{"High entropy: 0.900 > 0.70", "x \"quoted\"\n"}, "日本"},
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
