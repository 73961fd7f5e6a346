package signing

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

const (
	keyPrefix      = "ed25519:"
	untilPrefix    = "until="
	maxTrustedFile = 1 << 20
)

// Trusted is a public key whose signatures count.
type Trusted struct {
	Public ed25519.PublicKey
	// Until is the last moment at which it may have signed; zero: no expiry.
	Until time.Time
	// Comment is for people.
	Comment string
}

// ParseTrusted reads a line "ed25519:<32 bytes in base64> [until=<RFC 3339>] [comment]".
func ParseTrusted(line string) (Trusted, error) {
	var t Trusted
	if !utf8.ValidString(line) || strings.ContainsAny(line, "\x00\r\n") {
		return t, fmt.Errorf("trusted key: %w: not one line of UTF-8", ErrMalformed)
	}
	words := strings.Fields(line)
	if len(words) == 0 || !strings.HasPrefix(words[0], keyPrefix) {
		return t, fmt.Errorf("trusted key: %w: %.80q, expected %s<base64> [%s<RFC 3339>] [comment]", ErrMalformed, line, keyPrefix, untilPrefix)
	}
	public, err := base64.StdEncoding.Strict().DecodeString(words[0][len(keyPrefix):])
	if err != nil || len(public) != ed25519.PublicKeySize {
		return t, fmt.Errorf("trusted key: %w: %.80q, expected %d bytes in base64 after %q", ErrMalformed, words[0], ed25519.PublicKeySize, keyPrefix)
	}
	t.Public, words = public, words[1:]
	if len(words) > 0 && strings.HasPrefix(words[0], untilPrefix) {
		if t.Until, err = time.Parse(time.RFC3339Nano, words[0][len(untilPrefix):]); err != nil || t.Until.IsZero() {
			return Trusted{}, fmt.Errorf("trusted key: %w: %.80q, expected a time such as %s2027-01-31T12:00:00Z", ErrMalformed, words[0], untilPrefix)
		}
		words = words[1:]
	}
	for _, w := range words {
		// An expiry in the wrong place must not be read as a comment.
		if strings.HasPrefix(w, untilPrefix) {
			return Trusted{}, fmt.Errorf("trusted key: %w: %.80q after other words, expected it once, right behind the key", ErrMalformed, w)
		}
	}
	t.Comment = strings.Join(words, " ")
	return t, nil
}

// String writes the line that ParseTrusted reads.
func (t Trusted) String() string {
	line := keyPrefix + base64.StdEncoding.EncodeToString(t.Public)
	if !t.Until.IsZero() {
		line += " " + untilPrefix + t.Until.UTC().Format(time.RFC3339Nano)
	}
	if comment := strings.Join(strings.Fields(t.Comment), " "); comment != "" {
		line += " " + comment
	}
	return line
}

// KeyID is the name of the key.
func (t Trusted) KeyID() string { return KeyID(t.Public) }

// LoadTrusted reads a file of trusted keys, one a line; empty lines and those that begin with # are passed over. The file must
// be a plain file of this user that nobody else may write, ErrUnsafeFile otherwise. Errors name file and line.
func LoadTrusted(path string) ([]Trusted, error) {
	text, err := readOwn(path, 0o022, maxTrustedFile)
	if err != nil {
		return nil, fmt.Errorf("load trusted keys: %w", err)
	}
	var keys []Trusted
	for i, line := range strings.Split(string(text), "\n") {
		if !isKeyLine(line) {
			continue
		}
		t, err := ParseTrusted(strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("load trusted keys: %s, line %d: %w", path, i+1, err)
		}
		keys = append(keys, t)
	}
	if _, err := NewRing(keys...); err != nil {
		return nil, fmt.Errorf("load trusted keys: %s: %w", path, err)
	}
	return keys, nil
}

func isKeyLine(line string) bool {
	line = strings.TrimSpace(line)
	return line != "" && !strings.HasPrefix(line, "#")
}

// retire writes a key with an expiry into a file of trusted keys, which is made when absent, in the place of a line that it
// has there. Everything else in the file stays.
func retire(key *Key, path string, until time.Time) error {
	keys, err := LoadTrusted(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var lines []string
	if err == nil {
		text, err := readOwn(path, 0o022, maxTrustedFile)
		if err != nil {
			return err
		}
		lines = strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	} else if err := disk.MakeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	line := Trusted{Public: key.Public(), Until: until, Comment: "retired by rotation"}
	next, kept := 0, lines[:0]
	for _, l := range lines {
		if isKeyLine(l) {
			id := keys[next].KeyID()
			next++
			if id == key.KeyID() {
				continue
			}
		}
		kept = append(kept, l)
	}
	kept = append(kept, line.String(), "")
	text := strings.TrimLeft(strings.Join(kept, "\n"), "\n")
	if len(text) > maxTrustedFile {
		return fmt.Errorf("trusted keys: %s would have %d bytes, at most %d are read", path, len(text), maxTrustedFile)
	}
	return writeOver(path, []byte(text))
}
