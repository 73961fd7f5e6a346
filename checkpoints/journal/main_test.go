package journal

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var (
	errUnknown = errors.New("unknown key")
	errExpired = errors.New("key has expired")
	errBad     = errors.New("signature does not fit")
)

// testKey signs and verifies with one key, which may have an end.
type testKey struct {
	id      string
	private ed25519.PrivateKey
	until   time.Time
}

var (
	_ Signer   = (*testKey)(nil)
	_ Verifier = (*testKey)(nil)
)

func newKey(seed byte) *testKey {
	return &testKey{
		id:      fmt.Sprintf("%030x", seed), // no multiple of 8: the padding is tested too
		private: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)),
	}
}

func (k *testKey) KeyID() string { return k.id }

func (k *testKey) Sign(payloadType string, message []byte) []byte {
	return ed25519.Sign(k.private, append([]byte(payloadType+"\x00"), message...))
}

func (k *testKey) Verify(payloadType string, message []byte, keyID string, signature []byte, at time.Time) error {
	switch {
	case keyID != k.id:
		return errUnknown
	case !ed25519.Verify(k.private.Public().(ed25519.PublicKey), append([]byte(payloadType+"\x00"), message...), signature):
		return errBad
	case !k.until.IsZero() && at.After(k.until):
		return errExpired
	}
	return nil
}

// signed are options with a key that is required.
func signed(dir string) Options {
	k := newKey(1)
	return Options{Dir: dir, Signer: k, Verifier: k, RequireSigned: true}
}

func plain(dir string) Options { return Options{Dir: dir} }

// kinds are the two ways to keep a journal.
var kinds = map[string]func(dir string) Options{"plain": plain, "signed": signed}

func entry(text string) Entry { return Entry{Type: 7, Payload: []byte(text)} }

// collect returns a replay function and what it was called with.
func collect() (func(Record) error, *[]string) {
	var got []string
	return func(r Record) error {
		got = append(got, fmt.Sprintf("%d/%d/%s", r.Sequence, r.Type, r.Payload))
		return nil
	}, &got
}

// soak says whether the loops over every fault run in full.
func soak() bool { return os.Getenv("FDQC_SOAK") != "" }

// faultSample is n where one in n of such a loop's cases runs; no divisor of their numbers, so that each kind gets its share.
func faultSample() int {
	if soak() {
		return 1
	}
	return 7
}

func mustCreate(t testing.TB, o Options, at Position) *Journal {
	t.Helper()
	j, err := Create(o, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func mustAppend(t testing.TB, j *Journal, entries ...Entry) Position {
	t.Helper()
	p, err := j.Append(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustRotate(t testing.TB, j *Journal) Position {
	t.Helper()
	p, err := j.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustClose(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// replayed gives the records after a position.
func replayed(t testing.TB, o Options, from Position) []string {
	t.Helper()
	replay, got := collect()
	if _, err := Replay(o, from, replay); err != nil {
		t.Fatal(err)
	}
	return *got
}

// copyDir copies the files of a folder, one level of folders deep, into a new one.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// segmentsOf gives the paths of the segments in a folder.
func segmentsOf(t testing.TB, dir string) []string {
	t.Helper()
	all, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, s := range all {
		paths = append(paths, s.Path)
	}
	return paths
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
