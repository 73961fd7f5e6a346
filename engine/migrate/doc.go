// Package migrate makes a data directory of the checkpoint folder of a Python
// installation, and says of every file and tensor what became of it.
//
// # What is promised
//
// The source is only read, each file once, and what was verified is what is
// written. The target is made complete or not at all; it must be absent or
// empty. Nothing in a file is executed: a file that the strict readers of
// package checkpoints refuse is refused here, with their reason. Verdicts of
// the data directory are those of the installation without a flag, because
// what they depend on (width of the workspace, state_update, capacity) is
// written into its fdqc.toml.
//
// Run judges every file that matches a glob of the Python system (README.md
// has the table). One file each of patterns, validator state and projections
// becomes the engine's own: these decide verdicts. When one of them is
// refused, nothing is made, since an older file would silently take its
// place. All others are verified and copied byte for byte.
//
// # How it fails
//
// Bad paths and a policy that cannot be taken are an *InputError; then nothing
// is made. Files that were refused are a *RefusedError,
// which matches checkpoints.ErrMalformed when one of them failed its
// verification. Then the report says which and why.
//
// # Who owns what, what blocks
//
// A Run belongs to one goroutine, holds the files that it copies in memory
// until they are written, and blocks on the file system only. Nobody may
// write to the source meanwhile; a file that changes while it is read is
// refused.
package migrate
