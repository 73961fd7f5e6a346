package monitor

import "time"

// Sides of the memory, in its order.
var sides = [2]string{"safe", "unsafe"}

// tiers of autonomy.
var tiers = []string{"ALPHA", "BETA", "GAMMA", "DELTA", "EPSILON", "OMEGA"}

// State is what a scrape asks the engine for: numbers that somebody else
// keeps.
type State struct {
	Patterns  [2]int // safe, unsafe
	Capacity  int    // a side
	Evictions int64

	Tier          string // in force
	SafeMode      bool
	HumanApproval bool

	// What waits for a person, and how full the places are where it does, by
	// number or by bytes, 0 to 1. OldestApproval is when the oldest action that
	// waits was asked about; zero: none does.
	Quarantine, Approvals                       int
	QuarantineUtilization, ApprovalsUtilization float64
	OldestApproval                              time.Time

	// Shadow counts rows by what was decided and what the shadow policy would
	// have decided; nil: there is none.
	Shadow *[decisions][decisions]int64

	DeviceFallbacks   int64
	DeviceOutOfMemory int64

	// CheckpointSaved and JournalAppended are of this process; zero: never.
	CheckpointSaved, JournalAppended time.Time
}

// Utilization of a side of the memory, 0 to 1.
func (s *State) Utilization(side int) float64 {
	return float64(s.Patterns[side]) / max(float64(s.Capacity), 1)
}
