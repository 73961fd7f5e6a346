package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// naiveSessions is the rule itself: a list of names by last use.
type naiveSessions struct {
	limit int
	names []string
}

// use answers whether the session of a name starts anew.
func (n *naiveSessions) use(name string) bool {
	if name == "" {
		return false
	}
	at := slices.Index(n.names, name)
	if at >= 0 {
		n.names = slices.Delete(n.names, at, at+1)
	} else if len(n.names) == n.limit {
		n.names = n.names[:len(n.names)-1]
	}
	n.names = slices.Insert(n.names, 0, name)
	return at < 0
}

func TestSessionsFollowTheRule(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 10} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(limit)))
			s, naive := newSessions(limit), &naiveSessions{limit: limit}
			for step := range 5000 {
				name := ""
				if i := random.IntN(limit + 3); i > 0 {
					name = fmt.Sprint("client ", i)
				}
				slot, reset := s.slot(name)
				if want := naive.use(name); reset != want {
					t.Fatalf("step %d: session %q starts anew: got %v, want %v", step, name, reset, want)
				}
				if (slot == 0) != (name == "") || int(slot) > limit {
					t.Fatalf("step %d: session %q got slot %d of %d", step, name, slot, limit)
				}
				for _, other := range naive.names {
					if got := s.slots[other]; other != name && got == slot {
						t.Fatalf("step %d: sessions %q and %q share slot %d", step, name, other, slot)
					}
				}
				s.commit()
			}
			if len(s.slots) > limit || len(s.entries) > limit+1 {
				t.Errorf("kept %d names and %d slots, limit %d", len(s.slots), len(s.entries), limit)
			}
		})
	}
}

func TestSessionsRollBackAStart(t *testing.T) {
	s := newSessions(4)
	if _, reset := s.slot("a"); !reset {
		t.Fatal("a new session does not start anew")
	}
	s.rollback()
	if _, reset := s.slot("a"); !reset {
		t.Error("the start was lost with the batch that failed")
	}
	s.commit()
	if _, reset := s.slot("a"); reset {
		t.Error("the session starts anew after a batch that was judged")
	}
}
