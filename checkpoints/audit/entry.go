package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	// MaxLine is the length of the longest line without its line break, in bytes. Append shortens what would be longer, and says so in it.
	MaxLine = 64 << 10

	maxWho  = 256      // bytes
	maxWhy  = 2 << 10  // bytes
	maxData = 40 << 10 // bytes

	format = 1
)

// Events that the log itself writes.
const (
	EventFile   = "file"   // the first line of every file
	EventSigned = "signed" // a signature over everything before
)

// The ends of lines have fixed lengths, so they are found from behind.
const (
	hashBegin = `,"hash":"`
	hashEnd   = `"}`
	hashText  = 2 * sha256.Size
	hashTail  = len(hashBegin) + hashText + len(hashEnd)

	signatureBegin = `,"signature":"`
	signatureEnd   = `"`
	signatureSize  = 64
	signatureText  = 88 // in base64
	signatureTail  = len(signatureBegin) + signatureText + len(signatureEnd)
)

// Entry is one line of a log. Append takes Time, Event, Who, Why, Journal, Checkpoint and Data.
type Entry struct {
	// Sequence numbers the entries from 1, without gaps, across files.
	Sequence int64 `json:"sequence"`
	// Time is when the entry was made, in UTC. Clocks go back; nothing depends on it but the expiry of signers.
	Time time.Time `json:"time"`
	// Event is one word of small letters.
	Event string `json:"event"`
	Who   string `json:"who,omitzero"`
	Why   string `json:"why,omitzero"`
	// Journal is the journal record, Checkpoint the sequence of the checkpoint, up to which the log is complete with this entry. They never
	// go back.
	Journal    int64 `json:"journal"`
	Checkpoint int64 `json:"checkpoint"`
	// Data is a JSON object, or nil.
	Data stdjson.RawMessage `json:"data,omitzero"`
	// Key is the id of the key that signed, in a signature's line.
	Key string `json:"key,omitzero"`
	// Previous is the hash of the entry before, of zeros in the first.
	Previous string `json:"previous"`

	// Hash is that of this entry, in hexadecimal.
	Hash string `json:"-"`

	signature []byte // of signed
	signed    []byte // the bytes that are signed
}

// Head is a place in a log: after the entry Sequence, whose hash is Hash. The zero Head is the beginning.
type Head struct {
	Sequence int64
	Hash     string
	// Journal and Checkpoint are those of the entry.
	Journal, Checkpoint int64
}

// beginning is what the first entry continues.
var beginning = strings.Repeat("0", hashText)

func (h Head) previous() string {
	if h.Sequence == 0 {
		return beginning
	}
	return h.Hash
}

// encode writes an entry as a line. sign, which may be nil, is given the bytes before the signature.
func (e *Entry) encode(sign func(message []byte) []byte) ([]byte, error) {
	line, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("audit entry %d: %w", e.Sequence, err)
	}
	line = line[:len(line)-1] // the brace
	if sign != nil {
		signature := sign(line)
		if len(signature) != signatureSize {
			return nil, fmt.Errorf("audit entry %d: signature of %d bytes, expected %d", e.Sequence, len(signature), signatureSize)
		}
		line = append(line, signatureBegin...)
		line = base64.StdEncoding.AppendEncode(line, signature)
		line = append(line, signatureEnd...)
	}
	sum := sha256.Sum256(line)
	e.Hash = hex.EncodeToString(sum[:])
	line = append(line, hashBegin...)
	line = append(line, e.Hash...)
	line = append(line, hashEnd...)
	return append(line, '\n'), nil
}

// decode reads a line, without its line break, strictly. It says nothing about signatures.
func decode(line []byte) (*Entry, error) {
	if len(line) > MaxLine {
		return nil, fmt.Errorf("line of %d bytes, at most %d are read", len(line), MaxLine)
	}
	cut := len(line) - hashTail
	if cut < 0 {
		return nil, fmt.Errorf("line of %d bytes, expected an entry that ends in its hash", len(line))
	}
	body, tail := line[:cut], line[cut:]
	sum := sha256.Sum256(body)
	e := &Entry{}
	hash := hex.EncodeToString(sum[:])
	if want := hashBegin + hash + hashEnd; string(tail) != want {
		return nil, fmt.Errorf("it ends in %q, its bytes have the hash %s", tail, hash)
	}
	if at := len(body) - signatureTail; at > 0 && bytes.HasPrefix(body[at:], []byte(signatureBegin)) {
		text := body[at+len(signatureBegin) : len(body)-len(signatureEnd)]
		signature, err := base64.StdEncoding.Strict().DecodeString(string(text))
		if err != nil || len(signature) != signatureSize {
			return nil, errors.New("its signature is no base64 of 64 bytes")
		}
		e.signature, e.signed = signature, body[:at]
		body = body[:at]
	}
	object := append(append([]byte(nil), body...), '}')
	if err := json.Unmarshal(object, e, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	e.Hash = hash
	return e, e.validate()
}

func (e *Entry) validate() error {
	switch {
	case e.Sequence < 1 || min(e.Journal, e.Checkpoint) < 0:
		return fmt.Errorf("sequence %d, journal %d, checkpoint %d, expected none below 0", e.Sequence, e.Journal, e.Checkpoint)
	case !isWord(e.Event):
		return fmt.Errorf("event %.80q, expected a word of small letters", e.Event)
	case e.Time.Location() != time.UTC:
		return fmt.Errorf("time %v, expected UTC", e.Time)
	case (e.Event == EventSigned) != (e.signature != nil) || (e.Event == EventSigned) != (e.Key != ""):
		return fmt.Errorf("event %s with key %.80q, expected key and signature in events %s and no others", e.Event, e.Key, EventSigned)
	case !isHash(e.Previous):
		return fmt.Errorf("previous %.80q, expected a SHA-256 in hexadecimal", e.Previous)
	}
	return nil
}

func isWord(text string) bool {
	return text != "" && len(text) <= 40 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz") == ""
}

func isHash(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == sha256.Size && hex.EncodeToString(b) == text
}

// bound makes an entry fit a line: an entry that says less is worth more than none.
func (e *Entry) bound() {
	e.Time = e.Time.UTC()
	e.Who, e.Why = shorten(e.Who, maxWho), shorten(e.Why, maxWhy)
	if n := len(e.Data); n > maxData {
		e.Data = fmt.Appendf(nil, `{"omitted_bytes":%d}`, n)
	}
}

// shorten leaves at most n bytes and a remark, in valid UTF-8.
func shorten(text string, n int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= n {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:n], ""), len(text))
}
