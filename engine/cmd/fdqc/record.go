package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/rows"
)

func (a *app) recordCommand() *cobra.Command {
	var o struct{ input, output, labels, verdicts string }
	c := &cobra.Command{
		Use:   "record --input FILE",
		Short: "Record outcomes into the pattern memory",
		Long: `Records the outcomes of --input (rows with embedding or action, and is_safe or
label) into the memory of the data directory, in order. With --output one
receipt an outcome is appended there, written only when the outcome is on disk.
What was acknowledged before an error stays stored.

The detector looks at each outcome first. What a rule of it holds waits in the
quarantine (see fdqc quarantine), or is rejected, or stored all the same, as
detector.on_outlier says; the receipt's reason names the rules.

--verdicts names what validate wrote about the same actions. Outcomes are joined
with it by id, and right and wrong approvals and refusals are counted by the hour
in which the file was written (fdqc_judged_outcomes). An id that is there twice,
in either file, is an error.`,
		Example: `  fdqc record --input outcomes.jsonl --output receipts.jsonl
  fdqc record --input embeddings.npy --labels labels.jsonl
  echo '{"id": 1, "embedding": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], "is_safe": true}' | fdqc record --input - --output -`,
		RunE: func(c *cobra.Command, _ []string) error {
			var verdicts *verdictsByID
			if o.verdicts != "" {
				var err error
				if verdicts, err = readVerdicts(o.verdicts); err != nil {
					return usage(err)
				}
			}
			return a.withEngine(c, nil, reporting("fdqc_record", func(ctx context.Context, s *session) error {
				return a.record(ctx, s, o.input, o.labels, o.output, verdicts)
			}))
		},
	}
	f := c.Flags()
	f.StringVar(&o.input, "input", "", "outcomes to record (`file` or -)")
	f.StringVar(&o.output, "output", "", "where receipts are appended (.jsonl `file` or -); empty: nowhere")
	f.StringVar(&o.labels, "labels", "", "ids and labels (.jsonl) for the rows of a .npy")
	f.StringVar(&o.verdicts, "verdicts", "", "verdicts (.jsonl `file` of validate) that the outcomes were given, joined by id, to count how often verdicts are right")
	a.metricsFlags(c)
	required(c, "input")
	return c
}

func (a *app) record(ctx context.Context, s *session, input, labels, output string, verdicts *verdictsByID) (err error) {
	reader, batcher, err := a.openInput(s, input, labels, rows.Record)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, batcher.Close()) }()
	var receipts *rows.ReceiptWriter
	if output != "" {
		if receipts, err = rows.OpenReceipts(output, a.out); err != nil {
			return usage(err)
		}
		defer func() { err = errors.Join(err, receipts.Close()) }()
	}
	j := a.newJudge(s.engine, s.logger, input)
	j.verdicts = verdicts
	bar := a.newProgress(reader, input)
	start := time.Now()
	var total int64
	counts := map[string]int64{}
	for {
		batch, err := nextBatch(ctx, batcher)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		lines, stop, failed := a.recordBatch(ctx, j, batch.Entries)
		for i := range lines {
			total++
			counts[lines[i].Result]++
		}
		if receipts != nil {
			if err := receipts.Write(lines); err != nil {
				return errors.Join(failed, err)
			}
		}
		if failed != nil {
			return failed
		}
		if stop != nil {
			return stop
		}
		batch.Release()
		bar.update()
	}
	bar.finish()
	a.summary(s, "recorded", total, fmt.Sprintf("%d stored, %d quarantined, %d rejected, %d refused",
		counts[string(engine.Stored)], counts[string(engine.Quarantined)], counts[string(engine.Rejected)], counts[string(engine.Failed)]), time.Since(start))
	return nil
}

// recordBatch records entries and answers a receipt each, in order. stop is
// the refusal that ends the input, after the receipts of what came before. When
// recording failed the receipts are of what was recorded before it did.
func (a *app) recordBatch(ctx context.Context, j *judge, entries []rows.Entry) (lines []rows.Receipt, stop, failed error) {
	outcomes, refusals, stop := j.outcomes(entries)
	receipts, failed := j.engine.Record(ctx, outcomes)
	for i, refusal := range refusals {
		line := rows.Receipt{ID: entries[i].ID, Sequence: -1, PatternID: -1, Result: string(engine.Failed)}
		if refusal != nil {
			line.Reason = refusal.Error()
			lines = append(lines, line)
			continue
		}
		if len(receipts) == 0 {
			break
		}
		r := receipts[0]
		receipts = receipts[1:]
		line.Side, line.Result, line.Durable, line.Reason = rows.Side(r.Side.String()), string(r.Result), r.Durable, r.Reason
		switch r.Result {
		case engine.Stored:
			line.Sequence, line.PatternID = r.Sequence, r.PatternID
		case engine.Failed:
			if refusal := j.refuse(entries[i].Number, "embedding", errors.New(r.Reason)); !j.skip && stop == nil {
				stop = refusal
			}
		}
		lines = append(lines, line)
	}
	return lines, stop, failed
}
