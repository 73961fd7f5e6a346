// Package checkpoints reads and writes the files that hold an engine's state: the validator's state_dict, projections and
// pattern checkpoints, in PyTorch's format and without LibTorch, and the Python system's vector memory.
//
// Files are read once into private memory and parsed strictly by packages container, pickle and tensor; nothing in a file is
// ever executed. What a Read function returns is complete and valid: every tensor has the expected type and shape, counts are
// within bounds, no number is NaN or infinite, ids are unique. It shares the bytes that were parsed, where tensors lie in one
// piece, instead of copying them: it is read only and keeps them alive, and whoever calls a Parse function must not write to
// the bytes it gave. Errors name the file, the key, what was found and what was expected, and match ErrMalformed; errors of
// the operating system do not.
//
// Files are written through AtomicFile: beside the target, flushed to the disk, then renamed, so that a file under its
// name is always whole. WriteX functions take an io.Writer, so that a caller may also hash or sign what it writes.
//
// The functions of this package keep no state and may be called from any goroutine; they block on the file system only.
// Nothing here locks a data directory: one process writes, which is the engine's business.
package checkpoints
