package policy

import (
	"container/heap"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
)

const (
	// ActionType is the payload type of a signed action: a signature of
	// anything else is worth nothing here, and this one nothing elsewhere.
	ActionType = "application/vnd.fdqc.action+json"
	// ReplayWindow is how far from now an action may have been signed.
	ReplayWindow = 5 * time.Minute
	// maxSeen is how many actions are remembered, about 100 bytes each.
	maxSeen  = 1 << 17
	minNonce = 16 // bytes
	maxNonce = 128
)

// What a signed action can be refused for, beside what signing says.
var (
	// ErrUnsignedAction: it has no envelope, and must have one.
	ErrUnsignedAction = errors.New("not signed, and safety.require_signed_actions is on")
	// ErrOutsideWindow: it was signed too long ago, or lies in the future.
	ErrOutsideWindow = errors.New("not signed just now")
	// ErrReplayed: it came before, or may have.
	ErrReplayed = errors.New("judged before")
)

// Verifier opens signed actions, each once. What it remembers ends with it: an
// action taken by one is new to another.
type Verifier struct {
	ring *signing.Ring
	now  func() time.Time
	most int

	mu   sync.Mutex
	seen map[[sha256.Size]byte]bool
	ages ages
	// floor is the latest time of an action that was forgotten. Nothing that
	// is not later is taken: it could be one of those, wherever the clock
	// has been meanwhile.
	floor time.Time
}

// NewVerifier trusts the keys of a ring.
func NewVerifier(ring *signing.Ring, now func() time.Time) *Verifier {
	return &Verifier{ring: ring, now: now, most: maxSeen, seen: map[[sha256.Size]byte]bool{}}
}

// Sealed says whether an object is meant to be a signed action.
func Sealed(text []byte) bool {
	var envelope struct {
		PayloadType jsontext.Value `json:"payloadType"`
	}
	return json.Unmarshal(text, &envelope) == nil && envelope.PayloadType != nil
}

// SealAction signs an action: a DSSE envelope of its canonical form with a
// nonce, which must never be used again, and the time.
func SealAction(a Action, nonce string, at time.Time, key *signing.Key) ([]byte, error) {
	a.Nonce, a.Time = nonce, at.UTC().Format(time.RFC3339Nano)
	payload, err := a.canonical(true)
	if err != nil {
		return nil, err
	}
	return signing.Seal(ActionType, payload, key), nil
}

// Open answers the action in an envelope and the id of the key that signed it.
// Errors match ErrOutsideWindow, ErrReplayed or those of package signing, or are
// *ActionErrors.
func (v *Verifier) Open(envelope []byte) (*Action, string, error) {
	e, err := signing.OpenEnvelope(envelope)
	if err != nil {
		return nil, "", err
	}
	if e.PayloadType != ActionType {
		return nil, "", refuse("action", "is an envelope of %.80q, expected %q", e.PayloadType, ActionType)
	}
	a, err := ParseAction(e.Payload)
	if err != nil {
		return nil, "", err
	}
	at, err := time.Parse(time.RFC3339Nano, a.Time)
	if err != nil {
		return nil, "", refuse("time", "is %.64q, expected when it was signed, such as 2027-01-31T12:00:00Z", a.Time)
	}
	if n := len(a.Nonce); n < minNonce || n > maxNonce {
		return nil, "", refuse("nonce", "has %d bytes, expected %d to %d drawn at random", n, minNonce, maxNonce)
	}
	id, err := e.Verify(v.ring, at)
	if err != nil {
		return nil, "", err
	}
	return a, id, v.once(id, a.Nonce, at)
}

// once refuses what is not of now, or was there before.
func (v *Verifier) once(id, nonce string, at time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	if from := now.Sub(at); from > ReplayWindow || from < -ReplayWindow {
		return fmt.Errorf("%w: it says %s, the clock says %s, expected at most %v between them",
			ErrOutsideWindow, at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), ReplayWindow)
	}
	for len(v.ages) > 0 && now.Sub(v.ages[0].at) > ReplayWindow {
		v.forget()
	}
	// Of the nonce alone: an envelope with two signatures is the same action
	// without one of them.
	digest := sha256.Sum256([]byte(nonce))
	switch {
	case v.seen[digest]:
		return fmt.Errorf("%w: nonce %.32q of key %s", ErrReplayed, nonce, id)
	case !at.After(v.floor):
		return fmt.Errorf("%w, or may have been: it says %s, and what was signed up to %s is not remembered any more",
			ErrReplayed, at.UTC().Format(time.RFC3339Nano), v.floor.UTC().Format(time.RFC3339Nano))
	}
	v.seen[digest] = true
	heap.Push(&v.ages, age{at, digest})
	if len(v.ages) > v.most {
		v.forget()
	}
	return nil
}

// forget drops the action that was signed first.
func (v *Verifier) forget() {
	oldest := heap.Pop(&v.ages).(age)
	delete(v.seen, oldest.digest)
	if oldest.at.After(v.floor) {
		v.floor = oldest.at
	}
}

type age struct {
	at     time.Time
	digest [sha256.Size]byte
}

// ages is a heap, oldest first.
type ages []age

func (a ages) Len() int           { return len(a) }
func (a ages) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a ages) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }

// Push and Pop are for package heap.
func (a *ages) Push(x any) { *a = append(*a, x.(age)) }

// Pop takes the last.
func (a *ages) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}
