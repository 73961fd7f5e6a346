//go:build !race

package torch

// raceEnabled tells that the race detector's own memory grows with the calls.
const raceEnabled = false
