package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/rows"
	"github.com/fdqc-cockpit/fdqc/models"
)

// errNoEncoder is why text alone cannot be judged.
var errNoEncoder = errors.New(`action text needs an encoder; give embedding, or set [embedding] fallback = "hash" (which carries no signal to unseen texts)`)

// judge turns rows into verdicts, or outcomes, in order.
type judge struct {
	engine   *engine.Engine
	logger   hclog.Logger
	hashText bool // embed text by its hash
	skip     bool // a refused row is a verdict, not an end
	file     string
	unit     string
	warned   bool

	// Of the batch in hand, used again.
	batch    engine.Batch
	flat     []float32
	members  []int // entry of each row of the batch
	verdicts []engine.Verdict
	results  []rows.Result
}

// refuse says that an entry cannot be judged, with its place in the input.
func (j *judge) refuse(e *rows.Entry, field string, why error) *rows.RowError {
	return &rows.RowError{File: j.file, Unit: j.unit, Number: e.Number, Field: field, Err: why}
}

// embedding is what an entry is judged by, and whether it is a hash of text.
func (j *judge) embedding(e *rows.Entry) (values []float32, hash bool, refusal *rows.RowError) {
	switch {
	case e.Err != nil:
		return nil, false, e.Err
	case len(e.Embedding) > 0:
		return e.Embedding, false, nil
	case !j.hashText:
		return nil, false, j.refuse(e, "action", errNoEncoder)
	}
	if !j.warned {
		j.warned = true
		j.logger.Warn("text is embedded by its hash, which carries no signal to unseen texts: no decision on text is allow")
	}
	return models.HashEmbedding(e.Action, j.engine.Config().Safety.WorkspaceDim), true, nil
}

// validate judges entries and answers one result each. When a row is refused
// and rows are not to be skipped, the results end before it and the refusal
// is the error. The results are valid until the next call.
func (j *judge) validate(ctx context.Context, entries []rows.Entry) ([]rows.Result, error) {
	b := &j.batch
	j.flat, j.members = j.flat[:0], j.members[:0]
	b.Widths, b.Sessions, b.BasicChecks, b.HashText = b.Widths[:0], b.Sessions[:0], b.BasicChecks[:0], b.HashText[:0]
	j.results = j.results[:0]
	var stop *rows.RowError
	for i := range entries {
		e := &entries[i]
		values, hash, refusal := j.embedding(e)
		if refusal != nil {
			if !j.skip {
				stop = refusal
				break
			}
			j.results = append(j.results, rows.Refused(e.ID, refusal))
			continue
		}
		j.results = append(j.results, rows.Result{ID: e.ID})
		j.members = append(j.members, i)
		j.flat = append(j.flat, values...)
		b.Widths = append(b.Widths, len(values))
		b.Sessions = append(b.Sessions, e.Session)
		b.BasicChecks = append(b.BasicChecks, e.BasicChecks)
		b.HashText = append(b.HashText, hash)
	}
	if len(j.members) > 0 {
		b.Embeddings = j.flat
		if cap(j.verdicts) < len(j.members) {
			j.verdicts = make([]engine.Verdict, len(j.members))
		}
		verdicts := j.verdicts[:len(j.members)]
		if err := j.engine.ValidateInto(ctx, *b, verdicts); err != nil {
			return nil, err
		}
		for k, i := range j.members {
			if why := verdicts[k].Status.Err(); why != nil {
				refusal := j.refuse(&entries[i], "embedding", why)
				if !j.skip {
					return j.results[:i], refusal
				}
				j.results[i] = rows.Refused(entries[i].ID, refusal)
				continue
			}
			j.results[i] = result(entries[i].ID, &verdicts[k])
		}
	}
	if stop != nil {
		return j.results, stop
	}
	return j.results, nil
}

// violationNames name the bits of engine.Violation, lowest first.
var violationNames = []string{"high_entropy", "low_coherence", "high_novelty"}

// result is a verdict as it is written.
func result(id rows.ID, v *engine.Verdict) rows.Result {
	r := rows.Result{
		ID: id, Approved: v.Approved, Decision: v.Decision.String(),
		RiskScore: v.RiskScore, RawRisk: v.RawRisk, BaseRisk: v.BaseRisk,
		Entropy: v.Entropy, Coherence: v.Coherence, Novelty: v.Novelty,
		SafeSimilarity: v.SafeSimilarity, UnsafeSimilarity: v.UnsafeSimilarity,
		MatchedSafe: v.MatchedSafe, MatchedUnsafe: v.MatchedUnsafe,
		NearestSafe: v.NearestSafe, NearestUnsafe: v.NearestUnsafe,
		RequiresApproval: v.RequiresApproval, RequiresHuman: v.RequiresHuman,
		Violations: v.SafetyViolations(), ViolationMask: int64(v.Violations),
		Reason: v.Reason(),
	}
	return r
}

// outcomes turns entries into outcomes. refusals has an element for each
// entry, nil where the entry is an outcome. When a row is refused and rows are
// not to be skipped, both end before it and the refusal is the error.
func (j *judge) outcomes(entries []rows.Entry) (outcomes []engine.Outcome, refusals []*rows.RowError, err error) {
	for i := range entries {
		e := &entries[i]
		values, _, refusal := j.embedding(e)
		if refusal != nil && !j.skip {
			return outcomes, refusals, refusal
		}
		refusals = append(refusals, refusal)
		if refusal != nil {
			continue
		}
		o := engine.Outcome{Embedding: values, IsSafe: e.IsSafe}
		if e.HasImportance {
			o.Importance = &e.Importance
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, refusals, nil
}

// openInput opens rows for reading, and cuts them into batches as the settings
// say. Closing the batcher closes the reader.
func (a *app) openInput(s *session, path, labels string, kind rows.Kind) (rows.Reader, *rows.Batcher, error) {
	reader, err := rows.Open(path, rows.Options{Kind: kind, Labels: labels, Stdin: a.in})
	if err != nil {
		return nil, nil, usage(err)
	}
	return reader, rows.NewBatcher(reader, rows.BatchOptions{
		Size: s.config.Engine.BatchSize, Eager: reader.Streaming(), StopAtRefused: a.flags.onError == "stop",
	}), nil
}

// newJudge prepares a judge of the rows of an input.
func (a *app) newJudge(e *engine.Engine, logger hclog.Logger, input string) *judge {
	j := &judge{
		engine: e, logger: logger, file: input, unit: unitOf(input),
		hashText: e.Config().Embedding.Fallback == "hash",
		skip:     a.flags.onError == "skip",
	}
	if input == "-" {
		j.file = "standard input"
	}
	return j
}

// nextBatch reads on; input errors are the user's.
func nextBatch(ctx context.Context, b *rows.Batcher) (*rows.RowBatch, error) {
	batch, err := b.Next(ctx)
	if err != nil && ctx.Err() == nil {
		err = usage(err)
	}
	return batch, err
}

// plural counts things in a sentence.
func plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
