package engine

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
)

// standing is what stands beside the memory: a checkpoint has no room for it,
// so the journal says it again after each, and older segments can go. The
// outcomes of the quarantine and the approvals follow it, a record each.
type standing struct {
	// Next is the id of the next outcome in quarantine.
	Next int64 `json:"next_quarantine_id"`
	// NextApproval is the id of the next approval.
	NextApproval int64 `json:"next_approval_id,omitempty"`
	// Detector is the detector's state; its form is the detector's.
	Detector json.RawMessage `json:"detector,omitempty"`
}

// carry writes to the journal, which a checkpoint has just begun a segment of,
// what stands beside the memory, and answers whether anything ever did: the
// checkpoint's manifest says that it is there. Of a memory that is being replaced
// the detector's state says nothing about the next. The caller holds changing.
func (d *Directory) carry(replaced bool) (stands bool, err error) {
	state, err := d.guard.state()
	if err == nil && state == nil {
		state = d.detectorState
	}
	if err == nil && replaced {
		state, err = forgotten(state)
	}
	if err != nil {
		return false, fmt.Errorf("state of the detector: %w", err)
	}
	q, approvals := d.quarantine.Load(), d.approvals.Load()
	if q.next == 0 && approvals.next == 0 && state == nil {
		return false, nil
	}
	entry, err := encodeJSON(opStanding, standing{Next: q.next, NextApproval: approvals.next, Detector: state})
	if err != nil {
		return false, err
	}
	// One commit: half of it would be a quarantine that lost the other half.
	entries := []journal.Entry{entry}
	for _, h := range q.held.Values() {
		entry, err := encodeJSON(opHeld, h)
		if err != nil {
			return false, err
		}
		entries = append(entries, entry)
	}
	for _, list := range [][]*Approval{approvals.decided.Values(), approvals.pending.Values()} {
		for _, a := range list {
			entry, err := encodeJSON(opAsked, a)
			if err != nil {
				return false, err
			}
			entries = append(entries, entry)
		}
	}
	if err := d.append(entries...); err != nil {
		return false, err
	}
	d.detectorState, d.learned = state, false
	return true, nil
}

// carryDetector writes what the detector learned that left no record: the quota
// that a source used for what was rejected, for instance. A restart gives nobody a
// fresh one. The caller holds changing.
func (d *Directory) carryDetector() error {
	if !d.learned {
		return nil
	}
	state, err := d.guard.state()
	if err != nil {
		return fmt.Errorf("state of the detector: %w", err)
	}
	if state != nil && !bytes.Equal(state, d.detectorState) {
		if err := d.append(journal.Entry{Type: opDetector, Payload: state}); err != nil {
			return fmt.Errorf("state of the detector: %w", err)
		}
		d.detectorState = state
	}
	d.learned = false
	return nil
}

// carries says whether a record after this one is of what stood already: a new
// one has an id that had not been given.
func (s *standing) carries(t journal.Type, payload []byte) bool {
	var of struct {
		ID int64 `json:"id"`
	}
	if s == nil || t != opHeld && t != opAsked || json.Unmarshal(payload, &of) != nil {
		return false
	}
	if t == opHeld {
		return of.ID < s.Next
	}
	return of.ID < s.NextApproval
}

// stand applies such a record: the quarantine and the approvals begin anew.
func (r *replay) stand(record journal.Record) error {
	var s standing
	if err := json.Unmarshal(record.Payload, &s); err != nil {
		return fmt.Errorf("%w: %w", errOperation, err)
	}
	r.stood = r.stood || r.count == 1
	r.carried = &s
	r.quarantine, r.approvals, r.detector = quarantine{next: s.Next}, approvals{next: s.NextApproval}, s.Detector
	return nil
}
