package torch

/*
#include "bridge.h"
*/
import "C"

import "unsafe"

// Verdict is one row's answer, in the layout of fdqc_verdict (64 bytes).
type Verdict struct {
	RiskScore        float32 // 0 to 1
	RawRisk          float32
	BaseRisk         float32
	Entropy          float32
	Coherence        float32
	Novelty          float32
	SafeSimilarity   float32
	UnsafeSimilarity float32
	SafeDistance     float32 // +Inf with no pattern
	UnsafeDistance   float32
	NearestSafe      int64 // pattern id, -1 with no pattern
	NearestUnsafe    int64
	Flags            uint32
	RowStatus        uint32
}

// Native code writes verdicts straight into Go slices: each of these lines
// compiles only if a member lies where C has it.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(Verdict{})-C.sizeof_fdqc_verdict]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.RiskScore)-unsafe.Offsetof(C.fdqc_verdict{}.risk_score)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.RawRisk)-unsafe.Offsetof(C.fdqc_verdict{}.raw_risk)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.BaseRisk)-unsafe.Offsetof(C.fdqc_verdict{}.base_risk)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.Entropy)-unsafe.Offsetof(C.fdqc_verdict{}.entropy)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.Coherence)-unsafe.Offsetof(C.fdqc_verdict{}.coherence)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.Novelty)-unsafe.Offsetof(C.fdqc_verdict{}.novelty)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.SafeSimilarity)-unsafe.Offsetof(C.fdqc_verdict{}.safe_similarity)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.UnsafeSimilarity)-unsafe.Offsetof(C.fdqc_verdict{}.unsafe_similarity)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.SafeDistance)-unsafe.Offsetof(C.fdqc_verdict{}.safe_distance)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.UnsafeDistance)-unsafe.Offsetof(C.fdqc_verdict{}.unsafe_distance)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.NearestSafe)-unsafe.Offsetof(C.fdqc_verdict{}.nearest_safe)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.NearestUnsafe)-unsafe.Offsetof(C.fdqc_verdict{}.nearest_unsafe)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.Flags)-unsafe.Offsetof(C.fdqc_verdict{}.flags)]
	_ = [1]struct{}{}[unsafe.Offsetof(Verdict{}.RowStatus)-unsafe.Offsetof(C.fdqc_verdict{}.row_status)]
)

// Bits of Verdict.Flags.
const (
	Approved              = C.FDQC_APPROVED
	RequiresApproval      = C.FDQC_REQUIRES_APPROVAL
	RequiresHumanApproval = C.FDQC_REQUIRES_HUMAN_APPROVAL
	MatchedSafe           = C.FDQC_MATCHED_SAFE
	MatchedUnsafe         = C.FDQC_MATCHED_UNSAFE
	HighEntropy           = C.FDQC_HIGH_ENTROPY
	LowCoherence          = C.FDQC_LOW_COHERENCE
	HighNovelty           = C.FDQC_HIGH_NOVELTY
	DecisionAllow         = C.FDQC_DECISION_ALLOW
	DecisionReview        = C.FDQC_DECISION_REVIEW
	DecisionBlock         = C.FDQC_DECISION_BLOCK
)

// Values of Verdict.RowStatus.
const (
	RowOK        = C.FDQC_ROW_OK
	RowSkipped   = C.FDQC_ROW_SKIPPED
	RowNotFinite = C.FDQC_ROW_NOT_FINITE
	RowOverflow  = C.FDQC_ROW_OVERFLOW
	RowNoScore   = C.FDQC_ROW_NO_SCORE
)

// Bits of Batch.RowFlags.
const (
	RowSkip    = C.FDQC_ROW_SKIP     // basic checks failed
	RowReset   = C.FDQC_ROW_RESET    // the slot starts anew
	RowNoAllow = C.FDQC_ROW_NO_ALLOW // at most review
)

// Tier is a tier of autonomy.
type Tier int32

// Tiers.
const (
	Alpha   Tier = C.FDQC_TIER_ALPHA
	Beta    Tier = C.FDQC_TIER_BETA
	Gamma   Tier = C.FDQC_TIER_GAMMA
	Delta   Tier = C.FDQC_TIER_DELTA
	Epsilon Tier = C.FDQC_TIER_EPSILON
	Omega   Tier = C.FDQC_TIER_OMEGA
)

// StateUpdate says what a row moves the state by.
type StateUpdate int32

// Updates.
const (
	StateRow          StateUpdate = C.FDQC_STATE_ROW
	StateFirstElement StateUpdate = C.FDQC_STATE_FIRST_ELEMENT
)

// Policy is what verdicts are given under.
type Policy struct {
	EntropyThreshold     float32
	CollapseThreshold    float32
	BlockThreshold       float32
	Tier                 Tier
	StateUpdate          StateUpdate
	SafeMode             bool
	RequireHumanApproval bool
}
