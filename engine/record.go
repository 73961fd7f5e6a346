package engine

import (
	"context"
	"fmt"
	"math"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/models"
)

// Outcome is an action that turned out safe or unsafe.
type Outcome struct {
	Embedding []float32 // 1 to 4,096 finite numbers
	IsSafe    bool
	// Importance keeps a pattern longer, at least 0; nil is 1.
	Importance *float32
}

// Result says what became of an outcome.
type Result string

// Results of an outcome.
const (
	Stored Result = "stored" // a pattern of the memory now
	Failed Result = "error"  // refused; Reason says why
)

// Receipt answers one outcome.
type Receipt struct {
	Sequence  int64       // the memory's counter with this outcome; 0 when refused
	Side      memory.Side // of the memory
	PatternID int64       // 0 when refused
	Result    Result
	Durable   bool // on disk when the receipt was given
	Reason    string
}

// Record puts outcomes into the memory, in order, and returns when they are
// durable: in the journal, synced to the disk (persistence.journal_sync can
// weaken that; the receipts say so). Batches judged from then on see them. An
// outcome that is refused (empty, too wide, NaN, infinity, a negative
// importance) gets a receipt that says so and changes nothing.
//
// On an error the receipts, if any, are of the first outcomes, which are
// stored; the others are not. ErrReadOnly: the engine may not write.
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
		if err := e.recordRows(ctx, outcomes[from:to], rows[from*n:to*n], receipts[from:to]); err != nil {
			return receipts[:from], fmt.Errorf("record: %w", err)
		}
	}
	return receipts, nil
}

// recordRows records outcomes, of which rows are the workspace, as one change,
// and completes their receipts.
func (e *Engine) recordRows(ctx context.Context, outcomes []Outcome, rows []float32, receipts []Receipt) error {
	n := e.config.Safety.WorkspaceDim
	return e.directory.change(ctx, func(tx *memory.Tx) ([]journal.Entry, error) {
		sequence := tx.Stats().Counter
		var entries []journal.Entry
		for i := range outcomes {
			r := &receipts[i]
			if r.Result == Failed {
				continue
			}
			importance := float32(1)
			if outcomes[i].Importance != nil {
				importance = *outcomes[i].Importance
			}
			row := rows[i*n : (i+1)*n]
			change, err := tx.Record(r.Side, row, importance)
			if err != nil {
				return nil, err
			}
			sequence++
			r.Sequence, r.PatternID, r.Result, r.Durable = sequence, change.ID, Stored, e.directory.durable()
			entries = append(entries, encodeOutcome(r.Side, row, importance, sequence, change.ID))
		}
		return entries, nil
	}, nil)
}

// SetImportance changes the importance of a side's row (not id), at least 0.
func (e *Engine) SetImportance(ctx context.Context, side memory.Side, row int, importance float32) error {
	err := e.directory.change(ctx, func(tx *memory.Tx) ([]journal.Entry, error) {
		return []journal.Entry{encodeImportance(side, row, importance)}, tx.SetImportance(side, row, importance)
	}, nil)
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
