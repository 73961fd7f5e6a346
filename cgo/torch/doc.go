// Package torch is the one Go package that knows C: it opens the shim over
// LibTorch and calls it.
//
// The package builds and vets on a machine without LibTorch. [Open] finds the
// shim at run time ($FDQC_LIB, then beside the executable, then in ../lib/fdqc
// from it), finds LibTorch ($LIBTORCH/lib, then where the shim was linked to),
// checks both versions and answers an [UnavailableError] that says what to run
// when something is not there.
//
// # What is promised
//
//   - The error of a call is the return value of that call: each C function
//     answers a status of its own.
//   - No C++ exception reaches Go; it becomes an [Error].
//   - A handle ([Weights], [Projection], [Patterns], [States]) is freed by
//     Close, which is idempotent. A handle that was forgotten is freed after
//     the garbage collector found it, and counted ([Library.Forgotten]).
//   - Grad mode, device and state are arguments, never ambient.
//   - Slices are used during the call only. One batch is one call into C.
//   - Calls queue at one gate of the process, into a thread pool of the shim's
//     own, so that goroutines do not multiply threads. A context ends the
//     waiting for the gate; a call that runs is waited for, so that C never
//     holds memory that the caller has back.
//   - Lengths and shapes are checked in Go before C sees a pointer.
//
// A [Library] and its handles may be used from any number of goroutines.
package torch
