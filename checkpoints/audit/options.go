package audit

import (
	"errors"
	"fmt"
	"time"
)

// MaxUnsigned is after how many entries a log with a Signer signs by itself.
const MaxUnsigned = 64

// signedPayload is the payload type of signatures.
const signedPayload = "application/vnd.fdqc.audit.v1"

// Signer signs with one Ed25519 key.
type Signer interface {
	// KeyID names the key, always the same.
	KeyID() string
	// Sign returns the 64 bytes of a signature that is worth nothing for another payload type.
	Sign(payloadType string, message []byte) []byte
}

// Verifier knows the trusted keys.
type Verifier interface {
	// Verify returns an error that says whether the key is unknown, had expired at signedAt, or does not fit.
	Verify(payloadType string, message []byte, keyID string, signature []byte, signedAt time.Time) error
}

// Options says where a log lies and how it is kept.
type Options struct {
	// Dir is the folder, of the log alone.
	Dir string
	// Signer signs; nil: nobody does.
	Signer Signer
	// Verifier checks signatures; nil checks none.
	Verifier Verifier
	// UnknownKey is what errors of the Verifier match for a key that it does not know. Unless RequireSigned is set, such a
	// signature counts as none; with nil it is refused.
	UnknownKey error
	// RequireSigned refuses a log with more than MaxUnsigned entries in a row that no trusted key signed.
	RequireSigned bool
	// FileBytes is the size from which a new file begins; 16 MiB when zero.
	FileBytes int64
	// Now is the clock; time.Now when nil.
	Now func() time.Time

	ops *fileOps // the system's when nil
}

func (o Options) complete() (Options, error) {
	if o.FileBytes == 0 {
		o.FileBytes = 16 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ops == nil {
		o.ops = systemOps()
	}
	switch {
	case o.Dir == "":
		return o, errors.New("audit options: no folder")
	case o.FileBytes < 0:
		return o, fmt.Errorf("audit options: files of %d bytes, expected more than 0", o.FileBytes)
	case o.RequireSigned && o.Verifier == nil:
		return o, errors.New("audit options: signatures are required and there is no verifier")
	}
	return o, nil
}
