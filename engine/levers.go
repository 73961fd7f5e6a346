package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// Levers is what operators and alarms left in a data directory. The safety in
// force is the stricter of it and the configuration, so a restart or a setting
// never loosens what they tightened.
type Levers struct {
	policy.State
	// At, By and Reason are of the last change; a zero At: none yet.
	At     time.Time `json:"at,omitzero"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// Apply gives a configuration with the stricter of each setting.
func (l Levers) Apply(c Config) Config {
	s := policy.Settings{Tier: c.Safety.Tier, SafeMode: c.Safety.SafeMode, RequireHumanApproval: c.Safety.RequireHumanApproval}
	s = s.Stricter(l.Demands())
	c.Safety.Tier, c.Safety.SafeMode, c.Safety.RequireHumanApproval = s.Tier, s.SafeMode, s.RequireHumanApproval
	return c
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
	if err := l.Validate(); err != nil {
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

// leverStep gives the levers after a change, from those that it changes: nobody
// else changes them meanwhile.
type leverStep func(Levers, time.Time) (Levers, error)

// step is the change through the tier machine.
func (c LeverChange) step(l Levers, at time.Time, quiet time.Duration) (Levers, error) {
	pull := policy.Pull{Tier: c.Tier, SafeMode: c.SafeMode, RequireHumanApproval: c.RequireHumanApproval}
	state, err := l.Pull(pull, at, quiet)
	if err != nil {
		return l, err
	}
	return Levers{State: state, At: at.UTC(), By: c.By, Reason: c.Reason}, nil
}

// alarmStep is safe mode by itself; by is who, or what, saw the cause.
func alarmStep(cause, by, reason string) leverStep {
	return func(l Levers, at time.Time) (Levers, error) {
		return Levers{State: l.Alarm(at, cause), At: at.UTC(), By: by, Reason: reason}, nil
	}
}

// looserThan says whether anything is less strict than before.
func (l Levers) looserThan(before Levers) bool {
	demands := l.Demands()
	return demands.Stricter(before.Demands()) != demands
}
