package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/engine/migrate"
)

func (a *app) migrateCommand() *cobra.Command {
	var o migrate.Options
	var report string
	c := &cobra.Command{
		Use:   "migrate --from DIR --to DIR",
		Short: "Make a data directory of a Python installation's checkpoint folder",
		Long: `Takes every checkpoint of a Python installation (patterns_*.pt, *validator*.pt,
projections*.pt, embedding_cache*.pt, ppo*.pt, imagination*.pt and
vector_memory_*.pkl) into a new data directory, and its config/policy.yaml with
--policy into that directory's fdqc.toml. The newest patterns_*.pt becomes the
memory; without one, the patterns inside the validator state do. The source is
never written, nothing in a file is executed, and the target, which must be
absent or empty, is made complete or not at all.

Prints what became of every file and tensor: taken, changed (and how), refused
(why), unknown (left where it is). What decides verdicts is refused as a whole:
a damaged newest file never makes an older one current. Needs no LibTorch.

Exit codes: 0 every known file was taken; 1 some was not; 2 bad usage, path or
policy; 3 a file is damaged or no checkpoint.`,
		Example: `  fdqc migrate --from checkpoints --to fdqc-data --dry-run
  fdqc migrate --from checkpoints --to fdqc-data --policy config/policy.yaml --report migration.json`,
		RunE: func(c *cobra.Command, _ []string) error { return a.migrate(c, o, report) },
	}
	f := c.Flags()
	f.StringVar(&o.From, "from", "", "checkpoint `folder` of the Python installation, only read")
	f.StringVar(&o.To, "to", "", "data `directory` to be made")
	f.StringVar(&o.Policy, "policy", "", "its config/policy.yaml (`file`)")
	f.BoolVar(&o.DryRun, "dry-run", false, "say what would become of each file and write nothing")
	f.StringVar(&report, "report", "", "also write the report as JSON to this `file`; - prints JSON and no table")
	required(c, "from", "to")
	return c
}

func (a *app) migrate(c *cobra.Command, o migrate.Options, reportPath string) (err error) {
	if c.Flags().Changed("data-dir") {
		return usagef("migrate takes the data directory by --to, not by --data-dir")
	}
	// Settings of a data directory that the working directory happens to
	// hold say nothing about the one to be made.
	if err := c.Flags().Set("data-dir", o.To); err != nil {
		return err
	}
	if o.Config, _, err = a.settings(c); err != nil {
		return err
	}
	o.Logger = a.logger(&o.Config)
	// Before the work: a report that cannot be written is found first.
	write := func(*migrate.Report) error { return nil }
	if reportPath != "" && reportPath != "-" {
		file, err := a.createReport(reportPath, o)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Abort()) }()
		write = func(r *migrate.Report) error { return errors.Join(r.WriteJSON(file), file.Commit()) }
	}
	report, err := migrate.Run(c.Context(), o)
	if report == nil {
		return asMigration(err)
	}
	if reportPath == "-" {
		err = errors.Join(err, report.WriteJSON(a.out))
	} else if !a.flags.quiet || err != nil {
		err = errors.Join(err, report.WriteTable(a.out))
	}
	return asMigration(errors.Join(err, write(report)))
}

// createReport begins the file of a report, outside of both folders.
func (a *app) createReport(path string, o migrate.Options) (*checkpoints.AtomicFile, error) {
	for _, folder := range []string{o.From, o.To} {
		inside, err := migrate.Within(path, folder)
		if err != nil {
			return nil, usagef("--report %s: %w", path, err)
		}
		if inside {
			return nil, usagef("--report %s lies in %s, expected a place outside of both folders", path, folder)
		}
	}
	file, err := checkpoints.Create(path, 0o644)
	return file, usage(err)
}

// asMigration marks what the user can put right by other arguments.
func asMigration(err error) error {
	var input *migrate.InputError
	var refused *migrate.RefusedError
	if errors.As(err, &input) && !errors.As(err, &refused) {
		return usage(err)
	}
	return err
}
