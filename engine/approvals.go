package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tidwall/btree"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
)

// ApprovalState says what became of an action that waits for a person.
type ApprovalState string

// States of an approval.
const (
	Pending  ApprovalState = "pending"
	Approved ApprovalState = "approved"
	Denied   ApprovalState = "denied"
	Expired  ApprovalState = "expired" // nobody decided in time, which denies it
	// Superseded, pending or approved before: the action was asked about again
	// at a risk that this approval does not cover.
	Superseded ApprovalState = "superseded"
)

// Ask is an action that a person is asked to approve.
type Ask struct {
	// Row is the id that its sender gave it; Action its text, or the JSON of a
	// structured one; "" where there is none.
	Row     string `json:"row,omitempty"`
	Action  string `json:"action,omitempty"`
	Session string `json:"session,omitempty"`
	Source  string `json:"source,omitempty"`
	// Workspace is its row, [workspace_dim]: what becomes a pattern when the
	// decision is recorded.
	Workspace []float32 `json:"workspace,omitempty"`
	// Numbers of the verdict that asks, and its reason.
	RawRisk          float32 `json:"raw_risk"`
	BaseRisk         float32 `json:"base_risk"`
	Entropy          float32 `json:"entropy"`
	Coherence        float32 `json:"coherence"`
	Novelty          float32 `json:"novelty"`
	SafeSimilarity   float32 `json:"safe_similarity"`
	UnsafeSimilarity float32 `json:"unsafe_similarity"`
	Reason           string  `json:"reason,omitempty"`
	// Flags name what speaks against it, whatever the risk: high_entropy,
	// low_coherence, high_novelty, matched_unsafe.
	Flags []string `json:"flags,omitempty"`
}

// Approval is an ask in the queue, or one that was decided.
type Approval struct {
	// ID is what a person names it by. It is never given again.
	ID      int64     `json:"id"`
	AskedAt time.Time `json:"asked_at"`
	AskedBy string    `json:"asked_by,omitempty"`
	Expires time.Time `json:"expires"`
	Ask
	State    ApprovalState `json:"state"`
	Decision *Judgement    `json:"decision,omitempty"` // nil while pending
	// Key is the same for an action that is asked about again. The newest
	// approval of a key is the one that counts.
	Key string `json:"key"`
	// Supersedes is the approval of the same action that did not cover this
	// ask; 0: none.
	Supersedes int64 `json:"supersedes,omitempty"`

	bytes int   // of its record
	order int64 // of its decision
}

// Judgement is what a person, or time, said to an ask.
type Judgement struct {
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"` // "" is nobody: it expired
	Reason string    `json:"reason,omitempty"`
	// PatternID is that of the outcome that it was recorded as; 0: none.
	PatternID int64 `json:"pattern_id,omitempty"`
}

// approvals are the queue and what was decided last. Whoever changes them
// changes a copy, which costs next to nothing: readers have the ones before.
type approvals struct {
	next    int64                       // the id of the next one, from 1; 0: there never was one
	pending btree.Map[int64, *Approval] // by id
	decided btree.Map[int64, *Approval] // by the order of the decisions
	newest  btree.Map[string, *Approval]
	order   int64     // of the last decision
	due     time.Time // before it none of the pending ones expires
	waiting int       // bytes of the records of pending ones
	bytes   int       // of the records of all
}

func (q *approvals) copy() *approvals {
	c := *q
	c.pending, c.decided, c.newest = *q.pending.Copy(), *q.decided.Copy(), *q.newest.Copy()
	return &c
}

const (
	maxDecided       = 1000                  // decided ones that are remembered
	maxApprovalBytes = journal.MaxCommit / 4 // of all records together: see standing
	// MaxAskedAction is the longest action that can wait, in bytes.
	MaxAskedAction = 128 << 10
	maxAskedText   = 4096 // bytes of its other texts
	maxFlags       = 16   // of an action
	maxFlag        = 32   // bytes of one
	// RiskMargin is by how much the raw risk of an action may grow before an
	// approval covers it no more.
	RiskMargin = 0.05
)

// Why an approval cannot be had.
var (
	// ErrApprovalsFull: no more can wait.
	ErrApprovalsFull = errors.New("too many actions wait for approval: decide on some, see fdqc approvals list")
	errAsk           = errors.New("action that waits for approval")
)

// UndecidableError says why nobody can decide on an approval any more.
type UndecidableError struct {
	ID    int64
	State ApprovalState // "" when there is none of this id
	By    string
}

