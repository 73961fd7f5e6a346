package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/rows"
)

func (a *app) validateCommand() *cobra.Command {
	var o struct {
		input, output, state, patterns, projections, labels, fields, failOn string
		ask                                                                 bool
	}
	c := &cobra.Command{
		Use:   "validate --input FILE --output FILE",
		Short: "Judge actions in batches",
		Long: `Judges the actions of --input (.jsonl, .npy, .npz, .parquet; - is standard
input) and writes a verdict each to --output (.jsonl, .npz, .parquet; - is
standard output), in input order. The pattern memory is that of the data directory, or of the files
named. The moved states of sessions are not saved.

An action that is an object {"tool", "args", "path", "process"} goes through the
basic checks first (safety.allowed_file_patterns, allowed_processes,
require_signed_actions); one that fails is blocked, with the field as the reason.

A row that is refused (NaN, infinity, wrong width, bad JSON) ends the command
with its line number; with --on-error skip it is a verdict that blocks.
A critical alert puts safe mode on in this command, and in the process that has
the data directory open, if there is one: this command itself writes nothing there.
However long it goes on, it obeys the operators' levers within a second, and goes
on with the other memory after a rollback. What is recorded meanwhile it does not
see. While the data directory cannot be read again, everything is blocked.
A regular output file appears under its name only when complete.`,
		Example: `  fdqc validate --input actions.jsonl --output verdicts.jsonl
  fdqc validate --input embeddings.npy --output verdicts.npz --fields id,risk_score,decision
  fdqc validate --input actions.parquet --output verdicts.parquet
  tail -f actions.jsonl | fdqc validate --input - --output -
  fdqc validate --input plan.jsonl --output - --fail-on block`,
		RunE: func(c *cobra.Command, _ []string) error {
			failOn, err := parseFailOn(o.failOn)
			if err != nil {
				return err
			}
			var fields []rows.Field
			if o.fields != "" {
				if fields, err = rows.ParseFields(o.fields); err != nil {
					return usage(err)
				}
			}
			options := []engine.Option{
				engine.ReadOnly(), engine.WithStateFile(o.state),
				engine.WithPatternsFile(o.patterns), engine.WithProjectionsFile(o.projections),
			}
			if o.state+o.patterns == "" {
				tell, err := a.tellOwner(c)
				if err != nil {
					return err
				}
				options = append(options, tell)
			}
			var k *asker
			if o.ask {
				if o.state+o.patterns+o.projections != "" {
					return usagef("--request-approvals is for the data directory, and --state, --patterns and --projections are not: give one or the other")
				}
				k = &asker{app: a, command: c}
			}
			return a.withEngine(c, options, reporting("fdqc_validate", func(ctx context.Context, s *session) error {
				return a.validate(ctx, s, o.input, o.labels, o.output, fields, failOn, k)
			}))
		},
	}
	f := c.Flags()
	f.StringVar(&o.input, "input", "", "actions to judge (`file` or -)")
	f.StringVar(&o.output, "output", "", "where verdicts go (`file` or -)")
	f.StringVar(&o.state, "state", "", "validator state_dict (.pt) instead of the data directory's")
	f.StringVar(&o.patterns, "patterns", "", "pattern checkpoint (.pt) instead of the data directory's")
	f.StringVar(&o.projections, "projections", "", "projections (.pt) instead of the data directory's")
	f.StringVar(&o.labels, "labels", "", "ids and sessions (.jsonl) for the rows of a .npy")
	f.StringVar(&o.fields, "fields", "", "fields of a verdict to write, comma-separated; empty: all")
	f.StringVar(&o.failOn, "fail-on", "", "exit 10 when a decision is at least this strict: review or block")
	f.BoolVar(&o.ask, "request-approvals", false, "put what needs a person into the queue of the data directory: see fdqc approvals")
	a.metricsFlags(c)
	required(c, "input", "output")
	return c
}

