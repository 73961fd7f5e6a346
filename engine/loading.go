package engine

import (
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/models"
)

// files names what is read instead of the data directory's own; empty: none.
type files struct {
	state, projections, patterns string
}

// loaded is what a validator is made of, and where it came from.
type loaded struct {
	weights     *models.Weights
	weightsFrom string
	projections map[int]*models.Projection
}

// load finds the weights and the memory: in the data directory, which fills in
// whatever is not named unless a state_dict is, or in the files named. It
// leaves the directory in the engine, opened for reading or of no folder at
// all when files are named.
func (e *Engine) load(o *options) (*loaded, error) {
	l := &loaded{}
	if !o.inMemory && o.files.state == "" {
		named := o.files != (files{})
		d, err := openDirectory(e.config, o, !o.readOnly && !named, nil)
		if err != nil {
			return nil, err
		}
		e.directory = d
		l.weights, l.weightsFrom, l.projections = d.weights, d.weightsFrom, d.projections
		if !named {
			return l, nil
		}
	}
	return l, e.loadFiles(l, o)
}

// loadFiles reads the files that were named over what is there. They need no
// signature.
func (e *Engine) loadFiles(l *loaded, o *options) error {
	n, capacity := e.config.Safety.WorkspaceDim, e.config.Memory.Capacity
	set := &checkpoints.PatternSet{Width: 2 * n, Capacity: capacity, NextID: 1}
	from := "empty"
	switch {
	case o.files.state != "":
		state, err := checkpoints.ReadValidatorState(o.files.state)
		if err != nil {
			return err
		}
		if state.Dim != n {
			return &MismatchError{Setting: "safety.workspace_dim", Want: n, File: o.files.state, Got: state.Dim}
		}
		l.weights, l.weightsFrom = models.WeightsOf(state), o.files.state
		set, from = &state.Patterns, o.files.state
	case e.directory == nil:
		l.weights, l.weightsFrom = models.DrawWeights(e.config.Safety.Seed, n), drawnFrom(e.config.Safety.Seed)
	}
	if path := o.files.projections; path != "" {
		p, err := checkpoints.ReadProjections(path)
		if err != nil {
			return err
		}
		if len(p.ByWidth) > 0 && p.Dim != n {
			return &MismatchError{Setting: "safety.workspace_dim", Want: n, File: path, Got: p.Dim}
		}
		l.projections = models.ProjectionsOf(p)
	}
	if path := o.files.patterns; path != "" {
		var err error
		if set, err = checkpoints.ReadPatterns(path); err != nil {
			return err
		}
		if set.Width != 2*n {
			return &MismatchError{Setting: "safety.workspace_dim", Want: n, File: path, Got: set.Width / 2}
		}
		from = path
	} else if e.directory != nil {
		return nil // the memory is the directory's
	}
	if o.anySize {
		capacity = max(capacity, set.Capacity)
	}
	m, err := memory.Restore(snapshotOf(set), capacity)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if e.directory != nil {
		// Opened for reading, for what is not named: the levers stay.
		e.directory.memory, e.directory.memoryFrom, e.directory.following.leversOnly = m, from, true
		return nil
	}
	e.directory = detachedDirectory(e.config, o, m, from)
	return nil
}