// Error names the id, and what was decided.
func (e *UndecidableError) Error() string {
	switch e.State {
	case "":
		return fmt.Sprintf("no action waits for approval as %d", e.ID)
	case Expired:
		return fmt.Sprintf("action %d was not decided on in time and is denied", e.ID)
	case Superseded:
		return fmt.Sprintf("action %d was asked about again at a higher risk: see fdqc approvals list", e.ID)
	default:
		return fmt.Sprintf("action %d is %s already, by %s", e.ID, e.State, e.By)
	}
}

// validate refuses what cannot be kept or shown.
func (a *Ask) validate(width int) error {
	for _, text := range []struct {
		name, text string
		most       int
	}{{"row", a.Row, maxAskedText}, {"action", a.Action, MaxAskedAction}, {"session", a.Session, maxAskedText}, {"source", a.Source, maxAskedText}, {"reason", a.Reason, maxAskedText}} {
		if len(text.text) > text.most {
			return fmt.Errorf("%w: %s of %d bytes, expected at most %d", errAsk, text.name, len(text.text), text.most)
		}
	}
	if len(a.Flags) > maxFlags || slices.ContainsFunc(a.Flags, func(f string) bool { return len(f) > maxFlag }) {
		return fmt.Errorf("%w: flags %.100q, expected at most %d of %d bytes", errAsk, a.Flags, maxFlags, maxFlag)
	}
	if len(a.Workspace) != width {
		return fmt.Errorf("%w: workspace row of %d numbers, expected %d", errAsk, len(a.Workspace), width)
	}
	numbers := append([]float32{a.RawRisk, a.BaseRisk, a.Entropy, a.Coherence, a.Novelty, a.SafeSimilarity, a.UnsafeSimilarity}, a.Workspace...)
	if slices.ContainsFunc(numbers, func(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) }) {
		return fmt.Errorf("%w: a number is not finite", errAsk)
	}
	return nil
}

