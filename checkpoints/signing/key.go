package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
)

// Key is a private key.
type Key struct {
	private ed25519.PrivateKey
	id      string
}

func newKey(private ed25519.PrivateKey) *Key {
	return &Key{private: private, id: KeyID(private.Public().(ed25519.PublicKey))}
}

// GenerateKey draws a key and stores it nowhere.
func GenerateKey() (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return newKey(private), nil
}

// KeyID names a public key: the first 16 bytes of its SHA-256 in hexadecimal.
func KeyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:16])
}

// KeyID is the name of the key's public half.
func (k *Key) KeyID() string { return k.id }

// Public is the public half. It must not be written to.
func (k *Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Sign returns the 64 bytes that sign a message of a type.
func (k *Key) Sign(payloadType string, message []byte) []byte {
	return ed25519.Sign(k.private, encode(payloadType, message))
}

// String names the key; the private half is never printed.
func (k *Key) String() string { return "ed25519 key " + k.id }

// GoString is String, for %#v.
func (k *Key) GoString() string { return k.String() }

// encode is the pre-authentication encoding of DSSE version 1: "DSSEv1", then type and body, each after its length.
func encode(payloadType string, body []byte) []byte {
	b := make([]byte, 0, len(payloadType)+len(body)+48)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(b, ' ')
	b = append(b, payloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, ' ')
	return append(b, body...)
}
