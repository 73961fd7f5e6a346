// Package disk has what files of this product are opened with: only plain ones,
// through no link, and where it matters only those that nobody else can have
// written; folders whose names outlast a power failure; files that are numbered
// in their names. It knows nothing of what is in them.
//
// Nothing here keeps a state. Everything blocks on the disk, and on nothing
// else: opening a pipe waits for nobody.
package disk
