// Package container reads and writes the zip archives that hold PyTorch checkpoints.
//
// It promises one thing: whatever Parse accepts, every other zip reader sees in the same way. An archive
// in which two readers could disagree (a local header that differs from the directory, duplicate or
// case-folded names, overlapping or hidden bytes, a second directory) is refused, and so is one whose
// checksums do not hold. Records are stored; only storages (data/*) may be deflated, and inflate under limits of size and
// ratio that are compared before memory is taken.
//
// Parse works on bytes that the caller has read into private memory and never writes to them; the payloads
// of stored records are slices of those bytes, so they live as long as the archive. Nothing here blocks except the
// io.Writer behind a Writer, nothing panics on hostile input, and memory beyond the input is proportional
// to the directory. Every refusal is a *FormatError with the offset and the reason.
//
// A Writer lays an archive out byte for byte as torch.save of PyTorch 2.11 does: payloads at multiples of 64
// bytes, checksums in descriptors behind the payloads, zip64 end records always. An archive is an Archive
// after Parse and immutable: safe for concurrent use. A Writer belongs to one goroutine.
package container
