package engine

import (
	"fmt"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// newActionGate makes the checks of structured actions that a configuration
// asks for. root is the folder that relative paths start from.
func newActionGate(c *SafetyConfig, root string, now func() time.Time) (*policy.Gate, error) {
	checks, err := policy.NewChecks(c.AllowedFilePatterns, c.AllowedProcesses, root)
	if err != nil {
		return nil, fmt.Errorf("checks of actions: %w", err)
	}
	var trusted []signing.Trusted
	for _, line := range c.ActionKeys {
		key, err := signing.ParseTrusted(line)
		if err != nil {
			return nil, &ConfigError{Key: "safety.action_keys", Reason: err.Error()}
		}
		trusted = append(trusted, key)
	}
	ring, err := signing.NewRing(trusted...)
	if err != nil {
		return nil, &ConfigError{Key: "safety.action_keys", Reason: err.Error()}
	}
	return &policy.Gate{
		Checks: checks, Verifier: policy.NewVerifier(ring, now), RequireSigned: c.RequireSignedActions,
	}, nil
}

// CheckAction says whether a structured action passes the basic checks: a JSON
// object {"tool", "args", "path", "process"}, or a signed one (see package
// policy). A row that has none is given as nil, and passes unless
// safety.require_signed_actions asks for signatures. What fails goes into
// [Batch.BasicChecks] as false; the error names the field.
//
// A signed action passes once. CheckAction looks at the file system and waits
// for no batch.
func (e *Engine) CheckAction(action []byte) error {
	if action == nil && !e.config.Safety.RequireSignedActions {
		return nil
	}
	_, err := e.actions.Admit(action)
	return err
}
