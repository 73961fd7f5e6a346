package migrate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
	"github.com/fdqc-cockpit/fdqc/engine"
)

// update rewrites the golden report: go test ./engine/migrate -run TestKit -update
var update = flag.Bool("update", false, "rewrite golden files")

// kit is what the Python system wrote; package checkpoints reads it too.
const kit = "../../checkpoints/testdata"

const (
	kitPatterns  = "patterns_20241024_120000_torch1.13.0.pt"
	kitValidator = "validator_state_torch1.13.0.pt"
)

// configuration signs with a key of the test's own.
func configuration(t *testing.T) engine.Config {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	return engine.DefaultConfig()
}

// fixture reads a file of the kit.
func fixture(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(kit, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// installation is a source folder that holds files of the kit (by "@name in
// checkpoints") or other texts.
func installation(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "checkpoints")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		data := []byte(content)
		if from, ok := strings.CutPrefix(content, "@"); ok {
			data = fixture(t, from)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// state is everything that writing to a folder would change.
func state(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&all, "%s %v %d", path, info.Mode(), info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&all, " %x", sha256.Sum256(data))
		}
		all.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// file finds what a report says of a file.
func (r *Report) file(t *testing.T, name string) *File {
	t.Helper()
	for i := range r.Files {
		if r.Files[i].Name == name {
			return &r.Files[i]
		}
	}
	t.Fatalf("the report does not name %s: %+v", name, r.Files)
	return nil
}

func (f *File) item(t *testing.T, key string) Item {
	t.Helper()
	for _, item := range f.Items {
		if item.Key == key {
			return item
		}
	}
	t.Fatalf("the report of %s does not name %s: %+v", f.Name, key, f.Items)
	return Item{}
}

// migrated reads the newest pattern checkpoint of a data directory.
func migrated(t *testing.T, dir string) *checkpoints.PatternSet {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "patterns_*.pt"))
	if err != nil || len(names) == 0 {
		t.Fatalf("checkpoints of %s: %v, %v, want some", dir, names, err)
	}
	p, err := checkpoints.ReadPatterns(names[len(names)-1]) // in the order of their times
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestKit migrates what the Python system wrote, whole.
func TestKit(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(kit, "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"notes.txt": "left", "vector_memory_20241024_120000.json": `{"version": "1.0"}`}
	for _, e := range entries {
		files[e.Name()] = "@checkpoints/" + e.Name()
	}
	from, to := installation(t, files), filepath.Join(t.TempDir(), "new", "data")
	before := state(t, from)
	report, err := Run(t.Context(), Options{From: from, To: to, Policy: "testdata/policy.yaml", Config: configuration(t)})
	if err != nil {
		t.Fatal(err)
	}
	if after := state(t, from); after != before {
		t.Errorf("the source was written to: got\n%s\nwant\n%s", after, before)
	}
	if !report.Made {
		t.Error("made: got false, want true")
	}
	golden(t, report)

	source, err := checkpoints.ReadPatterns(filepath.Join(from, kitPatterns))
	if err != nil {
		t.Fatal(err)
	}
	got := migrated(t, to)
	for _, side := range []struct {
		name      string
		got, want *checkpoints.PatternSide
	}{{"safe", &got.Safe, &source.Safe}, {"unsafe", &got.Unsafe, &source.Unsafe}} {
		if a, b := fmt.Sprint(side.got), fmt.Sprint(side.want); a != b {
			t.Errorf("%s side: got %.200s, want %.200s", side.name, a, b)
		}
	}
	if got.Counter != 1750 || got.NextID != source.NextID || got.Capacity != source.Capacity {
		t.Errorf("counter, next id, capacity: got %d, %d, %d, want 1750, %d, %d", got.Counter, got.NextID, got.Capacity, source.NextID, source.Capacity)
	}
	want, err := checkpoints.ReadValidatorState(filepath.Join(from, kitValidator))
	if err != nil {
		t.Fatal(err)
	}
	weights, err := checkpoints.ReadValidatorState(filepath.Join(to, "validator_state.pt"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := fmt.Sprint(weights.Risk, weights.StateReal, weights.StateImag), fmt.Sprint(want.Risk, want.StateReal, want.StateImag); a != b {
		t.Errorf("weights: got %.200s, want %.200s", a, b)
	}
	for _, name := range []string{"ppo_state.pt", "imagination_state.pt", "embedding_cache.pt", "vector_memory_20241024_120000.pkl", "vector_memory_20241024_120000.json"} {
		copied, err := os.ReadFile(filepath.Join(to, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if original, err := os.ReadFile(filepath.Join(from, name)); err != nil || !bytes.Equal(copied, original) {
			t.Errorf("%s: not the bytes of the source (%v)", name, err)
		}
	}
}

// golden compares a report with the one in testdata.
func golden(t *testing.T, report *Report) {
	t.Helper()
	settled := *report
	settled.From, settled.To = "FROM", "TO"
	var got bytes.Buffer
	if err := settled.WriteJSON(&got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "report.json")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("report: got\n%s\nwant the content of %s", got.String(), path)
	}
}

func TestTable(t *testing.T) {
	from := installation(t, map[string]string{
		"ppo_state.pt": "@checkpoints/ppo_state.pt", "ppo_\x1b[2J.pt": "damaged", "old.log": "",
	})
	report, err := Run(t.Context(), Options{From: from, To: filepath.Join(t.TempDir(), "data"), DryRun: true, Config: configuration(t)})
	if err == nil {
		t.Fatal("a damaged file was taken")
	}
	var out bytes.Buffer
	if err := report.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"taken    ppo_state.pt", "16 tensors", "refused  ppo_?[2J.pt", "unknown  old.log", "WARNING: there is no validator state", "1 taken, 0 changed, 1 refused, 1 unknown; dry run, nothing was written"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("a name of a file reached the terminal as it is: %q", out.String())
	}
}

// TestCurrent says which of several files the engine is to work with.
func TestCurrent(t *testing.T) {
	const p, v, j = "@checkpoints/" + kitPatterns, "@checkpoints/" + kitValidator, "@checkpoints/projections.pt"
	for _, c := range []struct {
		name    string
		files   map[string]string
		newest  string // written last
		current []string
		kept    []string
	}{
		{"newest name of patterns, whenever written",
			map[string]string{"patterns_20230101_000000.pt": p, "patterns_20240101_000000.pt": p}, "patterns_20230101_000000.pt",
			[]string{"patterns_20240101_000000.pt"}, []string{"patterns_20230101_000000.pt"}},
		{"validator_state.pt, whenever written",
			map[string]string{"validator_state.pt": v, "old_validator.pt": v}, "old_validator.pt",
			[]string{"validator_state.pt"}, []string{"old_validator.pt"}},
		{"else the validator that was written last",
			map[string]string{"a_validator.pt": v, "b_validator.pt": v}, "a_validator.pt",
			[]string{"a_validator.pt"}, []string{"b_validator.pt"}},
		{"projections_state.pt before projections.pt",
			map[string]string{"projections_state.pt": j, "projections.pt": j, "projections_9.pt": j}, "projections_9.pt",
			[]string{"projections_state.pt"}, []string{"projections.pt", "projections_9.pt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, to := installation(t, c.files), filepath.Join(t.TempDir(), "data")
			past := time.Now().Add(-time.Hour)
			for name := range c.files {
				if name != c.newest {
					if err := os.Chtimes(filepath.Join(from, name), past, past); err != nil {
						t.Fatal(err)
					}
				}
			}
			report, err := Run(t.Context(), Options{From: from, To: to, Config: configuration(t)})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range c.current {
				if f := report.file(t, name); !f.Current || strings.HasPrefix(f.To, keptFolder) {
					t.Errorf("%s: got %+v, want current", name, f)
				}
			}
			for _, name := range c.kept {
				if f := report.file(t, name); f.Current || f.Result != Taken || f.To != keptFolder+"/"+name {
					t.Errorf("%s: got %+v, want kept", name, f)
				}
				got, err := os.ReadFile(filepath.Join(to, keptFolder, name))
				if want, _ := os.ReadFile(filepath.Join(from, name)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: not kept byte for byte (%v)", name, err)
				}
			}
		})
	}
}

// TestStateAlone: without a patterns_*.pt the patterns inside the validator
// state are the memory.
func TestStateAlone(t *testing.T) {
	from, to := installation(t, map[string]string{"validator_state.pt": "@cases/row-evictions/validator_state.pt"}), filepath.Join(t.TempDir(), "data")
	report, err := Run(t.Context(), Options{From: from, To: to, Config: configuration(t)})
	if err != nil {
		t.Fatal(err)
	}
	source, err := checkpoints.ReadValidatorState(filepath.Join(from, "validator_state.pt"))
	if err != nil {
		t.Fatal(err)
	}
	got := migrated(t, to)
	if a, b := fmt.Sprint(got.Safe, got.Unsafe, got.Counter, got.NextID), fmt.Sprint(source.Patterns.Safe, source.Patterns.Unsafe, source.Patterns.Counter, source.Patterns.NextID); a != b {
		t.Errorf("memory: got %.300s, want %.300s", a, b)
	}
	made, err := checkpoints.ReadValidatorState(filepath.Join(to, "validator_state.pt"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := fmt.Sprint(made.Patterns.Safe, made.Patterns.Unsafe), fmt.Sprint(source.Patterns.Safe, source.Patterns.Unsafe); a != b {
		t.Errorf("patterns inside the state: got %.300s, want %.300s", a, b)
	}
	f := report.file(t, "validator_state.pt")
	if item := f.item(t, "counter"); item.Result != Changed || !strings.Contains(item.How, "largest timestamp") {
		t.Errorf("counter: got %+v, want changed, from the largest timestamp", item)
	}
	if item := f.item(t, "safe_pattern_timestamps"); item.Result != Changed || f.Result != Changed {
		t.Errorf("times: got %+v in a file %s, want changed", item, f.Result)
	}
}

// TestOwnCheckpoint: what fdqc wrote keeps its ids and its counter.
func TestOwnCheckpoint(t *testing.T) {
	side := checkpoints.PatternSide{Rows: make([]float32, 16), Timestamps: []int64{1<<24 + 1}, Importance: []float32{1}, IDs: []int64{41}}
	var own bytes.Buffer
	if err := checkpoints.WritePatterns(&own, "patterns", &checkpoints.PatternSet{Width: 16, Capacity: 4, Safe: side, Counter: 1<<24 + 9, NextID: 77}); err != nil {
		t.Fatal(err)
	}
	from, to := installation(t, map[string]string{"patterns_20240101_000000.pt": own.String()}), filepath.Join(t.TempDir(), "data")
	report, err := Run(t.Context(), Options{From: from, To: to, Config: configuration(t)})
	if err != nil {
		t.Fatal(err)
	}
	got := migrated(t, to)
	if got.Counter != 1<<24+9 || got.NextID != 77 || got.Safe.IDs[0] != 41 || got.Safe.Timestamps[0] != 1<<24+1 {
		t.Errorf("got counter %d, next id %d, ids %v, times %v, want those of the checkpoint", got.Counter, got.NextID, got.Safe.IDs, got.Safe.Timestamps)
	}
	if item := report.Files[0].item(t, "counter"); item.Result != Taken {
		t.Errorf("counter: got %+v, want taken", item)
	}
}

// TestLeftBehind: the report names what no reader here takes.
func TestLeftBehind(t *testing.T) {
	const capacity = 3
	floats := func(shape ...int64) *tensor.Tensor {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		values := make([]float32, n)
		values[n-1] = 1 // a row beyond the count that is not zero
		return tensor.FromFloat32s(values, shape...)
	}
	old := pickle.NewDict(
		"safe_patterns", floats(capacity, 16), "unsafe_patterns", tensor.FromFloat32s(make([]float32, capacity*16), capacity, 16),
		"pattern_counts", tensor.FromFloat32s([]float32{1, 0}, 2), "safe_timestamps", floats(capacity), "unsafe_timestamps", floats(capacity),
		"safe_importance", floats(capacity), "unsafe_importance", floats(capacity), "centroids", floats(2, 2))
	from := installation(t, map[string]string{"patterns_20240101_000000.pt": string(checkpointOf(t, old))})
	report, err := Run(t.Context(), Options{From: from, To: filepath.Join(t.TempDir(), "data"), Config: configuration(t)})
	if err != nil {
		t.Fatal(err)
	}
	f := report.Files[0]
	for _, c := range []struct {
		key  string
		want Result
		how  string
	}{
		{"safe_patterns", Changed, "1 of 3 rows, as pattern_counts says; the others are not zero and are left"},
		{"unsafe_patterns", Taken, "0 of 3 rows, as pattern_counts says"},
		{"centroids", Unknown, "no key of a pattern checkpoint; left in the source"},
		{"pattern_ids", Changed, "given 1 to 1, safe rows first"},
	} {
		if item := f.item(t, c.key); item.Result != c.want || item.How != c.how {
			t.Errorf("%s: got %s, %q, want %s, %q", c.key, item.Result, item.How, c.want, c.how)
		}
	}
	if f.Result != Changed {
		t.Errorf("the file: got %s, want changed", f.Result)
	}
}

// TestDryRun judges everything and writes nothing.
func TestDryRun(t *testing.T) {
	from := installation(t, map[string]string{kitPatterns: "@checkpoints/" + kitPatterns, kitValidator: "@checkpoints/" + kitValidator})
	parent := t.TempDir()
	wet, err := Run(t.Context(), Options{From: from, To: filepath.Join(parent, "wet"), Config: configuration(t)})
	if err != nil {
		t.Fatal(err)
	}
	before := state(t, parent)
	dry, err := Run(t.Context(), Options{From: from, To: filepath.Join(parent, "dry"), DryRun: true, Config: configuration(t)})
	if err != nil {
		t.Fatal(err)
	}
	if after := state(t, parent); after != before {
		t.Errorf("a dry run wrote: got\n%s\nwant\n%s", after, before)
	}
	if dry.Made || !dry.DryRun {
		t.Errorf("made %v, dry run %v, want false and true", dry.Made, dry.DryRun)
	}
	if a, b := fmt.Sprintf("%+v", dry.Files), fmt.Sprintf("%+v", wet.Files); a != b {
		t.Errorf("a dry run says\n%s\nand the run itself\n%s", a, b)
	}
}

func TestMadeDirectoryIsComplete(t *testing.T) {
	from := installation(t, map[string]string{kitValidator: "@checkpoints/" + kitValidator, "ppo_state.pt": "damaged"})
	parent := t.TempDir()
	to := filepath.Join(parent, "data")
	report, err := Run(t.Context(), Options{From: from, To: to, Config: configuration(t)})
	var refused *RefusedError
	if !errors.As(err, &refused) || !refused.Made || !refused.Corrupt() || !errors.Is(err, checkpoints.ErrMalformed) {
		t.Fatalf("got %v, want ppo_state.pt refused as malformed and the rest made", err)
	}
	if !report.Made || report.file(t, "ppo_state.pt").Result != Refused {
		t.Errorf("report: got %+v, want made without ppo_state.pt", report)
	}
	if _, err := os.Lstat(filepath.Join(to, "ppo_state.pt")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ppo_state.pt in the data directory: %v, want none", err)
	}
	left, err := os.ReadDir(parent)
	if err != nil || len(left) != 1 {
		t.Errorf("beside the data directory: %v, %v, want nothing", left, err)
	}
}

// TestInterrupted: a context that has ended makes nothing.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	to := filepath.Join(t.TempDir(), "data")
	_, err := Run(ctx, Options{From: installation(t, map[string]string{"ppo_state.pt": "@checkpoints/ppo_state.pt"}), To: to, Config: configuration(t)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("target: %v, want none", err)
	}
}

// TestVectorMemories takes memories of every Python and pickle protocol, and
// refuses pickles of classes that nobody here knows.
func TestVectorMemories(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(kit, "pt", "pickle"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		files["vector_memory_"+e.Name()] = "@pt/pickle/" + e.Name()
	}
	report, err := Run(t.Context(), Options{From: installation(t, files), To: filepath.Join(t.TempDir(), "data"), DryRun: true, Config: configuration(t)})
	if !errors.Is(err, checkpoints.ErrMalformed) {
		t.Errorf("got %v, want the pickles of unknown classes refused", err)
	}
	for i := range report.Files {
		f := &report.Files[i]
		want := Taken
		if strings.Contains(f.Name, "misc") {
			want = Refused
		}
		if f.Result != want || want == Taken && len(f.Items) == 0 {
			t.Errorf("%s: got %s (%s) with %d tensors, want %s", f.Name, f.Result, f.How, len(f.Items), want)
		}
	}
}
