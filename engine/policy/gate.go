package policy

import (
	"errors"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
)

// Gate is what a structured action goes through before it is judged.
type Gate struct {
	Checks        *Checks
	Verifier      *Verifier
	RequireSigned bool
}

// Admit reads an action, signed or not, and answers it, with an error too when
// it is one that fails a check. Errors name the field. A signature that is
// there must be right, whether one is required or not.
func (g *Gate) Admit(text []byte) (*Action, error) {
	if Sealed(text) {
		a, _, err := g.Verifier.Open(text)
		if err != nil {
			return nil, asAction(err)
		}
		return a, g.Checks.Check(a)
	}
	a, err := ParseAction(text)
	switch {
	case g.RequireSigned:
		return a, asAction(ErrUnsignedAction)
	case err != nil:
		return nil, err
	}
	return a, g.Checks.Check(a)
}

// Text is what a structured action says, signed or not, for an encoder: equal
// actions have equal texts, whoever signed them and when. It checks nothing;
// what is no action of this form is its own text.
func Text(action []byte) string {
	inner := action
	if Sealed(action) {
		if e, err := signing.OpenEnvelope(action); err == nil {
			inner = e.Payload
		}
	}
	if a, err := ParseAction(inner); err == nil {
		if text, err := a.Text(); err == nil {
			return text
		}
	}
	return string(action)
}

// asAction names the field of an error that names none.
func asAction(err error) error {
	var named *ActionError
	if errors.As(err, &named) {
		return err
	}
	return fmt.Errorf("action: %w", err)
}
