package policy

import (
	"errors"
	"fmt"
)

// Gate is what a structured action goes through before it is judged.
type Gate struct {
	Checks        *Checks
	Verifier      *Verifier
	RequireSigned bool
}

// Admit reads an action, signed or not, and answers it, with an error too when
// it is one that fails a check. Errors name the field. A signature that is there must be right, whether one is
// required or not.
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
	case err != nil:
		return nil, err
	case g.RequireSigned:
		return a, asAction(ErrUnsignedAction)
	}
	return a, g.Checks.Check(a)
}

// asAction names the field of an error that names none.
func asAction(err error) error {
	var named *ActionError
	if errors.As(err, &named) {
		return err
	}
	return fmt.Errorf("action: %w", err)
}
