package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/bench"
	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/models"
)

// benchFlags are the flags of fdqc bench.
type benchFlags struct {
	quick           bool
	python, gotorch string
	turn            time.Duration
	patterns        int
	json, html      string
	dim, workspace  int
	batch           int
	seconds         float64
	format          string
}

// benchCommand measures the engine beside its peers.
func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine: rows per second beside others, scaling, the roofline",
		Long: `Judges made-up embeddings with made-up patterns and prints, for several widths,
memories, batch sizes and threads, rows per second, times of a batch and memory:
of the engine on the CPU and, where there is one, on a GPU, and of programs of
others that take turns with it on the same rows, and must give the same answers
before they are timed. They need the Python that "make peers" makes (--python,
or FDQC_PEERS_PYTHON). A peer that is missing is named with the reason.

The roofline is what this machine can do at best, measured in the same run.

With --dim, --workspace, --batch or --seconds it measures one case of the
engine alone; with --format json it prints that as one object:
rows_per_second (of the fastest batch), mean_rows_per_second, p50_seconds and
p99_seconds of a batch, device, threads.`,
		Example: `  fdqc bench --quick                               # less than a minute
  fdqc bench --json report.json --html report.html # everything
  fdqc bench --dim 768 --workspace 8 --patterns 1000 --batch 1024 --seconds 2 --format json`,
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			threads := config.Engine.Threads
			if threads == 0 {
				threads = torch.AvailableCPUs()
			}
			if f.format != "table" && f.format != "json" {
				return usagef("--format is %q, expected table or json", f.format)
			}
			for _, one := range []string{"dim", "workspace", "batch", "seconds"} {
				if c.Flags().Changed(one) {
					return a.benchOne(c.Context(), &f, config.Engine.Device, threads)
				}
			}
			return a.benchAll(c.Context(), &f, config.Engine.Device, threads)
		},
	}
	flags := c.Flags()
	flags.BoolVar(&f.quick, "quick", false, "less than a minute: fewer cases, no torch.compile, no files")
	flags.StringVar(&f.python, "python", os.Getenv("FDQC_PEERS_PYTHON"), "`path` of the Python of make peers")
	flags.StringVar(&f.gotorch, "gotorch", os.Getenv("FDQC_GOTORCH_PEER"), "`path` of the gotorch peer's program")
	flags.IntVar(&f.patterns, "patterns", 1000, "patterns on each side")
	flags.DurationVar(&f.turn, "turn", 0, "time of one turn of a program (default 250ms, 50ms with --quick)")
	flags.StringVar(&f.format, "format", "table", "what is printed: table or json")
	flags.StringVar(&f.json, "json", "", "also write the report as JSON to this `file`")
	flags.StringVar(&f.html, "html", "", "also write the report with plots to this `file`")
	flags.IntVar(&f.dim, "dim", 8, "one case: numbers of an embedding")
	flags.IntVar(&f.workspace, "workspace", 8, "one case: numbers of the workspace")
	flags.IntVar(&f.batch, "batch", 1024, "one case: rows of a batch")
	flags.Float64Var(&f.seconds, "seconds", 1, "one case: how long")
	return c
}

// benchOne measures one case of the engine.
func (a *app) benchOne(ctx context.Context, f *benchFlags, device string, threads int) error {
	switch {
	case f.dim < 1 || f.dim > models.MaxWidth, f.batch < 1 || f.batch > engine.MaxBatch:
		return usagef("--dim %d and --batch %d, expected 1 to %d and 1 to %d", f.dim, f.batch, models.MaxWidth, engine.MaxBatch)
	case f.workspace < 2 || f.patterns < 1:
		return usagef("--workspace %d and --patterns %d, expected at least 2 and 1", f.workspace, f.patterns)
	case !(f.seconds > 0 && f.seconds <= 3600):
		return usagef("--seconds %v, expected more than 0 and at most 3600", f.seconds)
	case f.quick || f.json != "" || f.html != "":
		return usagef("--quick, --json and --html are of a whole run, --dim, --workspace, --batch and --seconds of one case")
	}
	c := bench.Case{Width: f.dim, Workspace: f.workspace, Patterns: f.patterns, BatchSize: f.batch, Threads: threads}
	single, err := bench.Measure(ctx, c, device, time.Duration(f.seconds*float64(time.Second)))
	if err != nil {
		return err
	}
	if f.format == "json" {
		return json.NewEncoder(a.out).Encode(single)
	}
	return single.WriteTable(a.out)
}

// benchAll measures the engine beside its peers.
func (a *app) benchAll(ctx context.Context, f *benchFlags, device string, threads int) error {
	if f.patterns < 1 || f.turn < 0 {
		return usagef("--patterns %d and --turn %v, expected at least 1 and no negative time", f.patterns, f.turn)
	}
	plan := bench.FullPlan(threads, f.patterns)
	if f.quick {
		plan = bench.QuickPlan(threads, f.patterns)
	}
	if f.turn > 0 {
		plan.PerTurn = f.turn
	}
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	options := bench.Options{
		Plan: plan, Threads: threads, Device: device, Python: f.python, Gotorch: f.gotorch, Fdqc: executable,
		Command: "fdqc " + strings.Join(os.Args[1:], " "), Version: version,
	}
	watched, finish := a.benchProgress()
	options.Progress = watched
	report, err := bench.Run(ctx, options)
	finish()
	if err != nil {
		return err
	}
	for path, write := range map[string]func(io.Writer) error{f.json: report.WriteJSON, f.html: report.WriteHTML} {
		if path == "" {
			continue
		}
		if err := writeReport(path, write); err != nil {
			return fmt.Errorf("report %s: %w", filepath.Base(path), err)
		}
	}
	if f.format == "json" {
		return report.WriteJSON(a.out)
	}
	return report.WriteTable(a.out)
}

// benchProgress shows a person what is measured now, and nobody else anything.
func (a *app) benchProgress() (show func(step, steps int, what string), finish func()) {
	if a.flags.quiet || !isTerminal(a.err) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions(1,
		progressbar.OptionSetWriter(a.err),
		progressbar.OptionShowCount(),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetDescription("starting the peers"),
	)
	// What a person watches may fail unseen.
	_ = bar.RenderBlank()
	show = func(step, steps int, what string) {
		bar.ChangeMax(steps)
		bar.Describe(what)
		_ = bar.Set(step)
	}
	return show, func() { _ = bar.Finish() }
}

// writeReport makes a regular file appear when it is complete, and writes to
// anything else (a device, a pipe) as it stands.
func writeReport(path string, write func(io.Writer) error) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() {
		return checkpoints.WriteAtomic(path, 0o644, write)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
