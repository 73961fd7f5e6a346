package main

import (
	"context"
	"errors"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// session is what a command works with while an engine is open.
type session struct {
	config engine.Config
	engine *engine.Engine
	logger hclog.Logger
}

// withEngine opens an engine as the settings say, runs the command and closes
// the engine, whatever happens.
func (a *app) withEngine(c *cobra.Command, options []engine.Option, run func(context.Context, *session) error) (err error) {
	config, _, err := a.settings(c)
	if err != nil {
		return err
	}
	s := &session{config: config, logger: a.logger(&config)}
	ctx := c.Context()
	if s.engine, err = engine.Open(ctx, config, append(options, engine.WithLogger(s.logger))...); err != nil {
		return asInput(err)
	}
	defer func() { err = errors.Join(err, s.engine.Close()) }()
	return run(ctx, s)
}
