package policy

import (
	"errors"
	"math"
	"testing"
	"time"
)

// TestMutants: a machine that is broken in any of these ways is noticed.
func TestMutants(t *testing.T) {
	pull := func(change func(before, after State, p *Pull) State) step {
		return func(s State, e event) (State, error) {
			after, err := machine(s, e)
			if e.kind == pulled {
				if err != nil {
					return s, err
				}
				after = change(s, after, e.pull)
			}
			return after, err
		}
	}
	on := func(k kind, change func(State) State) step {
		return func(s State, e event) (State, error) {
			after, err := machine(s, e)
			if e.kind == k {
				after = change(after)
			}
			return after, err
		}
	}
	withQuiet := func(quiet time.Duration) step {
		return func(s State, e event) (State, error) {
			if e.kind == pulled {
				return s.Pull(*e.pull, now, quiet)
			}
			return machine(s, e)
		}
	}
	free := func(s State) State {
		return State{Tier: s.Tier, SafeMode: s.SafeMode, RequireHumanApproval: s.RequireHumanApproval}
	}
	for name, mutant := range map[string]step{
		"time leaves safe mode": on(passed, func(s State) State {
			if s.Stage == Alarmed {
				s.Stage = Supervised
			}
			return s
		}),
		"time ends supervision": on(passed, func(s State) State {
			if s.Stage == Supervised {
				return free(s)
			}
			return s
		}),
		"a restart forgets the stage":      on(restarted, free),
		"a restart forgets safe mode":      on(restarted, func(s State) State { s.SafeMode = false; return s }),
		"a restart forgets human approval": on(restarted, func(s State) State { s.RequireHumanApproval = false; return s }),
		"a restart forgets the tier":       on(restarted, func(s State) State { s.Tier = ""; return s }),
		"a restart ends the quiet period":  on(restarted, func(s State) State { return mutateSince(s, now.Add(-quiet)) }),
		"an alert does nothing": func(s State, e event) (State, error) {
			if e.kind == alerted {
				return s, nil
			}
			return machine(s, e)
		},
		"a rollback does nothing": func(s State, e event) (State, error) {
			if e.kind == rolledBack {
				return s, nil
			}
			return machine(s, e)
		},
		"an alert only supervises": on(alerted, func(s State) State { s.Stage = Supervised; return s }),
		"an alert keeps the old time": func(s State, e event) (State, error) {
			after, err := machine(s, e)
			if e.kind == alerted && s.Stage == Alarmed {
				after.Since = s.Since
			}
			return after, err
		},
		"an alert loosens the tier": on(alerted, func(s State) State { s.Tier = Gamma; return s }),
		"no quiet period":           withQuiet(0),
		"half a quiet period": func(s State, e event) (State, error) {
			if e.kind == passed && s.Stage != Normal {
				s.Since = now.Add(-quiet / 2)
				return s, nil
			}
			return withQuiet(quiet/2)(s, e)
		},
		"a quiet period without end": withQuiet(math.MaxInt64),
		"leaving skips GAMMA": pull(func(before, after State, _ *Pull) State {
			if before.Stage == Alarmed && after.Stage == Supervised {
				return free(after)
			}
			return after
		}),
		"GAMMA begins with the old time": pull(func(before, after State, _ *Pull) State {
			if before.Stage == Alarmed && after.Stage == Supervised {
				after.Since = before.Since
			}
			return after
		}),
		"leaving loosens the tier": pull(func(before, after State, _ *Pull) State {
			if before.Stage == Alarmed && after.Stage == Supervised {
				after.Tier = Gamma
			}
			return after
		}),
		"any tier ends supervision": pull(func(before, after State, p *Pull) State {
			if before.Stage == Supervised && p.Tier != nil && before.Left(now, quiet) == 0 {
				return free(after)
			}
			return after
		}),
		"DELTA ends supervision at once": pull(func(before, after State, p *Pull) State {
			if before.Stage == Supervised && p.Tier != nil && *p.Tier == Delta {
				return free(after)
			}
			return after
		}),
		"the step drops human approval": pull(func(before, after State, _ *Pull) State {
			if before.Stage == Supervised && after.Stage == Normal {
				after.RequireHumanApproval = false
			}
			return after
		}),
		"safe mode on leaves an alarm": pull(func(before, after State, p *Pull) State {
			if before.Stage == Alarmed && p.SafeMode != nil {
				after.Stage = Supervised
			}
			return after
		}),
		"any pull leaves an operator's own": pull(func(before, after State, p *Pull) State {
			if before.SafeMode && p.SafeMode == nil {
				after.SafeMode = false
			}
			return after
		}),
		"a pull is not obeyed": pull(func(before, after State, p *Pull) State {
			if p.Tier != nil && *p.Tier == Omega {
				after.Tier = before.Tier
			}
			return after
		}),
		"supervision begins by itself": pull(func(before, after State, p *Pull) State {
			if before.Stage == Normal && p.Tier != nil && *p.Tier == Gamma {
				after.Stage, after.Since = Supervised, now
			}
			return after
		}),
		"supervision never ends": pull(func(before, after State, _ *Pull) State {
			if before.Stage == Supervised && after.Stage == Normal {
				return before
			}
			return after
		}),
		"tightening is refused": func(s State, e event) (State, error) {
			if e.kind == pulled && s.Stage == Alarmed && e.pull.Tier != nil && *e.pull.Tier == Omega {
				return s, &RefusedError{Reason: "no", Do: "no"}
			}
			return machine(s, e)
		},
		"a refusal says nothing": func(s State, e event) (State, error) {
			after, err := machine(s, e)
			if err != nil {
				err = errors.New("no")
			}
			return after, err
		},
		"a refusal changes something": func(s State, e event) (State, error) {
			after, err := machine(s, e)
			if err != nil {
				after.SafeMode = true
			}
			return after, err
		},
		"an alert is refused": func(s State, e event) (State, error) {
			if e.kind == alerted && s.Stage == Supervised {
				return s, errors.New("no")
			}
			return machine(s, e)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := model(mutant); err == nil {
				t.Error("the model found nothing wrong")
			}
		})
	}
}

func mutateSince(s State, to time.Time) State {
	if s.Stage != Normal {
		s.Since = to
	}
	return s
}
