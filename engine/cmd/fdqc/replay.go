package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/engine/rows"
)

func (a *app) replayCommand() *cobra.Command {
	var o struct{ input, output, state, projections string }
	c := &cobra.Command{
		Use:   "replay --config FILE --state FILE --input FILE --output FILE",
		Short: "Run a log of operations against a state, in order",
		Long: `Runs the operations of --input against a validator state, in order and
deterministically: {"op": "validate", …row}, {"op": "record", …row, "is_safe"}
and {"op": "importance", "side", "index", "value"}. Each validate gives one
verdict in --output. Nothing is read from or written to a data directory, and an
action's own checks (paths, signatures) are not made again: "basic_checks" says
what came of them.`,
		Example: `  fdqc replay --config config.toml --state validator_state.pt --projections projections.pt \
      --input operations.jsonl --output verdicts.jsonl --batch-size 4096 --device cpu`,
		RunE: func(c *cobra.Command, _ []string) error {
			// What a detector or an alarm would do is no part of the log.
			options := []engine.Option{engine.InMemory(), engine.WithStateFile(o.state), engine.WithProjectionsFile(o.projections)}
			return a.withEngine(c, append(options, engine.WithoutDetector(), engine.WithoutMonitoring()), func(ctx context.Context, s *session) error {
				return a.replay(ctx, s, o.input, o.output)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.input, "input", "", "operations (.jsonl `file` or -)")
	f.StringVar(&o.output, "output", "", "where verdicts go (`file` or -)")
	f.StringVar(&o.state, "state", "", "validator state_dict (.pt), with its patterns")
	f.StringVar(&o.projections, "projections", "", "projections (.pt)")
	required(c, "state", "input", "output")
	return c
}

func (a *app) replay(ctx context.Context, s *session, input, output string) (err error) {
	reader, batcher, err := a.openInput(s, input, "", rows.Replay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, batcher.Close()) }()
	writer, err := a.createVerdicts(output, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, writer.Abort()) }()
	out := newBehind(writer)
	defer func() { _ = out.finish() }() // before Abort; its error was returned
	j := a.newJudge(s.engine, s.logger, input)
	j.replayed = true // files and signatures are not as they were
	bar := a.newProgress(reader, input)
	start := time.Now()
	counts := map[rows.Op]int64{}
	for {
		batch, err := nextBatch(ctx, batcher)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(out.finish(), err)
		}
		for from, to := 0, 1; from < len(batch.Entries); from, to = to, to+1 {
			op := batch.Entries[from].Op
			for to < len(batch.Entries) && batch.Entries[to].Op == op {
				to++
			}
			counts[op] += int64(to - from)
			if err := a.replayRun(ctx, j, batch, from, to, out); err != nil {
				return errors.Join(out.finish(), err)
			}
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
	a.summary(s, "replayed", counts[rows.OpValidate]+counts[rows.OpRecord]+counts[rows.OpImportance],
		fmt.Sprintf("%d judged, %d recorded", counts[rows.OpValidate], counts[rows.OpRecord]), time.Since(start))
	return nil
}

// replayRun carries out the operations from..to-1 of a batch, which are of one
// kind.
func (a *app) replayRun(ctx context.Context, j *judge, batch *rows.RowBatch, from, to int, out *behind) error {
	entries := batch.Entries[from:to]
	switch entries[0].Op {
	case rows.OpValidate:
		answers, err := out.next()
		if err != nil {
			return err
		}
		stop := j.validate(ctx, batch, from, to, answers)
		out.write(answers)
		return stop
	case rows.OpRecord:
		_, stop, err := a.recordBatch(ctx, j, entries)
		return errors.Join(err, stop)
	default:
		for i := range entries {
			e := &entries[i]
			if e.Err != nil {
				if j.skip {
					continue
				}
				return e.Err
			}
			side := memory.Unsafe
			if e.Side == rows.Safe {
				side = memory.Safe
			}
			if err := j.engine.SetImportance(ctx, side, int(e.Index), e.Value); err != nil {
				return j.refuse(e.Number, "index", err)
			}
		}
		return nil
	}
}
