package models

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
)

// The kit's numbers are the reference's create_action_embedding.
func TestHashEmbedding(t *testing.T) {
	data, err := os.ReadFile("testdata/embeddings.json")
	if err != nil {
		t.Fatal(err)
	}
	var kit struct {
		Texts   []string    `json:"texts"`
		Sha256s [][]float32 `json:"sha256_8"`
	}
	if err := json.Unmarshal(data, &kit); err != nil {
		t.Fatal(err)
	}
	if len(kit.Texts) == 0 || len(kit.Texts) != len(kit.Sha256s) {
		t.Fatalf("%d texts and %d embeddings", len(kit.Texts), len(kit.Sha256s))
	}
	for i, text := range kit.Texts {
		if got := HashEmbedding(text, 8); !slices.Equal(got, kit.Sha256s[i]) {
			t.Errorf("text %q: got %v, want %v", text, got, kit.Sha256s[i])
		}
	}
	if got := len(HashEmbedding("x", 384)); got != MaxHashWidth {
		t.Errorf("width for 384: got %d, want %d", got, MaxHashWidth)
	}
}

func TestDrawsDependOnTheirSeedAlone(t *testing.T) {
	if got, want := DrawProjection(1, 8, 384), DrawProjection(1, 8, 384); !slices.Equal(got.Weight, want.Weight) || !slices.Equal(got.Bias, want.Bias) {
		t.Error("two draws of one projection differ")
	}
	p := DrawProjection(1, 8, 384)
	for name, other := range map[string]*Projection{"seed": DrawProjection(2, 8, 384), "workspace": DrawProjection(1, 9, 384), "width": DrawProjection(1, 8, 383)} {
		if slices.Equal(p.Bias[:8], other.Bias[:8]) {
			t.Errorf("another %s gives the same numbers", name)
		}
	}
	bound, sum := float32(1/math.Sqrt(384)), 0.0
	for _, w := range p.Weight {
		if w < -bound || w > bound {
			t.Fatalf("weight %v is outside ±%v", w, bound)
		}
		sum += float64(w) * float64(w)
	}
	// The variance of U(−b, b) is b²/3.
	if got, want := sum/float64(len(p.Weight)), float64(bound*bound)/3; math.Abs(got-want) > 0.05*want {
		t.Errorf("variance %v, want about %v", got, want)
	}
}

// Golden: a release must never change what a seed means, since a fresh data
// directory and its readers draw the same weights.
func TestDrawnNumbersStay(t *testing.T) {
	w := DrawWeights(0, 8)
	if err := w.Validate(); err != nil {
		t.Fatal(err)
	}
	p := DrawProjection(0, 8, 384)
	for _, c := range []struct {
		name string
		got  []float32
		want []float32
	}{
		{"state_real", w.StateReal[:3], []float32{0.046620913, 0.008466801, 0.10503248}},
		{"risk_detector.0.weight", w.Risk.Weight0[:3], []float32{0.09624721, -0.21522512, -0.1655081}},
		{"projection of 384", p.Weight[:3], []float32{0.046258315, -0.021543017, -0.04217551}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
	var sum float64
	many := newGenerator("test").normal(20000, 0.1)
	for _, v := range many {
		sum += float64(v) * float64(v)
	}
	if got := math.Sqrt(sum / float64(len(many))); math.Abs(got-0.1) > 0.002 {
		t.Errorf("standard deviation %v, want 0.1", got)
	}
}

func TestWeightsAreChecked(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(*Weights)
	}{
		{"workspace_dim", func(w *Weights) { w.Workspace = 2 }},
		{"state_imag", func(w *Weights) { w.StateImag = w.StateImag[1:] }},
		{"risk_detector.3.weight", func(w *Weights) { w.Risk.Weight3[5] = float32(math.NaN()) }},
		{"risk_detector.5.bias", func(w *Weights) { w.Risk.Bias5 = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := DrawWeights(0, 8)
			c.damage(w)
			if err := w.Validate(); err == nil || !strings.Contains(err.Error(), c.name) {
				t.Errorf("got %v, want an error that names %s", err, c.name)
			}
		})
	}
	p := DrawProjection(0, 8, 3)
	p.Weight[0] = float32(math.Inf(1))
	if err := p.Validate(8); err == nil {
		t.Error("a projection with infinity is accepted")
	}
	if err := DrawProjection(0, 8, 3).Validate(9); err == nil {
		t.Error("a projection into another workspace is accepted")
	}
}

func TestWeightsSurviveAStateDict(t *testing.T) {
	want := DrawWeights(3, 12)
	path := t.TempDir() + "/validator_state.pt"
	if err := checkpoints.SaveValidatorState(path, StateOf(want, 5)); err != nil {
		t.Fatal(err)
	}
	state, err := checkpoints.ReadValidatorState(path)
	if err != nil {
		t.Fatal(err)
	}
	got := WeightsOf(state)
	a, b := got.Risk.tensors(), want.Risk.tensors()
	for i := range a {
		if !slices.Equal(a[i], b[i]) {
			t.Errorf("risk detector tensor %d: got %v, want %v", i, a[i], b[i])
		}
	}
	if !slices.Equal(got.StateReal, want.StateReal) || !slices.Equal(got.StateImag, want.StateImag) {
		t.Error("the state differs")
	}
}
