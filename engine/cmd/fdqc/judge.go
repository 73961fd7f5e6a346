package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
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
	replayed bool // rows say themselves whether they passed their basic checks
	file     string
	unit     string
	warned   bool
	verdicts *verdictsByID // of outcomes; nil: none are known

	// Of the batch in hand, used again.
	batch   engine.Batch
	flat    []float32
	members []int    // row of the input of each row of the batch
	failed  []string // of each: why its action failed the basic checks, or ""
}

// answers are the results of some rows, and the verdicts that their texts are
// made from.
type answers struct {
	results  []rows.Result
	verdicts []engine.Verdict
}

// grow makes room for the verdicts of n rows.
func (a *answers) grow(n int) []engine.Verdict {
	a.verdicts = slices.Grow(a.verdicts[:0], n)[:n]
	return a.verdicts
}

// refuse says that a row cannot be judged, with its place in the input.
func (j *judge) refuse(number int64, field string, why error) *rows.RowError {
	return &rows.RowError{File: j.file, Unit: j.unit, Number: number, Field: field, Err: why}
}

// embedding is what an entry is judged by, and whether it is a hash of text.
func (j *judge) embedding(e *rows.Entry) (values []float32, hash bool, refusal *rows.RowError) {
	switch {
	case e.Err != nil:
		return nil, false, e.Err
	case len(e.Embedding) > 0:
		return e.Embedding, false, nil
	case !j.hashText:
		return nil, false, j.refuse(e.Number, "action", errNoEncoder)
	}
	if !j.warned {
		j.warned = true
		j.logger.Warn("text is embedded by its hash, which carries no signal to unseen texts: no decision on text is allow")
	}
	text := e.Action
	if e.Structured {
		text = policy.Text([]byte(text))
	}
	return models.HashEmbedding(text, j.engine.Config().Safety.WorkspaceDim), true, nil
}

// validate judges the rows from..to-1 of a batch and answers one result each
// in into. When a row is refused and rows are not to be skipped, the results
// end before it and the refusal is the error.
func (j *judge) validate(ctx context.Context, rs *rows.RowBatch, from, to int, into *answers) error {
	into.results = into.results[:0]
	if width := rs.Bare(); width > 0 {
		if err := j.engine.CheckAction(nil); err != nil {
			return j.failAll(ctx, rs, from, to, err, into)
		}
		b := engine.Batch{Embeddings: rs.Numbers(from, to), Width: width}
		verdicts := into.grow(to - from)
		if err := j.engine.ValidateInto(ctx, b, verdicts); err != nil {
			return err
		}
		for i := range verdicts {
			if err := j.answer(rs, from+i, &verdicts[i], into, len(into.results)); err != nil {
				return err
			}
		}
		return nil
	}
	stop := j.gather(rs, from, to, into)
	if len(j.members) > 0 {
		verdicts := into.grow(len(j.members))
		if err := j.engine.ValidateInto(ctx, j.batch, verdicts); err != nil {
			into.results = into.results[:0]
			return err
		}
		for k, i := range j.members {
			if err := j.answer(rs, i, &verdicts[k], into, i-from); err != nil {
				return err
			}
			if j.failed[k] != "" {
				into.results[i-from].Texts = &failedAction{&verdicts[k], j.failed[k]}
			}
		}
	}
	if stop != nil {
		return stop
	}
	return nil
}

// failAll answers for rows that have nothing but an embedding, where an action
// is asked for.
func (j *judge) failAll(ctx context.Context, rs *rows.RowBatch, from, to int, why error, into *answers) error {
	b := engine.Batch{Embeddings: rs.Numbers(from, to), Width: rs.Bare(), BasicChecks: make([]bool, to-from)}
	verdicts := into.grow(to - from)
	if err := j.engine.ValidateInto(ctx, b, verdicts); err != nil {
		return err
	}
	for i := range verdicts {
		if err := j.answer(rs, from+i, &verdicts[i], into, len(into.results)); err != nil {
			return err
		}
		into.results[i].Texts = &failedAction{&verdicts[i], why.Error()}
	}
	return nil
}

// failedAction is what the verdict on an action says that failed its basic
// checks.
type failedAction struct {
	*engine.Verdict
	why string
}

// Reason says which check failed.
func (f *failedAction) Reason() string { return f.Verdict.Reason() + ": " + f.why }

// check says why the action of an entry fails the basic checks, if it does. An
// entry that says itself that it failed them is asked nothing further.
func (j *judge) check(e *rows.Entry) string {
	if !e.BasicChecks || j.replayed {
		return ""
	}
	var action []byte
	if e.Structured {
		action = []byte(e.Action)
	}
	if err := j.engine.CheckAction(action); err != nil {
		return err.Error()
	}
	return ""
}

