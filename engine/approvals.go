package engine

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

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
	// Key is the same for an action that is asked about again.
	Key string `json:"key"`

	bytes int // of its record
}

// Judgement is what a person, or time, said to an ask.
type Judgement struct {
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"` // "" is nobody: it expired
	Reason string    `json:"reason,omitempty"`
	// PatternID is that of the outcome that it was recorded as; 0: none.
	PatternID int64 `json:"pattern_id,omitempty"`
}

// approvals are the queue and what was decided last. As a value they never
// change: every step makes another one.
type approvals struct {
	next    int64 // the id of the next one, from 1; 0: there never was one
	pending []*Approval
	decided []*Approval // in the order of the decisions
	bytes   int         // of the records of both
}

const (
	maxDecided       = 1000                  // decided ones that are remembered
	maxApprovalBytes = journal.MaxCommit / 4 // of all records together: see standing
	// MaxAskedAction is the longest action that can wait, in bytes.
	MaxAskedAction = 128 << 10
	maxAskedText   = 4096 // bytes of its other texts
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

// known is the approval that an ask has already: it waits, or was decided and
// has not expired since.
func (q *approvals) known(key string, now time.Time) *Approval {
	for _, list := range [][]*Approval{q.pending, q.decided} {
		for _, a := range list {
			if a.Key == key && now.Before(a.Expires) {
				return a
			}
		}
	}
	return nil
}

// take puts a pending approval with a record of so many bytes into the queue.
func (q *approvals) take(a *Approval, bytes int) {
	a.bytes = bytes
	q.pending = append(slices.Clip(q.pending), a)
	q.next = max(q.next, a.ID+1)
	q.bytes += bytes
	q.forget()
}

// find answers the place of a pending approval.
func (q *approvals) find(id int64) (int, error) {
	i, found := slices.BinarySearchFunc(q.pending, id, func(a *Approval, id int64) int { return cmp.Compare(a.ID, id) })
	if found {
		return i, nil
	}
	for _, a := range q.decided {
		if a.ID == id {
			return 0, &UndecidableError{ID: id, State: a.State, By: a.Decision.By}
		}
	}
	return 0, &UndecidableError{ID: id}
}

// decide moves the pending approval at a place to those that are decided. Its
// workspace row is of no more use.
func (q *approvals) decide(i int, state ApprovalState, j *Judgement) (*Approval, error) {
	a := *q.pending[i]
	q.bytes -= a.bytes
	q.pending = slices.Concat(q.pending[:i], q.pending[i+1:])
	a.Workspace, a.State, a.Decision = nil, state, j
	return &a, q.remember(&a)
}

// remember keeps what was decided.
func (q *approvals) remember(a *Approval) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("%w: %w", errAsk, err)
	}
	a.bytes = len(text)
	q.decided = append(slices.Clip(q.decided), a)
	q.next = max(q.next, a.ID+1)
	q.bytes += a.bytes
	q.forget()
	return nil
}

// forget drops the oldest decisions, where there are too many. It goes by what
// the journal says alone, so that a replay forgets the same.
func (q *approvals) forget() {
	for len(q.decided) > 0 && (len(q.decided) > maxDecided || q.bytes > maxApprovalBytes) {
		q.bytes -= q.decided[0].bytes
		q.decided = q.decided[1:]
	}
}

// decision is the journal's record of one.
type decision struct {
	ID    int64         `json:"id"`
	State ApprovalState `json:"state"`
	Judgement
}

// replayApproval applies a record about approvals.
func (q *approvals) replayApproval(width int, r journal.Record) error {
	if r.Type == opDecided {
		var said decision
		if err := json.Unmarshal(r.Payload, &said); err != nil {
			return fmt.Errorf("%w: %w", errOperation, err)
		}
		i, err := q.find(said.ID)
		if err == nil {
			_, err = q.decide(i, said.State, &said.Judgement)
		}
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
	last := int64(0)
	if n := len(q.pending); n > 0 {
		last = q.pending[n-1].ID
	}
	if a.ID <= last || len(a.Workspace) != width {
		return fmt.Errorf("%w: approval %d of width %d, expected one after %d of width %d", errOperation, a.ID, len(a.Workspace), last, width)
	}
	q.take(a, len(r.Payload))
	return nil
}
