package models

import "github.com/fdqc-cockpit/fdqc/checkpoints"

// WeightsOf takes the weights out of a validator's state_dict. The slices
// are shared.
func WeightsOf(s *checkpoints.ValidatorState) *Weights {
	return &Weights{
		Workspace: s.Dim, StateReal: s.StateReal, StateImag: s.StateImag,
		Risk: RiskDetector(s.Risk),
	}
}

// StateOf makes a state_dict of the weights with an empty memory of capacity
// patterns a side. The slices are shared.
func StateOf(w *Weights, capacity int) *checkpoints.ValidatorState {
	return &checkpoints.ValidatorState{
		Dim: w.Workspace, StateReal: w.StateReal, StateImag: w.StateImag,
		Risk:     checkpoints.RiskDetector(w.Risk),
		Patterns: checkpoints.PatternSet{Width: 2 * w.Workspace, Capacity: capacity, NextID: 1},
	}
}

// ProjectionsOf indexes the projections of a file by width. The slices are
// shared.
func ProjectionsOf(p *checkpoints.Projections) map[int]*Projection {
	projections := make(map[int]*Projection, len(p.ByWidth))
	for width, values := range p.ByWidth {
		projections[width] = &Projection{Width: width, Weight: values.Weight, Bias: values.Bias}
	}
	return projections
}
