package checkpoints

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

const pythonPatterns = "testdata/checkpoints/patterns_20241024_120000_torch1.13.0.pt"

func smallSet() *PatternSet {
	return &PatternSet{
		Width: 4, Capacity: 3, Counter: 1<<40 + 1, NextID: 8, Sequence: 12, Evictions: 3, SaveTime: 1.5e9,
		Safe: PatternSide{
			Rows: []float32{1, 2, 0, 0, 3, 4, 0, 0}, Timestamps: []int64{5, 1<<40 + 1}, Importance: []float32{1, 0.5}, IDs: []int64{2, 7},
		},
		Unsafe:   PatternSide{Rows: []float32{-1, -2, 0, 0}, Timestamps: []int64{0}, Importance: []float32{0}, IDs: []int64{1}},
		Metadata: pickle.NewDict("host", pickle.Str("a"), "tags", &pickle.List{Items: []pickle.Value{pickle.Str("x")}}),
	}
}

func patternBytes(t testing.TB, p *PatternSet) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WritePatterns(&b, "patterns", p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sum(values []float32) string {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// TestReadPythonPatterns reads a checkpoint of the Python system: the safe side is full, so its sum is the one
// that golden.py has for the whole tensor.
func TestReadPythonPatterns(t *testing.T) {
	p, err := ReadPatterns(pythonPatterns)
	if err != nil {
		t.Fatal(err)
	}
	if p.Width != 16 || p.Capacity != 1000 || p.Safe.Len() != 1000 || p.Unsafe.Len() != 350 {
		t.Errorf("got %v, want 1000 and 350 of width 16 and capacity 1000", p)
	}
	if p.Counter != 1750 || p.NextID != 1351 || p.Sequence != 0 || p.SaveTime != 1795393467.149594 {
		t.Errorf("got counter %d, next id %d, sequence %d, save time %v, want 1750, 1351, 0, 1795393467.149594", p.Counter, p.NextID, p.Sequence, p.SaveTime)
	}
	if got, want := p.Safe.Timestamps[:5], []int64{1725, 1251, 1379, 1253, 1728}; !slices.Equal(got, want) {
		t.Errorf("safe timestamps: got %v, want %v", got, want)
	}
	if p.Safe.IDs[999] != 1000 || p.Unsafe.IDs[0] != 1001 || p.Unsafe.Timestamps[1] != 7 {
		t.Errorf("got ids %d, %d and timestamp %d, want 1000, 1001, 7", p.Safe.IDs[999], p.Unsafe.IDs[0], p.Unsafe.Timestamps[1])
	}
	golden, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(golden), sum(p.Safe.Rows)) {
		t.Errorf("sum %s of the safe rows is not in golden.json", sum(p.Safe.Rows))
	}
	tags, ok := p.Metadata.(*pickle.Dict).Get("tags")
	if !ok || len(tags.(*pickle.List).Items) != 2 {
		t.Errorf("metadata: got %v, want two tags", p.Metadata)
	}
}

// TestPatternsRoundTrip keeps every bit, also times that float32 does not hold.
func TestPatternsRoundTrip(t *testing.T) {
	python, err := ReadPatterns(pythonPatterns)
	if err != nil {
		t.Fatal(err)
	}
	empty := &PatternSet{Width: 2, Capacity: 1, NextID: 1, Metadata: &pickle.Dict{}}
	for name, p := range map[string]*PatternSet{"small": smallSet(), "python": python, "empty": empty} {
		got, err := ParsePatterns(name, patternBytes(t, p))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !equalSets(got, p) {
			t.Errorf("%s: got %+v, want %+v", name, got, p)
		}
	}
}

// equalSets compares sets; nil and empty slices are the same.
func equalSets(a, b *PatternSet) bool {
	for _, s := range [][2]*PatternSide{{&a.Safe, &b.Safe}, {&a.Unsafe, &b.Unsafe}} {
		if !slices.Equal(s[0].Rows, s[1].Rows) || !slices.Equal(s[0].Timestamps, s[1].Timestamps) || !slices.Equal(s[0].Importance, s[1].Importance) || !slices.Equal(s[0].IDs, s[1].IDs) {
			return false
		}
	}
	x, y := *a, *b
	x.Safe, x.Unsafe, y.Safe, y.Unsafe = PatternSide{}, PatternSide{}, PatternSide{}, PatternSide{}
	return reflect.DeepEqual(x, y)
}

// keysOf reads back a file's dict for tests that change one entry.
func keysOf(t *testing.T, data []byte) *pickle.Dict {
	t.Helper()
	f, err := tensor.Load(data, tensor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f.Root.(*pickle.Dict)
}

// with saves a dict with one entry replaced, or left out for nil.
func with(t *testing.T, d *pickle.Dict, key string, v pickle.Value) []byte {
	t.Helper()
	out := &pickle.Dict{Ordered: d.Ordered}
	for _, e := range d.Entries() {
		value := e.Value
		if e.Key == pickle.Str(key) {
			if value = v; v == nil {
				continue
			}
		}
		if err := out.Add(e.Key, value); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := tensor.Save(&b, "x", out); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPatternFilesRefused changes one entry of a good file; the error must name the key and what was expected.
func TestPatternFilesRefused(t *testing.T) {
	d := keysOf(t, patternBytes(t, smallSet()))
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	row := func(v ...float32) *tensor.Tensor { return tensor.Float32Rows(v, 3) }
	whole := func(v ...int64) *tensor.Tensor { return tensor.Int64Rows(v, 3) }
	for _, c := range []struct {
		name, key string
		value     pickle.Value
		want      string
	}{
		{"missing", "safe_patterns", nil, "missing, expected float32 [* *]"},
		{"other side missing", "unsafe_patterns", nil, "missing, expected float32 [3 4]"},
		{"not a tensor", "safe_patterns", pickle.Str("x"), `is "x", expected float32`},
		{"other type", "safe_patterns", tensor.New(tensor.Float64, []int64{3, 4}, make([]byte, 96)), "is float64 [3 4], expected float32"},
		{"one dimension", "safe_patterns", row(), "is float32 [3], expected float32 [* *]"},
		{"no rows", "safe_patterns", tensor.Float32Rows(nil, 0, 4), "at least one row"},
		{"other width", "unsafe_patterns", tensor.Float32Rows(nil, 3, 6), "is float32 [3 6], expected float32 [3 4]"},
		{"NaN", "safe_patterns", tensor.Float32Rows([]float32{0, 0, 0, 0, 0, nan}, 3, 4), "element [1 1] is NaN"},
		{"infinity", "unsafe_patterns", tensor.Float32Rows([]float32{-inf}, 3, 4), "element [0 0] is -Inf"},
		{"counts of int", "pattern_counts", tensor.FromInt64s([]int64{2, 1}, 2), "expected float32 [2]"},
		{"count negative", "pattern_counts", tensor.FromFloat32s([]float32{-1, 1}, 2), "element 0 is -1"},
		{"count beyond capacity", "pattern_counts", tensor.FromFloat32s([]float32{2, 4}, 2), "element 1 is 4, expected a whole number from 0 to the capacity 3"},
		{"count fraction", "pattern_counts", tensor.FromFloat32s([]float32{1.5, 1}, 2), "element 0 is 1.5"},
		{"count NaN", "pattern_counts", tensor.FromFloat32s([]float32{nan, 1}, 2), "NaN"},
		{"count infinite", "pattern_counts", tensor.FromFloat32s([]float32{inf, 1}, 2), "+Inf"},
		{"importance NaN", "safe_importance", row(nan), "NaN"},
		{"importance negative", "safe_importance", row(1, -1), "element 1 is -1"},
		{"importance length", "unsafe_importance", tensor.FromFloat32s([]float32{1}, 1), "is float32 [1], expected float32 [3]"},
		{"time fraction", "safe_timestamps", row(0.5), "element 0 is 0.5"},
		{"time negative", "safe_timestamps", row(-1), "element 0 is -1"},
		{"time huge", "safe_timestamps", row(1e30), "expected a whole number"},
		{"times differ", "safe_timestamps_int64", whole(6, 1<<40+1), `element 0 is 6, "safe_timestamps" has 5`},
		{"exact times missing", "unsafe_timestamps_int64", nil, "missing, while"},
		{"ids missing", "safe_pattern_ids", nil, "missing, while"},
		{"ids float", "safe_pattern_ids", row(2, 7), "expected int64 [3]"},
		{"id twice", "unsafe_pattern_ids", whole(7), "id 7, which another pattern has"},
		{"id 0", "unsafe_pattern_ids", whole(0), "id 0, expected 1 to 7"},
		{"id beyond next", "next_pattern_id", pickle.Int(7), "id 7, expected 1 to 6"},
		{"counter below times", "counter", pickle.Int(4), "timestamp 5, expected 0 to the counter 4"},
		{"counter text", "counter", pickle.Str("4"), `is "4", expected an int`},
		{"sequence negative", "sequence", pickle.Int(-1), "sequence -1"},
		{"evictions negative", "evictions", pickle.Int(-1), "evictions -1"},
		{"evictions text", "evictions", pickle.Str("x"), "expected an int"},
		{"save time text", "save_time", pickle.Str("now"), "expected seconds"},
		{"save time NaN", "save_time", pickle.Float(math.NaN()), "save time is NaN"},
		{"version", "version", pickle.Str("2.0"), `expected "1.0"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParsePatterns("file.pt", with(t, d, c.key, c.value))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "file.pt") {
				t.Errorf("got %v, %v, want an error with the file's name and %q", p, err, c.want)
			}
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, want it to match ErrMalformed", err)
			}
		})
	}
	if _, err := ParsePatterns("x", with(t, d, "no such key", nil)); err != nil {
		t.Errorf("unchanged: got %v", err)
	}
}

// TestEvictionsAreYounger reads files that were written before evictions were counted, and none that have that count
// without the other exact keys.
func TestEvictionsAreYounger(t *testing.T) {
	d := keysOf(t, patternBytes(t, smallSet()))
	p, err := ParsePatterns("x", with(t, d, keyEvictions, nil))
	if err != nil || p.Evictions != 0 || p.Sequence != smallSet().Sequence {
		t.Errorf("without evictions: got %+v (%v), want the rest", p, err)
	}
	python, err := os.ReadFile(filepath.FromSlash(pythonPatterns))
	if err != nil {
		t.Fatal(err)
	}
	alone := keysOf(t, python)
	if err := alone.Add(pickle.Str(keyEvictions), pickle.Int(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := ParsePatterns("x", with(t, alone, "no such key", nil)); err == nil || !strings.Contains(err.Error(), `"evictions" is there`) {
		t.Errorf("evictions alone: got %v, want an error", err)
	}
}

// TestPatternsIgnoredBeyondCount does not look at rows that are not in use.
func TestPatternsIgnoredBeyondCount(t *testing.T) {
	d := keysOf(t, patternBytes(t, smallSet()))
	rows := slices.Concat(smallSet().Safe.Rows, []float32{float32(math.NaN()), 0, 0, 0})
	if _, err := ParsePatterns("x", with(t, d, "safe_patterns", tensor.FromFloat32s(rows, 3, 4))); err != nil {
		t.Errorf("NaN beyond the count: got %v, want it ignored", err)
	}
}

// TestPatternSetRefused checks sets that a program made wrong, before anything is written.
func TestPatternSetRefused(t *testing.T) {
	for name, change := range map[string]func(p *PatternSet){
		"width":           func(p *PatternSet) { p.Width = 0 },
		"capacity":        func(p *PatternSet) { p.Capacity = 1 },
		"rows":            func(p *PatternSet) { p.Safe.Rows = p.Safe.Rows[:5] },
		"times":           func(p *PatternSet) { p.Safe.Timestamps = nil },
		"importance":      func(p *PatternSet) { p.Unsafe.Importance = nil },
		"NaN":             func(p *PatternSet) { p.Safe.Rows[6] = float32(math.NaN()) },
		"importance inf":  func(p *PatternSet) { p.Safe.Importance[1] = float32(math.Inf(1)) },
		"importance NaN":  func(p *PatternSet) { p.Safe.Importance[1] = float32(math.NaN()) },
		"time in future":  func(p *PatternSet) { p.Counter-- },
		"id twice":        func(p *PatternSet) { p.Unsafe.IDs[0] = 2 },
		"id not given":    func(p *PatternSet) { p.NextID = 7 },
		"counter":         func(p *PatternSet) { p.Counter = -1 },
		"next id of none": func(p *PatternSet) { *p = PatternSet{Width: 1, Capacity: 1} },
	} {
		p := smallSet()
		change(p)
		var b bytes.Buffer
		if err := WritePatterns(&b, "x", p); err == nil || b.Len() != 0 {
			t.Errorf("%s: got %v after %d bytes, want an error before the first", name, err, b.Len())
		}
	}
}

// TestPatternBytesDamaged cuts and changes a whole file: never a panic, and every error says that the file is malformed.
func TestPatternBytesDamaged(t *testing.T) {
	data := patternBytes(t, smallSet())
	for n := range data {
		if _, err := ParsePatterns("x", data[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("cut at %d of %d: got %v, want ErrMalformed", n, len(data), err)
		}
	}
	for i := range data {
		data[i] ^= 0x41
		if p, err := ParsePatterns("x", data); err == nil && !equalSets(p, smallSet()) {
			t.Errorf("byte %d changed: read as %+v", i, p)
		}
		data[i] ^= 0x41
	}
}

// TestPaddingIsZero looks at the rows beyond the count as Python would see them.
func TestPaddingIsZero(t *testing.T) {
	v, _ := keysOf(t, patternBytes(t, smallSet())).Get("unsafe_patterns")
	got, err := v.(*tensor.Tensor).Float32s()
	if want := []float32{-1, -2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}

// TestKeysOfPython has the Python system's keys first, in its order.
func TestKeysOfPython(t *testing.T) {
	python, err := os.ReadFile(filepath.FromSlash(pythonPatterns))
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := keysOf(t, python), keysOf(t, patternBytes(t, smallSet()))
	for i, e := range theirs.Entries() {
		if ours.Entries()[i].Key != e.Key {
			t.Errorf("key %d: got %v, want %v", i, ours.Entries()[i].Key, e.Key)
		}
	}
}