// gather makes the batch of the rows that are not refused, and answers for
// those that are; at the first one, if rows are not to be skipped, it stops.
func (j *judge) gather(rs *rows.RowBatch, from, to int, into *answers) (stop *rows.RowError) {
	b := &j.batch
	j.flat, j.members, j.failed = j.flat[:0], j.members[:0], j.failed[:0]
	b.Widths, b.Sessions, b.BasicChecks, b.HashText = b.Widths[:0], b.Sessions[:0], b.BasicChecks[:0], b.HashText[:0]
	refused := 0
	hashes := false // so that the numbers as they were read are not all there is
	end := to
	for i := from; i < to; i++ {
		e := &rs.Entries[i]
		values, hash, refusal := j.embedding(e)
		if refusal != nil {
			if !j.skip {
				stop, end = refusal, i
				break
			}
			into.results = append(into.results, rows.Refused(e.ID, refusal))
			refused++
			continue
		}
		into.results = append(into.results, rows.Result{})
		if hash && !hashes {
			hashes = true
			j.flat = append(j.flat, rs.Numbers(from, i)...)
		}
		if hashes {
			j.flat = append(j.flat, values...)
		}
		j.members = append(j.members, i)
		b.Widths = append(b.Widths, len(values))
		b.Sessions = append(b.Sessions, e.Session)
		failed := j.check(e)
		j.failed = append(j.failed, failed)
		b.BasicChecks = append(b.BasicChecks, e.BasicChecks && failed == "")
		b.HashText = append(b.HashText, hash)
	}
	j.engine.CountRefused(refused)
	b.Embeddings = j.flat
	if !hashes {
		b.Embeddings = rs.Numbers(from, end)
	}
	return stop
}

// answer puts the result of a row at a place of the results, which may be
// their end. A row that the engine refused ends them unless it is skipped.
func (j *judge) answer(rs *rows.RowBatch, row int, v *engine.Verdict, into *answers, at int) error {
	if at == len(into.results) {
		into.results = append(into.results, rows.Result{})
	}
	why := v.Status.Err()
	if why == nil {
		fill(&into.results[at], rs.ID(row), v)
		return nil
	}
	refusal := j.refuse(rs.Number(row), "embedding", why)
	if !j.skip {
		into.results = into.results[:at]
		return refusal
	}
	into.results[at] = rows.Refused(rs.ID(row), refusal)
	return nil
}

// violationNames name the bits of engine.Violation, lowest first.
var violationNames = []string{"high_entropy", "low_coherence", "high_novelty"}

// fill makes a result of a verdict, which must stay while the result is used.
// It sets every field in its place: a result is as large as what it is made
// of, and one that is copied there costs as much again.
func fill(r *rows.Result, id rows.ID, v *engine.Verdict) {
	r.ID, r.Approved, r.Decision = id, v.Approved, v.Decision.String()
	r.RiskScore, r.RawRisk, r.BaseRisk = v.RiskScore, v.RawRisk, v.BaseRisk
	r.Entropy, r.Coherence, r.Novelty = v.Entropy, v.Coherence, v.Novelty
	r.SafeSimilarity, r.UnsafeSimilarity = v.SafeSimilarity, v.UnsafeSimilarity
	r.MatchedSafe, r.MatchedUnsafe = v.MatchedSafe, v.MatchedUnsafe
	r.NearestSafe, r.NearestUnsafe = v.NearestSafe, v.NearestUnsafe
	r.RequiresApproval, r.RequiresHuman = v.RequiresApproval, v.RequiresHuman
	r.ViolationMask, r.Texts, r.Error = int64(v.Violations), v, ""
}

// outcomes turns entries into outcomes. refusals has an element for each
// entry, nil where the entry is an outcome. When a row is refused and rows are
// not to be skipped, both end before it and the refusal is the error.
func (j *judge) outcomes(entries []rows.Entry) (outcomes []engine.Outcome, refusals []*rows.RowError, err error) {
	for i := range entries {
		e := &entries[i]
		values, _, refusal := j.embedding(e)
		var judged *engine.JudgedAs
		if refusal == nil {
			var err error
			if judged, err = j.verdicts.of(e.ID); err != nil {
				refusal = j.refuse(e.Number, "id", err)
			}
		}
		if refusal != nil && !j.skip {
			return outcomes, refusals, refusal
		}
		refusals = append(refusals, refusal)
		if refusal != nil {
			continue
		}
		o := engine.Outcome{Embedding: values, IsSafe: e.IsSafe, ID: e.ID.String(), Source: e.Source, Judged: judged}
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
