package engine

import (
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// transaction is what changes together, as a whole or not at all: the pattern
// memory, the quarantine, the approvals, and what the guard knows of them.
type transaction struct {
	*memory.Tx
	quarantine *quarantine
	approvals  *approvals
	guard      guard
}

// guard judges outcomes before they enter the memory, and follows the memory
// through its transactions, of which one at a time is open. What an Engine puts
// there is a gatekeeper; where no engine records there is nobody.
type guard interface {
	// begin opens a transaction of its own, before that of the memory. learns
	// says that outcomes may enter the memory in it: that may need a device.
	begin(learns bool) error
	commit()
	rollback()
	// accepted says that an operator let a row, [n], in: it is the pattern id.
	accepted(side memory.Side, row []float32, id int64)
	// released says that an outcome left the quarantine.
	released(h *Held)
	// evicted says that a pattern, [2n], left the memory.
	evicted(side memory.Side, id int64, pattern []float32)
	// replaced says that the whole memory is another, resized that it lost
	// patterns to a smaller capacity. They come between transactions.
	replaced()
	resized()
	// state is what the guard must not forget over a restart, as JSON.
	// It comes between transactions.
	state() ([]byte, error)
}

// beginChange starts a transaction; learns as for the guard. The caller holds
// changing.
func (d *Directory) beginChange(learns bool) (*transaction, error) {
	if err := d.guard.begin(learns); err != nil {
		return nil, err
	}
	return &transaction{Tx: d.memory.Begin(), quarantine: d.quarantine.Load().copy(), approvals: d.approvals.Load().copy(), guard: d.guard}, nil
}

// commit shows the changes, which are durable where they have to be.
func (tx *transaction) commit(d *Directory) {
	tx.Commit()
	d.quarantine.Store(tx.quarantine)
	d.approvals.Store(tx.approvals)
	tx.guard.commit()
	d.learned = true
}

// rollback leaves everything as it was; after commit it does nothing.
func (tx *transaction) rollback() {
	tx.Rollback()
	tx.guard.rollback()
}

// store puts a row, [n], into the memory as a pattern, and answers the record
// that says so.
func (tx *transaction) store(side memory.Side, row []float32, importance float32) (memory.Change, journal.Entry, error) {
	change, err := tx.Record(side, row, importance)
	if err != nil {
		return change, journal.Entry{}, err
	}
	if change.Gone != nil {
		tx.guard.evicted(side, change.Evicted, change.Gone)
	}
	return change, encodeOutcome(side, row, importance, tx.Stats().Counter, change.ID), nil
}
