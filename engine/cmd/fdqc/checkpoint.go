package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/control"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

func (a *app) checkpointCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "checkpoint",
		Short: "Look after the checkpoints of a data directory",
		Long: `The memory of a data directory lies in signed checkpoints and a journal of what
came since. These commands list, verify and make checkpoints, go back to one,
and keep the signing key. None of them needs LibTorch. While another process
has the directory open, they go through that process.`,
		Example: "  fdqc checkpoint list\n  fdqc checkpoint verify\n  fdqc checkpoint rollback --reason \"poisoned outcomes\"",
		RunE:    needsSubcommand,
	}
	c.AddCommand(a.listCommand(), a.saveCommand(), a.verifyCommand(), a.restoreCommand(), a.rollbackCommand(), a.pruneCommand(), a.keygenCommand())
	return c
}

func (a *app) listCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the checkpoints, newest first",
		Long: `Lists the checkpoints by what their manifests say; "checkpoint verify" also reads
the files. Waits for no lock.`,
		Example: "  fdqc checkpoint list --data-dir fdqc-data\n  fdqc checkpoint list --json",
		RunE: func(c *cobra.Command, _ []string) error {
			config, _, err := a.settings(c)
			if err != nil {
				return err
			}
			if err := present(&config); err != nil {
				return err
			}
			files, err := engine.OpenStore(config, a.logger(&config))
			if err != nil {
				return err
			}
			list, err := files.List()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.out, listed(list))
			}
			return printList(a.out, listed(list))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// entry is a checkpoint of a listing. What a manifest would say is zero
// without one.
type entry struct {
	Sequence int64     `json:"sequence"`
	Name     string    `json:"name"`
	Path     string    `json:"path"`
	Created  time.Time `json:"created,omitzero"`
	Reason   string    `json:"reason"`
	Safe     int       `json:"safe"`
	Unsafe   int       `json:"unsafe"`
	Capacity int       `json:"capacity"`
	Counter  int64     `json:"counter"`
	Journal  int64     `json:"journal_sequence"`
	Bytes    int64     `json:"bytes"`
	Signed   bool      `json:"signed"`
	KeyID    string    `json:"key_id"`
	Problem  string    `json:"problem,omitzero"`
}

func listed(list []store.Checkpoint) []entry {
	entries := []entry{}
	for _, c := range list {
		e := entry{Name: c.Name, Path: c.Path, Signed: c.Signed, KeyID: c.KeyID}
		if m := c.Manifest; m != nil {
			e.Sequence, e.Created, e.Reason, e.Bytes = m.Sequence, m.Created, m.Reason, m.Size
			e.Safe, e.Unsafe, e.Capacity, e.Counter, e.Journal = m.Safe, m.Unsafe, m.Capacity, m.Counter, m.Journal.Sequence
		}
		if c.Problem != nil {
			e.Problem = oneLine(c.Problem)
		}
		entries = append(entries, e)
	}
	return entries
}

func printList(w io.Writer, entries []entry) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "SEQUENCE\tCREATED\tREASON\tSAFE\tUNSAFE\tCOUNTER\tJOURNAL\tBYTES\tKEY\tNAME\tSTATE")
	for _, e := range entries {
		key, state := "unsigned", "ok"
		if e.KeyID != "" {
			key = e.KeyID[:min(8, len(e.KeyID))]
		}
		if e.Problem != "" {
			state = e.Problem
		}
		if e.Created.IsZero() {
			fmt.Fprintf(t, "-\t-\t-\t-\t-\t-\t-\t-\t-\t%s\t%s\n", plain(e.Name), plain(state))
			continue
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", e.Sequence, e.Created.Format(time.RFC3339), plain(e.Reason),
			e.Safe, e.Unsafe, e.Counter, e.Journal, e.Bytes, plain(key), plain(e.Name), plain(state))
	}
	return t.Flush()
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func (a *app) saveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "save",
		Short:   "Write a checkpoint of the memory now",
		Example: "  fdqc checkpoint save",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withOperator(c, true, func(ctx context.Context, o control.Operator) error {
				saved, err := o.Save(ctx, control.SaveRequest{})
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.out, "saved checkpoint %s\n", written(saved))
				return err
			})
		},
	}
}

// written describes a checkpoint that was written.
func written(c *control.Checkpoint) string {
	return fmt.Sprintf("%d: %s, %d safe and %d unsafe patterns, %d bytes", c.Sequence, c.Path, c.Safe, c.Unsafe, c.Bytes)
}

