package main

import (
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
)

func (a *app) configCommand() *cobra.Command {
	config := &cobra.Command{
		Use:     "config",
		Short:   "Check the settings, or show them with where each came from",
		Example: "  fdqc config show\n  fdqc config check --config fdqc.toml",
		RunE:    needsSubcommand,
	}
	config.AddCommand(&cobra.Command{
		Use:     "check",
		Short:   "Exit 0 when the settings are valid, else name file, key and line",
		Example: "  fdqc config check --config fdqc.toml",
		RunE: func(c *cobra.Command, _ []string) error {
			if _, _, err := a.settings(c); err != nil {
				return err
			}
			_, err := fmt.Fprintln(a.out, "configuration is valid")
			return err
		},
	}, &cobra.Command{
		Use:     "show",
		Short:   "Print every setting in force and where it came from",
		Example: "  fdqc config show\n  FDQC_SAFETY_TIER=DELTA fdqc config show",
		RunE: func(c *cobra.Command, _ []string) error {
			config, origins, err := a.settings(c)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
			values := engine.ConfigValues(&config)
			for _, key := range slices.Sorted(maps.Keys(values)) {
				fmt.Fprintf(table, "%s\t%s\t%s\n", key, values[key], origins[key])
			}
			return table.Flush()
		},
	})
	return config
}

// needsSubcommand is the action of a command that only groups others.
func needsSubcommand(c *cobra.Command, _ []string) error {
	return usagef("%s needs a command: see %s --help", c.CommandPath(), c.CommandPath())
}
