package engine

// sessions gives every session name a slot of the native state table, least
// recently used out first (validator specification, section 3). Slot 0 is
// the default session, "", which is never dropped.
type sessions struct {
	limit int
	slots map[string]int32
	// Entries by slot; prev and next make the ring of use, with slot 0 as
	// its head: next of 0 is the most recently used.
	entries []session
	touched []int32 // slots whose reset was handed out since the last commit
}

type session struct {
	name       string
	prev, next int32
	fresh      bool // starts anew from the loaded state at its next row
}

func newSessions(limit int) *sessions {
	return &sessions{limit: limit, slots: map[string]int32{}, entries: make([]session, 1)}
}

// slot answers the slot of a name and whether its state starts anew.
func (s *sessions) slot(name string) (slot int32, reset bool) {
	if name == "" {
		return 0, false
	}
	slot, known := s.slots[name]
	switch {
	case known:
		s.unlink(slot)
	case len(s.entries) <= s.limit:
		slot = int32(len(s.entries))
		s.entries = append(s.entries, session{})
	default:
		slot = s.entries[0].prev
		s.unlink(slot)
		delete(s.slots, s.entries[slot].name)
	}
	e := &s.entries[slot]
	if !known {
		s.slots[name] = slot
		e.name, e.fresh = name, true
	}
	s.pushFront(slot)
	if reset = e.fresh; reset {
		e.fresh = false
		s.touched = append(s.touched, slot)
	}
	return slot, reset
}

// commit says that the batch was judged; rollback that it was not, so that
// the slots which it would have started anew still have to be.
func (s *sessions) commit() { s.touched = s.touched[:0] }

func (s *sessions) rollback() {
	for _, slot := range s.touched {
		s.entries[slot].fresh = true
	}
	s.touched = s.touched[:0]
}

func (s *sessions) unlink(slot int32) {
	e := &s.entries[slot]
	s.entries[e.prev].next, s.entries[e.next].prev = e.next, e.prev
}

func (s *sessions) pushFront(slot int32) {
	head := s.entries[0].next
	s.entries[slot].prev, s.entries[slot].next = 0, head
	s.entries[head].prev = slot
	s.entries[0].next = slot
}