// key is what its sender calls an action, what it says and where it lies, in one.
func (a *Ask) key() string {
	var b []byte
	for _, text := range []string{a.Row, a.Action, a.Session, a.Source} {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	for _, x := range a.Workspace {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// covers says whether what was said to an approval, or will be, goes for
// another ask of the same action as well. A denial always does. Else nothing may
// speak against the action that did not before, and its risk may not have grown
// by more than the margin, nor beyond the level that alerts. An approval of
// before flags were kept covers none.
func (a *Approval) covers(ask *Ask, alerts float64) bool {
	switch a.State {
	case Denied, Expired:
		return true
	case Superseded:
		return false
	}
	before, now := float64(a.RawRisk), float64(ask.RawRisk)
	if now > before+RiskMargin || before <= alerts && now > alerts {
		return false
	}
	return !slices.ContainsFunc(ask.Flags, func(f string) bool { return !slices.Contains(a.Flags, f) })
}

// known is the newest approval of a key: it waits, or was decided and has not
// expired since.
func (q *approvals) known(key string, now time.Time) *Approval {
	if a, found := q.newest.Get(key); found && now.Before(a.Expires) {
		return a
	}
	return nil
}

// take puts a pending approval with a record of so many bytes into the queue,
// in place of the one that it supersedes.
func (q *approvals) take(a *Approval, bytes int) error {
	if err := q.supersede(a); err != nil {
		return err
	}
	a.bytes = bytes
	q.pending.Set(a.ID, a)
	q.newest.Set(a.Key, a)
	q.next = max(q.next, a.ID+1)
	q.bytes += bytes
	q.waiting += bytes
	if q.pending.Len() == 1 || a.Expires.Before(q.due) {
		q.due = a.Expires
	}
	q.forget()
	return nil
}

// supersede ends the approval that another one says it supersedes; it may be
// forgotten already.
func (q *approvals) supersede(by *Approval) error {
	if by.Supersedes == 0 {
		return nil
	}
	_, err := q.end(by.Supersedes, Judgement{At: by.AskedAt, Reason: fmt.Sprintf("asked about again at a higher risk, as %d", by.ID)})
	return err
}

// end has an approval that waits, or was given, count no more; of another one
// nothing ends.
func (q *approvals) end(id int64, j Judgement) (ended bool, err error) {
	if _, found := q.pending.Get(id); found {
		_, err := q.decide(id, Superseded, j)
		return err == nil, err
	}
	a := q.said(id)
	if a == nil || a.State != Approved {
		return false, nil
	}
	again := *a
	again.State = Superseded
	if again.bytes, err = again.size(); err != nil {
		return false, err
	}
	q.bytes += again.bytes - a.bytes
	q.decided.Set(again.order, &again)
	if newest, found := q.newest.Get(a.Key); found && newest.ID == id {
		q.newest.Set(a.Key, &again)
	}
	return true, nil
}

// said answers an approval that was decided on; nil: it is not remembered.
func (q *approvals) said(id int64) (found *Approval) {
	q.decided.Scan(func(_ int64, a *Approval) bool {
		if a.ID == id {
			found = a
		}
		return found == nil
	})
	return found
}

// find answers a pending approval.
func (q *approvals) find(id int64) (*Approval, error) {
	if a, found := q.pending.Get(id); found {
		return a, nil
	}
	not := &UndecidableError{ID: id}
	if a := q.said(id); a != nil {
		not.State, not.By = a.State, a.Decision.By
	}
	return nil, not
}

// decide moves a pending approval to those that are decided. Its workspace row
// is of no more use.
func (q *approvals) decide(id int64, state ApprovalState, j Judgement) (*Approval, error) {
	was, err := q.find(id)
	if err != nil {
		return nil, err
	}
	q.pending.Delete(id)
	q.bytes -= was.bytes
	q.waiting -= was.bytes
	a := *was
	a.Workspace, a.State, a.Decision = nil, state, &j
	return &a, q.remember(&a)
}

// size is that of its record, in bytes.
func (a *Approval) size() (int, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errAsk, err)
	}
	return len(text), nil
}

// remember keeps what was decided.
func (q *approvals) remember(a *Approval) (err error) {
	if a.bytes, err = a.size(); err != nil {
		return err
	}
	q.order++
	a.order = q.order
	q.decided.Set(a.order, a)
	if newest, found := q.newest.Get(a.Key); !found || newest.ID <= a.ID {
		q.newest.Set(a.Key, a)
	}
	q.next = max(q.next, a.ID+1)
	q.bytes += a.bytes
	q.forget()
	return nil
}

// forget drops the oldest decisions, where there are too many. It goes by what
// the journal says alone, so that a replay forgets the same.
func (q *approvals) forget() {
	for q.decided.Len() > maxDecided || q.decided.Len() > 0 && q.bytes > maxApprovalBytes {
		_, a, _ := q.decided.PopMin()
		q.bytes -= a.bytes
		if newest, found := q.newest.Get(a.Key); found && newest.ID == a.ID {
			q.newest.Delete(a.Key)
		}
	}
}

// decision is the journal's record of what was said to approvals. Where they
// were recorded its pattern id is the first one's; each next one's is one more.
type decision struct {
	named
	State ApprovalState `json:"state"`
	Judgement
}

// of is what was said to the one at place i.
func (d *decision) of(i int) Judgement {
	j := d.Judgement
	if j.PatternID != 0 {
		j.PatternID += int64(i)
	}
	return j
}

// replayApproval applies a record about approvals.
func (q *approvals) replayApproval(width int, r journal.Record) error {
	if r.Type == opDecided {
		var said decision
		if err := json.Unmarshal(r.Payload, &said); err != nil {
			return fmt.Errorf("%w: %w", errOperation, err)
		}
		if !slices.Contains([]ApprovalState{Approved, Denied, Expired, Superseded}, said.State) {
			return fmt.Errorf("%w: %q is no decision", errOperation, said.State)
		}
		i := 0
		err := said.each(func(id int64) error {
			j := said.of(i)
			i++
			if said.State == Superseded {
				ended, err := q.end(id, j)
				if err == nil && !ended {
					err = &UndecidableError{ID: id}
				}
				return err
			}
			_, err := q.decide(id, said.State, j)
			return err
		})
		if err != nil {
			return fmt.Errorf("%w: %w", errOperation, err)
		}
		return nil
	}
	a := &Approval{}
	if err := json.Unmarshal(r.Payload, a); err != nil {
		return fmt.Errorf("%w: %w", errOperation, err)
	}
	if a.State != Pending {
		if a.Decision == nil {
			return fmt.Errorf("%w: approval %d is %q, and nobody decided", errOperation, a.ID, a.State)
		}
		return q.remember(a)
	}
	last, _, _ := q.pending.Max()
	if a.ID <= last || len(a.Workspace) != width {
		return fmt.Errorf("%w: approval %d of width %d, expected one after %d of width %d", errOperation, a.ID, len(a.Workspace), last, width)
	}
	return q.take(a, len(r.Payload))
}
