package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"math"
	"time"
)

const (
	// MaxPayload is the size of the largest payload, in bytes.
	MaxPayload = 16 << 20
	// MaxCommit is the size of the largest group commit with all that is around its payloads, in bytes.
	MaxCommit = 64 << 20

	commitHeaderSize = 40
	recordHeaderSize = 17
	chainSize        = sha256.Size
)

var (
	commitMagic = []byte("FDQCgrup")
	commitEnd   = []byte("END\n") // no zero byte: the end of a whole commit never looks like a page that was not written
)

// Type says what a payload is; the meaning belongs to the caller. 0 is invalid.
type Type uint8

// Entry is what Append takes.
type Entry struct {
	Type    Type
	Payload []byte // 0 to MaxPayload bytes
}

// Record is what replay gives.
type Record struct {
	Sequence int64
	Time     time.Time // of its commit, UTC
	Type     Type
	Payload  []byte // valid during the call only
}

// Position is a point in a history, after the record Sequence. Position{} is the beginning.
type Position struct {
	Sequence int64
	Chain    [chainSize]byte
}

// String gives sequence and the beginning of the chain.
func (p Position) String() string { return fmt.Sprintf("%d (chain %x…)", p.Sequence, p.Chain[:6]) }

// trailerSize is the size of what follows the records and their padding.
func trailerSize(keyID int) int {
	if keyID == 0 {
		return chainSize + 8
	}
	return chainSize + roundUp(keyID) + signatureSize + 8
}

// roundUp rounds up to a multiple of 8.
func roundUp(n int) int { return (n + 7) &^ 7 }

// appendCommit appends one group commit of entries, which continues from a position, to b, and returns the chain after it.
func appendCommit(b []byte, o *Options, previous Position, at time.Time, entries []Entry) ([]byte, [chainSize]byte, error) {
	var chain [chainSize]byte
	keyLength := 0
	if o.Signer != nil {
		keyLength = len(o.Signer.KeyID())
	}
	length := commitHeaderSize
	for i, e := range entries {
		if e.Type == 0 {
			return b, chain, fmt.Errorf("entry %d has type 0, expected 1 to 255", i+1)
		}
		if len(e.Payload) > MaxPayload {
			return b, chain, fmt.Errorf("entry %d has %d bytes, at most %d fit", i+1, len(e.Payload), MaxPayload)
		}
		if length += recordHeaderSize + len(e.Payload); length > MaxCommit {
			break
		}
	}
	if length = roundUp(length) + trailerSize(keyLength); length > MaxCommit {
		return b, chain, fmt.Errorf("%d entries are more than %d bytes, the most of one commit", len(entries), MaxCommit)
	}
	if previous.Sequence >= math.MaxInt64-int64(len(entries)) {
		return b, chain, errors.New("sequences are used up")
	}
	start, first := len(b), previous.Sequence+1
	b = append(b, commitMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(length))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries)))
	b = binary.LittleEndian.AppendUint64(b, uint64(first))
	b = binary.LittleEndian.AppendUint64(b, uint64(at.UnixNano()))
	b = binary.LittleEndian.AppendUint32(b, uint32(keyLength))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	for i, e := range entries {
		r := len(b)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(e.Payload)))
		b = append(b, 0, 0, 0, 0)
		b = binary.LittleEndian.AppendUint64(b, uint64(first)+uint64(i))
		b = append(b, byte(e.Type))
		b = append(b, e.Payload...)
		binary.LittleEndian.PutUint32(b[r+4:], crc32.Checksum(b[r+8:], castagnoli))
	}
	b = append(b, make([]byte, roundUp(len(b)-start)-(len(b)-start))...)
	h := sha256.New()
	h.Write(previous.Chain[:])
	h.Write(b[start:])
	h.Sum(chain[:0])
	trailer := len(b)
	b = append(b, chain[:]...)
	id, signature, err := o.sign(commitPayload, chain[:])
	if err != nil || len(id) != keyLength {
		return b[:start], chain, errors.Join(fmt.Errorf("commit: key id of %d bytes, expected %d", len(id), keyLength), err)
	}
	b = append(b, id...)
	b = append(b, make([]byte, roundUp(keyLength)-keyLength)...)
	b = append(b, signature...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[trailer:], castagnoli))
	return append(b, commitEnd...), chain, nil
}

// commitHeader begins a group commit.
type commitHeader struct {
	length    int // of the whole commit, in bytes
	records   int
	first     int64
	time      int64 // nanoseconds since 1970
	keyLength int   // 0: unsigned
}

