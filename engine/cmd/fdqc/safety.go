package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/control"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

func (a *app) safetyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "safety",
		Short: "Show and pull the operators' safety levers",
		Long: `Operators' levers lie in the data directory and outlive restarts. In force is the
stricter of them and the configuration, so a lever tightens whatever the
configuration says, and loosens only as far as the configuration allows. A lever
takes effect with the next batch of the process that has the directory open, and
within a second in those that read it.

A critical alert or a rollback puts safe mode on by itself. The way back has two
steps, each after a quiet period (safety.quiet_period) and by an operator:
"safety safe-mode off" leads to the configured tier with human approval on, and
"safety tier DELTA" ends that; from then on any tier can be chosen. What tightens
is always taken.`,
		Example: "  fdqc safety status\n  fdqc safety tier EPSILON --reason \"odd verdicts\"\n  fdqc safety safe-mode on",
		RunE:    needsSubcommand,
	}
	c.AddCommand(
		a.safetyStatusCommand(), a.tierCommand(),
		a.switchCommand("safe-mode", "Turn safe mode on or off: with it no decision is allow",
			func(r *control.PullRequest, on *bool) { r.SafeMode = on }),
		a.switchCommand("human-approval", "Turn human approval on or off: with it a person decides what is not blocked",
			func(r *control.PullRequest, on *bool) { r.RequireHumanApproval = on }),
	)
	return c
}

func (a *app) safetyStatusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "status",
		Short:   "Show what is configured, what operators left and what is in force",
		Long:    `Reads the data directory without its lock, beside a process that has it open.`,
		Example: "  fdqc safety status --data-dir fdqc-data\n  fdqc safety status --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withReader(c, func(d *engine.Directory) error {
				s := control.SafetyOf(d.Config(), d.Levers())
				if asJSON {
					return printJSON(a.out, s)
				}
				return printSafety(a.out, s)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) tierCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "tier TIER",
		Short: "Set the loosest tier that operators allow",
		Long: `Sets the loosest tier that operators allow. From loose to strict: GAMMA, DELTA,
ALPHA and BETA, EPSILON and OMEGA. safety.tier stays in force where it is stricter.`,
		Example: "  fdqc safety tier EPSILON --reason \"odd verdicts since noon\"\n  fdqc safety tier GAMMA",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			tier := strings.ToUpper(args[0])
			return a.pull(c, control.PullRequest{Tier: &tier, Reason: reason})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return c
}

// switchCommand is a lever with two positions.
func (a *app) switchCommand(name, short string, set func(*control.PullRequest, *bool)) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:       name + " on|off",
		Short:     short,
		Example:   fmt.Sprintf("  fdqc safety %s on --reason \"odd verdicts since noon\"\n  fdqc safety %s off", name, name),
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"on", "off"},
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] != "on" && args[0] != "off" {
				return usagef("%s is %q, expected on or off", name, args[0])
			}
			on := args[0] == "on"
			request := control.PullRequest{Reason: reason}
			set(&request, &on)
			return a.pull(c, request)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return c
}

// pull pulls levers and says what is in force then, above all where that is
// not what was asked for.
func (a *app) pull(c *cobra.Command, request control.PullRequest) error {
	return a.withOperator(c, false, func(ctx context.Context, o control.Operator) error {
		s, err := o.Pull(ctx, request)
		if err != nil {
			return err
		}
		if request.Tier != nil && s.InForce.Tier != *request.Tier {
			fmt.Fprintf(a.err, "fdqc: tier %s stays in force: safety.tier of the configuration is at least as strict as %s\n", s.InForce.Tier, *request.Tier)
		}
		if request.SafeMode != nil && s.InForce.SafeMode != *request.SafeMode {
			fmt.Fprintln(a.err, "fdqc: safe mode stays on: the configuration has safety.safe_mode = true")
		}
		if request.Tier != nil && *request.Tier == policy.Delta && s.Levers.Stage == policy.Supervised {
			fmt.Fprintf(a.err, "fdqc: human approval stays on: autonomy resumes by steps; from %s on type again: %s\n", s.Next.From.Format(time.RFC3339), s.Next.Do)
		}
		if request.RequireHumanApproval != nil && s.InForce.RequireHumanApproval != *request.RequireHumanApproval {
			fmt.Fprintln(a.err, "fdqc: human approval stays on: the configuration has safety.require_human_approval = true")
		}
		return printSafety(a.out, s)
	})
}

func printSafety(w io.Writer, s *control.Safety) error {
	l := s.Levers
	tier := l.Tier
	if tier == "" {
		tier = "-"
	}
	alarm := (policy.State{Stage: l.Stage}).Demands()
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "\tconfigured\toperators\talarm\tin force\n")
	fmt.Fprintf(t, "tier\t%s\t%s\t-\t%s\n", s.Configured.Tier, tier, s.InForce.Tier)
	fmt.Fprintf(t, "safe mode\t%s\t%s\t%s\t%s\n", onOff(s.Configured.SafeMode), onOff(l.SafeMode), onOff(alarm.SafeMode), onOff(s.InForce.SafeMode))
	fmt.Fprintf(t, "human approval\t%s\t%s\t%s\t%s\n", onOff(s.Configured.RequireHumanApproval), onOff(l.RequireHumanApproval), onOff(alarm.RequireHumanApproval), onOff(s.InForce.RequireHumanApproval))
	if err := t.Flush(); err != nil {
		return err
	}
	if s.Next != nil {
		fmt.Fprintf(w, "%s since %s (%s); from %s on, an operator may type: %s\n", l.Stage, l.Since.Format(time.RFC3339), plain(l.Cause), s.Next.From.Format(time.RFC3339), s.Next.Do)
	}
	if l.At.IsZero() {
		_, err := fmt.Fprintln(w, "no operator has pulled a lever yet")
		return err
	}
	reason := "no reason given"
	if l.Reason != "" {
		reason = plain(l.Reason)
	}
	_, err := fmt.Fprintf(w, "last changed %s by %s: %s\n", l.At.Format(time.RFC3339), plain(l.By), reason)
	return err
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
