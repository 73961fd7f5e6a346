package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
)

// Loaded is a checkpoint with what it holds.
type Loaded struct {
	Checkpoint
	Patterns *checkpoints.PatternSet
	// Damaged are the newer ones that were passed over.
	Damaged []Damage
}

// Damage is a checkpoint that was passed over.
type Damage struct {
	Path   string
	Reason error
	// Aside is the folder that it was moved to; empty when it was not.
	Aside string
}

// vanishTries is how often a reader begins again because a file was rotated away under it.
const vanishTries = 20

// Newest loads the newest pattern checkpoint by sequence, verified; nil when there is none. Damaged ones are passed over, logged
// and told. Errors match ErrNoneLeft when all are damaged, and ErrUntrusted when the one in turn is of unproven origin.
//
// Without any manifest in the directory, as Python leaves it, and without RequireSigning, the newest by name is taken. Beside
// others with manifests, a file without one is never taken, and an error when its name is the newest.
func (s *Store) Newest() (*Loaded, error) {
	for try := 1; ; try++ {
		loaded, passed, err := s.newest()
		if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrUntrusted) && try < vanishTries {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open checkpoint: %w", err)
		}
		if loaded == nil {
			return nil, nil
		}
		for _, c := range passed {
			s.logger.Warn("damaged checkpoint passed over", "path", c.Path, "reason", c.Problem, "taken", loaded.Name)
			loaded.Damaged = append(loaded.Damaged, Damage{Path: c.Path, Reason: c.Problem})
		}
		return loaded, nil
	}
}

// SetDamagedAside moves each of the checkpoints that Newest passed over into a folder of its own and notes it in them; what cannot
// be moved stays and is passed over again. Only the writer of the directory may call it, and only once it knows that it can go
// on without them.
func (s *Store) SetDamagedAside(damaged []Damage) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for i := range damaged {
		d := &damaged[i]
		var err error
		if d.Aside, err = s.setAside("damaged", Checkpoint{Path: d.Path, Name: filepath.Base(d.Path)}); err != nil {
			s.logger.Warn("damaged checkpoint stays", "path", d.Path, "error", err)
		}
	}
}

func (s *Store) newest() (*Loaded, []Checkpoint, error) {
	list, err := s.List()
	if err != nil || len(list) == 0 {
		return nil, nil, err
	}
	list, err = s.candidates(list)
	if err != nil {
		return nil, nil, err
	}
	var passed []Checkpoint
	var reasons []error
	for _, c := range list {
		p, err := s.read(c)
		if errors.Is(err, ErrUntrusted) {
			// Damage is damage whoever made it.
			if broken := s.broken(c); broken != nil {
				err = broken
			}
		}
		if err == nil {
			return &Loaded{Checkpoint: c, Patterns: p}, passed, nil
		}
		if !errors.Is(err, ErrDamaged) {
			return nil, nil, errors.Join(append([]error{err}, reasons...)...)
		}
		c.Problem = err
		passed, reasons = append(passed, c), append(reasons, err)
	}
	return nil, nil, fmt.Errorf("%w in %s: %w", ErrNoneLeft, s.dir, errors.Join(reasons...))
}

// candidates leaves out, beside checkpoints with manifests, those without; one of them as newest is an error. With
// RequireSigning each is judged in its turn.
func (s *Store) candidates(list []Checkpoint) ([]Checkpoint, error) {
	newest, managed := "", false
	for _, c := range list {
		if !errors.Is(c.Problem, ErrNoManifest) {
			newest, managed = max(newest, c.Name), true
		}
	}
	if s.require || !managed {
		return list, nil
	}
	var left []Checkpoint
	for _, c := range list {
		if !errors.Is(c.Problem, ErrNoManifest) {
			left = append(left, c)
		} else if c.Name > newest {
			return nil, untrusted(c.Path, "%w and is newer than %s, so it came from elsewhere; take it in with `fdqc checkpoint restore %s`, or move it away", ErrNoManifest, newest, c.Path)
		}
	}
	return left, nil
}

// broken tells whether an untrusted checkpoint is damaged besides.
func (s *Store) broken(c Checkpoint) error {
	var err error
	switch {
	case errors.Is(c.Problem, ErrNoManifest):
		_, err = s.parse(c.Path)
	case c.Manifest != nil:
		_, err = s.verified(c.Path, c.Manifest)
	}
	if errors.Is(err, ErrDamaged) {
		return err
	}
	return nil
}
