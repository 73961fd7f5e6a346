package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"path/filepath"
	"testing"
	"time"
)

// FuzzSegment reads any bytes as the only segment of a journal: no panic, and what is accepted is what would have been written.
// In its second form the checksums and chains are put right first, so that it is the fields behind them that are tried.
func FuzzSegment(f *testing.F) {
	for _, options := range kinds {
		o := options(filepath.Join(f.TempDir(), "journal"))
		sample(f, o)
		for _, path := range segmentsOf(f, o.Dir) {
			b := readFile(f, path)
			for _, repaired := range []bool{false, true} {
				f.Add(b, repaired)
				f.Add(b[:len(b)-9], repaired)
				f.Add(append(b, make([]byte, 600)...), repaired)
			}
		}
	}
	f.Fuzz(func(t *testing.T, content []byte, repaired bool) {
		if len(content) > 1<<20 {
			return
		}
		if repaired {
			content = repair(bytes.Clone(content))
		}
		o, from := alone(t, content)
		var entries []Entry
		r, err := Replay(o, from, func(r Record) error {
			entries = append(entries, Entry{Type: r.Type, Payload: bytes.Clone(r.Payload)})
			return nil
		})
		if err != nil || r.Segments == 0 {
			return
		}
		if r.Records != len(entries) || r.Replayed != len(entries) {
			t.Fatalf("got %d records, %+v", len(entries), r)
		}
		// Header and commits that were accepted are written again, and must come out the same.
		h, err := decodeHeader(content[:headerSize])
		if err != nil {
			t.Fatal(err)
		}
		again, err := h.encode(&Options{Signer: echo(h.keyID, h.signature)})
		if err != nil || !bytes.Equal(again, content[:headerSize]) {
			t.Fatalf("header: got %v, %x, want %x", err, again, content[:headerSize])
		}
		off, at := int64(headerSize), from
		for range r.Commits {
			h, err := decodeCommitHeader(content[off:][:commitHeaderSize])
			if err != nil {
				t.Fatal(err)
			}
			key := content[off:][h.length-trailerSize(h.keyLength)+chainSize : h.length]
			signer := echo(string(key[:h.keyLength]), key[roundUp(h.keyLength):])
			again, chain, err := appendCommit(nil, &Options{Signer: signer}, at, time.Unix(0, h.time), entries[:h.records])
			if err != nil || !bytes.Equal(again, content[off:][:h.length]) {
				t.Fatalf("commit at %d: got %v, %x, want %x", off, err, again, content[off:][:h.length])
			}
			at = Position{Sequence: h.first + int64(h.records) - 1, Chain: chain}
			entries = entries[h.records:]
			off += int64(h.length)
		}
		if at != r.Last || off+r.CutBytes != int64(len(content)) {
			t.Fatalf("got %v and %d bytes, want %v and %d cut of %d", at, off, r.Last, r.CutBytes, len(content))
		}
	})
}

// echoSigner gives the signature that was there.
type echoSigner struct {
	id        string
	signature []byte
}

func (e echoSigner) KeyID() string              { return e.id }
func (e echoSigner) Sign(string, []byte) []byte { return e.signature }

// echo is the signer of a part with a key id, nil for one without. The signature is at the beginning of its bytes.
func echo(id string, signature []byte) Signer {
	if id == "" {
		return nil
	}
	return echoSigner{id: id, signature: signature[:signatureSize]}
}

// alone makes a journal of one segment, named after what its header says, and gives the position that it continues.
func alone(t testing.TB, content []byte) (Options, Position) {
	t.Helper()
	var from Position
	if len(content) >= headerSize {
		if h, err := decodeHeader(content[:headerSize]); err == nil {
			from = h.previous
		}
	}
	o := plain(t.TempDir())
	writeFile(t, filepath.Join(o.Dir, segmentName(from.Sequence+1)), content)
	return o, from
}

// repair puts the checksums and chains of a segment right, in place, as far as its lengths say where they are.
func repair(b []byte) []byte {
	if len(b) < headerSize {
		return b
	}
	put := func(at, checked []byte) { binary.LittleEndian.PutUint32(at, crc32.Checksum(checked, castagnoli)) }
	put(b[252:], b[:252])
	chain := bytes.Clone(b[24:56])
	for c := b[headerSize:]; len(c) >= commitHeaderSize; {
		put(c[36:], c[:36])
		h, err := decodeCommitHeader(c)
		if err != nil || h.length > len(c) {
			break
		}
		trailer := h.length - trailerSize(h.keyLength)
		rest := c[commitHeaderSize:trailer]
		for range h.records {
			if len(rest) < recordHeaderSize || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-recordHeaderSize) {
				break
			}
			end := recordHeaderSize + int(binary.LittleEndian.Uint32(rest))
			put(rest[4:], rest[8:end])
			rest = rest[end:]
		}
		sum := sha256.New()
		sum.Write(chain)
		sum.Write(c[:trailer])
		chain = sum.Sum(nil)
		copy(c[trailer:], chain)
		put(c[h.length-8:], c[trailer:h.length-8])
		c = c[h.length:]
	}
	return b
}

// TestRepair sees that FuzzSegment's second form gets past the checksums.
func TestRepair(t *testing.T) {
	for kind, options := range kinds {
		t.Run(kind, func(t *testing.T) {
			own := options(filepath.Join(t.TempDir(), "journal"))
			sample(t, own)
			for _, path := range segmentsOf(t, own.Dir) {
				content := readFile(t, path)
				if got := repair(bytes.Clone(content)); !bytes.Equal(got, content) {
					t.Errorf("%s: got %x, want it unchanged, %x", path, got, content)
				}
				content[60]++                                              // time of creation
				content[headerSize+24]++                                   // time of the first commit
				content[headerSize+commitHeaderSize+recordHeaderSize] ^= 1 // its first payload
				o, from := alone(t, content)
				if _, err := Replay(o, from, nil); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s changed: got %v, want ErrDamaged", path, err)
				}
				o, from = alone(t, repair(content))
				if r, err := Replay(o, from, nil); err != nil || r.Records == 0 {
					t.Errorf("%s changed and repaired: got %+v, %v, want its records", path, r, err)
				}
			}
		})
	}
}
