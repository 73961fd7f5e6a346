// Package models holds the networks of the engine as values: the validator's
// weights, its projections and the embeddings of text, by the names and
// shapes of their state_dict.
//
// A [Validator] is the one place where these values meet LibTorch: it owns
// the tensors of one engine on one device and judges batches of float32 rows
// with them. It has one owner, which serialises its calls; a context ends
// the waiting for other validators of the process and never a running call.
// Close frees what LibTorch holds and is idempotent.
//
// Whatever is drawn at random is drawn in Go from a named generator
// (ChaCha8), so that it depends on its seed alone and not on a device, a
// LibTorch version or a number of threads.
package models
