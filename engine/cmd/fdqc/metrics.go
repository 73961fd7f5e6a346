package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine/monitor"
)

// metricsFlags are those of commands that report their metrics at their end.
func (a *app) metricsFlags(c *cobra.Command) {
	c.Flags().StringVar(&a.flags.metricsFile, "metrics-file", "", "`file` that the metrics are written to at the end (monitor.metrics_file)")
	c.Flags().StringVar(&a.flags.push, "push", "", "`address` of a Pushgateway that gets the metrics at the end (monitor.push_url)")
}

// reporting has a command report its metrics at its end, done or failed. What
// cannot be reported is a warning: the work was done all the same.
func reporting(job string, run func(context.Context, *session) error) func(context.Context, *session) error {
	return func(ctx context.Context, s *session) error {
		err := run(ctx, s)
		if file := s.config.Monitor.MetricsFile; file != "" {
			if err := monitor.WriteTextfile(file, s.registry); err != nil {
				s.logger.Warn("the metrics are not reported", "error", err)
			}
		}
		m := s.engine.Directory().Monitor()
		if address := s.config.Monitor.PushURL; address != "" && m != nil {
			if err := m.Metrics.Push(context.WithoutCancel(ctx), address, job, s.registry, monitor.PushOptions()); err != nil {
				s.logger.Warn("the metrics are not reported", "error", err)
			}
		}
		return err
	}
}
