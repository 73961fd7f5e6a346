package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/control"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
)

// ownerAnswer is how long a critical alert waits for the owner's answer.
const ownerAnswer = 10 * time.Second

// tellOwner has critical alerts of a command that only reads put safe mode on in
// the process that has the data directory open. Where nobody has, it is on in
// this command alone: a reader writes nothing.
func (a *app) tellOwner(c *cobra.Command) (engine.Option, error) {
	config, _, err := a.settings(c)
	if err != nil {
		return nil, err
	}
	logger, owner := a.logger(&config), control.NewClient(config.Persistence.Dir)
	return engine.WithOnCritical(func(alert monitor.Alert) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), ownerAnswer)
		defer cancel()
		_, err := owner.Alarm(ctx, control.AlarmRequest{Cause: "critical alert of a reader: " + alert.Message})
		switch {
		case errors.Is(err, control.ErrNoOwner):
			logger.Warn("safe mode is on in this command alone, nobody has the data directory open: type fdqc safety safe-mode on", "alert", alert.Message)
		case err != nil:
			logger.Error("the process that has the data directory open was not told of a critical alert: type fdqc safety safe-mode on", "alert", alert.Message, "error", err)
		}
	}), nil
}
