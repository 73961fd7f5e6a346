// Package rows reads the rows that commands are given (.jsonl, .npy, .npz, .parquet) and writes what they answer:
// verdicts, receipts and patterns.
//
// Reading: [Open] gives a [Reader] that streams: it holds some rows, never the file. A row that cannot be taken is a
// [*RowError] that names file, line (or row) and field and says what was expected; reading may go on after it. Every other
// error is final: a file cut short ([ErrTruncated]), one without rows ([ErrNoRows]), a failed read. Order is kept, ids are
// neither checked nor changed, so duplicate ids stay. Unknown fields and blank lines are ignored; a field that is null
// counts as absent.
//
// The embeddings of a batch of a .npy or .npz are the bytes of the file, read once into place. They are not mapped, because
// a mapping that shrinks under LibTorch's threads ends the process. Lines of JSON are parsed by several goroutines.
//
// A [Batcher] reads on a goroutine of its own, hands out batches within bounded memory, and from a pipe hands over what
// has arrived instead of waiting for a batch to fill. Its Next ends with its context even while a read blocks.
//
// Writing: a [Writer] puts verdicts into a [Sink], which decides when a file appears under its name; the .npz and .parquet
// writers keep what they write in unnamed temporary files until Commit. Ids that are all integers are written as integers
// there, else all as texts. In .parquet a number that is not finite, a nearest pattern that is none and an error that is
// none are null, and safety_violations a list of texts. After an error of Write the caller calls Abort, which leaves nothing
// behind.
//
// Owned: a [RowBatch] belongs to the caller until Release.
// Readers and writers are for one goroutine; Size, Done and Close of a Reader may be called from another, and so may
// Close of a Batcher. Writing to a closed standard output ends a Go process by SIGPIPE unless the program ignores that
// signal; then the error is syscall.EPIPE, wrapped.
package rows
