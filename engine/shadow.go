package engine

import (
	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// newShadow counts what the settings of [shadow] would have decided; nil when
// they are not enabled.
func newShadow(c *ShadowConfig) *policy.Shadow {
	if !c.Enabled {
		return nil
	}
	return policy.NewShadow(policy.Rules{
		Settings:          policy.Settings{Tier: c.Tier, SafeMode: c.SafeMode, RequireHumanApproval: c.RequireHumanApproval},
		EntropyThreshold:  float32(c.EntropyThreshold),
		CollapseThreshold: float32(c.CollapseThreshold),
		BlockThreshold:    float32(c.BlockThreshold),
	})
}

// Shadow counts the rows judged so far by what was decided and what the
// settings of [shadow] would have decided. Without them all counts are 0.
func (e *Engine) Shadow() policy.Counts {
	if e.shadow == nil {
		return policy.Counts{}
	}
	return e.shadow.Counts()
}

// countShadow counts a batch that was judged. flags are of the batch's rows,
// nil where no row has any.
func (e *Engine) countShadow(verdicts []Verdict, flags []uint8) {
	for i := range verdicts {
		v := &verdicts[i]
		if v.Status != Judged {
			e.shadow.CountRefused(1)
			continue
		}
		n := numbersOf(v, flags != nil && flags[i]&torch.RowNoAllow != 0)
		e.shadow.Count(v.Decision, &n)
	}
}

// numbersOf are those of a judged row that rules decide on.
func numbersOf(v *Verdict, noAllow bool) policy.Numbers {
	return policy.Numbers{
		BaseRisk: v.BaseRisk, Entropy: v.Entropy, Coherence: v.Coherence, Novelty: v.Novelty,
		SafeSimilarity: v.SafeSimilarity, UnsafeSimilarity: v.UnsafeSimilarity,
		Patterns: v.NearestSafe >= 0 || v.NearestUnsafe >= 0, NoAllow: noAllow,
	}
}
