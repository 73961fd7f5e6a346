// Package mapped shows the bytes of a file without reading them into memory first.
//
// The bytes are the operating system's pages of the file: they take no memory of the process, and only those that
// are looked at are read. They are for listing and converting. What must hold later than now (a hash, tensors that
// are computed with) is read into private memory instead, because whoever can write the file can change these bytes
// at any moment.
//
// Promised: a file that is cut short under its reader is an error that matches [ErrChanged], never the end of the
// process. [File.View] catches the fault, in whatever code it happens (assembly of the standard library too), and
// compares size and time of the file before and after, since the rest of a cut page reads as zeros without a fault.
// Goroutines that a view starts are not covered: each makes a View of its own.
//
// Only regular files are mapped. A file that stays the same size may still be rewritten in place in a way that no time
// stamp shows; callers must stand any bytes.
package mapped
