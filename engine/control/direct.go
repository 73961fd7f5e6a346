package control

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
	"github.com/fdqc-cockpit/fdqc/engine"
)

// maxReason is the length of the longest reason, in bytes: it is carried in
// every checkpoint from then on.
const maxReason = 1000

var _ Operator = (*Direct)(nil)

// Direct is the Operator of a data directory that this process has open.
type Direct struct {
	directory *engine.Directory
	by        string
}

// NewDirect makes an Operator on behalf of a user; the directory stays the
// caller's.
func NewDirect(d *engine.Directory, by string) *Direct { return &Direct{directory: d, by: by} }

// Pull changes safety levers.
func (d *Direct) Pull(ctx context.Context, r PullRequest) (*Safety, error) {
	if err := checkReason(r.Reason); err != nil {
		return nil, err
	}
	if r.Tier == nil && r.SafeMode == nil && r.RequireHumanApproval == nil {
		return nil, &InputError{Reason: "no safety lever is named, expected a tier, safe mode or human approval"}
	}
	if r.Tier != nil {
		known := engine.DefaultConfig()
		known.Safety.Tier = *r.Tier
		if err := known.Validate(); err != nil {
			return nil, &InputError{Reason: err.Error()}
		}
	}
	levers, err := d.directory.PullLever(ctx, engine.LeverChange{
		Tier: r.Tier, SafeMode: r.SafeMode, RequireHumanApproval: r.RequireHumanApproval, By: d.by, Reason: r.Reason,
	})
	if err != nil {
		return nil, err
	}
	return SafetyOf(d.directory.Config(), levers), nil
}

// Alarm puts safe mode on.
func (d *Direct) Alarm(ctx context.Context, r AlarmRequest) (*Safety, error) {
	if r.Cause == "" || checkReason(r.Cause) != nil {
		return nil, &InputError{Reason: fmt.Sprintf("the cause of an alarm has %d bytes, expected 1 to %d of UTF-8", len(r.Cause), maxReason)}
	}
	levers, err := d.directory.Alarm(ctx, r.Cause)
	if err != nil {
		return nil, err
	}
	return SafetyOf(d.directory.Config(), levers), nil
}

// Save writes a checkpoint.
func (d *Direct) Save(ctx context.Context, _ SaveRequest) (*Checkpoint, error) {
	saved, err := d.directory.SaveBy(ctx, d.by, "command")
	if err != nil {
		return nil, err
	}
	c := checkpointOf(saved)
	return &c, nil
}

// Prune drops all but the newest checkpoints.
func (d *Direct) Prune(ctx context.Context, r PruneRequest) (*Pruned, error) {
	if r.Keep < 1 {
		return nil, &InputError{Reason: fmt.Sprintf("keep %d checkpoints, expected at least 1", r.Keep)}
	}
	removed, err := d.directory.Prune(ctx, r.Keep, d.by)
	if err != nil {
		return nil, err
	}
	return &Pruned{Removed: removed}, nil
}

// Restore takes in the memory of a checkpoint.
func (d *Direct) Restore(ctx context.Context, r RestoreRequest) (*Replaced, error) {
	if err := checkReason(r.Reason); err != nil {
		return nil, err
	}
	switch {
	case r.File != "" && r.Sequence != 0:
		return nil, &InputError{Reason: "restore names a file and a sequence, expected one of them"}
	case r.File != "" && (!filepath.IsAbs(r.File) || strings.ContainsRune(r.File, 0)):
		return nil, &InputError{Reason: fmt.Sprintf("restore: %q, expected an absolute path", r.File)}
	case r.File != "":
		return d.replaced(d.directory.RestoreFile(ctx, r.File, d.by, r.Reason))
	case r.Sequence < 1:
		return nil, &InputError{Reason: fmt.Sprintf("restore: sequence %d, expected at least 1", r.Sequence)}
	default:
		return d.replaced(d.directory.Restore(ctx, r.Sequence, d.by, r.Reason))
	}
}

// Rollback goes back to an older checkpoint.
func (d *Direct) Rollback(ctx context.Context, r RollbackRequest) (*Replaced, error) {
	if err := checkReason(r.Reason); err != nil {
		return nil, err
	}
	if r.To < 0 {
		return nil, &InputError{Reason: fmt.Sprintf("rollback to sequence %d, expected at least 1", r.To)}
	}
	return d.replaced(d.directory.Rollback(ctx, r.To, d.by, r.Reason))
}

// Release takes outcomes out of the quarantine.
func (d *Direct) Release(ctx context.Context, r ReleaseRequest) (*Released, error) {
	if err := checkReason(r.Reason); err != nil {
		return nil, err
	}
	if len(r.IDs) == 0 {
		return nil, &InputError{Reason: "no outcome of the quarantine is named, expected at least one id"}
	}
	patterns, err := d.directory.Release(ctx, r.IDs, r.Accept, d.by, r.Reason)
	var unknown *engine.NotHeldError
	if errors.As(err, &unknown) {
		return nil, &InputError{Reason: err.Error()}
	}
	if err != nil {
		return nil, err
	}
	return &Released{IDs: r.IDs, PatternIDs: patterns, Left: d.directory.QuarantineSize()}, nil
}

// Ask puts actions into the queue for approval.
func (d *Direct) Ask(ctx context.Context, r AskRequest) (*Asked, error) {
	if len(r.Asks) == 0 {
		return nil, &InputError{Reason: "no action is named that needs approval, expected at least one"}
	}
	answers, err := d.directory.AskApproval(ctx, r.Asks, d.by)
	if err != nil {
		return nil, err
	}
	return &Asked{Answers: answers}, nil
}

// Decide approves or denies actions in the queue.
func (d *Direct) Decide(ctx context.Context, r DecideRequest) (*Decided, error) {
	if err := checkReason(r.Reason); err != nil {
		return nil, err
	}
	if len(r.IDs) == 0 {
		return nil, &InputError{Reason: "no action in the queue is named, expected at least one id"}
	}
	approvals, err := d.directory.Decide(ctx, r.IDs, r.Approve, r.Record, d.by, r.Reason)
	var not *engine.UndecidableError
	if errors.As(err, &not) {
		return nil, &InputError{Reason: err.Error()}
	}
	if err != nil {
		return nil, err
	}
	left, _ := d.directory.PendingApprovals()
	return &Decided{Approvals: approvals, Left: left}, nil
}

func (d *Direct) replaced(r *engine.Replacement, err error) (*Replaced, error) {
	if err != nil {
		return nil, err
	}
	return &Replaced{
		From: r.From, Checkpoint: checkpointOf(r.Checkpoint), Aside: r.Aside,
		Safety: *SafetyOf(d.directory.Config(), r.Levers),
	}, nil
}

func checkpointOf(c store.Checkpoint) Checkpoint {
	m := c.Manifest // of one just saved there is one
	return Checkpoint{Path: c.Path, Sequence: m.Sequence, Safe: m.Safe, Unsafe: m.Unsafe, Bytes: m.Size}
}

func checkReason(reason string) error {
	if len(reason) > maxReason || !utf8.ValidString(reason) {
		return &InputError{Reason: fmt.Sprintf("the reason has %d bytes, expected at most %d of UTF-8", len(reason), maxReason)}
	}
	return nil
}
