package main

import (
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/control"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
)

// logger writes to standard error and the log file as the configuration says.
// A file that cannot be used is said there, and is no reason to do nothing.
func (a *app) logger(config *engine.Config) hclog.Logger {
	if a.logs != nil {
		return a.logs.Logger()
	}
	c := &config.Logging
	levels, err := monitor.ParseLevels(c.Levels)
	options := monitor.LogOptions{
		Name: "fdqc", Level: c.Level, Levels: levels, JSON: c.Format == "json", Stream: a.err,
		File: c.File, MaxSize: c.MaxSize, MaxBackups: c.MaxBackups, MaxAge: c.MaxAge, Compress: c.Compress,
	}
	if err == nil {
		a.logs, err = monitor.OpenLogs(options)
	}
	if err == nil {
		return a.logs.Logger()
	}
	stream := hclog.New(&hclog.LoggerOptions{Name: "fdqc", Output: a.err, Level: hclog.LevelFromString(c.Level), JSONFormat: options.JSON})
	stream.Error("the log file cannot be used, this is the only log", "error", err)
	return stream
}

// closeLogs closes the log file.
func (a *app) closeLogs() error {
	if a.logs == nil {
		return nil
	}
	return a.logs.Close()
}

func (a *app) logLevelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "log-level [COMPONENT LEVEL]",
		Short: "Show or change what the process that owns the data directory logs",
		Long: `Asks the process that has the data directory open for writing. COMPONENT is
engine, memory, checkpoints, detect, monitor, policy, audit, control, serve or
all; LEVEL is trace, debug, info, warn or error. It holds until that process
ends; logging.levels of the configuration lasts.`,
		Example: "  fdqc log-level\n  fdqc log-level checkpoints debug",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return fmt.Errorf("%s takes a component and a level, or nothing", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			if err := present(&config); err != nil {
				return err
			}
			var request control.LogLevelRequest
			if len(args) == 2 {
				request.Component, request.Level = args[0], args[1]
			}
			answer, err := control.NewClient(config.Persistence.Dir).LogLevel(c.Context(), request)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
			for _, component := range slices.Sorted(maps.Keys(answer.Levels)) {
				fmt.Fprintf(table, "%s\t%s\n", component, plain(answer.Levels[component]))
			}
			return table.Flush()
		},
	}
}
