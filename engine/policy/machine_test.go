package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"
)

// The model of the tier machine: every state that can be reached from the zero
// State by any event, found by a breadth-first search over the machine itself.
// Time has two values, quiet period over or not, so that the states are finite.

const quiet = 15 * time.Minute

var now = time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)

// event is what can happen. Of a pull, pull is set.
type event struct {
	name string
	pull *Pull
	kind kind
}

type kind int

const (
	pulled kind = iota
	alerted
	rolledBack
	passed // the quiet period passes
	restarted
)

// step is a transition: a State and an event to a State, or a refusal.
type step func(State, event) (State, error)

// machine is the one under test.
func machine(s State, e event) (State, error) {
	switch e.kind {
	case pulled:
		return s.Pull(*e.pull, now, quiet)
	case alerted:
		return s.Alarm(now, "critical alert"), nil
	case rolledBack:
		return s.Alarm(now, "rollback"), nil
	case restarted:
		text, err := json.Marshal(s)
		if err != nil {
			return s, err
		}
		var parsed State
		if err := json.Unmarshal(text, &parsed); err != nil {
			return s, err
		}
		return parsed, parsed.Validate()
	default:
		if s.Stage != Normal {
			s.Since = now.Add(-quiet)
		}
		return s, nil
	}
}

// events are all combinations of levers, and what operators do not do.
func events() []event {
	all := []event{{"alert", nil, alerted}, {"rollback", nil, rolledBack}, {"quiet period passes", nil, passed}, {"restart", nil, restarted}}
	no, yes := false, true
	for _, tier := range append([]string{""}, Tiers()...) {
		for _, safe := range []*bool{nil, &yes, &no} {
			for _, human := range []*bool{nil, &yes, &no} {
				p := &Pull{SafeMode: safe, RequireHumanApproval: human}
				if tier != "" {
					p.Tier = &tier
				}
				if *p != (Pull{}) {
					all = append(all, event{fmt.Sprintf("pull tier %s safe mode %s human approval %s", tier, lever(safe), lever(human)), p, pulled})
				}
			}
		}
	}
	return all
}

func lever(b *bool) string {
	if b == nil {
		return "-"
	}
	return fmt.Sprint(*b)
}

// numbers are rows on both sides of every limit that decides.
func numbers() (rows []Numbers) {
	for _, base := range []float32{0, 0.05, 0.1, 0.29, 0.3, 0.5, 0.51, 0.81, 1} {
		for _, safe := range []float32{0, 0.31, 0.6} {
			for _, novelty := range []float32{0.1, 0.95} {
				rows = append(rows, Numbers{BaseRisk: base, Entropy: 0.5, Coherence: 0.9, Novelty: novelty, SafeSimilarity: safe, Patterns: safe > 0})
			}
		}
	}
	return rows
}

// configured are the settings of every configuration.
func configured() (all []Settings) {
	for _, tier := range Tiers() {
		for _, bits := range []int{0, 1, 2, 3} {
			all = append(all, Settings{Tier: tier, SafeMode: bits&1 != 0, RequireHumanApproval: bits&2 != 0})
		}
	}
	return all
}

// explored is what a search found.
type explored struct {
	states      []State
	edges       map[State][]State
	transitions int
	refused     int
}

// explore visits every reachable state and puts every transition to check. A
// broken rule ends the search.
func explore(m step, check func(before State, e event, after State, err error) error) (*explored, error) {
	x := &explored{states: []State{{}}, edges: map[State][]State{{}: nil}}
	all := events()
	for i := 0; i < len(x.states); i++ {
		before := x.states[i]
		for _, e := range all {
			after, err := m(before, e)
			x.transitions++
			if err != nil {
				x.refused++
			}
			if err := check(before, e, after, err); err != nil {
				return x, fmt.Errorf("%+v, %s, %+v: %w", before, e.name, after, err)
			}
			if e.kind == pulled || e.kind == passed {
				x.edges[before] = append(x.edges[before], after)
			}
			if _, seen := x.edges[after]; !seen {
				if err := decisions(after); err != nil {
					return x, err
				}
				x.edges[after] = nil
				x.states = append(x.states, after)
			}
		}
		if len(x.states) > 10_000 {
			return x, errors.New("more than 10,000 states: the machine is not finite")
		}
	}
	return x, nil
}

