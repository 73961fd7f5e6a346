package journal

import (
	"errors"
	"fmt"
	"time"
)

// SyncMode says when what Append wrote is brought to the disk. Headers of segments and rotations are always fsynced
// at once, and Close fsyncs in every mode.
type SyncMode string

const (
	// SyncAlways is an fsync before Append returns: nothing acknowledged is lost, whatever happens. The default.
	SyncAlways SyncMode = "always"
	// SyncInterval is an fsync at most an Interval after a commit: a killed process loses nothing, a power failure or a crash
	// of the system what was acknowledged since the last one.
	SyncInterval SyncMode = "interval"
	// SyncNever leaves it to the system: a killed process loses nothing, a power failure or a crash of the system everything
	// acknowledged since the segment began (Linux writes within about 30 s, and promises nothing).
	//
	// With SyncInterval and SyncNever the system may also write a later page before an earlier one. After a power failure the gap
	// looks like damage and is refused as such.
	SyncNever SyncMode = "never"
)

// Signer signs with one Ed25519 key.
type Signer interface {
	// KeyID names the key: 1 to 64 bytes, always the same.
	KeyID() string
	// Sign returns the 64 bytes of a signature that is worth nothing for another payload type.
	Sign(payloadType string, message []byte) []byte
}

// Verifier knows the trusted keys.
type Verifier interface {
	// Verify returns an error that says whether the key is unknown, had expired at signedAt, or does not fit.
	Verify(payloadType string, message []byte, keyID string, signature []byte, signedAt time.Time) error
}

// The payload types of signatures.
const (
	segmentPayload = "application/vnd.fdqc.journal-segment.v1"
	commitPayload  = "application/vnd.fdqc.journal-commit.v1"
)

// Options says where a journal lies and how it is kept.
type Options struct {
	// Dir is the folder, of the journal alone.
	Dir string
	// Signer signs what is written; nil leaves it unsigned.
	Signer Signer
	// Verifier checks the signatures that are read; nil checks none.
	Verifier Verifier
	// UnknownKey is what errors of the Verifier match for a key that it does not know. Unless RequireSigned is set, such a
	// signature counts as none; with nil it is refused.
	UnknownKey error
	// RequireSigned refuses what carries no valid signature of a trusted key that had not expired when it was written.
	// It needs a Verifier, and a Signer to write.
	RequireSigned bool
	// Sync is SyncAlways when empty.
	Sync SyncMode
	// Interval is for SyncInterval; 1 s when zero.
	Interval time.Duration
	// SegmentBytes is the size from which a new segment begins; 64 MiB when zero. A commit is never divided.
	SegmentBytes int64
	// Now is the clock; time.Now when nil. It may go back: nothing but the signers' expiry depends on it.
	Now func() time.Time

	ops *fileOps // the system's when nil
}

// complete fills in defaults and checks.
func (o Options) complete() (Options, error) {
	if o.Sync == "" {
		o.Sync = SyncAlways
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ops == nil {
		o.ops = systemOps()
	}
	switch {
	case o.Dir == "":
		return o, errors.New("journal options: no folder")
	case o.Sync != SyncAlways && o.Sync != SyncInterval && o.Sync != SyncNever:
		return o, fmt.Errorf("journal options: sync mode %q, expected always, interval or never", o.Sync)
	case o.Interval < 0:
		return o, fmt.Errorf("journal options: interval %v, expected more than 0", o.Interval)
	case o.SegmentBytes < 0:
		return o, fmt.Errorf("journal options: segments of %d bytes, expected more than 0", o.SegmentBytes)
	case o.RequireSigned && o.Verifier == nil:
		return o, errors.New("journal options: signatures are required and there is no verifier")
	}
	if o.Signer != nil {
		if n := len(o.Signer.KeyID()); n == 0 || n > maxKeyID {
			return o, fmt.Errorf("journal options: key id of %d bytes, expected 1 to %d", n, maxKeyID)
		}
	}
	return o, nil
}

// completeWriter is complete for those who write.
func (o Options) completeWriter() (Options, error) {
	if o.RequireSigned && o.Signer == nil {
		return o, errors.New("journal options: signatures are required and there is no signer")
	}
	return o.complete()
}

// trust checks the signature of a part whose key id is empty when it has none, and says whether it counts.
func (o *Options) trust(payloadType string, message []byte, keyID string, signature []byte, at time.Time) (bool, error) {
	if keyID == "" {
		if o.RequireSigned {
			return false, ErrUnsigned
		}
		return false, nil
	}
	if o.Verifier == nil {
		return false, nil
	}
	err := o.Verifier.Verify(payloadType, message, keyID, signature, at)
	if err != nil && !o.RequireSigned && o.UnknownKey != nil && errors.Is(err, o.UnknownKey) {
		return false, nil
	}
	return err == nil, err
}

// sign returns key id and signature, both empty without a signer.
func (o *Options) sign(payloadType string, message []byte) (string, []byte, error) {
	if o.Signer == nil {
		return "", nil, nil
	}
	id, signature := o.Signer.KeyID(), o.Signer.Sign(payloadType, message)
	if len(id) == 0 || len(id) > maxKeyID || len(signature) != signatureSize {
		return "", nil, fmt.Errorf("sign: key id of %d bytes and signature of %d, expected 1 to %d and %d", len(id), len(signature), maxKeyID, signatureSize)
	}
	return id, signature, nil
}
