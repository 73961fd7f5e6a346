package signing

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"time"
)

// Ring is a set of trusted keys. A nil ring trusts none.
type Ring struct{ keys map[string]Trusted }

// NewRing makes a ring. The same key twice is fine with the same expiry, an error otherwise: nobody could tell which one is
// meant.
func NewRing(trusted ...Trusted) (*Ring, error) {
	r := &Ring{keys: make(map[string]Trusted, len(trusted))}
	for _, t := range trusted {
		if len(t.Public) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("trusted keys: %w: a key has %d bytes, expected %d", ErrMalformed, len(t.Public), ed25519.PublicKeySize)
		}
		id := t.KeyID()
		if other, ok := r.keys[id]; ok && !other.Until.Equal(t.Until) {
			return nil, fmt.Errorf("trusted keys: %w: key %s is listed twice, %s and %s", ErrMalformed, id, expiry(other), expiry(t))
		}
		r.keys[id] = t
	}
	return r, nil
}

func expiry(t Trusted) string {
	if t.Until.IsZero() {
		return "without expiry"
	}
	return "until " + t.Until.UTC().Format(time.RFC3339Nano)
}

// With is the ring and the key that signs now, which has no expiry whatever the ring says of it: a rotation that was
// interrupted has announced one already.
func (r *Ring) With(current *Key) *Ring {
	with := &Ring{keys: map[string]Trusted{}}
	if r != nil {
		maps.Copy(with.keys, r.keys)
	}
	if current != nil {
		with.keys[current.KeyID()] = Trusted{Public: current.Public()}
	}
	return with
}

// Has tells whether a key is in the ring, expired or not.
func (r *Ring) Has(keyID string) bool {
	if r == nil {
		return false
	}
	_, ok := r.keys[keyID]
	return ok
}

// Len is the number of keys.
func (r *Ring) Len() int {
	if r == nil {
		return 0
	}
	return len(r.keys)
}

// Verify checks that the named key signed a message of a type, at a time that the message itself should hold. The error
// matches ErrUnknownKey, ErrBadSignature or, for a signature that is right, ErrExpiredKey, and names the key.
func (r *Ring) Verify(payloadType string, message []byte, keyID string, signature []byte, signedAt time.Time) error {
	if !r.Has(keyID) {
		return fmt.Errorf("%w: key %.64q", ErrUnknownKey, keyID)
	}
	t := r.keys[keyID]
	if !ed25519.Verify(t.Public, encode(payloadType, message), signature) {
		return fmt.Errorf("%w: key %s", ErrBadSignature, keyID)
	}
	if !t.Until.IsZero() && signedAt.After(t.Until) {
		return fmt.Errorf("%w: key %s is trusted %s, signed at %s", ErrExpiredKey, keyID, expiry(t), signedAt.UTC().Format(time.RFC3339Nano))
	}
	return nil
}