// rules are what must hold of every transition.
func rules(before State, e event, after State, err error) error {
	was, is := before.Demands(), after.Demands()
	off := func(b *bool) bool { return b != nil && !*b }
	quietOver := before.Left(now, quiet) == 0
	switch {
	case err != nil && after != before:
		return errors.New("a refusal changed something")
	case err != nil && e.kind != pulled:
		return fmt.Errorf("only a pull may be refused: %w", err)
	case err != nil && tightens(before, e.pull):
		return fmt.Errorf("what tightens was refused: %w", err)
	case err != nil:
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Do == "" || refused.Left > quiet {
			return fmt.Errorf("the refusal does not say what to do: %w", err)
		}
	}
	if err := after.Validate(); err != nil {
		return err
	}
	switch {
	case was.SafeMode && !is.SafeMode && !(e.kind == pulled && off(e.pull.SafeMode)):
		return errors.New("safe mode was left without an operator who asked for it")
	case loosened(was, is) && e.kind != pulled:
		return errors.New("something was loosened without an operator")
	case was.RequireHumanApproval && !is.RequireHumanApproval && before.Stage == Normal && !off(e.pull.RequireHumanApproval):
		return errors.New("human approval was dropped, and nobody asked for it")
	case before.Stage == Alarmed && loosened(was, is) && !(off(e.pull.SafeMode) && quietOver):
		return errors.New("something was loosened under an alarm")
	case before.Stage == Alarmed && after.Stage != Alarmed && !(after.Stage == Supervised && quietOver && is.RequireHumanApproval):
		return errors.New("an alarm ended otherwise than by the step to GAMMA, supervised, after the quiet period")
	case before.Stage == Alarmed && after.Stage == Supervised && (after.Left(now, quiet) != quiet || looser(after.Tier, before.Tier)):
		return errors.New("the step to GAMMA did not begin a quiet period, or loosened an operator's tier")
	case before.Stage == Supervised && after.Stage == Normal && !(e.kind == pulled && e.pull.Tier != nil && *e.pull.Tier == Delta && after.Tier == Delta && quietOver):
		return errors.New("supervision ended otherwise than by the step to DELTA after the quiet period")
	case before.Stage == Supervised && after.RequireHumanApproval != before.RequireHumanApproval && after.RequireHumanApproval == false:
		return errors.New("an operator's own human approval was dropped on the way")
	case before.Stage == Normal && after.Stage == Supervised:
		return errors.New("supervision began without an alarm")
	case (e.kind == alerted || e.kind == rolledBack) && !(after.Stage == Alarmed && is.SafeMode && is.RequireHumanApproval && after.Left(now, quiet) == quiet):
		return errors.New("an alarm did not put safe mode on, with a whole quiet period before it")
	case (e.kind == alerted || e.kind == rolledBack) && (after.Tier != before.Tier || after.SafeMode != before.SafeMode || after.RequireHumanApproval != before.RequireHumanApproval):
		return errors.New("an alarm pulled an operator's own levers")
	case e.kind == restarted && after != before:
		return errors.New("a restart changed something")
	case e.kind == passed && (after.Stage != before.Stage || is != was):
		return errors.New("time changed something")
	case err == nil && e.kind == pulled && !obeyed(e.pull, after):
		return errors.New("an accepted pull was not obeyed")
	}
	return nil
}

