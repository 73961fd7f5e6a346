package signing

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

const (
	// MaxEnvelope is the size of the largest envelope that is read, in bytes.
	MaxEnvelope   = 64 << 20
	maxSignatures = 16
	maxType       = 256
)

// Envelope is a text of a type with the signatures over both.
type Envelope struct {
	PayloadType string
	Payload     []byte
	Signatures  []Signature
}

// Signature is one signature of an envelope.
type Signature struct {
	KeyID string
	Bytes []byte
}

// envelopeJSON is the form of DSSE. Bytes are decoded by hand: json would take base64 that is not canonical.
type envelopeJSON struct {
	Payload     string          `json:"payload"`
	PayloadType string          `json:"payloadType"`
	Signatures  []signatureJSON `json:"signatures"`
}

type signatureJSON struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// Seal writes an envelope, signed when there is a key. Equal input gives equal bytes. The type must be a short text in UTF-8.
func Seal(payloadType string, payload []byte, key *Key) []byte {
	e := envelopeJSON{
		Payload:     base64.StdEncoding.EncodeToString(payload),
		PayloadType: payloadType,
		Signatures:  []signatureJSON{},
	}
	if key != nil {
		sig := base64.StdEncoding.EncodeToString(key.Sign(payloadType, payload))
		e.Signatures = append(e.Signatures, signatureJSON{KeyID: key.KeyID(), Sig: sig})
	}
	text, err := json.Marshal(e)
	if err != nil {
		panic("signing: an envelope of plain texts cannot be written: " + err.Error()) // only a type that is no UTF-8
	}
	return append(text, '\n')
}

// OpenEnvelope parses an envelope strictly: no unknown, missing or repeated member, nothing after it, canonical base64, at most
// MaxEnvelope bytes. It verifies no signature. Errors match ErrMalformed.
func OpenEnvelope(data []byte) (*Envelope, error) {
	if len(data) > MaxEnvelope {
		return nil, fmt.Errorf("envelope: %w: %d bytes, at most %d are read", ErrMalformed, len(data), MaxEnvelope)
	}
	// Pointers tell a missing member from an empty one.
	var raw struct {
		Payload     *string          `json:"payload"`
		PayloadType *string          `json:"payloadType"`
		Signatures  *[]signatureJSON `json:"signatures"`
	}
	if err := json.Unmarshal(data, &raw, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("envelope: %w: %w", ErrMalformed, err)
	}
	if raw.Payload == nil || raw.PayloadType == nil || raw.Signatures == nil {
		return nil, fmt.Errorf("envelope: %w: expected payload, payloadType and signatures", ErrMalformed)
	}
	if t := *raw.PayloadType; t == "" || len(t) > maxType || !utf8.ValidString(t) {
		return nil, fmt.Errorf("envelope: %w: payloadType of %d bytes, expected 1 to %d", ErrMalformed, len(t), maxType)
	}
	if n := len(*raw.Signatures); n > maxSignatures {
		return nil, fmt.Errorf("envelope: %w: %d signatures, at most %d are read", ErrMalformed, n, maxSignatures)
	}
	e := &Envelope{PayloadType: *raw.PayloadType}
	var err error
	if e.Payload, err = decodeBase64(*raw.Payload); err != nil {
		return nil, fmt.Errorf("envelope: %w: payload: %w", ErrMalformed, err)
	}
	for i, s := range *raw.Signatures {
		b, err := decodeBase64(s.Sig)
		if err != nil {
			return nil, fmt.Errorf("envelope: %w: signature %d: %w", ErrMalformed, i+1, err)
		}
		if s.KeyID == "" || len(s.KeyID) > maxType {
			return nil, fmt.Errorf("envelope: %w: signature %d: keyid of %d bytes, expected 1 to %d", ErrMalformed, i+1, len(s.KeyID), maxType)
		}
		e.Signatures = append(e.Signatures, Signature{KeyID: s.KeyID, Bytes: b})
	}
	return e, nil
}

// decodeBase64 takes the one text that stands for some bytes.
func decodeBase64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("line break in base64") // which the decoder would pass over
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}

// Verify checks the signatures against a ring; signedAt is the time that the payload gives. One by a trusted key is enough, and its
// id is returned; but a signature of a trusted key that does not fit is an error whatever the others are, since then
// the payload was changed. Errors match ErrUnsigned, ErrBadSignature, ErrExpiredKey or ErrUnknownKey, the first that applies.
func (e *Envelope) Verify(r *Ring, signedAt time.Time) (keyID string, err error) {
	if len(e.Signatures) == 0 {
		return "", ErrUnsigned
	}
	var unknown, expired error
	for _, s := range e.Signatures {
		switch err := r.Verify(e.PayloadType, e.Payload, s.KeyID, s.Bytes, signedAt); {
		case err == nil:
			keyID = s.KeyID
		case errors.Is(err, ErrBadSignature):
			return "", err
		case errors.Is(err, ErrExpiredKey):
			expired = err
		default:
			unknown = err
		}
	}
	switch {
	case keyID != "":
		return keyID, nil
	case expired != nil:
		return "", expired
	}
	return "", unknown
}
