package control

import (
	"context"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// Operator is what can be done to a data directory beside recording. All of it
// is durable on return. A context ends the waiting, never what has begun.
type Operator interface {
	// Pull changes safety levers and answers what is in force then.
	Pull(ctx context.Context, r PullRequest) (*Safety, error)
	// Alarm is for critical alerts: it puts safe mode on.
	Alarm(ctx context.Context, r AlarmRequest) (*Safety, error)
	// Save writes a checkpoint.
	Save(ctx context.Context, r SaveRequest) (*Checkpoint, error)
	// Prune drops all but the newest checkpoints.
	Prune(ctx context.Context, r PruneRequest) (*Pruned, error)
	// Restore takes in the memory of a checkpoint.
	Restore(ctx context.Context, r RestoreRequest) (*Replaced, error)
	// Rollback goes back to an older checkpoint, with safe mode and human
	// approval on.
	Rollback(ctx context.Context, r RollbackRequest) (*Replaced, error)
	// Release takes outcomes out of the quarantine, all or none.
	Release(ctx context.Context, r ReleaseRequest) (*Released, error)
	// Ask puts actions that need a person into the queue.
	Ask(ctx context.Context, r AskRequest) (*Asked, error)
	// Decide approves or denies actions in the queue, all or none.
	Decide(ctx context.Context, r DecideRequest) (*Decided, error)
}

// PullRequest names the levers to be changed, at least one, and why.
type PullRequest struct {
	Tier                 *string `json:"tier,omitzero"`
	SafeMode             *bool   `json:"safe_mode,omitzero"`
	RequireHumanApproval *bool   `json:"require_human_approval,omitzero"`
	Reason               string  `json:"reason,omitzero"`
}

// AlarmRequest says what happened.
type AlarmRequest struct {
	Cause string `json:"cause"`
}

// SaveRequest asks for a checkpoint.
type SaveRequest struct{}

// PruneRequest says how many checkpoints are kept, at least 1.
type PruneRequest struct {
	Keep int `json:"keep"`
}

// RestoreRequest names a kept checkpoint by its sequence, or a file by its
// absolute path.
type RestoreRequest struct {
	Sequence int64  `json:"sequence,omitzero"`
	File     string `json:"file,omitzero"`
	Reason   string `json:"reason,omitzero"`
}

// RollbackRequest names the checkpoint to go back to; 0: the one before the
// newest.
type RollbackRequest struct {
	To     int64  `json:"to,omitzero"`
	Reason string `json:"reason,omitzero"`
}

// ReleaseRequest names outcomes in quarantine, at least one, and whether they
// become patterns or are dropped.
type ReleaseRequest struct {
	IDs    []int64 `json:"ids"`
	Accept bool    `json:"accept"`
	Reason string  `json:"reason,omitzero"`
}

// AskRequest names actions, at least one.
type AskRequest struct {
	Asks []engine.Ask `json:"asks"`
}

// Asked answers each of them, in order.
type Asked struct {
	Answers []engine.Asked `json:"answers"`
}

// DecideRequest names approvals that are pending, at least one. With Record each
// becomes an outcome.
type DecideRequest struct {
	IDs     []int64 `json:"ids"`
	Approve bool    `json:"approve"`
	Record  bool    `json:"record,omitzero"`
	Reason  string  `json:"reason,omitzero"`
}

// Decided are the approvals as they are now.
type Decided struct {
	Approvals []engine.Approval `json:"approvals"`
	Left      int               `json:"left"` // pending
}

// Settings are those of safety that levers change.
type Settings struct {
	Tier                 string `json:"tier"`
	SafeMode             bool   `json:"safe_mode"`
	RequireHumanApproval bool   `json:"require_human_approval"`
}

// Safety is what a data directory is judged under: the stricter of what was
// configured and what operators left.
type Safety struct {
	Configured Settings      `json:"configured"`
	Levers     engine.Levers `json:"levers"`
	InForce    Settings      `json:"in_force"`
	// Next is the step that comes next after an alarm; nil: none is left.
	Next *Step `json:"next,omitzero"`
}

// Step is one on the way back to normal.
type Step struct {
	From time.Time `json:"from"` // not before
	Do   string    `json:"do"`   // what to type
}

// SafetyOf puts a configuration and levers together.
func SafetyOf(c engine.Config, l engine.Levers) *Safety {
	s := &Safety{Configured: settingsOf(c), Levers: l, InForce: settingsOf(l.Apply(c))}
	if from, do := l.Next(time.Duration(c.Safety.QuietPeriod)); do != "" {
		s.Next = &Step{From: from, Do: do}
	}
	return s
}

func settingsOf(c engine.Config) Settings {
	return Settings{Tier: c.Safety.Tier, SafeMode: c.Safety.SafeMode, RequireHumanApproval: c.Safety.RequireHumanApproval}
}

// Checkpoint is one that was written.
type Checkpoint struct {
	Path     string `json:"path"`
	Sequence int64  `json:"sequence"`
	Safe     int    `json:"safe"`
	Unsafe   int    `json:"unsafe"`
	Bytes    int64  `json:"bytes"`
}

// Released says what became of outcomes in quarantine.
type Released struct {
	IDs []int64 `json:"ids"`
	// PatternIDs are of the accepted ones, in their order.
	PatternIDs []int64 `json:"pattern_ids,omitzero"`
	Left       int     `json:"left"` // in quarantine
}

// Pruned lists the paths that are gone.
type Pruned struct {
	Removed []string `json:"removed"`
}

// Replaced says how the memory was replaced.
type Replaced struct {
	// From is where the memory came from, Checkpoint the new one that holds it.
	From       string     `json:"from"`
	Checkpoint Checkpoint `json:"checkpoint"`
	// Aside is the folder with the journal since From, "" when it was empty.
	Aside  string `json:"journal_aside,omitzero"`
	Safety Safety `json:"safety"`
}
