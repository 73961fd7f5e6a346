package signing

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func TestSeal(t *testing.T) {
	for _, c := range []struct {
		name string
		key  *Key
		want string
	}{
		{"unsigned", nil, `{"payload":"aGVsbG8=","payloadType":"text/plain","signatures":[]}` + "\n"},
		{"signed", fixed(), `{"payload":"aGVsbG8=","payloadType":"text/plain","signatures":[{"keyid":"` + fixed().KeyID() + `","sig":"` +
			base64.StdEncoding.EncodeToString(fixed().Sign("text/plain", []byte("hello"))) + `"}]}` + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Seal("text/plain", []byte("hello"), c.key)
			if string(got) != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			e, err := OpenEnvelope(got)
			if err != nil || string(e.Payload) != "hello" || e.PayloadType != "text/plain" {
				t.Errorf("got %+v, %v", e, err)
			}
		})
	}
}

func TestEnvelopeVerify(t *testing.T) {
	a, b, foreign := generate(t), generate(t), generate(t)
	ring, err := NewRing(Trusted{Public: a.Public()}, Trusted{Public: b.Public(), Until: noon})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(k *Key, text string) Signature {
		return Signature{KeyID: k.KeyID(), Bytes: k.Sign("t", []byte(text))}
	}
	for _, c := range []struct {
		name       string
		signatures []Signature
		want       error
	}{
		{"good", []Signature{sign(a, "text")}, nil},
		{"none", nil, ErrUnsigned},
		{"foreign", []Signature{sign(foreign, "text")}, ErrUnknownKey},
		{"expired", []Signature{sign(b, "text")}, ErrExpiredKey},
		{"expired and foreign", []Signature{sign(b, "text"), sign(foreign, "text")}, ErrExpiredKey},
		{"bad", []Signature{sign(a, "texT")}, ErrBadSignature},
		{"foreign and good", []Signature{sign(foreign, "text"), sign(a, "text")}, nil},
		{"good and bad", []Signature{sign(a, "text"), sign(b, "texT")}, ErrBadSignature},
		{"another's name", []Signature{{KeyID: a.KeyID(), Bytes: foreign.Sign("t", []byte("text"))}}, ErrBadSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := Envelope{PayloadType: "t", Payload: []byte("text"), Signatures: c.signatures}
			id, err := e.Verify(ring, noon.Add(1))
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want == nil && id != a.KeyID() {
				t.Errorf("got key %q, want %q", id, a.KeyID())
			}
		})
	}
}

func TestEnvelopeRefuses(t *testing.T) {
	many := strings.Repeat(`{"keyid":"k","sig":""},`, maxSignatures) + `{"keyid":"k","sig":""}`
	for name, text := range map[string]string{
		"empty":            ``,
		"null":             `null`,
		"no object":        `[]`,
		"nothing":          `{}`,
		"no signatures":    `{"payload":"","payloadType":"t"}`,
		"null signatures":  `{"payload":"","payloadType":"t","signatures":null,"x":1}`,
		"no type":          `{"payload":"","payloadType":"","signatures":[]}`,
		"long type":        `{"payload":"","payloadType":"` + strings.Repeat("t", 300) + `","signatures":[]}`,
		"unknown":          `{"payload":"","payloadType":"t","signatures":[],"x":1}`,
		"other case":       `{"Payload":"","payloadType":"t","signatures":[]}`,
		"twice":            `{"payload":"","payload":"","payloadType":"t","signatures":[]}`,
		"trailing":         `{"payload":"","payloadType":"t","signatures":[]} {}`,
		"cut":              `{"payload":"","payloadType":"t","signatures":[]`,
		"base64":           `{"payload":"aGVsbG8","payloadType":"t","signatures":[]}`,
		"base64 bits":      `{"payload":"aGVsbG9=","payloadType":"t","signatures":[]}`,
		"base64 lines":     `{"payload":"aGVs\nbG8=","payloadType":"t","signatures":[]}`,
		"signature base64": `{"payload":"","payloadType":"t","signatures":[{"keyid":"k","sig":"*"}]}`,
		"signature field":  `{"payload":"","payloadType":"t","signatures":[{"keyid":"k","sig":"","x":1}]}`,
		"no keyid":         `{"payload":"","payloadType":"t","signatures":[{"sig":""}]}`,
		"many signatures":  `{"payload":"","payloadType":"t","signatures":[` + many + `]}`,
		"no UTF-8":         "{\"payload\":\"\",\"payloadType\":\"\xff\",\"signatures\":[]}",
	} {
		if e, err := OpenEnvelope([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v, want ErrMalformed", name, e, err)
		}
	}
	if _, err := OpenEnvelope(make([]byte, MaxEnvelope+1)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "at most") {
		t.Errorf("large: got %v, want ErrMalformed for the size", err)
	}
}

// TestEnvelopeFlips changes each byte of a signed envelope: it is refused, or says the same.
func TestEnvelopeFlips(t *testing.T) {
	key := fixed()
	ring := (*Ring)(nil).With(key)
	sealed := Seal("text/plain", []byte("allow nothing"), key)
	for i := range sealed {
		for _, x := range []byte{1, 2, 0x20, 0x80, 0xff} {
			changed := bytes.Clone(sealed)
			changed[i] ^= x
			e, err := OpenEnvelope(changed)
			if err != nil {
				continue
			}
			if _, err := e.Verify(ring, noon); err == nil && (string(e.Payload) != "allow nothing" || e.PayloadType != "text/plain") {
				t.Errorf("byte %d ^ %#x: got %q of %q", i, x, e.Payload, e.PayloadType)
			}
		}
	}
}

// FuzzEnvelope: whatever is accepted means the same after it was written again.
func FuzzEnvelope(f *testing.F) {
	f.Add(Seal("text/plain", []byte("hello"), nil))
	f.Add(Seal("text/plain", nil, fixed()))
	f.Add([]byte(`{"payload":"","payloadType":"t","signatures":[{"keyid":"k","sig":"AAAA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		e, err := OpenEnvelope(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, want ErrMalformed", err)
			}
			return
		}
		again, err := OpenEnvelope(Seal(e.PayloadType, e.Payload, nil))
		if err != nil || again.PayloadType != e.PayloadType || !bytes.Equal(again.Payload, e.Payload) {
			t.Errorf("written again: got %+v, %v, want %+v", again, err, e)
		}
		id, err := e.Verify((*Ring)(nil).With(fixed()), noon)
		if err == nil && id != fixed().KeyID() {
			t.Errorf("verified with key %q, want %q", id, fixed().KeyID())
		}
	})
}
