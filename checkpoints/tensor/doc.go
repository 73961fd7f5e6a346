// Package tensor reads and writes PyTorch checkpoints as pickled values with tensors among them.
//
// Load takes the bytes of a file in either format of torch.save, the zip archive or the one before PyTorch 1.6, or of a
// pickle with tensors inside, and returns the pickled object with every tensor as a *Tensor or *Sparse. Names of PyTorch are
// taken from an exact list; no class is built, and the one class of records that is known, the Python system's MemoryEntry,
// becomes a *pickle.Record. Every storage is as long as its tensors claim, every view lies within its storage, every index of
// a sparse tensor within its shape, and what views with stride 0 would grow to is limited before memory is taken.
//
// A *Tensor that lies in one piece shares the bytes of the file, also in the slices of numbers that it gives; others are
// copied when they are asked for. The caller must not write to the bytes given to Load while tensors are in use. Tensors are
// immutable and safe for concurrent use.
//
// Save writes what torch.save of PyTorch 2.11 would: data.pkl is byte for byte the same for dicts, lists, tuples, scalars and
// contiguous CPU tensors of their own storage, and torch.load reads the file with weights_only=True and with mmap=True. With
// Deflate the storages are compressed: torch.load reads that too, but not with mmap=True. Dump writes what pickle.dump of
// protocol 3 would. Quantized and sparse tensors are not written.
//
// Errors are those of packages container and pickle, or match ErrFormat, and say what was expected.
package tensor
