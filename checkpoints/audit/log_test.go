package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGoesOn opens a log again and again, across files.
func TestGoesOn(t *testing.T) {
	o := signed(t, filepath.Join(t.TempDir(), "data", "audit"))
	o.FileBytes = 2000
	var want []int64
	var known []Known
	for round := range int64(20) {
		carried := int64(-1)
		l, report, err := Open(o, Head{}, func(e *Entry) error {
			if e.Event == EventFile {
				if n, err := fmt.Sscanf(string(e.Data), `{"format":1,"log":{"round":%d}}`, &carried); n != 1 {
					return err
				}
			}
			return nil
		}, known...)
		if err != nil {
			t.Fatal(err)
		}
		if round > 0 && (report.Entries == 0 || carried < 0 || l.Head().Journal != round) {
			t.Errorf("round %d: got %+v, carried %d", round, l.Head(), carried)
		}
		l.Carry(map[string]int64{"round": round})
		mustAppend(t, l, patterns(round+1))
		want = append(want, round+1)
		if round%3 == 0 {
			if err := l.Sign(); err != nil {
				t.Fatal(err)
			}
		}
		mustFlush(t, l)
		if round%4 == 0 {
			known = append(known, Known{l.Head(), fmt.Sprint("round ", round)})
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := journals(t, o); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	report, err := Verify(o, known...)
	if err != nil || report.Files < 3 || report.First != 1 || report.SignedThrough == 0 {
		t.Errorf("got %+v, %v, want several files", report, err)
	}
	for _, path := range paths(t, o) {
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 || info.Size() > 4000 {
			t.Errorf("%s: got %v, %v", path, info, err)
		}
	}
	if info, err := os.Stat(o.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: got %v, %v", info, err)
	}
}

// TestSignsByItself after so many entries, also where a file begins in between.
func TestSignsByItself(t *testing.T) {
	for _, size := range []int64{1 << 20, 1500, 1} {
		o := signed(t, filepath.Join(t.TempDir(), "audit"))
		o.FileBytes = size
		l := mustOpen(t, o)
		n := int64(3 * MaxUnsigned)
		if size == 1 {
			n = 20 // a file each
		}
		for i := range n {
			mustAppend(t, l, patterns(i+1))
		}
		mustFlush(t, l)
		report, err := Verify(o)
		if err != nil || report.Signatures < 3 || report.Head.Sequence-report.SignedThrough >= MaxUnsigned {
			t.Errorf("files of %d bytes: got %+v, %v, want a signature every %d entries", size, report, err, MaxUnsigned)
		}
	}
}

// TestBounds shortens what is too long and refuses what is no entry.
func TestBounds(t *testing.T) {
	o := signed(t, filepath.Join(t.TempDir(), "audit"))
	l := mustOpen(t, o)
	long := strings.Repeat("ä", 1<<20)
	mustAppend(t, l, Entry{Time: at(), Event: "levers", Who: long, Why: long, Data: fmt.Appendf(nil, `{"a":%q}`, long)},
		Entry{Time: at(), Event: "levers", Who: "a\xffb", Why: "<&>\u2028\x00\"\n"})
	for name, e := range map[string]Entry{
		"no event":           {Time: at()},
		"two words":          {Time: at(), Event: "two words"},
		"the log's own":      {Time: at(), Event: EventSigned},
		"the log's own file": {Time: at(), Event: EventFile},
		"data that is none":  {Time: at(), Event: "levers", Data: []byte(`{"a":`)},
	} {
		before := l.Head()
		if err := l.Append(e); err == nil || l.Head() != before {
			t.Errorf("%s: got %v and %+v, want an error and nothing appended", name, err, l.Head())
		}
	}
	mustFlush(t, l)
	got := entries(t, o)
	if len(got) != 2 || len(got[0].Who) > 300 || len(got[0].Why) > 3000 || !strings.Contains(got[0].Why, "… (2097152 bytes)") ||
		!strings.HasPrefix(string(got[0].Data), `{"omitted_bytes":`) {
		t.Errorf("too long: got %d entries, who of %d, why of %d bytes, data %.50s", len(got), len(got[0].Who), len(got[0].Why), got[0].Data)
	}
	if got[1].Who != "a\uFFFDb" || got[1].Why != "<&>\u2028\x00\"\n" {
		t.Errorf("odd texts: got %q, %q", got[1].Who, got[1].Why)
	}
}

// TestBegin begins a log beside a journal that goes on.
func TestBegin(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "audit"), Now: at}
	l, _, err := Open(o, Head{Journal: 40, Checkpoint: 7}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(o.Dir); err == nil {
		t.Error("opening made the folder")
	}
	mustAppend(t, l, Entry{Time: at(), Event: "opened"})
	mustFlush(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, _, err = Open(o, Head{Journal: 50, Checkpoint: 9}, nil)
	if err != nil || l.Head().Journal != 40 || l.Head().Checkpoint != 7 {
		t.Errorf("opened again: got %+v, %v, want 40 and 7", l.Head(), err)
	}
	if _, _, err := Open(o, Head{}, nil, Known{Head{Sequence: 9}, "a checkpoint"}); !errors.Is(err, ErrDamaged) {
		t.Errorf("known up to 9: got %v, want damage", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Append(patterns(60)); err == nil {
		t.Error("append after close: got nil")
	}
}

// TestRestart continues a log that was given up.
func TestRestart(t *testing.T) {
	o, head := filled(t)
	if _, err := Restart(o, head, "damaged"); err == nil {
		t.Error("over a log: got nil")
	}
	if err := os.Rename(o.Dir, o.Dir+".aside"); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func() (*Log, error){
		"no entry":  func() (*Log, error) { return Restart(o, Head{}, "damaged") },
		"no reason": func() (*Log, error) { return Restart(o, head, "") },
	} {
		if _, err := try(); err == nil {
			t.Errorf("%s: got nil", what)
		}
	}
	l, err := Restart(o, head, "damaged")
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, patterns(20))
	mustFlush(t, l)
	known := []Known{{Head{Sequence: 2, Hash: beginning}, "an old checkpoint"}, {head, "the newest checkpoint"}}
	if _, err := Verify(o, known...); !errors.Is(err, ErrUntrusted) {
		t.Errorf("nobody signed it: got %v, want it untrusted", err)
	}
	if err := l.Sign(); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(o, known...)
	if err != nil || report.Restarted != "damaged" || report.First != head.Sequence+1 {
		t.Errorf("got %+v, %v, want it to begin after %d", report, err, head.Sequence)
	}
	known[1].Hash = beginning
	_, err = Verify(o, known...)
	wantDamage(t, "continues another log", err, Changed)
	l = mustOpen(t, o)
	if l.Head().Sequence != report.Head.Sequence {
		t.Errorf("a writer goes on after %d, want %d", l.Head().Sequence, report.Head.Sequence)
	}
}
