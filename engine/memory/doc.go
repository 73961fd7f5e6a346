// Package memory keeps the patterns that an engine has learned: two sides,
// safe and unsafe, of rows as wide as twice the workspace. It is the pattern
// memory of the validator specification, section 4, as a value in host memory;
// it knows no files, no tensors and no devices.
//
// # What is promised
//
// A recorded outcome raises the counter by one, whichever side it goes to, and
// then becomes a row: appended while the side has room, else written over the
// row with the largest (counter - timestamp) / (importance + 1), computed in
// float64, the lowest row on a tie. Every pattern gets an id that is never
// given to another and never changes, also when the pattern moves to another
// row. Ids begin at 1; 0 means no pattern.
//
// # Who owns what, what blocks
//
// All changes go through a transaction. Begin waits for the transaction before
// it; Commit or Rollback ends it. Rollback leaves the memory exactly as it was,
// counter and next id included: ids of a transaction that was rolled back were
// never given. Snapshot and Patterns wait for a transaction in progress, Stats
// answers at once with the state last committed; no reader ever sees half a
// transaction. Waiting for a reader or a transaction from inside one's own
// transaction would wait for ever: inside, use the methods of Tx.
//
// A Memory may be used by any number of goroutines, a Tx by one at a time.
// Rows handed out in a Change or a Pattern belong to the memory: they are read
// only, and valid until the transaction (or the step of the iteration) ends.
//
// # How it fails
//
// Methods that fail change nothing. A value that is refused is an error that
// wraps ErrInvalid, a full counter ErrCounterLimit, more patterns than room a
// *CapacityError, a transaction used after its end ErrTxDone.
//
// # Cost
//
// Recording into a full side takes time in the logarithm of the capacity,
// beside the row that is written: see tournament. The first eviction after an
// opening, a resize or a rollback reads the side's timestamps once.
package memory
