package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/bench"
	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/checkpoints"
)

// benchCommand measures the engine beside its peers.
func (a *app) benchCommand() *cobra.Command {
	var (
		output   string
		python   string
		patterns int
		sizes    []int
		turn     time.Duration
	)
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure rows per second here, beside a vectorised PyTorch program",
		Long: `Judges made-up embeddings with made-up patterns, in batches of several sizes,
and prints rows per second and the times of a batch. Beside the engine runs the
same mathematics as a vectorised PyTorch program, if --python (or
FDQC_PEERS_PYTHON) names a Python with PyTorch; the two take turns, and must
answer the same risks before they are timed. A peer that is missing is named.`,
		Example: "  fdqc bench\n  fdqc bench --output report.json --sizes 1,1024 --turn 1s",
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			options := bench.Options{
				BatchSizes: sizes, Patterns: patterns, PerTurn: turn,
				Threads: config.Engine.Threads, Device: config.Engine.Device,
				Python: python, Command: "fdqc " + strings.Join(os.Args[1:], " "),
			}
			if options.Threads == 0 {
				options.Threads = torch.AvailableCPUs()
			}
			if !a.flags.quiet {
				options.Progress = a.err
			}
			if err := options.Check(); err != nil {
				return usage(err)
			}
			report, err := bench.Run(c.Context(), options)
			if err != nil {
				return err
			}
			if output == "-" {
				return report.WriteJSON(a.out)
			}
			if output != "" {
				if err := writeReport(output, report); err != nil {
					return fmt.Errorf("report: %w", err)
				}
			}
			return report.WriteTable(a.out)
		},
	}
	c.Flags().StringVar(&output, "output", "", "also write the report as JSON to this `file`; - prints JSON and no table")
	c.Flags().StringVar(&python, "python", os.Getenv("FDQC_PEERS_PYTHON"), "`path` of a Python with PyTorch 2.11, for the peer")
	c.Flags().IntVar(&patterns, "patterns", 1000, "patterns on each side")
	c.Flags().IntSliceVar(&sizes, "sizes", []int{1, 64, 1024, 16384}, "batch sizes, divisors of 16384")
	c.Flags().DurationVar(&turn, "turn", 250*time.Millisecond, "time of one turn of a program")
	return c
}

// writeReport makes a regular file appear when it is complete, and writes to
// anything else (a device, a pipe) as it stands.
func writeReport(path string, report *bench.Report) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() {
		return checkpoints.WriteAtomic(path, 0o644, report.WriteJSON)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(report.WriteJSON(file), file.Close())
}
