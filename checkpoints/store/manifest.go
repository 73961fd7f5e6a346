package store

import (
	"encoding/hex"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
)

const (
	// PayloadType is the type of a manifest within its envelope.
	PayloadType = "application/vnd.fdqc.manifest+json"

	// A manifest has the lowest version that has all its members, so that older programs read what they can.
	manifestVersion = 1
	auditVersion    = 2 // from which on there is Audit
	maxRecords      = 100_000
	maxLevers       = 1 << 20
	maxSequence     = 1 << 62
)

// Manifest says what a file holds. FORMAT.md describes its JSON.
type Manifest struct {
	// Version is that of the format, 1, or 2 with Audit.
	Version int `json:"version"`
	// File is the name of the file, without folder.
	File string `json:"file"`
	// Sequence orders the pattern checkpoints of a directory, and the versions of another file; from 1.
	Sequence int64 `json:"sequence"`
	// Created is when it was signed, in UTC.
	Created time.Time `json:"created"`
	// Reason is why it was saved, one word.
	Reason string `json:"reason"`
	// Source is the sequence of the pattern checkpoint whose memory this one took over, 0 when it took over none.
	Source int64 `json:"source,omitzero"`
	Content
	// Replaces is what the name held before, for a file that is replaced in place: after a crash between manifest and
	// file the old content is still right. Nil for pattern checkpoints.
	Replaces *Content `json:"replaces,omitzero"`
	// Counter, Safe, Unsafe, Capacity and Width repeat what a pattern checkpoint holds.
	Counter  int64 `json:"counter"`
	Safe     int   `json:"safe"`
	Unsafe   int   `json:"unsafe"`
	Capacity int   `json:"capacity"`
	Width    int   `json:"width"`
	// Journal is the place in the journal up to which a pattern checkpoint holds it.
	Journal Position `json:"journal"`
	// Standing says that the journal goes on with what stood beside the memory at that moment.
	Standing bool `json:"standing,omitzero"`
	// Levers are the operators' safety levers at that moment; their form is the engine's.
	Levers stdjson.RawMessage `json:"levers,omitzero"`
	// Audit is the last entry of the audit log before the checkpoint, nil when there was no log.
	Audit *AuditHead `json:"audit,omitzero"`
}

// AuditHead is a place in the audit log: after the entry of that sequence, with its hash in hexadecimal.
type AuditHead struct {
	Sequence int64  `json:"sequence"`
	Hash     string `json:"hash"`
}

// Content is what identifies the bytes of a file.
type Content struct {
	Size int64 `json:"size"` // in bytes
	// SHA256 is of the whole file, in hexadecimal.
	SHA256 string `json:"sha256"`
	// Records are those of the archive, in its order.
	Records []Record `json:"records"`
}

// Record is a record of an archive; Size and SHA256 are those of its plain bytes.
type Record struct {
	Name   string `json:"name"` // below the root folder
	Size   int64  `json:"size"` // in bytes
	SHA256 string `json:"sha256"`
}

// Position is a place in the journal: after the record of that sequence, with the chain hash there in hexadecimal. The zero
// position is the beginning.
type Position struct {
	Sequence int64  `json:"sequence"`
	Chain    string `json:"chain"`
}

// checkTail ends a manifest: the SHA-256 of all before it, closed by a brace. An unsigned manifest has no
// other guard against a flipped bit.
const checkTail = `,"check":"` + "0000000000000000000000000000000000000000000000000000000000000000" + `"}`

// seal writes the manifest as an envelope.
func (m *Manifest) seal(key *signing.Key) ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	payload := append([]byte(nil), body[:len(body)-1]...)
	payload = append(payload, `,"check":"`+hashBytes(body)+`"}`...)
	text := signing.Seal(PayloadType, payload, key)
	if len(text) > signing.MaxEnvelope {
		return nil, fmt.Errorf("manifest: %d bytes, at most %d are read", len(text), signing.MaxEnvelope)
	}
	return text, nil
}

