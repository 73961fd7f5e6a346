package detect

// Rule names a rule.
type Rule string

// The rules, in the order in which findings are given.
const (
	Outlier       Rule = "outlier"
	Contradiction Rule = "contradiction"
	Burst         Rule = "burst"
	NearCopy      Rule = "near_copy"
	Drift         Rule = "drift"
)

// Finding says that a rule fired for a row.
type Finding struct {
	Rule   Rule
	Score  float64 // the value by its limit, at least 1 and at most 1e9
	Reason string  // with the value and the limit
	Holds  bool    // false: only named
}
