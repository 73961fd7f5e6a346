package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// Asked answers one ask: the approval that it has now, or had already, or why
// it has none. Without one nobody can approve it.
type Asked struct {
	ID      int64         `json:"id,omitempty"`
	State   ApprovalState `json:"state,omitempty"`
	Refused string        `json:"refused,omitempty"`
}

// AskApproval puts actions that need a person into the queue, durably before it
// answers. One that is there already, or was decided on and has not expired
// since, is not asked about again.
func (d *Directory) AskApproval(ctx context.Context, asks []Ask, by string) (answers []Asked, err error) {
	c := &d.config.Safety
	err = d.change(ctx, &change{apply: func(tx *transaction) ([]journal.Entry, error) {
		answers = make([]Asked, len(asks))
		now := d.now().UTC()
		entries, err := tx.approvals.expire(now)
		if err != nil {
			return nil, err
		}
		for i := range asks {
			if err := asks[i].validate(c.WorkspaceDim); err != nil {
				answers[i].Refused = err.Error()
				continue
			}
			a := &Approval{
				ID: max(tx.approvals.next, 1), AskedAt: now, AskedBy: by, Expires: now.Add(c.ApprovalExpiry.Span()),
				Ask: asks[i], State: Pending, Key: asks[i].key(),
			}
			if known := tx.approvals.known(a.Key, now); known != nil {
				answers[i] = Asked{ID: known.ID, State: known.State}
				continue
			}
			entry, err := encodeJSON(opAsked, a)
			if err != nil {
				return nil, err
			}
			if !tx.approvals.room(len(entry.Payload), c.MaxPendingApprovals) {
				answers[i].Refused = ErrApprovalsFull.Error()
				continue
			}
			tx.approvals.take(a, len(entry.Payload))
			answers[i] = Asked{ID: a.ID, State: Pending}
			entries = append(entries, entry)
		}
		return entries, nil
	}})
	if err != nil {
		return nil, fmt.Errorf("ask for approval: %w", err)
	}
	return answers, nil
}

// room says whether another one can wait.
func (q *approvals) room(bytes, most int) bool {
	waiting := 0
	for _, a := range q.pending {
		waiting += a.bytes
	}
	return len(q.pending) < most && waiting+bytes <= maxApprovalBytes
}

// expire decides on what nobody decided on in time.
func (q *approvals) expire(now time.Time) (entries []journal.Entry, err error) {
	for i := 0; i < len(q.pending); {
		a := q.pending[i]
		if now.Before(a.Expires) {
			i++
			continue
		}
		said := decision{ID: a.ID, State: Expired, Judgement: Judgement{At: now, Reason: "nobody decided in time"}}
		entry, err := encodeJSON(opDecided, said)
		if err != nil {
			return nil, err
		}
		if _, err := q.decide(i, Expired, &said.Judgement); err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// Decide approves or denies actions that wait, all or none, durably before it
// answers. With record each becomes an outcome too, safe when it was approved
// and unsafe when it was denied, for which alone a device is needed. One that
// nobody can decide on any more is an *UndecidableError.
func (d *Directory) Decide(ctx context.Context, ids []int64, approve, record bool, by, reason string) (decided []Approval, err error) {
	state, side := Denied, memory.Unsafe
	if approve {
		state, side = Approved, memory.Safe
	}
	err = d.change(ctx, &change{learns: record, apply: func(tx *transaction) ([]journal.Entry, error) {
		decided = nil
		now := d.now().UTC()
		entries, err := tx.approvals.expire(now)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			i, err := tx.approvals.find(id)
			if err != nil {
				return nil, err
			}
			said := decision{ID: id, State: state, Judgement: Judgement{At: now, By: by, Reason: reason}}
			var outcome []journal.Entry
			if record {
				row := tx.approvals.pending[i].Workspace
				change, entry, err := tx.store(side, row, 1)
				if err != nil {
					return nil, err
				}
				if err := tx.guard.accepted(ctx, side, row, change.ID); err != nil {
					return nil, err
				}
				said.PatternID, outcome = change.ID, []journal.Entry{entry}
			}
			entry, err := encodeJSON(opDecided, said)
			if err != nil {
				return nil, err
			}
			a, err := tx.approvals.decide(i, state, &said.Judgement)
			if err != nil {
				return nil, err
			}
			decided = append(decided, *a)
			entries = append(append(entries, entry), outcome...)
		}
		return entries, nil
	}})
	if err != nil {
		return nil, fmt.Errorf("approvals: %w", err)
	}
	d.logger.Warn("an operator decided on actions that waited for approval", "ids", ids, "decision", state, "recorded", record, "by", by, "reason", reason)
	return decided, nil
}

// Approvals lists what waits for a person, oldest first, and, after it, what
// was decided last. What is past its time is listed as expired.
func (d *Directory) Approvals() (pending, decided []Approval) {
	q, now := d.approvals.Load(), d.now()
	for _, a := range q.decided {
		decided = append(decided, *a)
	}
	for _, a := range q.pending {
		if now.Before(a.Expires) {
			pending = append(pending, *a)
			continue
		}
		late := *a
		late.State, late.Workspace = Expired, nil
		late.Decision = &Judgement{At: a.Expires, Reason: "nobody decided in time"}
		decided = append(decided, late)
	}
	return pending, decided
}

// Workspace brings the rows of a batch into the workspace: [rows,
// workspace_dim]. It moves no state. A row that would be refused is an error.
func (e *Engine) Workspace(ctx context.Context, b Batch) ([]float32, error) {
	count, err := b.rows()
	if err != nil {
		return nil, fmt.Errorf("workspace: %w", err)
	}
	out, status := make([]float32, count*e.config.Safety.WorkspaceDim), make([]uint32, count)
	if err := e.project(ctx, &b, out, status); err != nil {
		return nil, fmt.Errorf("workspace: %w", err)
	}
	if i := slices.IndexFunc(status, func(s uint32) bool { return statusFrom(s) != Judged }); i >= 0 {
		return nil, fmt.Errorf("workspace: row %d: %w", i, errors.Join(statusFrom(status[i]).Err()))
	}
	return out, nil
}

// AskFor is the ask of a verdict; who asks adds what the action is, and its row
// of the workspace.
func (v *Verdict) AskFor() Ask {
	return Ask{
		RawRisk: v.RawRisk, BaseRisk: v.BaseRisk, Entropy: v.Entropy, Coherence: v.Coherence, Novelty: v.Novelty,
		SafeSimilarity: v.SafeSimilarity, UnsafeSimilarity: v.UnsafeSimilarity, Reason: v.Reason(),
	}
}
