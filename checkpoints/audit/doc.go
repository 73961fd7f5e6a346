// Package audit keeps a log of what was done to a data directory, by whom and why, so that nobody can change it unseen.
//
// A log is a folder of files of lines (FORMAT.md); it knows an entry as an event with a JSON object of data, and what that means is
// the caller's business. Every line ends in the hash of its own bytes and holds the hash of the line before, so that a line that was
// changed is told from one that was dropped, moved or put in. Signatures are lines of their own and cover everything before them. A
// Head, kept elsewhere, tells that lines are missing at the end.
//
// Entries come from two sources that last by themselves: a journal and checkpoints. Every entry says up to which journal record and
// which checkpoint the log is complete with it. So a writer need not sync each entry: what a crash took is derived again from
// there by the next writer, exactly once.
//
// Append keeps entries in memory and Flush writes and syncs them, all together or as often as it takes: after an error the same bytes
// are written again by the next Flush, to the same place. An unfinished last line, as a crash leaves it, is cut by the first Flush
// after Open; everything else that does not verify is a *DamageError or *TrustError that names file, line and entry, and nothing
// is cut or guessed. Files are never deleted.
//
// One process writes to a log, which the caller's lock ensures. Verify and Read only read and may run beside the writer. A Log is not safe
// for concurrent use.
package audit
