package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/models"
)

// Names in a data directory.
const (
	stateFile       = "validator_state.pt"
	projectionsFile = "projections.pt"
	lockFile        = "lock"
)

// files names what is read instead of the data directory's own; empty: none.
type files struct {
	state, projections, patterns string
}

// loaded is what an engine starts from, and where each part came from.
type loaded struct {
	weights     *models.Weights
	weightsFrom string
	projections map[int]*models.Projection
	memory      memory.Snapshot
	memoryFrom  string
}

// store is the data directory of a writing engine.
type store struct {
	dir      string
	keep     int
	logger   hclog.Logger
	now      func() time.Time
	lock     *flock.Flock
	sequence int64 // of the newest checkpoint
	metadata pickle.Value
}

// openStore makes the directory when it is absent, and takes its lock.
func openStore(dir string, keep int, logger hclog.Logger, now func() time.Time) (*store, error) {
	if err := checkpoints.MakeFolder(dir); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, lockFile)
	lock := flock.New(path, flock.SetPermissions(0o600))
	got, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("lock of the data directory: %w", err)
	case !got:
		return nil, &LockedError{Path: path}
	}
	return &store{dir: dir, keep: keep, logger: logger, now: now, lock: lock}, nil
}

func (s *store) close() error { return s.lock.Close() }

// load finds what an engine starts from. With useDir the data directory
// fills in whatever is not named; with writes it is locked, and gets the
// weights that a fresh one lacks. The store is nil unless writes.
func load(c *Config, f files, useDir, writes bool, logger hclog.Logger, now func() time.Time) (*loaded, *store, error) {
	dir := c.Persistence.Dir
	var s *store
	if writes {
		var err error
		if s, err = openStore(dir, c.Persistence.MaxCheckpoints, logger, now); err != nil {
			return nil, nil, err
		}
	}
	l := &loaded{}
	state, err := l.loadWeights(c, f, useDir)
	if err != nil {
		return nil, s, err
	}
	if err := l.loadProjections(c, f, useDir && f.state == ""); err != nil {
		return nil, s, err
	}
	set, err := l.loadPatterns(c, f, useDir && f.state == "", state)
	if err != nil {
		return nil, s, err
	}
	if s != nil {
		s.sequence, s.metadata = set.Sequence, set.Metadata
		if state == nil {
			path := filepath.Join(dir, stateFile)
			if err := checkpoints.SaveValidatorState(path, models.StateOf(l.weights, c.Memory.Capacity)); err != nil {
				return nil, s, fmt.Errorf("save drawn weights: %w", err)
			}
			logger.Info("drew the weights of a fresh validator", "path", path, "seed", c.Safety.Seed)
		}
	}
	return l, s, nil
}

// loadWeights reads or draws the weights; state is nil when they were drawn.
func (l *loaded) loadWeights(c *Config, f files, useDir bool) (state *checkpoints.ValidatorState, err error) {
	n := c.Safety.WorkspaceDim
	path := f.state
	if path == "" && useDir {
		path = filepath.Join(c.Persistence.Dir, stateFile)
	}
	if path != "" {
		state, err = checkpoints.ReadValidatorState(path)
		if f.state == "" && errors.Is(err, fs.ErrNotExist) {
			state, err = nil, nil
		}
	}
	switch {
	case err != nil:
		return nil, err
	case state == nil:
		l.weights, l.weightsFrom = models.DrawWeights(c.Safety.Seed, n), fmt.Sprintf("drawn from safety.seed %d", c.Safety.Seed)
		return nil, nil
	}
	if state.Dim != n {
		return nil, &MismatchError{Setting: "safety.workspace_dim", Want: n, File: path, Got: state.Dim}
	}
	l.weights, l.weightsFrom = models.WeightsOf(state), path
	return state, nil
}

func (l *loaded) loadProjections(c *Config, f files, useDir bool) error {
	path := f.projections
	if path == "" && useDir {
		path = filepath.Join(c.Persistence.Dir, projectionsFile)
	}
	if path == "" {
		return nil
	}
	p, err := checkpoints.ReadProjections(path)
	if err != nil {
		if f.projections == "" && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if len(p.ByWidth) > 0 && p.Dim != c.Safety.WorkspaceDim {
		return &MismatchError{Setting: "safety.workspace_dim", Want: c.Safety.WorkspaceDim, File: path, Got: p.Dim}
	}
	l.projections = models.ProjectionsOf(p)
	return nil
}

// loadPatterns reads the newest pattern checkpoint, or else the patterns
// inside the state_dict, or else starts empty.
func (l *loaded) loadPatterns(c *Config, f files, useDir bool, state *checkpoints.ValidatorState) (*checkpoints.PatternSet, error) {
	n := c.Safety.WorkspaceDim
	path := f.patterns
	if path == "" && useDir {
		newest, found, err := checkpoints.LatestPatterns(c.Persistence.Dir)
		if err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
		if found {
			path = newest
		}
	}
	set := &checkpoints.PatternSet{Width: 2 * n, Capacity: c.Memory.Capacity, NextID: 1}
	switch {
	case path != "":
		var err error
		if set, err = checkpoints.ReadPatterns(path); err != nil {
			return nil, err
		}
		if set.Width != 2*n {
			return nil, &MismatchError{Setting: "safety.workspace_dim", Want: n, File: path, Got: set.Width / 2}
		}
		l.memoryFrom = path
	case state != nil:
		set = &state.Patterns
		l.memoryFrom = l.weightsFrom
	default:
		l.memoryFrom = "empty"
	}
	l.memory = memory.Snapshot{
		Width: set.Width, Capacity: set.Capacity, Counter: set.Counter, NextID: set.NextID,
		Sides: [2]memory.SideSnapshot{
			memory.Safe:   {Rows: set.Safe.Rows, Timestamps: set.Safe.Timestamps, IDs: set.Safe.IDs, Importance: set.Safe.Importance},
			memory.Unsafe: {Rows: set.Unsafe.Rows, Timestamps: set.Unsafe.Timestamps, IDs: set.Unsafe.IDs, Importance: set.Unsafe.Importance},
		},
	}
	return set, nil
}

// save writes a checkpoint of a memory, durable when it answers its path,
// and then drops the oldest ones beyond the number kept.
func (s *store) save(m memory.Snapshot) (string, error) {
	now := s.now()
	side := func(from *memory.SideSnapshot) checkpoints.PatternSide {
		return checkpoints.PatternSide{Rows: from.Rows, Timestamps: from.Timestamps, Importance: from.Importance, IDs: from.IDs}
	}
	path, err := checkpoints.SavePatterns(s.dir, &checkpoints.PatternSet{
		Width: m.Width, Capacity: m.Capacity,
		Safe: side(&m.Sides[memory.Safe]), Unsafe: side(&m.Sides[memory.Unsafe]),
		Counter: m.Counter, NextID: m.NextID, Sequence: s.sequence + 1,
		SaveTime: float64(now.UnixMicro()) / 1e6, Metadata: s.metadata,
	}, now)
	if err != nil {
		return "", fmt.Errorf("save checkpoint: %w", err)
	}
	s.sequence++
	dropped, err := checkpoints.Rotate(s.dir, s.keep)
	if err != nil { // the checkpoint itself is safe
		s.logger.Warn("old checkpoints stay", "error", err)
	}
	s.logger.Debug("saved", "path", path, "sequence", s.sequence, "dropped", len(dropped))
	return path, nil
}
