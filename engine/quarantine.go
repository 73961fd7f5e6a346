package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/btree"

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

// release is the journal's record of outcomes that left the quarantine.
type release struct {
	named
	Accepted bool      `json:"accepted"` // their own records follow in the same commit
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
}

// quarantine holds outcomes. Whoever changes it changes a copy, which costs next
// to nothing: readers have the one before.
type quarantine struct {
	next  int64 // the id of the next one, from 1; 0: there never was one
	held  btree.Map[int64, *Held]
	bytes int // of their records
}

func (q *quarantine) copy() *quarantine {
	return &quarantine{next: q.next, held: *q.held.Copy(), bytes: q.bytes}
}

// maxHeldBytes bounds the records of the quarantine together, and those of the
// patterns that they may become: the journal says either in one commit (see
// standing, Release).
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
	if q.held.Len() >= capacity || q.bytes+h.size(len(entry.Payload)) > maxHeldBytes {
		return 0, entry, errQuarantineFull
	}
	q.take(&h, len(entry.Payload))
	return h.ID, entry, nil
}

// size is what an outcome whose record has so many bytes counts for.
func (h *Held) size(bytes int) int { return max(bytes, outcomeHead+4*len(h.Workspace)) }

// take is hold for an outcome that has its id and a record of so many bytes.
func (q *quarantine) take(h *Held, bytes int) {
	h.bytes = h.size(bytes)
	q.held.Set(h.ID, h)
	q.next = max(q.next, h.ID+1)
	q.bytes += h.bytes
}

// release takes the outcome with an id out.
func (q *quarantine) release(id int64) (*Held, error) {
	h, found := q.held.Delete(id)
	if !found {
		return nil, &NotHeldError{ID: id}
	}
	q.bytes -= h.bytes
	return h, nil
}

// utilization is how full it is, by number or by bytes, 0 to 1.
func (q *quarantine) utilization(capacity int) float64 {
	return max(float64(q.held.Len())/float64(capacity), float64(q.bytes)/maxHeldBytes)
}

// Quarantine lists the outcomes that wait for a person, oldest first.
func (d *Directory) Quarantine() []Held {
	q := d.quarantine.Load()
	list := make([]Held, 0, q.held.Len())
	q.held.Scan(func(_ int64, h *Held) bool {
		list = append(list, *h)
		return true
	})
	return list
}

// QuarantineSize counts them.
func (d *Directory) QuarantineSize() int { return d.quarantine.Load().held.Len() }

// Release takes outcomes out of the quarantine, all or none, durably before it
// returns: into the memory when they are accepted, else away. The patterns'
// ids are answered in the order of the outcomes' ids given; dropped ones have
// none, and need no device.
func (d *Directory) Release(ctx context.Context, ids []int64, accept bool, by, reason string) (patterns []int64, err error) {
	if err := checkWhy(by, reason); err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	err = d.change(ctx, &change{learns: accept, apply: func(tx *transaction) ([]journal.Entry, error) {
		patterns = nil
		var entries, outcomes []journal.Entry
		for _, id := range ids {
			h, err := tx.quarantine.release(id)
			if err != nil {
				return nil, err
			}
			tx.guard.released(h)
			if !accept {
				continue
			}
			side := sideNamed(h.Side)
			change, entry, err := tx.store(side, h.Workspace, h.Importance)
			if err != nil {
				return nil, err
			}
			tx.guard.accepted(side, h.Workspace, change.ID)
			outcomes, patterns = append(outcomes, entry), append(patterns, change.ID)
		}
		at := d.now().UTC()
		for _, n := range namings(ids) {
			entry, err := encodeJSON(opReleased, release{named: n.named, Accepted: accept, At: at, By: by, Reason: reason})
			if err != nil {
				return nil, err
			}
			entries = append(entries, entry)
		}
		return append(entries, outcomes...), nil
	}})
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	d.logger.Warn("an operator released outcomes from the quarantine", "count", len(ids), "ids", logged(ids), "accepted", accept, "by", by, "reason", reason)
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
		last, _, _ := q.held.Max()
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
	if err := said.each(func(id int64) error { _, err := q.release(id); return err }); err != nil {
		return fmt.Errorf("%w: %w", errOperation, err)
	}
	return nil
}
