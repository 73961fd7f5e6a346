package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
)

// at is the clock of these tests, which stands still.
func at() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// signed are options with a key that is required.
func signed(t testing.TB, dir string) Options {
	t.Helper()
	key, err := signing.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	var none *signing.Ring
	return Options{Dir: dir, Signer: key, Verifier: none.With(key), UnknownKey: signing.ErrUnknownKey, RequireSigned: true, Now: at}
}

func mustOpen(t testing.TB, o Options, known ...Known) *Log {
	t.Helper()
	l, _, err := Open(o, Head{}, nil, known...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustAppend(t testing.TB, l *Log, entries ...Entry) {
	t.Helper()
	for _, e := range entries {
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
}

func mustFlush(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
}

// patterns is an entry as the journal's are.
func patterns(journal int64) Entry {
	return Entry{Time: at(), Event: "patterns", Who: "operator", Journal: journal, Data: fmt.Appendf(nil, `{"safe":%d}`, journal)}
}

// read gives all entries but those of the log itself.
func entries(t testing.TB, o Options) []Entry {
	t.Helper()
	var all []Entry
	if _, err := Read(o, func(e *Entry) error {
		if e.Event != EventFile && e.Event != EventSigned {
			all = append(all, *e)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// journals are the journal records that entries are complete up to.
func journals(t testing.TB, o Options) []int64 {
	t.Helper()
	var all []int64
	for _, e := range entries(t, o) {
		all = append(all, e.Journal)
	}
	return all
}

// filled is a log of two files, signed in between and at the end.
func filled(t testing.TB) (Options, Head) {
	t.Helper()
	o := signed(t, filepath.Join(t.TempDir(), "audit"))
	o.FileBytes = 1200
	l := mustOpen(t, o)
	mustAppend(t, l, Entry{Time: at(), Event: "opened", Who: "operator", Data: []byte(`{"version":"1"}`)})
	for i := range int64(3) {
		mustAppend(t, l, patterns(4*i+1))
	}
	mustAppend(t, l, Entry{Time: at(), Event: "levers", Who: "operator", Why: "odd “verdicts”\n", Journal: 10})
	mustAppend(t, l, Entry{Time: at(), Event: "closed", Checkpoint: 2})
	if err := l.Sign(); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(paths(t, o)); n != 2 {
		t.Fatalf("got %d files, want 2", n)
	}
	return o, l.Head()
}

func paths(t testing.TB, o Options) []string {
	t.Helper()
	sources, err := list(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range sources {
		all = append(all, s.Path)
	}
	return all
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantDamage(t testing.TB, what string, err error, kinds ...Kind) *DamageError {
	t.Helper()
	var damage *DamageError
	if !errors.As(err, &damage) || !errors.Is(err, ErrDamaged) || len(kinds) > 0 && !slices.Contains(kinds, damage.Kind) {
		t.Errorf("%s: got %v, want an entry %v", what, err, kinds)
		return &DamageError{}
	}
	return damage
}
