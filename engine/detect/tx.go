package detect

import "context"

// Tx follows one transaction of the memory.
type Tx struct{ d *Detector }

// Batch is the rows of one call.
type Batch struct {
	tx   *Tx
	rows []Row
}

// Prepare does the arithmetic of rows that come together. Each is then judged,
// and stored or held, in order.
func (tx *Tx) Prepare(ctx context.Context, rows []Row) (*Batch, error) {
	return &Batch{tx, rows}, ctx.Err()
}

// Judge answers what the rules find in row i, given all rows that this
// transaction stored or held before.
func (b *Batch) Judge(ctx context.Context, i int) ([]Finding, error) { return nil, ctx.Err() }

// Store says that row i became the pattern with this id.
func (b *Batch) Store(i int, id int64) {}

// Hold says that row i is not stored.
func (b *Batch) Hold(i int) {}

// Evicted says that a pattern left the memory; values are at least [Width].
func (tx *Tx) Evicted(safe bool, id int64, values []float32) {}

// Commit ends the transaction.
func (tx *Tx) Commit() {}

// Rollback leaves everything as before Begin; after Commit it does nothing.
func (tx *Tx) Rollback() {}
