package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzSegment reads any bytes as the last segment of a journal: no panic, and what is accepted is what would have been written.
func FuzzSegment(f *testing.F) {
	for _, options := range kinds {
		o := options(filepath.Join(f.TempDir(), "journal"))
		sample(f, o)
		for _, path := range segmentsOf(f, o.Dir) {
			b := readFile(f, path)
			f.Add(b)
			f.Add(b[:len(b)-9])
			f.Add(append(b, make([]byte, 600)...))
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<20 {
			return
		}
		dir := t.TempDir()
		first, from := int64(1), Position{}
		if len(content) >= headerSize {
			if h, err := decodeHeader(content[:headerSize]); err == nil {
				first, from = h.previous.Sequence+1, h.previous
			}
		}
		path := filepath.Join(dir, segmentName(first))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		o := Options{Dir: dir}
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
		// Every commit that was accepted is written again, and must come out the same.
		off, at := int64(headerSize), from
		for range r.Commits {
			h, err := decodeCommitHeader(content[off:][:commitHeaderSize])
			if err != nil {
				t.Fatal(err)
			}
			again, chain, err := appendCommit(nil, &Options{Signer: echo(h, content[off:])}, at, time.Unix(0, h.time), entries[:h.records])
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

func echo(h commitHeader, b []byte) Signer {
	if h.keyLength == 0 {
		return nil
	}
	key := b[h.length-trailerSize(h.keyLength)+chainSize:]
	return echoSigner{id: string(key[:h.keyLength]), signature: key[roundUp(h.keyLength):][:signatureSize]}
}
