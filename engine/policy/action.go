package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxAction is the most bytes of a structured action.
const MaxAction = 1 << 20

// Action is a structured action: what an agent is about to do, in parts that
// can be checked.
type Action struct {
	Tool    string         // name of the tool; "" when there is none
	Args    jsontext.Value // a text, a list or an object; nil when there are none
	Path    *string        // the file that it is about; nil: none
	Process *string        // the program that it runs; nil: none

	// Of a signed action: what makes it the only one of its kind.
	Nonce string
	Time  string // RFC 3339
}

// actionJSON is the form of an action. Members are in the order of RFC 8785,
// section 3.2.3.
type actionJSON struct {
	Args    jsontext.Value `json:"args,omitzero"`
	Nonce   *string        `json:"nonce,omitzero"`
	Path    *string        `json:"path,omitzero"`
	Process *string        `json:"process,omitzero"`
	Time    *string        `json:"time,omitzero"`
	Tool    *string        `json:"tool,omitzero"`
}

// ActionError says which field of an action is refused, and why.
type ActionError struct {
	Field  string // of the action; "action" for the whole
	Reason string
}

// Error names the field.
func (e *ActionError) Error() string { return e.Field + ": " + e.Reason }

func refuse(field, format string, args ...any) *ActionError {
	return &ActionError{field, fmt.Sprintf(format, args...)}
}

// ParseAction reads an action strictly: an object with members of the names
// above and no others, none twice, in UTF-8, at most MaxAction bytes. Errors
// are *ActionErrors.
func ParseAction(text []byte) (*Action, error) {
	if len(text) > MaxAction {
		return nil, refuse("action", "has %d bytes, expected at most %d", len(text), MaxAction)
	}
	var raw actionJSON
	if err := json.Unmarshal(text, &raw, json.RejectUnknownMembers(true)); err != nil {
		return nil, refuse("action", "%v", err)
	}
	switch kind := raw.Args.Kind(); {
	case kind == 'n' || len(raw.Args) == 0:
		raw.Args = nil
	case kind != '"' && kind != '[' && kind != '{':
		return nil, refuse("args", "is %.32s, expected a text, a list or an object", raw.Args)
	}
	if err := exactNumbers(raw.Args); err != nil {
		return nil, err
	}
	a := &Action{Args: raw.Args, Path: raw.Path, Process: raw.Process}
	for _, text := range []struct {
		from *string
		to   *string
	}{{raw.Tool, &a.Tool}, {raw.Nonce, &a.Nonce}, {raw.Time, &a.Time}} {
		if text.from != nil {
			*text.to = *text.from
		}
	}
	if raw.Tool == nil && raw.Path == nil && raw.Process == nil {
		return nil, refuse("action", "has no tool, no path and no process, expected one of them")
	}
	return a, nil
}

// Text is what the action says, without nonce and time, in the canonical form
// of RFC 8785: equal actions have equal texts.
func (a *Action) Text() (string, error) {
	text, err := a.canonical(false)
	return string(text), err
}

func (a *Action) canonical(signed bool) ([]byte, error) {
	raw := actionJSON{Args: a.Args, Path: a.Path, Process: a.Process}
	if a.Tool != "" {
		raw.Tool = &a.Tool
	}
	if signed {
		raw.Nonce, raw.Time = &a.Nonce, &a.Time
	}
	text, err := json.Marshal(&raw)
	if err != nil {
		return nil, refuse("action", "%v", err)
	}
	value := jsontext.Value(text)
	if err := value.Canonicalize(); err != nil {
		return nil, refuse("action", "%v", err)
	}
	return value, nil
}

// exactNumbers refuses a number that its canonical form would change (RFC 8785
// has float64): what is judged and shown must be what the tool gets.
func exactNumbers(args jsontext.Value) error {
	tokens := jsontext.NewDecoder(bytes.NewReader(args))
	for {
		kind := tokens.PeekKind()
		value, err := jsontext.Value(nil), error(nil)
		if kind == '0' {
			value, err = tokens.ReadValue()
		} else {
			_, err = tokens.ReadToken()
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return refuse("args", "%v", err)
		case kind != '0':
			continue
		}
		canonical := value.Clone()
		if err := canonical.Canonicalize(); err != nil {
			return refuse("args", "%v", err)
		}
		if decimalOf(value) != decimalOf(canonical) {
			return refuse("args", "the number %.64s is not exact in float64, which makes it %s: expected fewer digits, or a text", value, canonical)
		}
	}
}

// decimal is the value of a JSON number: digits times ten to a power. Equal
// values are equal.
type decimal struct {
	negative bool
	digits   string // without zeros at either end; "" for 0
	power    int
}

func decimalOf(number jsontext.Value) decimal {
	text, negative := strings.CutPrefix(string(number), "-")
	mantissa, exponent := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], text[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return decimal{}
	}
	// A power that is no int is of no float64 either.
	power, _ := strconv.Atoi(exponent)
	return decimal{negative, short, power - len(fraction) + len(digits) - len(short)}
}
