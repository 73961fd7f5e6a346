// Package pickle reads and writes Python pickles as values, and never runs what they ask for.
//
// Decode is a machine for the opcodes of protocols 0 to 5. It builds values of this package; a global name is a value like
// any other, and REDUCE, NEWOBJ and BUILD work only for the names that the caller's Registry lists, by functions that the
// caller wrote, and for classes that Config.Record knows to hold data only: their instances become a *Record of fields. With
// Config.Opaque an unknown name becomes a symbolic *Call instead of an error, for listings; nothing is executed either way.
//
// Hostile input costs bounded memory and time: every length is checked against the bytes that remain before anything is
// allocated; what values take is charged to a Budget as it is allocated; values, stack and nesting are limited, and the
// finished value is a finite graph without cycles. The graph may share nodes, so whoever walks it must bound the walk or
// remember what it has seen. Refusals are *DecodeError with the offset; errors of the caller's functions are wrapped in one.
// Bytes among the values are slices of the input, strings are copies.
//
// Encode writes protocol 2, and EncodeAs protocol 3, exactly as CPython's pickler does, memo numbers and batches of 1,000
// included. It remembers strings by value and containers by identity, which is what CPython does with names and literals.
//
// Nothing here blocks, keeps state between calls or starts goroutines.
package pickle
