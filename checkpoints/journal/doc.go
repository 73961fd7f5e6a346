// Package journal keeps records durably: what Append took is on the disk before it is acknowledged, and comes back in order.
//
// A journal is a folder of segments (FORMAT.md). It knows records as a type and bytes; what they mean is the caller's business.
// Records are appended in group commits: all of a commit or nothing of it is in the journal. A commit ends in a SHA-256 that
// chains it to everything before it, across segments, and in a signature over that when there is a Signer. A Position, the
// number of a record and the chain after it, therefore names one history: a checkpoint that holds its Position
// is never continued by a journal that was cut short or exchanged.
//
// What survives a power failure depends on the SyncMode. With SyncAlways Append returns after fsync, and nothing that it
// acknowledged is lost. The other modes say in their own comments what they may lose.
//
// An incomplete last commit, as a crash leaves it, is cut off and counted by Open and passed over by Replay. Everything
// else that does not verify is an error that matches ErrDamaged or ErrUntrusted and names segment and offset;
// nothing is cut, skipped or guessed then. A tail that was cut off at the end of a commit can be seen only against a Position
// that lies beyond it, so keep one.
//
// What is acknowledged lies where the next Open looks for it: when the segment that is written to, or the folder, was removed, moved or
// exchanged, nothing is acknowledged until it is back.
//
// A failed write leaves the journal as it was, and work goes on when the cause is gone. When even the undoing fails, the error
// matches ErrInDoubt and every call begins with another attempt at it.
//
// One process writes to a journal, which the caller's lock ensures; nothing here locks the folder. Replay and
// Verify only read and may run beside the writer: they see what was complete when they came by. A Journal is safe
// for concurrent use; its calls wait for each other and for the disk.
package journal
