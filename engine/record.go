package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/models"
)

// Outcome is an action that turned out safe or unsafe.
type Outcome struct {
	Embedding []float32 // 1 to 4,096 finite numbers
	IsSafe    bool
	// ID names the outcome for people, should it be held; it may be "". It has
	// at most 4,096 bytes, as Source has.
	ID string
	// Source is who says so, for the detector's quotas; "" is an operator,
	// who has none.
	Source string
	// Importance keeps a pattern longer, at least 0; nil is 1.
	Importance *float32
	// Judged says what verdict the action was given, for counting how often
	// verdicts are right; nil: none is known.
	Judged *JudgedAs
}

// JudgedAs is a verdict that an action was given before it turned out safe or
// unsafe.
type JudgedAs struct {
	Approved bool      // by the tier, as Verdict.Approved
	At       time.Time // zero: now
}

// Result says what became of an outcome.
type Result string

// Results of an outcome.
const (
	Stored      Result = "stored"      // a pattern of the memory now
	Rejected    Result = "rejected"    // the detector would not have it
	Quarantined Result = "quarantined" // it waits for an operator
	Failed      Result = "error"       // refused; Reason says why
)

// Receipt answers one outcome.
type Receipt struct {
	Sequence  int64       // the memory's counter with this outcome; 0 unless stored
	Side      memory.Side // of the memory
	PatternID int64       // 0 unless stored
	HeldID    int64       // in the quarantine; 0 unless quarantined
	Result    Result
	Durable   bool // on disk when the receipt was given
	Reason    string
	Findings  []Finding // what the detector's rules said
}

// maxName bounds an outcome's id and source, in bytes: the quarantine keeps them.
const maxName = 4096

// Record puts outcomes into the memory, in order, and returns when they are
// durable: in the journal, synced to the disk (persistence.journal_sync can
// weaken that; the receipts say so). Batches judged from then on see them. An
// outcome that is refused (empty, too wide, NaN, infinity, a negative
// importance) gets a receipt that says so and changes nothing.
//
// The detector looks at each first, as if they came one after another. One
// that a rule of it holds is quarantined, durably, or rejected, or stored all
// the same, as detector.on_outlier says; the receipt names the rules.
//
// Very many outcomes are several commits. When one of them fails the error is a
// *RecordError, and the receipts are of the outcomes before it, which hold; the
// others changed nothing. ErrReadOnly: the engine may not write.
func (e *Engine) Record(ctx context.Context, outcomes []Outcome) ([]Receipt, error) {
	switch {
	case len(outcomes) == 0:
		return nil, nil
	case len(outcomes) > MaxBatch:
		return nil, fmt.Errorf("record: %w", &BatchError{-1, fmt.Sprintf("holds %d outcomes, expected at most %d", len(outcomes), MaxBatch)})
	}
	receipts := make([]Receipt, len(outcomes))
	rows, err := e.workspaceRows(ctx, outcomes, receipts)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	n := e.config.Safety.WorkspaceDim
	// What is too much for one commit of the journal is several.
	step := max(1, maxGroup/(outcomeHead+4*n))
	for from := 0; from < len(outcomes); from += step {
		to := min(from+step, len(outcomes))
		err := e.recordRows(ctx, outcomes[from:to], rows[from*n:to*n], receipts[from:to])
		if errors.Is(err, torch.ErrDeviceLost) && e.config.Engine.Device == anyDevice {
			// Nothing was stored, and the CPU has taken over.
			err = e.recordRows(ctx, outcomes[from:to], rows[from*n:to*n], receipts[from:to])
		}
		if err != nil {
			return receipts[:from], &RecordError{Recorded: from, Of: len(outcomes), Err: err}
		}
		e.directory.watch.recorded(outcomes[from:to], receipts[from:to])
	}
	return receipts, nil
}

// recordRows records outcomes, of which rows are the workspace, as one change,
// and completes their receipts.
func (e *Engine) recordRows(ctx context.Context, outcomes []Outcome, rows []float32, receipts []Receipt) error {
	n := e.config.Safety.WorkspaceDim
	refused := make([]bool, len(outcomes))
	for i := range receipts {
		refused[i] = receipts[i].Result == Failed
	}
	return e.directory.change(ctx, &change{learns: true, apply: func(tx *transaction) ([]journal.Entry, error) {
		judged, err := e.gatekeeper.prepare(ctx, outcomes, rows, refused)
		if err != nil {
			return nil, err
		}
		var entries []journal.Entry
		var sources sourceCounts
		for i := range outcomes {
			if refused[i] {
				continue
			}
			entry, err := e.recordRow(ctx, tx, judged, i, &outcomes[i], rows[i*n:(i+1)*n], &receipts[i])
			if err != nil {
				return nil, err
			}
			if entry.Payload != nil {
				entries = append(entries, entry)
			}
			if source := outcomes[i].Source; source != "" && receipts[i].Result == Stored {
				sources.add(source, 1, mostSources)
			}
		}
		if sources != nil {
			entry, err := sources.entry()
			if err != nil {
				return nil, err
			}
			entries = append(entries, entry)
		}
		return entries, nil
	}, done: e.directory.watch.look})
}

