package engine

import (
	"strconv"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// Decision is what a verdict says to do (validator specification, section 2,
// step 16).
type Decision = policy.Decision

// Decisions, loosest first.
const (
	Allow  = policy.Allow
	Review = policy.Review
	Block  = policy.Block
)

// Status says what became of a row.
type Status uint8

// Statuses of a row. Only a judged row has scores.
const (
	Judged            Status = iota
	BasicChecksFailed        // nothing was computed, no state moved
	NotFinite                // NaN or infinity in the embedding
	Overflow                 // the embedding does not fit float32 in the workspace
	NoScore                  // the scores of the row are not finite
)

// Err is nil for a judged row and a row that failed its basic checks, and
// says why a row was refused.
func (s Status) Err() error {
	switch s {
	case NotFinite:
		return errNotFinite
	case Overflow:
		return errOverflow
	case NoScore:
		return errNoScore
	default:
		return nil
	}
}

// Violation is a bit of [Verdict.Violations].
type Violation uint8

// Violations in the order in which their texts are listed.
const (
	HighEntropy Violation = 1 << iota
	LowCoherence
	HighNovelty
)

// Verdict is the answer to one row. A row whose Status is not Judged has NaN
// for its numbers, no nearest pattern, is not approved and its Decision is
// Block.
type Verdict struct {
	RiskScore        float32 // RawRisk clamped to [0, 1]
	RawRisk          float32 // what the rules compare; may exceed 1
	BaseRisk         float32 // the risk detector alone, in (0, 1)
	Entropy          float32
	Coherence        float32
	Novelty          float32 // 0 to 1
	SafeSimilarity   float32 // 1/(1+distance), 0 with no pattern
	UnsafeSimilarity float32
	SafeDistance     float32 // Euclidean; +Inf with no pattern
	UnsafeDistance   float32
	// Thresholds in force for this row (step 10: a similar safe pattern
	// changes them).
	EntropyThreshold  float32
	CollapseThreshold float32
	NearestSafe       int64 // pattern id, -1 with no pattern
	NearestUnsafe     int64
	Violations        Violation
	Decision          Decision
	Status            Status
	Approved          bool // by the tier alone
	RequiresApproval  bool
	RequiresHuman     bool
	MatchedSafe       bool
	MatchedUnsafe     bool
}

// failedBasicChecks is the reason that the reference gives.
const failedBasicChecks = "Failed Cockpit basic validation"

// SafetyViolations lists the violations as texts (step 11); empty when there
// are none.
func (v *Verdict) SafetyViolations() []string {
	texts := []string{}
	for bit := HighEntropy; bit <= HighNovelty; bit <<= 1 {
		if v.Violations&bit != 0 {
			texts = append(texts, string(v.appendViolation(nil, bit)))
		}
	}
	return texts
}

// appendViolation says what a bit of Violations means.
func (v *Verdict) appendViolation(dst []byte, bit Violation) []byte {
	number := func(value float32, digits int) {
		dst = strconv.AppendFloat(dst, float64(value), 'f', digits, 32)
	}
	switch bit {
	case HighEntropy:
		dst = append(dst, "High entropy: "...)
		number(v.Entropy, 3)
		dst = append(dst, " > "...)
		number(v.EntropyThreshold, 2)
	case LowCoherence:
		dst = append(dst, "Low coherence: "...)
		number(v.Coherence, 3)
		dst = append(dst, " < "...)
		number(v.CollapseThreshold, 2)
	case HighNovelty:
		dst = append(dst, "High novelty: "...)
		number(v.Novelty, 3)
	}
	return dst
}

// Reason says in one line why the verdict is what it is.
func (v *Verdict) Reason() string {
	switch {
	case v.Status == BasicChecksFailed:
		return failedBasicChecks
	case v.Status != Judged:
		return v.Status.Err().Error()
	}
	why := make([]byte, 0, 128)
	switch {
	case v.MatchedSafe && v.MatchedUnsafe:
		why = append(why, "matches a safe and an unsafe pattern"...)
	case v.MatchedSafe:
		why = append(why, "matches a safe pattern"...)
	case v.MatchedUnsafe:
		why = append(why, "matches an unsafe pattern"...)
	default:
		why = append(why, "matches no pattern"...)
	}
	why = strconv.AppendFloat(append(why, "; risk "...), float64(v.RawRisk), 'f', 3, 32)
	for bit := HighEntropy; bit <= HighNovelty; bit <<= 1 {
		if v.Violations&bit != 0 {
			why = v.appendViolation(append(why, "; "...), bit)
		}
	}
	return string(why)
}

// thresholds are those of step 10, given what the row resembles.
func thresholds(p *torch.Policy, matchedSafe bool, safeSimilarity float32) (entropy, collapse float32) {
	switch {
	case matchedSafe:
		return 1.1, 0
	case safeSimilarity > 0.3:
		return 0.98, 0.1
	default:
		return p.EntropyThreshold, p.CollapseThreshold
	}
}

// verdictFrom translates an answer of the native side.
func verdictFrom(in *torch.Verdict, p *torch.Policy) Verdict {
	out := Verdict{
		RiskScore: in.RiskScore, RawRisk: in.RawRisk, BaseRisk: in.BaseRisk,
		Entropy: in.Entropy, Coherence: in.Coherence, Novelty: in.Novelty,
		SafeSimilarity: in.SafeSimilarity, UnsafeSimilarity: in.UnsafeSimilarity,
		SafeDistance: in.SafeDistance, UnsafeDistance: in.UnsafeDistance,
		NearestSafe: in.NearestSafe, NearestUnsafe: in.NearestUnsafe,
		Approved:         in.Flags&torch.Approved != 0,
		RequiresApproval: in.Flags&torch.RequiresApproval != 0,
		RequiresHuman:    in.Flags&torch.RequiresHumanApproval != 0,
		MatchedSafe:      in.Flags&torch.MatchedSafe != 0,
		MatchedUnsafe:    in.Flags&torch.MatchedUnsafe != 0,
		Status:           statusFrom(in.RowStatus),
		Decision:         Block,
	}
	out.EntropyThreshold, out.CollapseThreshold = thresholds(p, out.MatchedSafe, out.SafeSimilarity)
	for _, v := range []struct {
		flag uint32
		bit  Violation
	}{
		{torch.HighEntropy, HighEntropy},
		{torch.LowCoherence, LowCoherence},
		{torch.HighNovelty, HighNovelty},
	} {
		if in.Flags&v.flag != 0 {
			out.Violations |= v.bit
		}
	}
	switch {
	case out.Status != Judged: // fails closed, whatever the flags say
		out.Approved, out.RequiresApproval, out.RequiresHuman = false, true, true
	case in.Flags&torch.DecisionAllow != 0:
		out.Decision = Allow
	case in.Flags&torch.DecisionReview != 0:
		out.Decision = Review
	}
	return out
}

// statusFrom maps the native row status; one that this version does not know
// counts as refused.
func statusFrom(native uint32) Status {
	switch native {
	case torch.RowOK:
		return Judged
	case torch.RowSkipped:
		return BasicChecksFailed
	case torch.RowNotFinite:
		return NotFinite
	case torch.RowOverflow:
		return Overflow
	default:
		return NoScore
	}
}