// decodeCommitHeader reads commitHeaderSize bytes.
func decodeCommitHeader(b []byte) (commitHeader, error) {
	var h commitHeader
	if !bytes.Equal(b[:8], commitMagic) {
		return h, fmt.Errorf("commit begins with %q, expected %q", b[:8], commitMagic)
	}
	if got, want := crc32.Checksum(b[:36], castagnoli), binary.LittleEndian.Uint32(b[36:]); got != want {
		return h, fmt.Errorf("commit header has CRC32C %08x, its field says %08x", got, want)
	}
	length, records, key := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint32(b[32:])
	if length > MaxCommit || length%8 != 0 || key > maxKeyID {
		return h, fmt.Errorf("commit of %d bytes with a key id of %d, expected a multiple of 8 up to %d, and up to %d", length, key, MaxCommit, maxKeyID)
	}
	h.length, h.records, h.keyLength = int(length), int(records), int(key)
	h.first = int64(binary.LittleEndian.Uint64(b[16:]))
	h.time = int64(binary.LittleEndian.Uint64(b[24:]))
	if least := roundUp(commitHeaderSize+recordHeaderSize) + trailerSize(h.keyLength); h.length < least {
		return h, fmt.Errorf("commit of %d bytes, expected at least %d", length, least)
	}
	if most := h.length / recordHeaderSize; h.records < 1 || h.records > most {
		return h, fmt.Errorf("commit of %d records, expected 1 to %d", records, most)
	}
	if h.first < 1 || h.first > math.MaxInt64-int64(h.records) {
		return h, fmt.Errorf("commit begins with sequence %d", h.first)
	}
	return h, nil
}

// commit is a whole group commit that has been checked, but for its signature. It holds slices of the bytes it was read from.
type commit struct {
	commitHeader
	chain     [chainSize]byte
	keyID     string
	signature []byte
	body      []byte // the records
}

// decodeCommit checks all bytes of a commit against its own fields and the chain before it.
func decodeCommit(b []byte, h commitHeader, previous [chainSize]byte, sum hash.Hash) (commit, error) {
	c := commit{commitHeader: h}
	trailer := b[h.length-trailerSize(h.keyLength):]
	if end := trailer[len(trailer)-4:]; !bytes.Equal(end, commitEnd) {
		return c, fmt.Errorf("commit ends with %q, expected %q", end, commitEnd)
	}
	if got, want := crc32.Checksum(trailer[:len(trailer)-8], castagnoli), binary.LittleEndian.Uint32(trailer[len(trailer)-8:]); got != want {
		return c, fmt.Errorf("commit trailer has CRC32C %08x, its field says %08x", got, want)
	}
	sum.Reset()
	sum.Write(previous[:])
	sum.Write(b[:h.length-len(trailer)])
	if sum.Sum(c.chain[:0]); !bytes.Equal(c.chain[:], trailer[:chainSize]) {
		return c, fmt.Errorf("commit has chain %x, expected %x", trailer[:chainSize], c.chain)
	}
	if h.keyLength > 0 {
		key := trailer[chainSize:]
		if !zeros(key[h.keyLength:roundUp(h.keyLength)]) {
			return c, errors.New("padding of the key id is not zero")
		}
		c.keyID = string(key[:h.keyLength])
		c.signature = key[roundUp(h.keyLength):][:signatureSize]
	}
	rest := b[commitHeaderSize : h.length-len(trailer)]
	for i := range h.records {
		if len(rest) < recordHeaderSize {
			return c, fmt.Errorf("commit ends in record %d of %d", i+1, h.records)
		}
		n := binary.LittleEndian.Uint32(rest)
		if n > MaxPayload || int(n) > len(rest)-recordHeaderSize {
			return c, fmt.Errorf("record %d of %d has %d bytes, %d are left in the commit", i+1, h.records, n, len(rest)-recordHeaderSize)
		}
		r := rest[:recordHeaderSize+int(n)]
		if got, want := crc32.Checksum(r[8:], castagnoli), binary.LittleEndian.Uint32(r[4:]); got != want {
			return c, fmt.Errorf("record %d of %d has CRC32C %08x, its field says %08x", i+1, h.records, got, want)
		}
		if s := binary.LittleEndian.Uint64(r[8:]); s != uint64(h.first)+uint64(i) || r[16] == 0 {
			return c, fmt.Errorf("record %d of %d has sequence %d and type %d, expected %d and 1 to 255", i+1, h.records, s, r[16], h.first+int64(i))
		}
		rest = rest[len(r):]
	}
	if len(rest) > 7 || !zeros(rest) {
		return c, fmt.Errorf("%d bytes follow the last record, expected up to 7 zeros", len(rest))
	}
	c.body = b[commitHeaderSize : h.length-len(trailer)-len(rest)]
	return c, nil
}

// each calls visit with the records.
func (c *commit) each(visit func(Record) error) error {
	s, at := c.first, time.Unix(0, c.time).UTC()
	for rest := c.body; len(rest) > 0; s++ {
		end := recordHeaderSize + int(binary.LittleEndian.Uint32(rest))
		r := Record{Sequence: s, Time: at, Type: Type(rest[16]), Payload: rest[recordHeaderSize:end:end]}
		if err := visit(r); err != nil {
			return fmt.Errorf("replay record %d: %w", s, err)
		}
		rest = rest[end:]
	}
	return nil
}
