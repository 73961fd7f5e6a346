package monitor

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

// Secret is a text that no log, error or file may show: however it is printed
// or encoded, it is not there.
type Secret string

// hidden is what is printed instead.
const hidden = "[secret]"

// Format prints that there is a secret.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText likewise.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// scrub takes the secret out of an error that somebody else worded.
func (s Secret) scrub(err error) error {
	if err == nil || s == "" || !strings.Contains(err.Error(), string(s)) {
		return err
	}
	scrubbed := errors.New(strings.ReplaceAll(err.Error(), string(s), hidden))
	if !passing(err) {
		return &PermanentError{scrubbed}
	}
	return scrubbed
}

// maxSecret bounds the file of a secret, in bytes.
const maxSecret = 4096

// ReadSecret takes a secret from a variable of the environment, or from a file
// that belongs to this user alone (mode 0600, no link). Both at once are
// ambiguous and an error; neither is "".
func ReadSecret(lookup func(string) (string, bool), variable, file string) (Secret, error) {
	value, set := lookup(variable)
	set = set && value != ""
	switch {
	case set && file != "":
		return "", fmt.Errorf("both the variable %s and the file %s are given, expected one of them", variable, file)
	case set:
		return oneLine(value, "variable "+variable)
	case file == "":
		return "", nil
	}
	data, err := disk.ReadOwn(file, 0o177, maxSecret)
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	return oneLine(string(data), file)
}

func oneLine(text, from string) (Secret, error) {
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("secret of %s: expected one line of text", from)
	}
	return Secret(text), nil
}
