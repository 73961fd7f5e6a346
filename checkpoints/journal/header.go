package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	version = 1

	headerSize   = 256
	headerSigned = 136 // the bytes that the signature covers
	maxKeyID     = 64

	signatureSize   = 64
	headerSignature = headerSigned + signatureSize // where the signature ends
)

var (
	headerMagic = []byte("FDQCJRNL")
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
)

// header begins a segment.
type header struct {
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
	binary.LittleEndian.PutUint64(b[16:], uint64(h.previous.Sequence+1))
	copy(b[24:], h.previous.Chain[:])
	binary.LittleEndian.PutUint64(b[56:], uint64(h.created))
	if o.Signer != nil {
		id := o.Signer.KeyID()
		b[64] = byte(len(id))
		copy(b[72:headerSigned], id)
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
	n := int(b[64])
	if n > maxKeyID {
		return h, fmt.Errorf("header has a key id of %d bytes, expected at most %d", n, maxKeyID)
	}
	unused := [][]byte{b[10:16], b[65:72], b[72+n : headerSigned], b[headerSignature:252]}
	if n == 0 {
		unused = append(unused, b[headerSigned:headerSignature])
	}
	for _, u := range unused {
		if !zeros(u) {
			return h, errors.New("unused bytes of the header are not zero")
		}
	}
	first := int64(binary.LittleEndian.Uint64(b[16:]))
	if first < 1 {
		return h, fmt.Errorf("first sequence %d, expected 1 or more", first)
	}
	h.previous.Sequence = first - 1
	copy(h.previous.Chain[:], b[24:])
	h.created = int64(binary.LittleEndian.Uint64(b[56:]))
	h.keyID = string(b[72 : 72+n])
	h.signature = b[headerSigned:headerSignature]
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
