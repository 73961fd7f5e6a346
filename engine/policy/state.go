package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Stage says how far autonomy has resumed after an alarm.
type Stage string

// Stages.
const (
	Normal     Stage = ""           // operators choose freely
	Alarmed    Stage = "alarmed"    // safe mode and human approval hold
	Supervised Stage = "supervised" // GAMMA or stricter, human approval holds
)

// State is what operators and alarms demand of a data directory. The zero
// State demands nothing. It is kept as JSON.
type State struct {
	// Tier is the loosest tier that operators allow; "" leaves it to the
	// configuration.
	Tier string `json:"tier,omitempty"`
	// SafeMode and RequireHumanApproval are what operators demand
	// themselves, beside what the stage does.
	SafeMode             bool  `json:"safe_mode"`
	RequireHumanApproval bool  `json:"require_human_approval"`
	Stage                Stage `json:"stage,omitempty"`
	// Since is the time of the last alarm, or of the step to Supervised;
	// Cause says what the alarm was. Both are empty when Normal.
	Since time.Time `json:"since,omitzero"`
	Cause string    `json:"cause,omitempty"`
}

// Pull is an operator's wish: what is set is changed.
type Pull struct {
	Tier                 *string
	SafeMode             *bool
	RequireHumanApproval *bool
}

// RefusedError says why levers stay as they are.
type RefusedError struct {
	Reason string        // what holds, and why
	Left   time.Duration // until it may be asked again; 0: waiting does not help
	Do     string        // what to type instead, or then
}

// Error is one sentence.
func (e *RefusedError) Error() string {
	if e.Left > 0 {
		return fmt.Sprintf("%s; in %v type: %s", e.Reason, wait(e.Left), e.Do)
	}
	return fmt.Sprintf("%s; type: %s", e.Reason, e.Do)
}

// What operators type.
const (
	typeSafeModeOff = "fdqc safety safe-mode off"
	typeSafeModeOn  = "fdqc safety safe-mode on"
	typeDelta       = "fdqc safety tier DELTA"
)

// wait rounds up, so that whoever waits so long has waited long enough.
func wait(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

// Demands are the settings that hold whatever the configuration says.
func (s State) Demands() Settings {
	return Settings{
		Tier:                 s.Tier,
		SafeMode:             s.SafeMode || s.Stage == Alarmed,
		RequireHumanApproval: s.RequireHumanApproval || s.Stage != Normal,
	}
}

// Validate refuses a state that this version cannot have made: guessing what
// it demands could loosen something.
func (s State) Validate() error {
	if _, known := Strictness(s.Tier); s.Tier != "" && !known {
		return fmt.Errorf("tier %q, expected one of %s", s.Tier, strings.Join(Tiers(), ", "))
	}
	switch {
	case s.Stage != Normal && s.Stage != Alarmed && s.Stage != Supervised:
		return fmt.Errorf("stage %q, expected %s, %s or none", s.Stage, Alarmed, Supervised)
	case s.Stage != Normal && s.Since.IsZero():
		return fmt.Errorf("stage %q has no time, expected when it began", s.Stage)
	case s.Stage == Normal && (!s.Since.IsZero() || s.Cause != ""):
		return errors.New("a time or a cause without a stage")
	}
	return nil
}

// Alarm is a critical alert or a rollback: safe mode is on, and the quiet
// period begins anew.
func (s State) Alarm(at time.Time, cause string) State {
	s.Stage, s.Since, s.Cause = Alarmed, at.UTC(), cause
	return s
}

// Left is how much of the quiet period is left, at most the whole of it. A
// clock behind Since has seen none of it.
func (s State) Left(at time.Time, quiet time.Duration) time.Duration {
	if s.Stage == Normal {
		return 0
	}
	return max(0, quiet-max(0, at.Sub(s.Since)))
}

// Next is the step that operators take next, from when on, and what to type for
// it; of a Normal state there is none.
func (s State) Next(quiet time.Duration) (from time.Time, do string) {
	switch s.Stage {
	case Alarmed:
		return s.Since.Add(quiet), typeSafeModeOff
	case Supervised:
		return s.Since.Add(quiet), typeDelta
	default:
		return time.Time{}, ""
	}
}

// Pull answers the state after an operator's wish, or a *RefusedError and the
// state as it is. What tightens is never refused. One pull takes one step.
//
// An accepted pull by a clock behind Since begins the quiet period anew, so
// that a clock that was ahead for a while shuts nobody out.
func (s State) Pull(p Pull, at time.Time, quiet time.Duration) (State, error) {
	before := s
	if p.Tier != nil {
		s.Tier = *p.Tier
	}
	if p.SafeMode != nil {
		s.SafeMode = *p.SafeMode
	}
	if p.RequireHumanApproval != nil {
		s.RequireHumanApproval = *p.RequireHumanApproval
	}
	if err := s.Validate(); err != nil {
		return before, err
	}
	if s.Stage == Normal {
		return s, nil
	}
	refuse := func(reason, then string) (State, error) { return before, before.refuse(reason, then, at, quiet) }
	waited := before.Left(at, quiet) == 0
	switch {
	case s.Stage == Alarmed && p.RequireHumanApproval != nil && !*p.RequireHumanApproval:
		return refuse("human approval stays on until autonomy has resumed: "+s.because(), typeSafeModeOff)
	case s.Stage == Alarmed && looser(s.Tier, before.Tier):
		return refuse("the tier only tightens until safe mode is left: "+s.because(), typeSafeModeOff)
	case s.Stage == Alarmed && p.SafeMode != nil && !*p.SafeMode:
		if !waited {
			return refuse("safe mode stays on: "+s.because(), typeSafeModeOff)
		}
		s.Stage, s.Since = Supervised, at.UTC()
	case s.Stage == Supervised && p.RequireHumanApproval != nil && !*p.RequireHumanApproval:
		return refuse("human approval stays on until DELTA, since autonomy resumes by steps: "+s.because(), typeDelta)
	case s.Stage == Supervised && p.Tier != nil && *p.Tier == Delta:
		if !waited && looser(Delta, before.Tier) {
			return refuse("DELTA comes after a quiet period, since autonomy resumes by steps: "+s.because(), typeDelta)
		}
		if waited {
			s.Stage, s.Since, s.Cause = Normal, time.Time{}, ""
		}
	}
	if s.Stage != Normal && at.Before(s.Since) {
		s.Since = at.UTC()
	}
	return s, nil
}

// because says what the stage comes from.
func (s State) because() string {
	if s.Stage == Supervised {
		return fmt.Sprintf("%s; supervised since %s", s.Cause, s.Since.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s at %s", s.Cause, s.Since.UTC().Format(time.RFC3339))
}

// refuse says what to type, and when. A clock that went back may never get
// there.
func (s State) refuse(reason, then string, at time.Time, quiet time.Duration) error {
	left := s.Left(at, quiet)
	if left > 0 && at.Before(s.Since) {
		return &RefusedError{
			Reason: fmt.Sprintf("%s; the clock is behind, it says %s", reason, at.UTC().Format(time.RFC3339)),
			Do:     typeSafeModeOn + ", which begins the quiet period anew",
		}
	}
	return &RefusedError{Reason: reason, Left: left, Do: then}
}
