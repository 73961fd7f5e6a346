// Package tensor reads and writes PyTorch checkpoints as pickled values with tensors among them.
//
// Load takes the bytes of a file in either format of torch.save, the zip archive or the one before PyTorch 1.6, and
// returns the pickled object with every tensor as a *Tensor. Names of PyTorch are taken from an exact list; no class
// is built. Every storage is as long as its tensors claim, every view lies within its storage, and what views with
// stride 0 would grow to is limited before memory is taken.
//
// A *Tensor that lies in one piece shares the bytes of the file; others are copied when they are asked for. The
// caller must not write to the bytes given to Load while tensors are in use. Tensors are immutable and safe for
// concurrent use.
//
// Save writes what torch.save of PyTorch 2.11 would: data.pkl is byte for byte the same for dicts, lists, tuples,
// scalars and contiguous CPU tensors of their own storage, and torch.load reads the file with weights_only=True and with
// mmap=True.
//
// Errors are those of packages container and pickle, or match ErrFormat, and say what was expected.
package tensor
