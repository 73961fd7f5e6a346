package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// Finding is what one rule of the detector says about an outcome.
type Finding struct {
	Rule   string  `json:"rule"`
	Score  float64 `json:"score"` // 1 and more: the rule fired
	Reason string  `json:"reason"`
}

// Reasons puts what rules said into one sentence.
func Reasons(findings []Finding) string {
	texts := make([]string, len(findings))
	for i, f := range findings {
		texts[i] = f.Rule + ": " + f.Reason
	}
	return strings.Join(texts, "; ")
}

// Held is an outcome that waits in the quarantine for a person.
type Held struct {
	// ID is what a person names it by. It is never given again.
	ID int64 `json:"id"`
	// At is when it came.
	At time.Time `json:"at"`
	// Outcome is the id that its sender gave it; "" where there is none.
	Outcome string `json:"outcome,omitempty"`
	// Source is who sent it; "" is an operator.
	Source string `json:"source,omitempty"`
	Side   string `json:"side"` // safe or unsafe
	// Workspace is its row, [workspace_dim]: what would become a pattern.
	Workspace  []float32 `json:"workspace"`
	Importance float32   `json:"importance"`
	// Findings are why it is here.
	Findings []Finding `json:"findings"`

	bytes int // of its record
}

// release is the journal's record of an outcome that left the quarantine.
type release struct {
	ID       int64     `json:"id"`
	Accepted bool      `json:"accepted"` // the outcome's own record follows in the same commit
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
}

// quarantine holds outcomes in the order of their ids. As a value it never
// changes: hold and release make another one.
type quarantine struct {
	next  int64 // the id of the next one, from 1; 0: there never was one
	held  []*Held
	bytes int // of their records
}

// maxHeldBytes bounds the records of the quarantine together: the journal says
// them again in one commit (see standing).
const maxHeldBytes = journal.MaxCommit / 2

// NotHeldError says that the quarantine has no outcome of an id.
type NotHeldError struct{ ID int64 }

// Error names the id.
func (e *NotHeldError) Error() string {
	return fmt.Sprintf("outcome %d is not in the quarantine", e.ID)
}

// errQuarantineFull says that there is no room to hold an outcome.
var errQuarantineFull = errors.New("the quarantine is full: accept or drop what it holds")

// hold takes an outcome in, unless capacity are there already, and answers its
// id and the record that says so.
func (q *quarantine) hold(h Held, capacity int) (int64, journal.Entry, error) {
	h.ID = max(q.next, 1)
	entry, err := encodeJSON(opHeld, &h)
	if err != nil {
		return 0, entry, err
	}
	if len(q.held) >= capacity || q.bytes+len(entry.Payload) > maxHeldBytes {
		return 0, entry, errQuarantineFull
	}
	q.take(&h, len(entry.Payload))
	return h.ID, entry, nil
}

// take is hold for an outcome that has its id and a record of so many bytes.
func (q *quarantine) take(h *Held, bytes int) {
	h.bytes = bytes
	q.held = append(slices.Clip(q.held), h)
	q.next = max(q.next, h.ID+1)
	q.bytes += bytes
}

// find answers the outcome with an id, and its place.
func (q *quarantine) find(id int64) (int, *Held, error) {
	i, found := slices.BinarySearchFunc(q.held, id, func(h *Held, id int64) int { return cmp.Compare(h.ID, id) })
	if !found {
		return 0, nil, &NotHeldError{ID: id}
	}
	return i, q.held[i], nil
}

// remove takes the outcome out of its place.
func (q *quarantine) remove(i int) {
	q.bytes -= q.held[i].bytes
	q.held = slices.Concat(q.held[:i], q.held[i+1:])
}

// Quarantine lists the outcomes that wait for a person, oldest first.
func (d *Directory) Quarantine() []Held {
	held := d.quarantine.Load().held
	list := make([]Held, len(held))
	for i, h := range held {
		list[i] = *h
	}
	return list
}

// Release takes outcomes out of the quarantine, all or none, durably before it
// returns: into the memory when they are accepted, else away. The patterns'
// ids are answered in the order of the outcomes' ids given; dropped ones have
// none, and need no device.
func (d *Directory) Release(ctx context.Context, ids []int64, accept bool, by, reason string) (patterns []int64, err error) {
	err = d.change(ctx, &change{learns: accept, apply: func(tx *transaction) ([]journal.Entry, error) {
		patterns = nil
		var entries []journal.Entry
		for _, id := range ids {
			i, h, err := tx.quarantine.find(id)
			if err != nil {
				return nil, err
			}
			entry, err := encodeJSON(opReleased, release{ID: id, Accepted: accept, At: d.now().UTC(), By: by, Reason: reason})
			if err != nil {
				return nil, err
			}
			tx.quarantine.remove(i)
			tx.guard.released(h)
			entries = append(entries, entry)
			if !accept {
				continue
			}
			side := sideNamed(h.Side)
			change, entry, err := tx.store(side, h.Workspace, h.Importance)
			if err != nil {
				return nil, err
			}
			if err := tx.guard.accepted(ctx, side, h.Workspace, change.ID); err != nil {
				return nil, err
			}
			entries = append(entries, entry)
			patterns = append(patterns, change.ID)
		}
		return entries, nil
	}})
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	d.logger.Warn("an operator released outcomes from the quarantine", "ids", ids, "accepted", accept, "by", by, "reason", reason)
	return patterns, nil
}

// sideNamed is the side that a text names; anything but safe is unsafe.
func sideNamed(name string) memory.Side {
	if name == memory.Safe.String() {
		return memory.Safe
	}
	return memory.Unsafe
}

// replayHeld applies a record about the quarantine.
func (q *quarantine) replayHeld(width int, r journal.Record) error {
	if r.Type == opHeld {
		h := &Held{}
		if err := json.Unmarshal(r.Payload, h); err != nil {
			return fmt.Errorf("%w: %w", errOperation, err)
		}
		last := int64(0)
		if n := len(q.held); n > 0 {
			last = q.held[n-1].ID
		}
		if h.ID <= last || len(h.Workspace) != width {
			return fmt.Errorf("%w: outcome %d of width %d for the quarantine, expected one after %d of width %d", errOperation, h.ID, len(h.Workspace), last, width)
		}
		q.take(h, len(r.Payload))
		return nil
	}
	var said release
	if err := json.Unmarshal(r.Payload, &said); err != nil {
		return fmt.Errorf("%w: %w", errOperation, err)
	}
	i, _, err := q.find(said.ID)
	if err != nil {
		return fmt.Errorf("%w: %w", errOperation, err)
	}
	q.remove(i)
	return nil
}
