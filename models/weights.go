package models

import (
	"fmt"
	"math"
)

// Widths of the risk detector's hidden layers (validator specification,
// section 1: Linear 2n→64, ReLU, Linear 64→32, ReLU, Linear 32→1, sigmoid).
const (
	hidden1 = 64
	hidden2 = 32
)

// Limits of the shapes that the engine works with.
const (
	MinWorkspace = 4
	MaxWorkspace = 1024
	MaxWidth     = 4096 // of an embedding
)

// RiskDetector holds the weights of the network that gives base_risk, under
// the keys risk_detector.{0,3,5}.{weight,bias} of a state_dict.
type RiskDetector struct {
	Weight0 []float32 // [64, 2n]
	Bias0   []float32 // [64]
	Weight3 []float32 // [32, 64]
	Bias3   []float32 // [32]
	Weight5 []float32 // [1, 32]
	Bias5   []float32 // [1]
}

// Weights is what a validator computes with, except its projections and
// patterns: the risk detector and the state that sessions start from.
type Weights struct {
	Workspace int       // n
	StateReal []float32 // [n]
	StateImag []float32 // [n]
	Risk      RiskDetector
}

// Validate reports the first tensor whose shape does not follow from
// Workspace or that holds a number that is not finite.
func (w *Weights) Validate() error {
	n := w.Workspace
	if n < MinWorkspace || n > MaxWorkspace {
		return fmt.Errorf("validator weights: workspace_dim %d is outside %d to %d", n, MinWorkspace, MaxWorkspace)
	}
	for _, t := range []struct {
		key    string
		values []float32
		want   int
	}{
		{"state_real", w.StateReal, n},
		{"state_imag", w.StateImag, n},
		{"risk_detector.0.weight", w.Risk.Weight0, hidden1 * 2 * n},
		{"risk_detector.0.bias", w.Risk.Bias0, hidden1},
		{"risk_detector.3.weight", w.Risk.Weight3, hidden2 * hidden1},
		{"risk_detector.3.bias", w.Risk.Bias3, hidden2},
		{"risk_detector.5.weight", w.Risk.Weight5, hidden2},
		{"risk_detector.5.bias", w.Risk.Bias5, 1},
	} {
		if len(t.values) != t.want {
			return fmt.Errorf("validator weights: %s holds %d numbers, expected %d for workspace_dim %d", t.key, len(t.values), t.want, n)
		}
		if i := firstNotFinite(t.values); i >= 0 {
			return fmt.Errorf("validator weights: %s[%d] is %v, expected a finite number", t.key, i, t.values[i])
		}
	}
	return nil
}

// tensors lists the risk detector in the order that the native side takes.
func (r *RiskDetector) tensors() [6][]float32 {
	return [6][]float32{r.Weight0, r.Bias0, r.Weight3, r.Bias3, r.Weight5, r.Bias5}
}

// DrawWeights makes the weights of a validator that was never trained, a
// function of seed and workspace only: the layers by the default rule of
// PyTorch's nn.Linear, the states by 0.1·N(0,1).
func DrawWeights(seed int64, workspace int) *Weights {
	g := newGenerator("validator weights", seed, int64(workspace))
	w := &Weights{Workspace: workspace}
	w.StateReal = g.normal(workspace, 0.1)
	w.StateImag = g.normal(workspace, 0.1)
	w.Risk.Weight0, w.Risk.Bias0 = g.linear(hidden1, 2*workspace)
	w.Risk.Weight3, w.Risk.Bias3 = g.linear(hidden2, hidden1)
	w.Risk.Weight5, w.Risk.Bias5 = g.linear(1, hidden2)
	return w
}

// firstNotFinite is the index of the first NaN or infinity, or -1.
func firstNotFinite(values []float32) int {
	for i, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return i
		}
	}
	return -1
}
