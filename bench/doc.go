// Package bench measures the engine beside programs of others that do the
// same work, in the same run, on the same rows.
//
// [Run] promises that every figure it reports was measured: a peer that
// cannot be started, or that ends on the way, is named in the report with the
// reason. Before a workload is timed, all targets judge the same rows from the
// same fresh state; a risk, or the distance of a nearest pattern, that differs
// by more than [Tolerance] is an error: programs that do different work are
// not compared. Targets take turns, so that a disturbance of the machine meets
// all of them; each is warmed up before every one of its turns and times
// itself, so that no figure holds the pipe to a peer. All use the same number
// of threads.
//
// A [Plan] says what is measured. A [Report] is one JSON object, whose schema
// are the json tags of its fields and what is said beside them; a field may
// be added without a new [Schema], none changes its meaning. [Report.WriteTable]
// and [Report.WriteHTML] show it to a person. [Measure] measures one case of
// the engine alone.
//
// A peer is a [Target]; a peer that is a program speaks the protocol of
// [Program].
//
// Run blocks until it is done or its context ends; it owns the processes and
// temporary files that it makes and has removed them when it returns. One Run
// at a time on a machine: two would measure each other.
package bench
