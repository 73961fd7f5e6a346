package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/control"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
)

// session is what a command works with while an engine is open.
type session struct {
	config engine.Config
	engine *engine.Engine
	logger hclog.Logger
	// registry has the metrics of the engine.
	registry *prometheus.Registry
}

// withEngine opens an engine as the settings say, runs the command and closes
// the engine, whatever happens. While it has a data directory for writing,
// operators reach it through the control socket.
func (a *app) withEngine(c *cobra.Command, options []engine.Option, run func(context.Context, *session) error) (err error) {
	config, _, err := a.settings(c)
	if err != nil {
		return err
	}
	s := &session{config: config, logger: a.logger(&config), registry: prometheus.NewRegistry()}
	ctx := c.Context()
	options = append(options, engine.WithLogger(s.logger), engine.WithVersion(version), engine.WithMetrics(s.registry))
	if s.engine, err = engine.Open(ctx, config, options...); err != nil {
		return locked(asInput(err))
	}
	defer func() { err = errors.Join(err, s.engine.Close()) }()
	if d := s.engine.Directory(); d.Writes() {
		server, err := control.Start(d, control.Options{
			Code:   func(err error) int { return exitCode(asInput(err)) },
			Logs:   logsOf(a.logs),
			Logger: s.logger,
		})
		if err != nil {
			// Not every file system has sockets; what is recorded is
			// worth more than a lever that has to wait for the end.
			s.logger.Warn("safety and checkpoint commands must wait until this one ends", "error", err)
		} else {
			defer func() { err = errors.Join(err, server.Close()) }()
		}
	}
	return run(ctx, s)
}

// logsOf is nil where there are none.
func logsOf(l *monitor.Logs) control.Logs {
	if l == nil {
		return nil
	}
	return l
}

// locked says of a locked data directory what can be done all the same.
func locked(err error) error {
	var l *engine.LockedError
	if errors.As(err, &l) {
		return fmt.Errorf("%w; it takes one writer at a time, while reading commands, safety and checkpoint go on working", err)
	}
	return err
}

const (
	// ownerWait is for how long a command tries to reach a data directory
	// whose owner is starting or ending, and so has no socket yet or any
	// more.
	ownerWait = 10 * time.Second
	ownerPoll = 50 * time.Millisecond
)

// withOperator runs a command on the data directory, in this process or, when
// another one owns it, through that one. run may be called again when nothing
// was done. A data directory that is absent is made only when fresh is set.
func (a *app) withOperator(c *cobra.Command, fresh bool, run func(context.Context, control.Operator) error) error {
	config, _, err := a.settings(c)
	if err != nil {
		return err
	}
	if !fresh {
		if err := present(&config); err != nil {
			return err
		}
	}
	config.Persistence.AutoSaveInterval = 0 // it is open for a moment only
	logger := a.logger(&config)
	ctx := c.Context()
	for deadline := time.Now().Add(ownerWait); ; {
		err := operate(ctx, config, logger, run)
		var l *engine.LockedError
		if !errors.As(err, &l) || !time.Now().Before(deadline) {
			return asInput(err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(ownerPoll):
		}
	}
}

// operate is one attempt of withOperator. A *engine.LockedError says that
// nothing was done.
func operate(ctx context.Context, config engine.Config, logger hclog.Logger, run func(context.Context, control.Operator) error) error {
	// A lever or a checkpoint is no reason to change the memory's capacity.
	d, err := engine.OpenDirectory(config, engine.WithLogger(logger), engine.WithVersion(version), engine.AnyCapacity())
	var l *engine.LockedError
	if errors.As(err, &l) {
		asked := run(ctx, control.NewClient(config.Persistence.Dir))
		if errors.Is(asked, control.ErrNoOwner) {
			return fmt.Errorf("%w, and does not answer (%w)", err, asked)
		}
		return asked
	}
	if err != nil {
		return err
	}
	err = run(ctx, control.NewDirect(d, engine.UserName(uint32(os.Geteuid()))))
	return errors.Join(err, d.Close())
}

// present refuses a data directory that is absent: a mistyped one must not
// look like one that is looked after.
func present(config *engine.Config) error {
	dir := config.Persistence.Dir
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return usagef("there is no data directory %s; name it with --data-dir", dir)
	case err != nil:
		return usage(err)
	case !info.IsDir():
		return usagef("%s is no directory, expected a data directory", dir)
	}
	return nil
}
