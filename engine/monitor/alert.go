package monitor

import (
	"fmt"
	"time"
)

// Level is how much an alert matters.
type Level uint8

// Levels, least first.
const (
	Info Level = iota
	Warning
	Error
	Critical
)

var levelNames = [...]string{"info", "warning", "error", "critical"}

// String is the level as files and messages carry it.
func (l Level) String() string { return levelNames[min(l, Critical)] }

// MarshalText writes a level.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a level.
func (l *Level) UnmarshalText(text []byte) error {
	for i, name := range levelNames {
		if string(text) == name {
			*l = Level(i)
			return nil
		}
	}
	return fmt.Errorf("level %q, expected one of %q", text, levelNames)
}

// Kinds of alerts. RUNBOOK.md has a section for each.
const (
	HighRisk           = "high_risk"
	ValidationError    = "validation_error"
	ErrorRate          = "error_rate"
	MemoryUtilization  = "memory_utilization"
	PatternConsistency = "pattern_consistency"
	CheckpointFailed   = "checkpoint_failed"
	JournalFailed      = "journal_failed"
	DeviceLost         = "device_lost"
	StateDamaged       = "state_damaged"
	Test               = "test"
)

// Alert is something that an operator should know.
type Alert struct {
	At      time.Time `json:"at"`
	Level   Level     `json:"level"`
	Kind    string    `json:"kind"`
	Source  string    `json:"source"` // the part that raised it
	Message string    `json:"message"`
	// Swallowed counts alerts of the same kind and source since the one
	// before, which the hold time kept back.
	Swallowed int64 `json:"swallowed,omitzero"`
	// Resolved says that what an earlier alert was about holds no more.
	Resolved bool `json:"resolved,omitzero"`
}

// String is the alert in a line.
func (a Alert) String() string {
	text := a.Message
	if a.Swallowed > 0 {
		text += fmt.Sprintf(" (and %d more since the last such alert)", a.Swallowed)
	}
	if a.Resolved {
		text = "resolved: " + text
	}
	return text
}
