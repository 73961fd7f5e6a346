package store

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
)

// Read reads a pattern checkpoint of the list: the file once, compared with the manifest, and parsed. What
// the checkpoint has as Problem is returned as error, except that without RequireSigning one without a manifest is
// read as it is. Errors match ErrDamaged, ErrUntrusted or, when it is gone, fs.ErrNotExist.
func (s *Store) Read(c Checkpoint) (*checkpoints.PatternSet, error) {
	p, err := s.read(c)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	return p, nil
}

func (s *Store) read(c Checkpoint) (*checkpoints.PatternSet, error) {
	if c.Problem != nil && (s.require || !errors.Is(c.Problem, ErrNoManifest)) {
		return nil, c.Problem
	}
	if c.Manifest == nil {
		if s.require {
			return nil, untrusted(c.Path, "%w", ErrNoManifest)
		}
		return s.parse(c.Path)
	}
	return s.verified(c.Path, c.Manifest, checkpoints.Trusted())
}

// parse reads a file that has no manifest.
func (s *Store) parse(path string) (*checkpoints.PatternSet, error) {
	data, err := s.ops.readFile(path, -1, maxFile)
	if err != nil {
		return nil, err
	}
	p, err := checkpoints.ParsePatterns(path, data)
	if err != nil {
		return nil, damaged(path, "%w", err)
	}
	return p, nil
}

// verified reads a file that must be what its manifest says. Without the option Trusted, for strangers' files, the
// parser's caps hold, and records are left to the hash of the whole, since hashing them inflates without caps.
func (s *Store) verified(path string, m *Manifest, trusted ...checkpoints.ReadOption) (*checkpoints.PatternSet, error) {
	data, err := s.ops.readFile(path, m.Size, m.Size)
	if err != nil {
		return nil, err
	}
	check := m.checkWhole
	if len(trusted) > 0 {
		check = m.check
	}
	if err := check(path, data); err != nil {
		return nil, err
	}
	p, err := checkpoints.ParsePatterns(path, data, trusted...)
	if err != nil {
		return nil, damaged(path, "%w", err)
	}
	if p.Sequence != m.Sequence || p.Counter != m.Counter || p.Safe.Len() != m.Safe || p.Unsafe.Len() != m.Unsafe || p.Capacity != m.Capacity || p.Width != m.Width {
		return nil, damaged(path, "it holds %v, counter %d, sequence %d; its manifest says %d safe and %d unsafe of width %d, capacity %d, counter %d, sequence %d",
			p, p.Counter, p.Sequence, m.Safe, m.Unsafe, m.Width, m.Capacity, m.Counter, m.Sequence)
	}
	return p, nil
}

// ReadOutside reads a pattern checkpoint that a user names, from anywhere. It is damaged when it has a manifest that does not
// fit; whether it is signed is told by the Checkpoint, and never an error.
func (s *Store) ReadOutside(path string) (*checkpoints.PatternSet, Checkpoint, error) {
	loose := s.lenient()
	c, there := loose.inspect(path)
	if !there {
		return nil, c, fmt.Errorf("read checkpoint %s: %w", path, fs.ErrNotExist)
	}
	var p *checkpoints.PatternSet
	err := c.Problem
	switch {
	case errors.Is(err, ErrNoManifest):
		p, err = loose.parse(path)
	case err == nil:
		if c.Signed {
			p, err = loose.verified(path, c.Manifest, checkpoints.Trusted())
		} else {
			p, err = loose.verified(path, c.Manifest)
		}
	}
	if err != nil {
		return nil, c, fmt.Errorf("read checkpoint: %w", err)
	}
	return p, c, nil
}

// Verify reads and checks every pattern checkpoint; Problem says what is wrong with each.
func (s *Store) Verify() ([]Checkpoint, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	var left []Checkpoint
	for _, c := range list {
		if c.Problem == nil {
			_, c.Problem = s.read(c)
		}
		if errors.Is(c.Problem, fs.ErrNotExist) && !errors.Is(c.Problem, ErrNoManifest) {
			continue // rotated away meanwhile
		}
		left = append(left, c)
	}
	return left, nil
}

// OldestKept is the manifest of the kept pattern checkpoint that needs most of the journal, nil when there is none: what
// the journal holds up to its position is in every one.
func (s *Store) OldestKept() (*Manifest, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	var oldest *Manifest
	for _, c := range list {
		if c.Manifest != nil && c.Problem == nil && (oldest == nil || c.Manifest.Journal.Sequence <= oldest.Journal.Sequence) {
			oldest = c.Manifest
		}
	}
	return oldest, nil
}

// lenient is the store without the demand of signatures, for reading only.
func (s *Store) lenient() *Store {
	return &Store{dir: s.dir, ring: s.ring, now: s.now, logger: s.logger, ops: s.ops}
}
