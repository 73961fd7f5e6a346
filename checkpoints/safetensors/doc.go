// Package safetensors reads and writes the safetensors format: named arrays behind a JSON header, and texts about
// them.
//
//	byte 0      length n of the header, uint64, little-endian
//	byte 8      header: JSON object, padded with spaces to a multiple of 8
//	byte 8+n    the arrays, one behind the other, little-endian, C order
//
// Parse is strict: what it accepts has one meaning. The header begins with a brace, names come once, every array
// lies at the offsets that its type and shape demand, the arrays cover the rest of the file without a hole or an overlap.
// It shares the bytes it was given: the caller must not write to them, and arrays live as long as they do. Texts are
// copied. Names and texts beyond 16 MiB and more than 65,536 arrays are refused, so what a hostile header costs stays
// below 64 MiB and is linear in its size.
//
// Write is deterministic: arrays of wide elements first, then by name, which is the order of the reference
// implementation and aligns each array to its elements.
//
// Errors match [ErrFormat] and name the byte. Nothing panics on any input.
package safetensors
