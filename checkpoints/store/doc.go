// Package store keeps the checkpoints of a data directory: pattern checkpoints that rotate, and the validator's state and the
// projections, which are replaced in place. FORMAT.md describes the files, the order of writes and what a crash leaves.
//
// Every file has a manifest beside it, a signed envelope (package signing) with its size, its SHA-256 and that of each of its
// records. Save and SaveFile return when file and manifest are durable and were read back; after an error what was there
// before is there still, nothing lies beside it, and the next call works once the cause is gone. At no moment does a crash
// leave a newest file that is incomplete or looks unsigned.
//
// Reading verifies. A file is opened once, through no link, read into private memory, compared with its manifest, and those
// very bytes are parsed. A damaged checkpoint (ErrDamaged) is passed over for the next older one, and Newest tells and can
// set it aside; one whose origin is not proven (ErrUntrusted) stops with an error and is left where it is, since
// going on would let whoever put it there choose what is forgotten. When all are damaged nothing is guessed: ErrNoneLeft.
//
// One process writes to a directory, which is the caller's business to ensure; its calls on one Store are safe for
// concurrent use and wait for each other. Others may read at the same time without a lock: List, Newest and ReadFile try
// again when a file vanishes under them. All of them block on the file system only.
package store
