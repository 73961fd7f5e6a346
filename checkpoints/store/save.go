package store

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
)

// About is what a checkpoint's manifest says beside what the set itself holds.
type About struct {
	// Journal is the place up to which the set holds the journal.
	Journal Position
	// Levers is one JSON value, or nil.
	Levers stdjson.RawMessage
	// Reason is one word, see FORMAT.md.
	Reason string
	// Standing says that the journal goes on after Journal with what stood beside the memory.
	Standing bool
	// Source is the sequence of the checkpoint whose memory this one took over, 0 when it took over none.
	Source int64
	// Audit is the last entry of the audit log before, or nil.
	Audit *AuditHead
}

// Save writes a pattern checkpoint and answers when it is durable and was read back; then the oldest beyond the number kept are
// deleted. Its sequence is one more than any that the store has seen, and is put into p too. After an error the
// directory is as it was. p must be valid and must not change meanwhile.
func (s *Store) Save(p *checkpoints.PatternSet, about About) (Checkpoint, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	c, err := s.save(p, about)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("save checkpoint: %w", err)
	}
	p.Sequence = c.Manifest.Sequence
	if dropped, err := s.prune(s.keep, c.Name); err != nil {
		s.logger.Warn("old checkpoints stay", "dir", s.dir, "error", err) // the new one is safe
	} else {
		s.logger.Debug("saved checkpoint", "path", c.Path, "sequence", p.Sequence, "reason", about.Reason, "dropped", len(dropped))
	}
	return c, nil
}

func (s *Store) save(p *checkpoints.PatternSet, about About) (c Checkpoint, err error) {
	if s.require && s.key == nil {
		return c, errors.New("signatures are required and there is no key to sign with")
	}
	if _, err := s.ops.lstat(s.dir); err != nil {
		return c, fmt.Errorf("data directory: %w", err)
	}
	list, names, err := s.list()
	if err != nil {
		return c, err
	}
	sequence, err := s.nextSequence(list, names, p.Sequence)
	if err != nil {
		return c, err
	}
	if err := s.clean(names); err != nil {
		return c, err
	}
	newest := ""
	for _, name := range names {
		if isPatterns(name) {
			newest = max(newest, name)
		}
	}
	now := s.now().UTC()
	name, err := nextName(newest, now)
	if err != nil {
		return c, err
	}
	set := *p
	set.Sequence = sequence
	c = Checkpoint{Path: filepath.Join(s.dir, name), Name: name, Manifest: &Manifest{
		Version: manifestVersion, File: name, Sequence: sequence, Created: now, Reason: about.Reason, Source: about.Source, Standing: about.Standing,
		Counter: p.Counter, Safe: p.Safe.Len(), Unsafe: p.Unsafe.Len(), Capacity: p.Capacity, Width: p.Width,
		Journal: about.Journal, Levers: about.Levers, Audit: about.Audit,
	}}
	if about.Audit != nil {
		c.Manifest.Version = auditVersion
	}
	if s.key != nil {
		c.Signed, c.KeyID = true, s.key.KeyID()
	}
	err = s.place(c.Path, c.Manifest, true, func(w io.Writer) error {
		if s.deflate {
			return checkpoints.WritePatterns(w, container.Root(c.Path), &set, checkpoints.Deflate())
		}
		return checkpoints.WritePatterns(w, container.Root(c.Path), &set)
	})
	if err != nil {
		return Checkpoint{}, err
	}
	s.highest = sequence
	return c, nil
}

// nextSequence is one more than any in the directory, in what was set aside, or seen before.
func (s *Store) nextSequence(list []Checkpoint, names []string, own int64) (int64, error) {
	highest := max(s.highest, own)
	for _, c := range list {
		if c.Problem == nil || !s.require {
			highest = max(highest, c.Sequence())
		}
	}
	read := func(path string) {
		m, e, err := s.readManifest(path)
		if err != nil || !isPatterns(m.File) {
			return
		}
		if _, _, err := s.judge(path, m, e); err == nil {
			highest = max(highest, m.Sequence)
		}
	}
	for _, name := range orphans(names) {
		read(filepath.Join(s.dir, strings.TrimSuffix(name, manifestSuffix)))
	}
	folders, err := s.readDirIfThere(filepath.Join(s.dir, asideFolder))
	if err != nil {
		return 0, err
	}
	for _, folder := range folders {
		inside, err := s.readDirIfThere(filepath.Join(s.dir, asideFolder, folder))
		if err != nil {
			return 0, err
		}
		for _, name := range inside {
			if target, ok := strings.CutSuffix(name, manifestSuffix); ok {
				read(filepath.Join(s.dir, asideFolder, folder, target))
			}
		}
	}
	if highest >= maxSequence {
		return 0, fmt.Errorf("sequence %d is the largest there is", highest)
	}
	s.highest = highest
	return highest + 1, nil
}

// orphans are the manifests of pattern checkpoints that are not there: an interrupted save or deletion left them.
func orphans(names []string) []string {
	var left []string
	for _, name := range names {
		if target, ok := strings.CutSuffix(name, manifestSuffix); ok && isPatterns(target) && !slices.Contains(names, target) {
			left = append(left, name)
		}
	}
	return left
}

// clean removes what interrupted writers left.
func (s *Store) clean(names []string) error {
	abandoned := orphans(names)
	for _, name := range names {
		if isTemporary(name) {
			abandoned = append(abandoned, name)
		}
	}
	for _, name := range abandoned {
		if err := s.ops.drop(filepath.Join(s.dir, name)); err != nil {
			return fmt.Errorf("clean up: %w", err)
		}
	}
	return nil
}

// readDirIfThere lists the names in a folder, none when it is absent.
func (s *Store) readDirIfThere(path string) ([]string, error) {
	entries, err := s.ops.readDir(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}