func (a *app) restoreCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "restore SEQUENCE|FILE",
		Short: "Take in the memory of a kept checkpoint, or of a file",
		Long: `Replaces the memory by that of a kept checkpoint, named by its sequence, or of a
pattern checkpoint from anywhere, such as a Python one. Such a file needs no
signature; that it was taken is logged. The memory becomes a new checkpoint, the
journal since the old one is kept aside, and the safety levers stay as they are.

A name that is a number is a sequence; a file of that name is ./NUMBER.`,
		Example: "  fdqc checkpoint restore 12 --reason \"drill\"\n  fdqc checkpoint restore ../old/patterns_20261123_120000.pt",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			request := control.RestoreRequest{Reason: reason}
			sequence, err := strconv.ParseInt(args[0], 10, 64)
			switch {
			case err == nil && sequence < 1:
				return usagef("sequence %d, expected at least 1", sequence)
			case err == nil:
				request.Sequence = sequence
			case args[0] == "":
				return usagef("restore needs a sequence or the name of a file")
			default:
				// The process that does it may stand elsewhere. A cleaned name
				// would lead elsewhere when ".." stands behind a link.
				request.File = args[0]
				if !filepath.IsAbs(request.File) {
					folder, err := os.Getwd()
					if err != nil {
						return err
					}
					request.File = folder + string(filepath.Separator) + request.File
				}
			}
			return a.withOperator(c, request.File != "", func(ctx context.Context, o control.Operator) error {
				done, err := o.Restore(ctx, request)
				if err != nil {
					return err
				}
				return a.printReplaced("restored from", done)
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return c
}

func (a *app) printReplaced(step string, r *control.Replaced) error {
	aside := r.Aside
	if aside == "" {
		aside = "none, nothing came since"
	}
	t := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "%s\t%s\nnew checkpoint\t%s\njournal aside\t%s\n", step, r.From, written(&r.Checkpoint), aside)
	fmt.Fprintf(t, "safe mode\t%s\nhuman approval\t%s\n", onOff(r.Safety.InForce.SafeMode), onOff(r.Safety.InForce.RequireHumanApproval))
	return t.Flush()
}

func (a *app) rollbackCommand() *cobra.Command {
	var request control.RollbackRequest
	var dryRun bool
	c := &cobra.Command{
		Use:   "rollback",
		Short: "Go back to an older checkpoint, with safe mode and human approval on",
		Long: `The procedure for a memory that can no longer be trusted, as one step: safe mode
and human approval are turned on, the memory before the newest one (or that of
checkpoint --to) comes back as a new checkpoint, and the journal since then is
kept aside. After a rollback the next one goes further back. "fdqc safety" loosens the levers again. --dry-run says where it would
lead, and writes nothing.`,
		Example: "  fdqc checkpoint rollback --dry-run\n  fdqc checkpoint rollback --to 12 --reason \"poisoned outcomes\"",
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("to") && request.To < 1 {
				return usagef("--to is %d, expected the sequence of a checkpoint, at least 1", request.To)
			}
			if dryRun {
				return a.previewRollback(c, request.To)
			}
			return a.withOperator(c, false, func(ctx context.Context, o control.Operator) error {
				done, err := o.Rollback(ctx, request)
				if err != nil {
					return err
				}
				return a.printReplaced("rolled back to", done)
			})
		},
	}
	c.Flags().Int64Var(&request.To, "to", 0, "`sequence` of the checkpoint to go back to; the one before the newest when not given")
	c.Flags().StringVar(&request.Reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say where it would lead and write nothing")
	return c
}

// previewRollback looks without the lock.
func (a *app) previewRollback(c *cobra.Command, to int64) error {
	return a.withReader(c, func(d *engine.Directory) error {
		previous, err := d.Previous(to)
		if err != nil {
			return fmt.Errorf("rollback: %w", err)
		}
		_, err = fmt.Fprintf(a.out, "would go back to checkpoint %d: %s, %d safe and %d unsafe patterns\nwould keep aside what came since: %s\nwould turn on safe mode and human approval\n",
			previous.Sequence, previous.Path, previous.Patterns[memory.Safe], previous.Patterns[memory.Unsafe], plural(previous.Records, "journal record"))
		return err
	})
}

// withReader opens the data directory without its lock, to look at it.
func (a *app) withReader(c *cobra.Command, run func(*engine.Directory) error) error {
	config, _, err := a.settings(c)
	if err != nil {
		return err
	}
	if err := present(&config); err != nil {
		return err
	}
	d, err := engine.OpenDirectory(config, engine.ReadOnly(), engine.AnyCapacity(), engine.WithLogger(a.logger(&config)))
	if err != nil {
		return asInput(err)
	}
	return errors.Join(run(d), d.Close())
}

func (a *app) pruneCommand() *cobra.Command {
	var keep int
	c := &cobra.Command{
		Use:   "prune --keep N",
		Short: "Drop all but the newest checkpoints",
		Long: `Drops the oldest checkpoints until N are left, and the part of the journal that
only they needed. The newest one that verifies stays, whatever N is.`,
		Example: "  fdqc checkpoint prune --keep 3",
		RunE: func(c *cobra.Command, _ []string) error {
			if keep < 1 {
				return usagef("--keep is %d, expected at least 1", keep)
			}
			return a.withOperator(c, false, func(ctx context.Context, o control.Operator) error {
				pruned, err := o.Prune(ctx, control.PruneRequest{Keep: keep})
				if err != nil {
					return err
				}
				for _, path := range pruned.Removed {
					fmt.Fprintf(a.out, "removed %s\n", path)
				}
				return nil
			})
		},
	}
	c.Flags().IntVar(&keep, "keep", 0, "how many `checkpoints` stay, at least 1")
	return c
}
