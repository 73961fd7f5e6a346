package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

const (
	version    = 1
	flagBranch = 1

	headerSize   = 256
	headerSigned = 144 // the bytes that the signature covers
	maxKeyID     = 64

	signatureSize = 64
)

var (
	headerMagic = []byte("FDQCJRNL")
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
)

// header begins a segment.
type header struct {
	branch    bool     // first may be beyond previous.Sequence + 1
	first     int64    // the sequence of the segment's first record
	previous  Position // what the segment continues
	created   int64    // nanoseconds since 1970
	keyID     string   // empty when unsigned
	signature []byte
}

// encode lays the header out and signs it.
func (h header) encode(o *Options) ([]byte, error) {
	b := make([]byte, headerSize)
	copy(b, headerMagic)
	binary.LittleEndian.PutUint16(b[8:], version)
	if h.branch {
		binary.LittleEndian.PutUint16(b[10:], flagBranch)
	}
	binary.LittleEndian.PutUint64(b[16:], uint64(h.first))
	binary.LittleEndian.PutUint64(b[24:], uint64(h.previous.Sequence))
	copy(b[32:], h.previous.Chain[:])
	binary.LittleEndian.PutUint64(b[64:], uint64(h.created))
	if o.Signer != nil {
		id := o.Signer.KeyID()
		b[72] = byte(len(id))
		copy(b[80:headerSigned], id)
	}
	_, signature, err := o.sign(segmentPayload, b[:headerSigned])
	if err != nil {
		return nil, fmt.Errorf("segment header: %w", err)
	}
	copy(b[headerSigned:], signature)
	binary.LittleEndian.PutUint32(b[252:], crc32.Checksum(b[:252], castagnoli))
	return b, nil
}

// decodeHeader reads headerSize bytes. The signature is a slice of them and not checked.
func decodeHeader(b []byte) (header, error) {
	var h header
	if !bytes.Equal(b[:8], headerMagic) {
		return h, fmt.Errorf("header begins with %q, expected %q", b[:8], headerMagic)
	}
	if got, want := crc32.Checksum(b[:252], castagnoli), binary.LittleEndian.Uint32(b[252:]); got != want {
		return h, fmt.Errorf("header has CRC32C %08x, its field says %08x", got, want)
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v != version {
		return h, fmt.Errorf("version %d, this program reads version %d", v, version)
	}
	flags, n := binary.LittleEndian.Uint16(b[10:]), int(b[72])
	if flags&^flagBranch != 0 || n > maxKeyID {
		return h, fmt.Errorf("header has flags %#x and a key id of %d bytes, expected at most 1 and %d", flags, n, maxKeyID)
	}
	unused := [][]byte{b[12:16], b[73:80], b[80+n : headerSigned], b[208:252]}
	if n == 0 {
		unused = append(unused, b[headerSigned:208])
	}
	for _, u := range unused {
		if !zeros(u) {
			return h, errors.New("unused bytes of the header are not zero")
		}
	}
	h.branch = flags == flagBranch
	h.first = int64(binary.LittleEndian.Uint64(b[16:]))
	h.previous.Sequence = int64(binary.LittleEndian.Uint64(b[24:]))
	copy(h.previous.Chain[:], b[32:])
	h.created = int64(binary.LittleEndian.Uint64(b[64:]))
	h.keyID = string(b[80 : 80+n])
	h.signature = b[headerSigned:208]
	switch {
	case h.previous.Sequence < 0 || h.previous.Sequence == math.MaxInt64 || h.first <= h.previous.Sequence:
		return h, fmt.Errorf("first sequence %d after %d", h.first, h.previous.Sequence)
	case !h.branch && h.first != h.previous.Sequence+1:
		return h, fmt.Errorf("first sequence %d after %d, expected %d", h.first, h.previous.Sequence, h.previous.Sequence+1)
	}
	return h, nil
}

func zeros(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
