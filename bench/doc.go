// Package bench measures the engine beside a vectorised PyTorch program of
// the same mathematics, in the same run, on the same rows.
//
// [Run] promises that every figure it reports was measured: a peer that
// cannot be started is named in the report with the reason, and has no
// figures. Before a workload is timed, all targets judge the same rows from
// the same fresh state, and a risk that differs by more than [Tolerance] is
// an error: programs that do different work are not compared. Targets take
// turns, so that a disturbance of the machine meets all of them; each is
// warmed up before every one of its turns and times itself, so that no figure
// holds the pipe to a peer.
//
// Run blocks until it is done or its context ends; it owns the processes and
// temporary files that it makes and has removed them when it returns. One Run
// at a time on a machine: two would measure each other.
package bench
