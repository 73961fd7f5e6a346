package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"
)

// FuzzLine: what is accepted as an entry is written again as the same.
func FuzzLine(f *testing.F) {
	o, _ := filled(f)
	for _, path := range paths(f, o) {
		for line := range bytes.Lines(readFile(f, path)) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			f.Add(line, true)
			f.Add(line[:len(line)-hashTail], false)
		}
	}
	f.Add([]byte(`{"sequence":1,"sequence":1`), false)
	f.Fuzz(func(t *testing.T, line []byte, sealed bool) {
		if len(line) > 1<<14 {
			return
		}
		if !sealed { // the hash is no hurdle then
			line = fmt.Appendf(bytes.Clone(line), `,"hash":"%x"}`, sha256.Sum256(line))
		}
		e, err := decode(line)
		if err != nil {
			return
		}
		var sign func([]byte) []byte
		if e.signature != nil {
			sign = func([]byte) []byte { return e.signature }
		}
		again := *e
		text, err := again.encode(sign)
		if err != nil {
			t.Fatalf("accepted %s, and cannot write it: %v", line, err)
		}
		got, err := decode(bytes.TrimSuffix(text, []byte("\n")))
		if err != nil || got.Sequence != e.Sequence || !got.Time.Equal(e.Time) || got.Event != e.Event || got.Who != e.Who || got.Why != e.Why ||
			got.Journal != e.Journal || got.Checkpoint != e.Checkpoint || got.Key != e.Key || got.Previous != e.Previous || !bytes.Equal(got.signature, e.signature) {
			t.Errorf("written again: got %+v, %v, want %+v", got, err, e)
		}
	})
}
