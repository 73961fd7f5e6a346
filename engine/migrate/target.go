package migrate

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/engine"
)

// Contents is a stand-in.
type Contents struct {
	State       *checkpoints.ValidatorState // nil: drawn at the first open
	Projections *checkpoints.Projections    // nil: none
	Patterns    *checkpoints.PatternSet     // nil: those of State, or empty
	Settings    []byte                      // text of its fdqc.toml; nil: none
	Copies      map[string][]byte           // further files by name, as they are
}

// create is a stand-in.
func create(dir string, _ engine.Config, c Contents, _ hclog.Logger) error {
	if err := checkpoints.MakeFolder(dir); err != nil {
		return err
	}
	var errs []error
	if c.State != nil {
		errs = append(errs, checkpoints.SaveValidatorState(filepath.Join(dir, "validator_state.pt"), c.State))
	}
	if c.Projections != nil {
		errs = append(errs, checkpoints.SaveProjections(filepath.Join(dir, "projections.pt"), c.Projections))
	}
	p := c.Patterns
	if p == nil && c.State != nil {
		p = &c.State.Patterns
	}
	if p != nil {
		_, err := checkpoints.SavePatterns(dir, p, time.Now())
		errs = append(errs, err)
	}
	errs = append(errs, os.WriteFile(filepath.Join(dir, "fdqc.toml"), c.Settings, 0o600))
	for name, data := range c.Copies {
		path := filepath.Join(dir, name)
		errs = append(errs, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600))
	}
	return errors.Join(errs...)
}
