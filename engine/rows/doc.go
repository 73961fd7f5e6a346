// Package rows reads the rows that commands are given (.jsonl, .npy, .npz) and writes what they answer: verdicts,
// receipts and patterns.
//
// Reading: [Open] gives a [Reader] that streams: it holds one row, never the file. A row that cannot be taken is a
// [*RowError] that names file, line (or row) and field and says what was expected; reading may go on after it. Every other
// error is final: a file cut short ([ErrTruncated]), one without rows ([ErrNoRows]), a failed read. Order is kept, ids are
// neither checked nor changed, so duplicate ids stay. Unknown fields and blank lines are ignored; a field that is null
// counts as absent.
//
// A [Batcher] reads on a goroutine of its own, hands out batches within bounded memory, and from a pipe hands over what
// has arrived instead of waiting for a batch to fill. Its Next ends with its context even while a read blocks.
//
// Writing: a [Writer] puts verdicts into a [Sink], which decides when a file appears under its name; the .npz writer
// keeps its columns in unnamed temporary files until Commit. After an error of Write the caller calls Abort, which leaves
// nothing behind.
//
// Owned: the embedding of a [Row] belongs to the reader's next Next; a [RowBatch] belongs to the caller until Release.
// Readers and writers are for one goroutine; Size, Done and Close of a Reader may be called from another, and so may
// Close of a Batcher. Writing to a closed standard output ends a Go process by SIGPIPE unless the program ignores that
// signal; then the error is syscall.EPIPE, wrapped.
package rows
