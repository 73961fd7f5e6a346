package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/control"
)

func (a *app) quarantineCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "quarantine",
		Short: "Look at the outcomes that the detector held, and decide on them",
		Long: `With detector.on_outlier = "quarantine" an outcome that a rule of the detector
holds waits in the data directory, durably, until an operator accepts it, which
makes it a pattern, or drops it.`,
		Example: "  fdqc quarantine list\n  fdqc quarantine accept 3 4 --reason \"checked by hand\"\n  fdqc quarantine drop 5",
		RunE:    needsSubcommand,
	}
	c.AddCommand(a.quarantineListCommand(),
		a.releaseCommand("accept", "Put held outcomes into the memory", true),
		a.releaseCommand("drop", "Drop held outcomes for good", false))
	return c
}

func (a *app) quarantineListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the outcomes that wait, oldest first",
		Long:    `Reads the data directory without its lock, beside a process that has it open.`,
		Example: "  fdqc quarantine list --data-dir fdqc-data\n  fdqc quarantine list --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withReader(c, func(d *engine.Directory) error {
				held := d.Quarantine()
				if asJSON {
					return printJSON(a.out, held)
				}
				return a.printQuarantine(held)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the workspace rows")
	return c
}

func (a *app) printQuarantine(held []engine.Held) error {
	if len(held) == 0 {
		_, err := fmt.Fprintln(a.out, "nothing is in quarantine")
		return err
	}
	t := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "id\tcame\tside\toutcome\tsource\twhy\n")
	for i := range held {
		h := &held[i]
		source := h.Source
		if source == "" {
			source = "operator"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", h.ID, h.At.Format(time.RFC3339), h.Side, plain(h.Outcome), plain(source), plain(engine.Reasons(h.Findings)))
	}
	return t.Flush()
}

// releaseCommand decides on outcomes in quarantine.
func (a *app) releaseCommand(verb, short string, accept bool) *cobra.Command {
	var reason string
	var all bool
	c := &cobra.Command{
		Use:   verb + " ID…",
		Short: short,
		Long: short + `, all that are named or none. It is done by the process
that has the data directory open, or here when nobody has.`,
		Example: fmt.Sprintf("  fdqc quarantine %s 3 4 --reason \"checked by hand\"\n  fdqc quarantine %s --all", verb, verb),
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usagef("%s needs ids of held outcomes, or --all: see fdqc quarantine list", c.CommandPath())
			}
			ids := make([]int64, len(args))
			for i, arg := range args {
				id, err := strconv.ParseInt(arg, 10, 64)
				if err != nil || id < 1 {
					return usagef("%q is no id of a held outcome, expected a number: see fdqc quarantine list", arg)
				}
				ids[i] = id
			}
			if all {
				// What comes after this look is not meant.
				if err := a.withReader(c, func(d *engine.Directory) error {
					for _, h := range d.Quarantine() {
						ids = append(ids, h.ID)
					}
					return nil
				}); err != nil {
					return err
				}
				if len(ids) == 0 {
					_, err := fmt.Fprintln(a.out, "nothing is in quarantine")
					return err
				}
			}
			return a.withOperator(c, false, func(ctx context.Context, o control.Operator) error {
				released, err := o.Release(ctx, control.ReleaseRequest{IDs: ids, Accept: accept, Reason: reason})
				if err != nil {
					return err
				}
				did := "dropped"
				if accept {
					did = "accepted"
				}
				_, err = fmt.Fprintf(a.out, "%s %s, %d left in quarantine\n", did, plural(int64(len(released.IDs)), "outcome"), released.Left)
				return err
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&all, "all", false, "all that wait now")
	return c
}
