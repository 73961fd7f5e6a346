package policy

// Tiers of autonomy.
const (
	Alpha   = "ALPHA"
	Beta    = "BETA"
	Gamma   = "GAMMA"
	Delta   = "DELTA"
	Epsilon = "EPSILON"
	Omega   = "OMEGA"
)

// Tiers lists the tiers, loosest first.
func Tiers() []string { return []string{Gamma, Delta, Alpha, Beta, Epsilon, Omega} }

// Strictness orders the tiers, loosest first (validator specification, section
// 2, step 14): GAMMA 0, DELTA 1, ALPHA and BETA 2, EPSILON and OMEGA 3. What is
// no tier is as strict as the strictest, and not known.
func Strictness(tier string) (order int, known bool) {
	switch tier {
	case Gamma:
		return 0, true
	case Delta:
		return 1, true
	case Alpha, Beta:
		return 2, true
	case Epsilon, Omega:
		return 3, true
	default:
		return 3, false
	}
}

// Settings are what decides beside thresholds. A Tier of "" demands nothing.
type Settings struct {
	Tier                 string
	SafeMode             bool
	RequireHumanApproval bool
}

// Stricter takes the stricter of each setting, and of equal ones its own.
func (s Settings) Stricter(other Settings) Settings {
	if looser(s.Tier, other.Tier) {
		s.Tier = other.Tier
	}
	s.SafeMode = s.SafeMode || other.SafeMode
	s.RequireHumanApproval = s.RequireHumanApproval || other.RequireHumanApproval
	return s
}

// looser says whether a tier allows more than another.
func looser(tier, than string) bool {
	if tier == "" || than == "" {
		return tier == "" && than != ""
	}
	a, _ := Strictness(tier)
	b, _ := Strictness(than)
	return a < b
}
