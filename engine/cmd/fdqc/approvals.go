package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
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
actions out asks "approvals list --all --json" what became of them.

An approval is for the risk that was seen. When the same action is asked about at a
raw risk that is higher by more than 0.05, or above monitor.risk_score where it was
not, or with a flag that it had not (such as matched_unsafe), it waits anew, and
what went before is superseded: the newest approval of a key counts.`,
		Example: "  fdqc approvals list\n  fdqc approvals show 3\n  fdqc approvals approve 3 4 --reason \"looked at both\"\n  fdqc approvals deny 5 --record",
		RunE:    needsSubcommand,
	}
	c.AddCommand(a.approvalsListCommand(), a.approvalsShowCommand(),
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

// approvalsShowCommand shows all of an action: what a person approves has to be
// seen first.
func (a *app) approvalsShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "show ID…",
		Short:   "Show actions that wait, or were decided last, whole",
		Long:    `Reads the data directory without its lock, beside a process that has it open.`,
		Example: "  fdqc approvals show 3\n  fdqc approvals show 3 4 --json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := approvalIDs(args)
			if err != nil {
				return err
			}
			return a.withReader(c, func(d *engine.Directory) error {
				pending, decided := d.Approvals()
				all := append(decided, pending...)
				for _, id := range ids {
					i := slices.IndexFunc(all, func(x engine.Approval) bool { return x.ID == id })
					if i < 0 {
						return usagef("no action waits as %d, and it is not among those that were decided last: see fdqc approvals list --all", id)
					}
					if asJSON {
						err = json.MarshalWrite(a.out, &all[i])
						if err == nil {
							_, err = fmt.Fprintln(a.out)
						}
					} else {
						err = printApproval(a.out, &all[i])
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, a line each")
	return c
}

func printApproval(w io.Writer, x *engine.Approval) error {
	state := string(x.State)
	if x.Decision != nil {
		state += " at " + x.Decision.At.Format(time.RFC3339)
		if x.Decision.By != "" {
			state += " by " + plain(x.Decision.By)
		}
		if x.Decision.Reason != "" {
			state += ": " + plain(x.Decision.Reason)
		}
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, line := range [][2]string{
		{"id", fmt.Sprint(x.ID)}, {"state", state}, {"asked", x.AskedAt.Format(time.RFC3339) + " by " + plain(x.AskedBy)},
		{"until", x.Expires.Format(time.RFC3339)}, {"row", plain(x.Row)}, {"session", plain(x.Session)}, {"source", plain(x.Source)},
		{"risk", fmt.Sprintf("%.3f", x.RawRisk)}, {"flags", plain(strings.Join(x.Flags, ", "))}, {"why", plain(x.Reason)}, {"action", whole(x)},
	} {
		if line[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", line[0], line[1])
		}
	}
	return t.Flush()
}

// whole is all of an action.
func whole(x *engine.Approval) string {
	if x.Action == "" {
		return "(an embedding)"
	}
	return plain(x.Action)
}

// approvalIDs are those that a command names.
func approvalIDs(args []string) ([]int64, error) {
	ids := make([]int64, len(args))
	for i, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || id < 1 {
			return nil, usagef("%q is no id of an action that waits, expected a number: see fdqc approvals list", arg)
		}
		ids[i] = id
	}
	return ids, nil
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
		action := whole(x)
		if len(action) > maxShown {
			action = strings.ToValidUTF8(action[:maxShown], "") + fmt.Sprintf("… (fdqc approvals show %d)", x.ID)
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
that has the data directory open, or here when nobody has. It prints each action
whole: "approvals show" does before.`,
		Example: fmt.Sprintf("  fdqc approvals %s 3 4 --reason \"looked at both\"\n  fdqc approvals %s 3 --record", verb, verb),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := approvalIDs(args)
			if err != nil {
				return err
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
					if _, err := fmt.Fprintf(a.out, "action %d is %s%s\n  risk %.3f: %s\n", x.ID, x.State, recorded, x.RawRisk, whole(&x)); err != nil {
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
