package checkpoints

import (
	"bytes"
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

func TestReadValidatorStates(t *testing.T) {
	for _, c := range []struct {
		path                                string
		dim, capacity, safe, unsafe, column int
	}{
		{"testdata/checkpoints/validator_state_torch1.13.0.pt", 8, 1000, 1000, 350, 16},
		{"testdata/cases/row-evictions/validator_state.pt", 8, 16, 10, 14, 16},
		{"testdata/cases/first-patterns-projected/validator_state.pt", 8, 1000, 40, 40, 16},
		{"testdata/cases/row-no-patterns-workspace6/validator_state.pt", 6, 1000, 0, 0, 12},
		{"testdata/cases/row-patterns-workspace12/validator_state.pt", 12, 64, 40, 10, 24},
	} {
		s, err := ReadValidatorState(filepath.FromSlash(c.path))
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		p := &s.Patterns
		if s.Dim != c.dim || p.Capacity != c.capacity || p.Safe.Len() != c.safe || p.Unsafe.Len() != c.unsafe || p.Width != c.column || len(s.Risk.Weight0) != RiskHidden1*c.column {
			t.Errorf("%s: got dim %d, %v, want %+v", c.path, s.Dim, p, c)
		}
		var first bytes.Buffer
		if err := WriteValidatorState(&first, "validator_state", s); err != nil {
			t.Errorf("%s: write: %v", c.path, err)
			continue
		}
		again, err := ParseValidatorState("again", first.Bytes())
		if err != nil || !reflect.DeepEqual(s.Risk, again.Risk) || !slices.Equal(s.StateReal, again.StateReal) || !slices.Equal(s.StateImag, again.StateImag) || !equalSets(&s.Patterns, &again.Patterns) {
			t.Errorf("%s: written and read again: got %v (%v), want %v", c.path, again, err, s)
		}
	}
}

// TestValidatorValues compares one state with the numbers that PyTorch has for it in golden.json.
func TestValidatorValues(t *testing.T) {
	s, err := ReadValidatorState("testdata/checkpoints/validator_state_torch1.13.0.pt")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range s.slots() {
		if !strings.Contains(string(golden), sum(*w.to)) {
			t.Errorf("%s: its sum %s is not in golden.json", w.key, sum(*w.to))
		}
	}
}

func TestValidatorStatesRefused(t *testing.T) {
	data, err := os.ReadFile("testdata/cases/row-evictions/validator_state.pt")
	if err != nil {
		t.Fatal(err)
	}
	d := keysOf(t, data)
	nan := tensor.Float32Rows([]float32{float32(math.NaN())}, 8)
	for _, c := range []struct {
		key   string
		value pickle.Value
		want  string
	}{
		{"state_real", nil, `key "state_real": missing`},
		{"state_real", tensor.Float32Rows(nil, 0), "is empty"},
		{"state_real", tensor.Float32Rows(nil, 9), `key "state_imag": is float32 [8], expected float32 [9]`},
		{"state_imag", nan, `key "state_imag": element [0] is NaN`},
		{"risk_detector.0.weight", tensor.Float32Rows(nil, 64, 12), `key "risk_detector.0.weight": is float32 [64 12], expected float32 [64 16]`},
		{"risk_detector.5.bias", nil, "missing, expected float32 [1]"},
		{"safe_pattern_timestamps", tensor.Float32Rows(nil, 15), "is float32 [15], expected float32 [16]"},
		{"unsafe_pattern_importance", nil, "missing"},
		{"pattern_counts", tensor.FromFloat32s([]float32{17, 0}, 2), "capacity 16"},
	} {
		_, err := ParseValidatorState("v.pt", with(t, d, c.key, c.value))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "v.pt") || !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want an error with %q", c.key, err, c.want)
		}
	}
	if _, err := ReadValidatorState("testdata/checkpoints/projections.pt"); err == nil || !strings.Contains(err.Error(), "state_real") {
		t.Errorf("projections as a state: got %v, want the missing key named", err)
	}
	s, err := ParseValidatorState("v.pt", data)
	if err != nil {
		t.Fatal(err)
	}
	s.Risk.Bias3 = s.Risk.Bias3[:31]
	if err := WriteValidatorState(&bytes.Buffer{}, "x", s); err == nil || !strings.Contains(err.Error(), "risk_detector.3.bias") {
		t.Errorf("short bias: got %v, want it named", err)
	}
}

func TestProjections(t *testing.T) {
	p, err := ReadProjections("testdata/checkpoints/projections.pt")
	if err != nil {
		t.Fatal(err)
	}
	if p.Dim != 8 || !slices.Equal(p.Order, []int{32, 384}) || len(p.ByWidth[384].Weight) != 8*384 || len(p.ByWidth[32].Bias) != 8 {
		t.Errorf("got dim %d, order %v, want 8, [32 384]", p.Dim, p.Order)
	}
	path := filepath.Join(t.TempDir(), "projections.pt")
	if err := SaveProjections(path, p); err != nil {
		t.Fatal(err)
	}
	again, err := ReadProjections(path)
	if err != nil || !reflect.DeepEqual(p, again) {
		t.Errorf("written and read again: got %v (%v), want %v", again, err, p)
	}
	var empty bytes.Buffer
	if err := WriteProjections(&empty, "p", &Projections{}); err != nil {
		t.Fatal(err)
	}
	if none, err := ParseProjections("p", empty.Bytes()); err != nil || len(none.ByWidth) != 0 {
		t.Errorf("none: got %v (%v), want no projections", none, err)
	}
}

func TestProjectionsRefused(t *testing.T) {
	one := func(weight, bias pickle.Value) *pickle.Dict { return pickle.NewDict("weight", weight, "bias", bias) }
	weight, bias := tensor.Float32Rows(nil, 2, 3), tensor.Float32Rows(nil, 2)
	for _, c := range []struct {
		name string
		keys []pickle.Value
		vals []pickle.Value
		want string
	}{
		{"text key", []pickle.Value{pickle.Str("3")}, []pickle.Value{one(weight, bias)}, "expected an input width"},
		{"width 0", []pickle.Value{pickle.Int(0)}, []pickle.Value{one(weight, bias)}, "expected an input width"},
		{"no dict", []pickle.Value{pickle.Int(3)}, []pickle.Value{weight}, `key "3"`},
		{"other width", []pickle.Value{pickle.Int(4)}, []pickle.Value{one(weight, bias)}, `key "4.weight": is float32 [2 3], expected float32 [2 4]`},
		{"no bias", []pickle.Value{pickle.Int(3)}, []pickle.Value{pickle.NewDict("weight", weight)}, `key "3.bias": missing`},
		{"two workspaces", []pickle.Value{pickle.Int(3), pickle.Int(4)}, []pickle.Value{one(weight, bias), one(tensor.Float32Rows(nil, 3, 4), tensor.Float32Rows(nil, 3))}, "other projections"},
		{"NaN", []pickle.Value{pickle.Int(3)}, []pickle.Value{one(tensor.Float32Rows([]float32{float32(math.NaN())}, 2, 3), bias)}, "NaN"},
	} {
		d := &pickle.Dict{}
		for i := range c.keys {
			if err := d.Add(c.keys[i], c.vals[i]); err != nil {
				t.Fatal(err)
			}
		}
		var b bytes.Buffer
		if err := tensor.Save(&b, "p", d); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseProjections("p.pt", b.Bytes()); err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}
