package rows

import (
	"fmt"
	"math"
	"strings"
)

// Result is one verdict as it is written. A number that is NaN goes out as NaN in .npz and as null elsewhere.
type Result struct {
	ID       ID
	Approved bool
	Decision string // allow, review or block

	RiskScore, RawRisk, BaseRisk     float32
	Entropy, Coherence, Novelty      float32
	SafeSimilarity, UnsafeSimilarity float32
	MatchedSafe, MatchedUnsafe       bool
	NearestSafe, NearestUnsafe       int64 // pattern ids; negative for none, which goes out as null, or -1
	RequiresApproval, RequiresHuman  bool
	ViolationMask                    int64  // the violations as bits, for .npz
	Texts                            Texts  // nil for none
	Error                            string // why the row was refused; "" for a row that was judged
}

// Texts are what a verdict says in words. They are made when a field that is written asks for them.
type Texts interface {
	SafetyViolations() []string
	Reason() string
}

// violations are the texts of the violations.
func (r *Result) violations() []string {
	if r.Texts == nil {
		return nil
	}
	return r.Texts.SafetyViolations()
}

// Refused is the result of a row that was not judged: not approved, blocked, without numbers.
func Refused(id ID, reason error) Result {
	nan := float32(math.NaN())
	return Result{
		ID: id, Decision: "block", RiskScore: nan, RawRisk: nan, BaseRisk: nan, Entropy: nan, Coherence: nan, Novelty: nan,
		SafeSimilarity: nan, UnsafeSimilarity: nan, NearestSafe: -1, NearestUnsafe: -1,
		RequiresApproval: true, RequiresHuman: true, Error: reason.Error(),
	}
}

// Field is one field of a verdict.
type Field uint8

// The fields, in the order in which they are written.
const (
	FieldID Field = iota
	FieldApproved
	FieldDecision
	FieldRiskScore
	FieldRawRisk
	FieldBaseRisk
	FieldEntropy
	FieldCoherence
	FieldNovelty
	FieldSafeSimilarity
	FieldUnsafeSimilarity
	FieldMatchedSafe
	FieldMatchedUnsafe
	FieldNearestSafe
	FieldNearestUnsafe
	FieldRequiresApproval
	FieldRequiresHuman
	FieldViolations
	FieldReason
	FieldError
	fieldCount
)

// String is the field's name in files.
func (f Field) String() string {
	return [...]string{
		"id", "approved", "decision", "risk_score", "raw_risk", "base_risk", "entropy", "coherence", "novelty",
		"safe_similarity", "unsafe_similarity", "matched_safe", "matched_unsafe", "nearest_safe", "nearest_unsafe",
		"requires_approval", "requires_human_approval", "safety_violations", "reason", "error",
	}[f]
}

// number is the field's value if the field is one of the scores.
func (f Field) number(r *Result) (float32, bool) {
	switch f {
	case FieldRiskScore:
		return r.RiskScore, true
	case FieldRawRisk:
		return r.RawRisk, true
	case FieldBaseRisk:
		return r.BaseRisk, true
	case FieldEntropy:
		return r.Entropy, true
	case FieldCoherence:
		return r.Coherence, true
	case FieldNovelty:
		return r.Novelty, true
	case FieldSafeSimilarity:
		return r.SafeSimilarity, true
	case FieldUnsafeSimilarity:
		return r.UnsafeSimilarity, true
	}
	return 0, false
}

// flag is the field's value if the field is a boolean.
func (f Field) flag(r *Result) (value, ok bool) {
	switch f {
	case FieldApproved:
		return r.Approved, true
	case FieldMatchedSafe:
		return r.MatchedSafe, true
	case FieldMatchedUnsafe:
		return r.MatchedUnsafe, true
	case FieldRequiresApproval:
		return r.RequiresApproval, true
	case FieldRequiresHuman:
		return r.RequiresHuman, true
	}
	return false, false
}

// integer is the field's value if the field is a pattern id.
func (f Field) integer(r *Result) (int64, bool) {
	switch f {
	case FieldNearestSafe:
		return max(r.NearestSafe, -1), true
	case FieldNearestUnsafe:
		return max(r.NearestUnsafe, -1), true
	}
	return 0, false
}

// text is the field's value if the field is a text.
func (f Field) text(r *Result) (string, bool) {
	switch f {
	case FieldDecision:
		return r.Decision, true
	case FieldReason:
		if r.Texts == nil {
			return "", true
		}
		return r.Texts.Reason(), true
	case FieldError:
		return r.Error, true
	}
	return "", false
}

// ParseFields reads a list such as "id,decision"; "" means all. The order of files is kept whatever the list's.
func ParseFields(list string) ([]Field, error) {
	chosen := make([]bool, fieldCount)
	names := make([]string, fieldCount)
	for f := range fieldCount {
		names[f] = f.String()
		chosen[f] = list == ""
	}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		known := list == ""
		for f := range names {
			if names[f] == name {
				chosen[f], known = true, true
			}
		}
		if !known {
			return nil, fmt.Errorf("fields %q: unknown field %q, expected some of %s", list, name, strings.Join(names, ", "))
		}
	}
	var fields []Field
	for f, yes := range chosen {
		if yes {
			fields = append(fields, Field(f))
		}
	}
	return fields, nil
}
