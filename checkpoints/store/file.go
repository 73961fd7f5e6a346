package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

const (
	// StateFile holds the validator's weights and default state.
	StateFile = "validator_state.pt"
	// ProjectionsFile holds the projections.
	ProjectionsFile = "projections.pt"
)

// fileTries is how often a file and its manifest are read when they do not fit, which they may not for a moment when
// another process replaces them.
const fileTries = 5

// SaveFile replaces a file of the directory that is no pattern checkpoint, such as StateFile, with what write writes (an archive
// in PyTorch's format). It is durable and read back on return; after an error the old content is still there, and valid.
func (s *Store) SaveFile(name string, write func(io.Writer) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.saveFile(name, write); err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	return nil
}

func (s *Store) saveFile(name string, write func(io.Writer) error) error {
	if err := checkName(name); err != nil {
		return err
	}
	if s.require && s.key == nil {
		return errors.New("signatures are required and there is no key to sign with")
	}
	path := filepath.Join(s.dir, name)
	m := &Manifest{Version: manifestVersion, File: name, Sequence: 1, Created: s.now().UTC(), Reason: "save"}
	data, old, err := s.readOnce(path)
	if old != nil {
		m.Sequence = old.Sequence + 1
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrUntrusted):
	case err == nil && old != nil:
		m.Replaces = old.of(data)
	case err == nil:
		c := Content{Size: int64(len(data)), SHA256: hashBytes(data)}
		m.Replaces = &c
	case !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUntrusted):
		return err
	}
	entries, err := s.readDirIfThere(s.dir)
	if err != nil {
		return err
	}
	if err := s.clean(entries); err != nil {
		return err
	}
	_, err = s.ops.lstat(path)
	return s.place(path, m, errors.Is(err, fs.ErrNotExist), write)
}

// ReadFile reads a file that SaveFile has written, whole, once, and compared with its manifest. Without RequireSigning
// one without a manifest is read as it is, and m is nil. Errors match fs.ErrNotExist, ErrDamaged or ErrUntrusted.
func (s *Store) ReadFile(name string) (data []byte, m *Manifest, err error) {
	if err := checkName(name); err != nil {
		return nil, nil, fmt.Errorf("read checkpoint: %w", err)
	}
	for try := 1; ; try++ {
		data, m, err = s.readOnce(filepath.Join(s.dir, name))
		if err == nil || !errors.Is(err, ErrDamaged) || try == fileTries {
			break
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read checkpoint: %w", err)
	}
	return data, m, nil
}

// readOnce reads the file before its manifest, which a writer replaces in the other order and which knows the
// content before, too. The manifest is returned with an error when it is there.
func (s *Store) readOnce(path string) ([]byte, *Manifest, error) {
	data, err := s.ops.readFile(path, -1, maxFile)
	if err != nil {
		return nil, nil, err
	}
	m, e, err := s.readManifest(path)
	if errors.Is(err, ErrNoManifest) && !s.require {
		return data, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if _, _, err := s.judge(path, m, e); err != nil {
		return nil, nil, err
	}
	if m.Replaces != nil && m.Replaces.SHA256 == hashBytes(data) && m.Replaces.Size == int64(len(data)) {
		return data, m, nil
	}
	if err := m.check(path, data); err != nil {
		return nil, m, err
	}
	return data, m, nil
}

// of is the one of a manifest's two contents that some verified bytes are.
func (m *Manifest) of(data []byte) *Content {
	if m.Replaces != nil && m.Replaces.SHA256 == hashBytes(data) {
		c := *m.Replaces
		return &c
	}
	c := m.Content
	return &c
}
