package engine

import (
	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// tierOf is a configured tier as the native side names it. One that this
// version does not know is the strictest.
func tierOf(name string) torch.Tier {
	switch name {
	case policy.Alpha:
		return torch.Alpha
	case policy.Beta:
		return torch.Beta
	case policy.Gamma:
		return torch.Gamma
	case policy.Delta:
		return torch.Delta
	case policy.Epsilon:
		return torch.Epsilon
	default:
		return torch.Omega
	}
}

// policyOf is the part of the configuration that verdicts are given under,
// with what operators demand beyond it.
// Thresholds are float32, as the specification compares them (section 2, step
// 14).
func policyOf(configured *Config, levers Levers) torch.Policy {
	c := levers.Apply(*configured)
	p := torch.Policy{
		EntropyThreshold:     float32(c.Safety.EntropyThreshold),
		CollapseThreshold:    float32(c.Safety.CollapseThreshold),
		BlockThreshold:       float32(c.Safety.BlockThreshold),
		SafeMode:             c.Safety.SafeMode,
		RequireHumanApproval: c.Safety.RequireHumanApproval,
		Tier:                 tierOf(c.Safety.Tier),
	}
	if c.Safety.StateUpdate == StateUpdateFirstElement {
		p.StateUpdate = torch.StateFirstElement
	}
	return p
}
