package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Levers is what operators left in a data directory. The safety in force is
// the stricter of it and the configuration, so a restart or a setting never
// loosens what an operator tightened.
type Levers struct {
	// Tier is the loosest tier that operators allow; "" leaves it to the
	// configuration.
	Tier string `json:"tier,omitempty"`
	// SafeMode and RequireHumanApproval, when true, hold whatever the
	// configuration says.
	SafeMode             bool `json:"safe_mode"`
	RequireHumanApproval bool `json:"require_human_approval"`
	// At, By and Reason are of the last change; a zero At: none yet.
	At     time.Time `json:"at,omitzero"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// Apply gives a configuration with the stricter of each setting.
func (l Levers) Apply(c Config) Config {
	if l.Tier != "" && strictness[l.Tier] > strictness[c.Safety.Tier] {
		c.Safety.Tier = l.Tier
	}
	c.Safety.SafeMode = c.Safety.SafeMode || l.SafeMode
	c.Safety.RequireHumanApproval = c.Safety.RequireHumanApproval || l.RequireHumanApproval
	return c
}

// validate refuses levers that no operator of this version can have left: an
// unknown tier would count as the loosest.
func (l *Levers) validate() error {
	if _, known := strictness[l.Tier]; l.Tier != "" && !known {
		return fmt.Errorf("tier %q, expected one of ALPHA, BETA, GAMMA, DELTA, EPSILON, OMEGA", l.Tier)
	}
	return nil
}

// parseLevers reads levers strictly: a field that this version does not know
// may demand something.
func parseLevers(data []byte) (Levers, error) {
	var l Levers
	if len(data) == 0 {
		return l, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return Levers{}, fmt.Errorf("safety levers: %w", err)
	}
	if err := l.validate(); err != nil {
		return Levers{}, fmt.Errorf("safety levers: %w", err)
	}
	return l, nil
}

// LeverChange is one pull: what is set is changed, by whom and why.
type LeverChange struct {
	Tier                 *string
	SafeMode             *bool
	RequireHumanApproval *bool
	By                   string
	Reason               string
}

// apply gives the levers after the change.
func (c LeverChange) apply(l Levers, at time.Time) (Levers, error) {
	if c.Tier != nil {
		l.Tier = *c.Tier
	}
	if c.SafeMode != nil {
		l.SafeMode = *c.SafeMode
	}
	if c.RequireHumanApproval != nil {
		l.RequireHumanApproval = *c.RequireHumanApproval
	}
	l.At, l.By, l.Reason = at.UTC(), c.By, c.Reason
	return l, l.validate()
}