// recordRow puts one outcome where the detector lets it go, and answers the
// record of it; none, where it goes nowhere.
func (e *Engine) recordRow(ctx context.Context, tx *transaction, judged *judged, i int, o *Outcome, row []float32, r *Receipt) (journal.Entry, error) {
	*r = Receipt{Side: r.Side} // an attempt before this one may have been undone
	importance := float32(1)
	if o.Importance != nil {
		importance = *o.Importance
	}
	var holds bool
	var err error
	if r.Findings, holds, err = judged.judge(ctx, i); err != nil {
		return journal.Entry{}, err
	}
	r.Reason = Reasons(r.Findings)
	if holds && e.config.Detector.OnOutlier != OnOutlierFlag {
		judged.hold(i)
		if e.config.Detector.OnOutlier == OnOutlierReject {
			r.Result = Rejected
			return journal.Entry{}, nil
		}
		id, entry, err := tx.quarantine.hold(Held{
			At: e.directory.now().UTC(), Outcome: o.ID, Source: o.Source, Side: r.Side.String(),
			Workspace: row, Importance: importance, Findings: r.Findings,
		}, e.config.Detector.QuarantineCapacity)
		if errors.Is(err, errQuarantineFull) {
			r.Result, r.Reason = Failed, err.Error()+": "+r.Reason
			return journal.Entry{}, nil
		}
		r.HeldID, r.Result, r.Durable = id, Quarantined, e.directory.durable()
		r.Reason = fmt.Sprintf("quarantined as %d: %s", id, r.Reason)
		return entry, err
	}
	change, entry, err := tx.store(r.Side, row, importance)
	if err != nil {
		return entry, err
	}
	judged.store(i, change.ID)
	r.Sequence, r.PatternID, r.Result, r.Durable = tx.Stats().Counter, change.ID, Stored, e.directory.durable()
	return entry, nil
}

// SetImportance changes the importance of a side's row (not id), at least 0.
func (e *Engine) SetImportance(ctx context.Context, side memory.Side, row int, importance float32) error {
	err := e.directory.change(ctx, &change{apply: func(tx *transaction) ([]journal.Entry, error) {
		return []journal.Entry{encodeImportance(side, row, importance)}, tx.SetImportance(side, row, importance)
	}})
	if err != nil {
		return fmt.Errorf("importance: %w", err)
	}
	return nil
}

// ResizeMemory changes the capacity of both sides. A smaller one evicts by
// the rule of the memory, as one step; it answers how many were evicted.
func (e *Engine) ResizeMemory(ctx context.Context, capacity int) (evicted int, err error) {
	return e.directory.Resize(ctx, capacity)
}

// Save writes a checkpoint of the memory into the data directory and answers
// its path.
func (e *Engine) Save(ctx context.Context) (string, error) {
	saved, err := e.directory.Save(ctx, "command")
	return saved.Path, err
}

// workspaceRows checks the outcomes, brings them into the workspace ([len,
// n]) and marks the receipts of those that are refused.
func (e *Engine) workspaceRows(ctx context.Context, outcomes []Outcome, receipts []Receipt) ([]float32, error) {
	n := e.config.Safety.WorkspaceDim
	var flat Batch    // of the outcomes that are well-formed
	var members []int // outcome of each of its rows
	for i := range outcomes {
		o, r := &outcomes[i], &receipts[i]
		r.Side = memory.Unsafe
		if o.IsSafe {
			r.Side = memory.Safe
		}
		width := len(o.Embedding)
		switch {
		case width < 1 || width > models.MaxWidth:
			r.Result, r.Reason = Failed, fmt.Sprintf("embedding of width %d, expected 1 to %d", width, models.MaxWidth)
		case len(o.ID) > maxName || len(o.Source) > maxName:
			r.Result, r.Reason = Failed, fmt.Sprintf("id of %d bytes and source of %d, expected at most %d", len(o.ID), len(o.Source), maxName)
		case o.Importance != nil && !(*o.Importance >= 0 && *o.Importance <= math.MaxFloat32):
			r.Result, r.Reason = Failed, fmt.Sprintf("importance %v, expected a finite number of at least 0", *o.Importance)
		default:
			flat.Embeddings = append(flat.Embeddings, o.Embedding...)
			flat.Widths = append(flat.Widths, width)
			members = append(members, i)
		}
	}
	rows := make([]float32, len(outcomes)*n)
	if len(members) == 0 {
		return rows, nil
	}
	projected, status := make([]float32, len(members)*n), make([]uint32, len(members))
	if err := e.project(ctx, &flat, projected, status); err != nil {
		return nil, err
	}
	for k, i := range members {
		if s := statusFrom(status[k]); s != Judged {
			receipts[i].Result, receipts[i].Reason = Failed, s.Err().Error()
			continue
		}
		copy(rows[i*n:(i+1)*n], projected[k*n:])
	}
	return rows, nil
}

// project brings a batch of at most MaxBatch rows into the workspace.
func (e *Engine) project(ctx context.Context, b *Batch, out []float32, status []uint32) error {
	if err := e.computing.lock(ctx); err != nil {
		return err
	}
	defer e.computing.unlock()
	if e.closed {
		return ErrClosed
	}
	native := models.Batch{Segments: segments(b, nil), Count: len(status)}
	return e.deviceFailed(e.validator.Project(ctx, &native, out, status))
}
