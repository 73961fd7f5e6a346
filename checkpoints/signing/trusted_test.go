package signing

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTrustedLine(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(fixed().Public())
	for _, c := range []struct {
		line, want string // want is empty when the line is refused
	}{
		{"ed25519:" + key, "ed25519:" + key},
		{"ed25519:" + key + " the  build machine", "ed25519:" + key + " the build machine"},
		{"ed25519:" + key + " until=2027-01-31T12:00:00.5+01:00 old", "ed25519:" + key + " until=2027-01-31T11:00:00.5Z old"},
		{"", ""},
		{"ed25519", ""},
		{key, ""},
		{"rsa:" + key, ""},
		{"ed25519:" + key[1:], ""},
		{"ed25519:" + key[:40], ""},
		{"ed25519:" + key[:42] + "p=", ""}, // bits behind the last byte
		{"ed25519:" + key + " until=tomorrow", ""},
		{"ed25519:" + key + " until=", ""},
		{"ed25519:" + key + " until=0001-01-01T00:00:00Z", ""},
		{"ed25519:" + key + " old until=2027-01-31T12:00:00Z", ""},
		{"ed25519:" + key + " until=2027-01-31T12:00:00Z until=2028-01-31T12:00:00Z", ""},
		{"ed25519:" + key + " a\nb", ""},
		{"ed25519:" + key + " \xff", ""},
	} {
		got, err := ParseTrusted(c.line)
		if c.want == "" {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%q: got %v, %v, want ErrMalformed", c.line, got, err)
			}
			continue
		}
		if err != nil || got.String() != c.want || got.KeyID() != fixed().KeyID() {
			t.Errorf("%q: got %q, %v, want %q", c.line, got, err, c.want)
		}
	}
}

func TestLoadTrusted(t *testing.T) {
	line := func(k *Key) string { return Trusted{Public: k.Public()}.String() }
	a, b := generate(t), generate(t)
	for _, c := range []struct {
		name, text string
		mode       fs.FileMode
		keys       int
		want       string // in the error
	}{
		{"two", "# ours\n\n" + line(a) + " a\n  " + line(b) + " \n", 0o644, 2, ""},
		{"none", "# none yet", 0o600, 0, ""},
		{"empty", "", 0o600, 0, ""},
		{"same twice", line(a) + "\n" + line(a) + " again\n", 0o600, 2, ""},
		{"contradiction", line(a) + "\n" + line(a) + " until=2027-01-01T00:00:00Z\n", 0o600, 0, "listed twice"},
		{"bad line", line(a) + "\nhello\n", 0o600, 0, "line 2"},
		{"group may write", line(a), 0o664, 0, "chmod 644"},
		{"all may write", line(a), 0o606, 0, "unsafe file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "trusted")
			if err := errors.Join(os.WriteFile(path, []byte(c.text), 0o600), os.Chmod(path, c.mode)); err != nil {
				t.Fatal(err)
			}
			keys, err := LoadTrusted(path)
			if c.want == "" && (err != nil || len(keys) != c.keys) {
				t.Errorf("got %v, %v, want %d keys", keys, err, c.keys)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path)) {
				t.Errorf("got %v, want an error with %q and the path", err, c.want)
			}
		})
	}
	if _, err := LoadTrusted(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: got %v, want fs.ErrNotExist", err)
	}
}

