// Package npy reads and writes NumPy's array files: .npy (one array) and .npz (a zip archive of them).
//
// Promised: a [Reader] streams; it holds one row of the array and a read buffer, never the file. It reads format
// versions 1.0, 2.0 and 3.0, C order, and the element types '<f4', '<f8', '<i8', '|b1', '<U…' and '|S…'. Every other type
// (big-endian, float16, object, structured, …) is refused by name with [ErrUnsupported]. A file cut short is a
// [*TruncatedError] that names the bytes expected and got; bytes after the last row are [ErrTrailing]; a header that is
// not the literal NumPy writes is [ErrHeader]; a shape too large for this package is [ErrTooLarge]. No input panics, and
// none makes the package allocate more than [MaxHeaderBytes] and [MaxRowBytes] ask for.
//
// [ReadArrays] and [ReadArray], and [ListArrays] and [CheckArray] without the data, take whole files from memory: they read all numeric
// types and Fortran order, share the bytes that they were given and inflate compressed entries within a limit; [Saver]
// and [WriteArray] write them.
//
// Written files load with numpy.load(allow_pickle=False). An [ArchiveWriter] learns the number of rows only at the end,
// so it spools each array to an unnamed temporary file and assembles the archive (entries stored, not compressed) in
// Finish.
//
// Owned: readers and writers do not close what they were given, except readers that came from [Archive.Open]. Nothing
// here is safe for concurrent use. Calls block as long as the reader or writer beneath them does.
package npy