// parseFailOn reads --fail-on; nil when it is not given.
func parseFailOn(value string) (*engine.Decision, error) {
	for _, d := range []engine.Decision{engine.Review, engine.Block} {
		if value == d.String() {
			return &d, nil
		}
	}
	if value != "" {
		return nil, usagef("--fail-on is %q, expected review or block", value)
	}
	return nil, nil
}

// tally counts what validate answered.
type tally struct {
	rows, approved, refused int64
	allow, review, block    int64
}

func (t *tally) add(results []rows.Result) {
	t.rows += int64(len(results))
	for i := range results {
		switch results[i].Decision {
		case engine.Allow.String():
			t.allow++
		case engine.Review.String():
			t.review++
		default:
			t.block++
		}
		if results[i].Approved {
			t.approved++
		}
		if results[i].Error != "" {
			t.refused++
		}
	}
}

func (a *app) validate(ctx context.Context, s *session, input, labels, output string, fields []rows.Field, failOn *engine.Decision, k *asker) (err error) {
	reader, batcher, err := a.openInput(s, input, labels, rows.Validate)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, batcher.Close()) }()
	writer, err := a.createVerdicts(output, fields)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, writer.Abort()) }()

	out := newBehind(writer)
	defer func() { _ = out.finish() }() // before Abort; its error was returned

	var count tally
	j := a.newJudge(s.engine, s.logger, input)
	bar := a.newProgress(reader, input)
	start := time.Now()
	for {
		batch, err := nextBatch(ctx, batcher)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(out.finish(), err)
		}
		answers, err := out.next()
		if err != nil {
			return err
		}
		stop := j.validate(ctx, batch, 0, batch.Len(), answers)
		count.add(answers.results)
		var asked error
		if k != nil {
			asked = k.ask(ctx, j, batch, answers)
		}
		out.write(answers)
		if asked != nil {
			return errors.Join(out.finish(), asked)
		}
		if stop != nil {
			return errors.Join(out.finish(), stop)
		}
		batch.Release()
		bar.update()
	}
	bar.finish()
	if err := out.finish(); err != nil {
		return err
	}
	if err := writer.Commit(); err != nil {
		return err
	}
	a.summary(s, "judged", count.rows, fmt.Sprintf("%d approved (%d allow, %d review, %d block), %d refused",
		count.approved, count.allow, count.review, count.block, count.refused), time.Since(start))
	a.shadowSummary(s)
	if k != nil {
		k.summary()
	}
	if failOn != nil {
		met := count.block
		if *failOn == engine.Review {
			met += count.review
		}
		if met > 0 {
			return &failOnError{*failOn, met}
		}
	}
	return nil
}

// createVerdicts opens an output for verdicts.
func (a *app) createVerdicts(path string, fields []rows.Field) (rows.Writer, error) {
	out, err := a.createOutput(path)
	if err != nil {
		return nil, err
	}
	return rows.NewWriter(out, rows.WriterOptions{Fields: fields, ViolationNames: violationNames})
}

func (a *app) createOutput(path string) (*rows.Output, error) {
	out, err := rows.CreateOutput(path, a.out, func(path string) (rows.Sink, error) { return checkpoints.Create(path, 0o666) })
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		return nil, usage(err) // a name that cannot be written
	}
	return out, err
}

// summary tells a person what was done.
func (a *app) summary(s *session, did string, n int64, detail string, took time.Duration) {
	if a.flags.quiet {
		return
	}
	rate := float64(n) / max(took.Seconds(), 1e-9)
	fmt.Fprintf(a.err, "%s %s on %s: %s; %.0f rows/s\n", did, plural(n, "row"), s.engine.DeviceName(), detail, rate)
}

// required marks flags that a command cannot do without.
func required(c *cobra.Command, flags ...string) {
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, flag := range flags {
			if value := c.Flags().Lookup(flag).Value.String(); value == "" {
				return usagef("%s needs --%s: see %s --help", c.CommandPath(), flag, c.CommandPath())
			}
		}
		return run(c, args)
	}
}
