package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/control"
)

func (a *app) approvalsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "approvals",
		Short: "Look at the actions that wait for a person, and decide on them",
		Long: `With "validate --request-approvals" an action whose decision is review, and that
needs a person, waits in the data directory, durably, until somebody approves or
denies it. Nobody in time (safety.approval_expiry) denies it. Whoever carries
actions out asks "approvals list --all --json" what became of them.`,
		Example: "  fdqc approvals list\n  fdqc approvals approve 3 4 --reason \"looked at both\"\n  fdqc approvals deny 5 --record",
		RunE:    needsSubcommand,
	}
	c.AddCommand(a.approvalsListCommand(),
		a.decideCommand("approve", "Approve actions that wait", "safe", true),
		a.decideCommand("deny", "Deny actions that wait", "unsafe", false))
	return c
}

func (a *app) approvalsListCommand() *cobra.Command {
	var asJSON, all bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the actions that wait, oldest first",
		Long:    `Reads the data directory without its lock, beside a process that has it open.`,
		Example: "  fdqc approvals list --data-dir fdqc-data\n  fdqc approvals list --all --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withReader(c, func(d *engine.Directory) error {
				list, decided := d.Approvals()
				if all {
					list = append(decided, list...)
				}
				if asJSON {
					return printJSON(a.out, append([]engine.Approval{}, list...))
				}
				return printApprovals(a.out, list)
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "and before them those that were decided last")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the numbers of the verdicts")
	return c
}

// maxShown is how much of an action a table shows, in bytes.
const maxShown = 200

func printApprovals(w io.Writer, list []engine.Approval) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "nothing waits for approval")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "id\tstate\tuntil\trow\trisk\taction\twhy\n")
	for i := range list {
		x := &list[i]
		state, until, why := string(x.State), x.Expires, x.Reason
		if x.Decision != nil {
			until, why = x.Decision.At, x.Decision.Reason
			if x.Decision.By != "" {
				state += " by " + plain(x.Decision.By)
			}
		}
		action := plain(x.Action)
		switch {
		case action == "":
			action = "(an embedding)"
		case len(action) > maxShown:
			action = strings.ToValidUTF8(action[:maxShown], "") + "…"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%.3f\t%s\t%s\n", x.ID, state, until.Format(time.RFC3339), plain(x.Row), x.RawRisk, action, plain(why))
	}
	return t.Flush()
}

// decideCommand decides on actions that wait.
func (a *app) decideCommand(verb, short, side string, approve bool) *cobra.Command {
	var reason string
	var record bool
	c := &cobra.Command{
		Use:   verb + " ID…",
		Short: short,
		Long: short + `, all that are named or none. It is done by the process
that has the data directory open, or here when nobody has.`,
		Example: fmt.Sprintf("  fdqc approvals %s 3 4 --reason \"looked at both\"\n  fdqc approvals %s 3 --record", verb, verb),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids := make([]int64, len(args))
			for i, arg := range args {
				id, err := strconv.ParseInt(arg, 10, 64)
				if err != nil || id < 1 {
					return usagef("%q is no id of an action that waits, expected a number: see fdqc approvals list", arg)
				}
				ids[i] = id
			}
			return a.withOperator(c, false, func(ctx context.Context, o control.Operator) error {
				decided, err := o.Decide(ctx, control.DecideRequest{IDs: ids, Approve: approve, Record: record, Reason: reason})
				if err != nil {
					return err
				}
				for _, x := range decided.Approvals {
					recorded := ""
					if x.Decision.PatternID != 0 {
						recorded = fmt.Sprintf(", recorded as the %s pattern %d", side, x.Decision.PatternID)
					}
					if _, err := fmt.Fprintf(a.out, "action %d is %s%s\n", x.ID, x.State, recorded); err != nil {
						return err
					}
				}
				_, err = fmt.Fprintf(a.out, "%s left\n", plural(int64(decided.Left), "action"))
				return err
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&record, "record", false, "record each as a "+side+" outcome too")
	return c
}
