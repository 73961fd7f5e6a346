package policy

// Decision is what a verdict says to do (validator specification, section 2,
// step 16).
type Decision uint8

// Decisions, loosest first.
const (
	Allow Decision = iota
	Review
	Block
)

// Decisions is how many there are.
const Decisions = 3

// String is the decision as rows carry it.
func (d Decision) String() string { return [...]string{"allow", "review", "block"}[d] }

// Numbers are those of a judged row that decide. All are finite.
type Numbers struct {
	BaseRisk         float32
	Entropy          float32
	Coherence        float32
	Novelty          float32
	SafeSimilarity   float32
	UnsafeSimilarity float32
	Patterns         bool // the memory held at least one pattern
	NoAllow          bool // the row carries too little signal for more than review
}

// Rules are what a decision is made under. Thresholds are float32, as the
// specification compares them (section 2, step 14).
type Rules struct {
	Settings
	EntropyThreshold  float32
	CollapseThreshold float32
	BlockThreshold    float32
}

// Decide gives the decision of steps 8 to 16, each operation in float32 and in
// the order in which the native side does it, so that both agree on every row.
func (r *Rules) Decide(n *Numbers) Decision {
	matchedSafe, matchedUnsafe := n.SafeSimilarity > 0.5, n.UnsafeSimilarity > 0.5
	risk := n.BaseRisk
	if n.Patterns {
		risk *= adjustment(n, matchedSafe, matchedUnsafe)
	}
	risk, violation := r.violations(n, risk, matchedSafe)
	human := risk > 0.5 || violation || r.RequireHumanApproval
	approved := r.approved(risk, violation)
	order, _ := Strictness(r.Tier)
	switch {
	case approved && !human && !r.SafeMode && !n.NoAllow:
		return Allow
	case order == 3, !approved && risk > r.BlockThreshold:
		return Block
	default:
		return Review
	}
}

// adjustment is step 8.
func adjustment(n *Numbers, matchedSafe, matchedUnsafe bool) float32 {
	switch {
	case matchedSafe && !matchedUnsafe:
		return 0.3
	case matchedUnsafe && !matchedSafe:
		return 1.5
	case n.SafeSimilarity > n.UnsafeSimilarity:
		return 0.5
	case n.UnsafeSimilarity > n.SafeSimilarity:
		return 1.2
	default:
		return 1
	}
}

// violations is steps 10 to 12.
func (r *Rules) violations(n *Numbers, risk float32, matchedSafe bool) (raised float32, any bool) {
	mostEntropy, leastCoherence := r.EntropyThreshold, r.CollapseThreshold
	highEntropyRisk, lowCoherenceRisk := float32(0.8), float32(0.7)
	switch {
	case matchedSafe:
		mostEntropy, leastCoherence = 1.1, 0
		highEntropyRisk, lowCoherenceRisk = 0.3, 0.3
	case n.SafeSimilarity > 0.3:
		mostEntropy, leastCoherence = 0.98, 0.1
	}
	if n.Entropy > mostEntropy {
		risk, any = max(risk, highEntropyRisk), true
	}
	if n.Coherence < leastCoherence {
		risk, any = max(risk, lowCoherenceRisk), true
	}
	if n.Novelty > 0.9 && !matchedSafe {
		risk, any = max(risk, 0.6), true
	}
	return risk, any && !(matchedSafe && risk < 0.5)
}

// approved is step 14.
func (r *Rules) approved(risk float32, violation bool) bool {
	switch r.Tier {
	case Alpha, Beta:
		return risk < 0.1
	case Gamma:
		return risk <= 0.5 && !violation
	case Delta:
		return risk < 0.3 && !violation
	default:
		return false
	}
}