// decisions checks that nothing is allowed where nothing may be.
func decisions(s State) error {
	for _, c := range configured() {
		r := Rules{Settings: c.Stricter(s.Demands()), EntropyThreshold: 0.7, CollapseThreshold: 0.85, BlockThreshold: 0.8}
		order, _ := Strictness(r.Tier)
		want := s.Demands()
		barred := order == 3 || r.SafeMode || r.RequireHumanApproval
		switch {
		case (want.SafeMode || c.SafeMode) && !r.SafeMode,
			(want.RequireHumanApproval || c.RequireHumanApproval) && !r.RequireHumanApproval,
			looser(r.Tier, c.Tier) || looser(r.Tier, want.Tier):
			return fmt.Errorf("configured %+v, in force %+v: not the stricter of both", c, r.Settings)
		}
		rows := numbers()
		for i := range rows {
			if d := r.Decide(&rows[i]); d == Allow && barred {
				return fmt.Errorf("configured %+v, in force %+v: %+v is allowed", c, r.Settings, rows[i])
			}
		}
	}
	return nil
}

// tightens says whether no part of a pull loosens what the stage or an
// operator demands.
func tightens(s State, p *Pull) bool {
	return (p.Tier == nil || !looser(*p.Tier, s.Tier)) &&
		(p.SafeMode == nil || *p.SafeMode) && (p.RequireHumanApproval == nil || *p.RequireHumanApproval)
}

func loosened(was, is Settings) bool {
	return looser(is.Tier, was.Tier) || was.SafeMode && !is.SafeMode || was.RequireHumanApproval && !is.RequireHumanApproval
}

func obeyed(p *Pull, s State) bool {
	d := s.Demands()
	return (p.Tier == nil || s.Tier == *p.Tier) && (p.SafeMode == nil || d.SafeMode == *p.SafeMode) &&
		(p.RequireHumanApproval == nil || d.RequireHumanApproval == *p.RequireHumanApproval)
}

// deadEnds are states from which pulls and time do not lead to the loosest.
func deadEnds(x *explored) (dead []State) {
	back := map[State][]State{}
	for from, all := range x.edges {
		for _, to := range all {
			back[to] = append(back[to], from)
		}
	}
	free := State{Tier: Gamma}
	reach := map[State]bool{free: true}
	for queue := []State{free}; len(queue) > 0; queue = queue[1:] {
		for _, from := range back[queue[0]] {
			if !reach[from] {
				reach[from] = true
				queue = append(queue, from)
			}
		}
	}
	for _, s := range x.states {
		if !reach[s] {
			dead = append(dead, s)
		}
	}
	return dead
}

func model(m step) (*explored, error) {
	x, err := explore(m, rules)
	if err != nil {
		return x, err
	}
	if dead := deadEnds(x); len(dead) > 0 {
		return x, fmt.Errorf("%d dead ends, such as %+v", len(dead), dead[0])
	}
	return x, nil
}

func TestMachine(t *testing.T) {
	x, err := model(machine)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d states, %d transitions, of which %d refusals; %d configurations and %d rows decided in each state",
		len(x.states), x.transitions, x.refused, len(configured()), len(numbers()))
	stages := map[Stage]int{}
	for _, s := range x.states {
		stages[s.Stage]++
	}
	// Seven tiers with none, two levers, and two times where there is a stage.
	// The causes of alarms double those of both stages.
	if stages[Normal] != 7*4 || stages[Alarmed] != 2*2*7*4 || stages[Supervised] != 2*2*7*4 {
		t.Errorf("got %v states by stage, want 28, 112 and 112: the search does not see everything", stages)
	}
	loosest := Rules{Settings: Settings{Tier: Gamma}, EntropyThreshold: 0.7, CollapseThreshold: 0.85, BlockThreshold: 0.8}
	seen := map[Decision]bool{}
	for _, n := range numbers() {
		seen[loosest.Decide(&n)] = true
	}
	if len(seen) != Decisions {
		t.Errorf("got the decisions %v in GAMMA, want all: the rows show nothing", seen)
	}
}