// parseManifest reads a manifest strictly, without a look at its signatures.
func parseManifest(text []byte) (*Manifest, *signing.Envelope, error) {
	e, err := signing.OpenEnvelope(text)
	if err != nil {
		return nil, nil, err
	}
	if e.PayloadType != PayloadType {
		return nil, nil, fmt.Errorf("payload type %q, expected %q", e.PayloadType, PayloadType)
	}
	cut := len(e.Payload) - len(checkTail)
	if cut < 0 {
		return nil, nil, errors.New("payload is cut short")
	}
	body := append(append([]byte(nil), e.Payload[:cut]...), '}')
	if sum := hashBytes(body); string(e.Payload[cut:]) != `,"check":"`+sum+`"}` {
		return nil, nil, errors.New("its check does not match")
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, nil, fmt.Errorf("payload: %w", err)
	}
	if head.Version > auditVersion {
		return nil, nil, fmt.Errorf("%w: version %d, this one reads %d", ErrNewerFormat, head.Version, auditVersion)
	}
	m := &Manifest{}
	if err := json.Unmarshal(body, m, json.RejectUnknownMembers(true)); err != nil {
		return nil, nil, fmt.Errorf("payload: %w", err)
	}
	if err := m.validate(); err != nil {
		return nil, nil, err
	}
	return m, e, nil
}

func (m *Manifest) validate() error {
	version := manifestVersion
	if m.Audit != nil {
		version = auditVersion
	}
	switch {
	case m.Version != version:
		return fmt.Errorf("version %d, expected %d", m.Version, version)
	case !isPatterns(m.File) && checkName(m.File) != nil:
		return fmt.Errorf("file %.80q, expected the name of a checkpoint", m.File)
	case m.Sequence < 1 || m.Sequence > maxSequence:
		return fmt.Errorf("sequence %d, expected at least 1", m.Sequence)
	case m.Created.IsZero() || m.Created.Location() != time.UTC:
		return fmt.Errorf("created %v, expected a time in UTC", m.Created)
	case m.Source < 0 || m.Source >= m.Sequence:
		return fmt.Errorf("source %d of sequence %d, expected an older one", m.Source, m.Sequence)
	case min(m.Counter, int64(m.Safe), int64(m.Unsafe), int64(m.Capacity), int64(m.Width), m.Journal.Sequence) < 0:
		return errors.New("a count is negative")
	case m.Journal.Chain != "" && !isHash(m.Journal.Chain), m.Journal.Chain == "" && m.Journal.Sequence != 0:
		return fmt.Errorf("journal at %d with chain %.80q, expected a SHA-256 in hexadecimal", m.Journal.Sequence, m.Journal.Chain)
	case len(m.Levers) > maxLevers:
		return fmt.Errorf("levers of %d bytes, at most %d are read", len(m.Levers), maxLevers)
	case m.Audit != nil && (m.Audit.Sequence < 1 || !isHash(m.Audit.Hash)):
		return fmt.Errorf("audit log at %d with hash %.80q, expected at least 1 and a SHA-256 in hexadecimal", m.Audit.Sequence, m.Audit.Hash)
	}
	if err := m.Content.validate(); err != nil {
		return err
	}
	if m.Replaces != nil {
		return m.Replaces.validate()
	}
	return nil
}

func (c *Content) validate() error {
	if c.Size < 0 || !isHash(c.SHA256) {
		return fmt.Errorf("size %d and SHA-256 %.80q", c.Size, c.SHA256)
	}
	if len(c.Records) > maxRecords {
		return fmt.Errorf("%d records, at most %d are read", len(c.Records), maxRecords)
	}
	for _, r := range c.Records {
		if r.Name == "" || r.Size < 0 || !isHash(r.SHA256) {
			return fmt.Errorf("record %.80q with size %d and SHA-256 %.80q", r.Name, r.Size, r.SHA256)
		}
	}
	return nil
}

func isHash(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == text
}