func TestRing(t *testing.T) {
	plain, old, current, foreign := generate(t), generate(t), generate(t), generate(t)
	ring, err := NewRing(Trusted{Public: plain.Public()}, Trusted{Public: old.Public(), Until: noon}, Trusted{Public: current.Public(), Until: noon})
	if err != nil {
		t.Fatal(err)
	}
	ring = ring.With(current)
	for _, c := range []struct {
		name    string
		ring    *Ring
		key     *Key
		kind    string
		message string
		at      time.Time
		want    error
	}{
		{"trusted", ring, plain, "a", "message", noon.AddDate(50, 0, 0), nil},
		{"before expiry", ring, old, "a", "message", noon.Add(-time.Second), nil},
		{"at expiry", ring, old, "a", "message", noon, nil},
		{"after expiry", ring, old, "a", "message", noon.Add(1), ErrExpiredKey},
		{"after expiry and changed", ring, old, "a", "messagE", noon.Add(1), ErrBadSignature},
		{"current beats expiry", ring, current, "a", "message", noon.Add(time.Hour), nil},
		{"foreign", ring, foreign, "a", "message", noon, ErrUnknownKey},
		{"changed", ring, plain, "a", "messagE", noon, ErrBadSignature},
		{"other type", ring, plain, "b", "message", noon, ErrBadSignature},
		{"moved boundary", ring, plain, "a 7 m", "essage", noon, ErrBadSignature},
		{"no ring", nil, plain, "a", "message", noon, ErrUnknownKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			sig := c.key.Sign("a", []byte("message"))
			err := c.ring.Verify(c.kind, []byte(c.message), c.key.KeyID(), sig, c.at)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if err := ring.Verify("a", []byte("message"), plain.KeyID(), []byte("short"), noon); !errors.Is(err, ErrBadSignature) {
		t.Errorf("short signature: got %v, want %v", err, ErrBadSignature)
	}
	if _, err := NewRing(Trusted{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("no key: got %v, want %v", err, ErrMalformed)
	}
	if got := ring.Len(); got != 3 {
		t.Errorf("ring holds %d keys, want 3", got)
	}
}

// TestRotate goes through two rotations and one that a crash cut in half.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	path, trustedPath := filepath.Join(dir, "fdqc", "signing.key"), filepath.Join(dir, "etc", "trusted")
	first, err := CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(k *Key) []byte { return k.Sign("a", []byte("m")) }
	ring := func() *Ring {
		t.Helper()
		trusted, err := LoadTrusted(trustedPath)
		if err != nil {
			t.Fatal(err)
		}
		current, err := LoadKey(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewRing(trusted...)
		if err != nil {
			t.Fatal(err)
		}
		return r.With(current)
	}

	// The crash: announced and not replaced. What the key signs after its announced expiry counts.
	if err := retire(first, trustedPath, noon); err != nil {
		t.Fatal(err)
	}
	later := noon.Add(time.Hour)
	if err := ring().Verify("a", []byte("m"), first.KeyID(), sign(first), later); err != nil {
		t.Errorf("after a crash: got %v", err)
	}

	other := Trusted{Public: generate(t).Public(), Comment: "another machine"}
	text, _ := os.ReadFile(trustedPath)
	if err := os.WriteFile(trustedPath, append([]byte("# keys\n"+other.String()+"\n\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	old, second, err := RotateKey(path, trustedPath, later)
	if err != nil || old.KeyID() != first.KeyID() || second.KeyID() == first.KeyID() {
		t.Fatalf("got %v, %v, %v, want %v and a new one", old, second, err, first)
	}
	for _, c := range []struct {
		key  *Key
		at   time.Time
		want error
	}{
		{first, later.Add(RotationGrace), nil}, {first, later.Add(RotationGrace + 1), ErrExpiredKey}, {second, later.AddDate(1, 0, 0), nil},
	} {
		if err := ring().Verify("a", []byte("m"), c.key.KeyID(), sign(c.key), c.at); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%v at %v: got %v, want %v", c.key, c.at, err, c.want)
		}
	}
	if _, _, err := RotateKey(path, trustedPath, later.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := ring().Len(); got != 4 {
		t.Errorf("ring holds %d keys, want two old ones, the current and another machine's", got)
	}
	text, err = os.ReadFile(trustedPath)
	if err != nil || !strings.HasPrefix(string(text), "# keys\n"+other.String()+"\n") {
		t.Errorf("got %q (%v), want the other lines kept", text, err)
	}
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("got files %v, want the key only", got)
	}
}

// TestRotateFails changes neither file.
func TestRotateFails(t *testing.T) {
	dir := t.TempDir()
	path, trustedPath := filepath.Join(dir, "signing.key"), filepath.Join(dir, "trusted")
	if _, _, err := RotateKey(path, trustedPath, noon); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no key: got %v, want fs.ErrNotExist", err)
	}
	key, err := CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(trustedPath, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := RotateKey(path, trustedPath, noon); !errors.Is(err, ErrMalformed) {
		t.Errorf("bad list: got %v, want %v", err, ErrMalformed)
	}
	if again, err := LoadKey(path); err != nil || again.KeyID() != key.KeyID() {
		t.Errorf("got %v, %v, want the old key %v", again, err, key)
	}
	if text, _ := os.ReadFile(trustedPath); string(text) != "nonsense\n" {
		t.Errorf("got a list %q, want it as it was", text)
	}
}
