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
// since, is not asked about again, unless more speaks against it than what a
// person sees or saw there: its raw risk has grown by more than RiskMargin or
// beyond monitor.risk_score, or it has a flag that it had not. Then it waits
// anew, and what went before is superseded.
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
				if known.covers(&a.Ask, d.config.Monitor.RiskScore) {
					answers[i] = Asked{ID: known.ID, State: known.State}
					continue
				}
				a.Supersedes = known.ID
			}
			entry, err := encodeJSON(opAsked, a)
			if err != nil {
				return nil, err
			}
			if !tx.approvals.room(len(entry.Payload), c.MaxPendingApprovals, a.Supersedes) {
				answers[i].Refused = ErrApprovalsFull.Error()
				// What was approved before is no more, all the same.
				ended, err := tx.approvals.endUnasked(a.Supersedes, now)
				if err != nil {
					return nil, err
				}
				entries = append(entries, ended...)
				continue
			}
			if err := tx.approvals.take(a, len(entry.Payload)); err != nil {
				return nil, err
			}
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

// room says whether another one can wait, in place of the one that it supersedes.
func (q *approvals) room(bytes, most int, supersedes int64) bool {
	count, waiting := q.pending.Len(), q.waiting
	if a, found := q.pending.Get(supersedes); found {
		count, waiting = count-1, waiting-a.bytes
	}
	return count < most && waiting+bytes <= maxApprovalBytes
}

// endUnasked ends an approval for which nothing waits instead; 0: none.
func (q *approvals) endUnasked(id int64, now time.Time) ([]journal.Entry, error) {
	said := decision{State: Superseded, Judgement: Judgement{At: now, Reason: "asked about again at a higher risk, while no more could wait"}}
	if ended, err := q.end(id, said.Judgement); err != nil || !ended {
		return nil, err
	}
	return said.entries([]int64{id})
}

// utilization is how full the queue is, by number or by bytes, 0 to 1.
func (q *approvals) utilization(most int) float64 {
	return max(float64(q.pending.Len())/float64(most), float64(q.waiting)/maxApprovalBytes)
}

// tooLate is what time says.
const tooLate = "nobody decided in time"

// expire decides on what nobody decided on in time.
func (q *approvals) expire(now time.Time) (entries []journal.Entry, err error) {
	if now.Before(q.due) {
		return nil, nil
	}
	var late []int64
	q.due = time.Time{}
	q.pending.Scan(func(id int64, a *Approval) bool {
		switch {
		case !now.Before(a.Expires):
			late = append(late, id)
		case q.due.IsZero() || a.Expires.Before(q.due):
			q.due = a.Expires
		}
		return true
	})
	said := decision{State: Expired, Judgement: Judgement{At: now, Reason: tooLate}}
	for _, id := range late {
		if _, err := q.decide(id, Expired, said.Judgement); err != nil {
			return nil, err
		}
	}
	return said.entries(late)
}

// entries are the records of a decision on ids.
func (d *decision) entries(ids []int64) (entries []journal.Entry, err error) {
	for _, n := range namings(ids) {
		entry, err := encodeJSON(opDecided, decision{n.named, d.State, d.of(n.from)})
		if err != nil {
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
	if err := checkWhy(by, reason); err != nil {
		return nil, fmt.Errorf("approvals: %w", err)
	}
	err = d.change(ctx, &change{learns: record, apply: func(tx *transaction) ([]journal.Entry, error) {
		decided = nil
		now := d.now().UTC()
		entries, err := tx.approvals.expire(now)
		if err != nil {
			return nil, err
		}
		said := decision{State: state, Judgement: Judgement{At: now, By: by, Reason: reason}}
		var outcomes []journal.Entry
		for i, id := range ids {
			if record {
				asked, err := tx.approvals.find(id)
				if err != nil {
					return nil, err
				}
				change, entry, err := tx.store(side, asked.Workspace, 1)
				if err != nil {
					return nil, err
				}
				tx.guard.accepted(side, asked.Workspace, change.ID)
				outcomes = append(outcomes, entry)
				if i == 0 {
					said.PatternID = change.ID // those of the others follow
				}
			}
			a, err := tx.approvals.decide(id, state, said.of(i))
			if err != nil {
				return nil, err
			}
			decided = append(decided, *a)
		}
		records, err := said.entries(ids)
		if err != nil {
			return nil, err
		}
		return append(append(entries, records...), outcomes...), nil
	}})
	if err != nil {
		return nil, fmt.Errorf("approvals: %w", err)
	}
	d.logger.Warn("an operator decided on actions that waited for approval", "count", len(ids), "ids", logged(ids), "decision", state, "recorded", record, "by", by, "reason", reason)
	return decided, nil
}

// Approvals lists what waits for a person, oldest first, and, after it, what
// was decided last. What is past its time is listed as expired.
func (d *Directory) Approvals() (pending, decided []Approval) {
	q, now := d.approvals.Load(), d.now()
	q.decided.Scan(func(_ int64, a *Approval) bool {
		decided = append(decided, *a)
		return true
	})
	q.pending.Scan(func(_ int64, a *Approval) bool {
		if now.Before(a.Expires) {
			pending = append(pending, *a)
			return true
		}
		late := *a
		late.State, late.Workspace = Expired, nil
		late.Decision = &Judgement{At: a.Expires, Reason: tooLate}
		decided = append(decided, late)
		return true
	})
	return pending, decided
}

// PendingApprovals counts what waits for a person, and says when the oldest of
// it was asked about; zero where nothing waits.
func (d *Directory) PendingApprovals() (count int, oldest time.Time) {
	now := d.now()
	d.approvals.Load().pending.Scan(func(_ int64, a *Approval) bool {
		if now.Before(a.Expires) {
			if count == 0 {
				oldest = a.AskedAt
			}
			count++
		}
		return true
	})
	return count, oldest
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
		SafeSimilarity: v.SafeSimilarity, UnsafeSimilarity: v.UnsafeSimilarity, Reason: v.Reason(), Flags: v.flags(),
	}
}

// flags name what speaks against an action, whatever its risk.
func (v *Verdict) flags() (names []string) {
	for _, f := range []struct {
		set  bool
		name string
	}{
		{v.Violations&HighEntropy != 0, "high_entropy"}, {v.Violations&LowCoherence != 0, "low_coherence"},
		{v.Violations&HighNovelty != 0, "high_novelty"}, {v.MatchedUnsafe, "matched_unsafe"},
	} {
		if f.set {
			names = append(names, f.name)
		}
	}
	return names
}
