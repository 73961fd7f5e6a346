package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// Rotate is Prune with the number of the options.
func (s *Store) Rotate() ([]string, error) { return s.Prune(s.keep) }

// Prune deletes the oldest pattern checkpoints by sequence until keep are left, at least 1, and what interrupted writers left. The
// newest that verifies is never deleted, nor one without a date in its name. It returns the paths of the deleted.
func (s *Store) Prune(keep int) ([]string, error) {
	if keep < 1 {
		return nil, fmt.Errorf("prune checkpoints: keep %d, expected at least 1", keep)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	removed, err := s.prune(keep, "")
	if err != nil {
		return removed, fmt.Errorf("prune checkpoints: %w", err)
	}
	return removed, nil
}

// prune knows of one checkpoint, if any, that it verifies.
func (s *Store) prune(keep int, good string) (removed []string, err error) {
	list, names, err := s.list()
	if err != nil {
		return nil, err
	}
	if err := s.clean(names); err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(c Checkpoint) bool {
		_, dated := nameTime(c.Name)
		plain := c.Problem == nil || errors.Is(c.Problem, ErrDamaged) || errors.Is(c.Problem, ErrNoManifest)
		return !dated || !plain // not ours to delete
	})
	if len(list) <= keep {
		return nil, nil
	}
	if good == "" {
		at := slices.IndexFunc(list, func(c Checkpoint) bool {
			_, err := s.read(c)
			return err == nil
		})
		if at < 0 {
			return nil, fmt.Errorf("%w in %s", ErrNoneLeft, s.dir)
		}
		good = list[at].Name
	}
	old := slices.DeleteFunc(list[keep:], func(c Checkpoint) bool { return c.Name == good })
	// The files first, durably, so that none ever looks unsigned.
	for _, suffix := range []string{"", manifestSuffix} {
		for _, c := range old {
			err := s.ops.remove(c.Path + suffix)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return removed, err
			}
			if suffix == "" {
				removed = append(removed, c.Path)
			}
		}
		if err := s.ops.syncDir(s.dir); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// SetAside moves checkpoints with their manifests into one new folder set-aside/<UTC time>-<reason>, where nothing takes or deletes
// them, in the order given; the name of a single one is added. Only the writer of the directory may call it.
func (s *Store) SetAside(reason string, cs ...Checkpoint) (folder string, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if folder, err = s.setAside(reason, cs...); err != nil {
		return folder, fmt.Errorf("set checkpoints aside: %w", err)
	}
	return folder, nil
}

func (s *Store) setAside(reason string, cs ...Checkpoint) (folder string, err error) {
	if reason == "" || strings.Trim(reason, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", fmt.Errorf("reason %.80q, expected small letters, digits and -", reason)
	}
	for _, c := range cs {
		if filepath.Clean(c.Path) != filepath.Join(s.dir, filepath.Base(c.Name)) || c.Name != filepath.Base(c.Path) {
			return "", fmt.Errorf("%s does not lie in %s", c.Path, s.dir)
		}
	}
	parent := filepath.Join(s.dir, asideFolder)
	if err := s.ops.mkdir(parent, folderPerm); err == nil {
		if err := s.ops.syncDir(s.dir); err != nil {
			return "", err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	if info, err := s.ops.lstat(parent); err != nil {
		return "", err
	} else if !info.IsDir() {
		return "", untrusted(parent, "it has mode %v, expected a folder", info.Mode())
	}
	base := filepath.Join(parent, s.now().UTC().Format(nameLayout)+"-"+reason)
	if len(cs) == 1 {
		base += "-" + cs[0].Name
	}
	folder = base
	for i := 2; ; i++ {
		if err := s.ops.mkdir(folder, folderPerm); err == nil {
			break
		} else if !errors.Is(err, fs.ErrExist) || i > 10_000 {
			return "", err
		}
		folder = fmt.Sprintf("%s-%d", base, i)
	}
	if err := s.ops.syncDir(parent); err != nil {
		return "", err
	}
	for _, c := range cs {
		// The file first: a manifest alone is harmless.
		for _, suffix := range []string{"", manifestSuffix} {
			err := s.ops.rename(c.Path+suffix, filepath.Join(folder, c.Name+suffix))
			if err != nil && (suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
				return folder, err
			}
			if err := errors.Join(s.ops.syncDir(folder), s.ops.syncDir(s.dir)); err != nil {
				return folder, err
			}
		}
		s.logger.Info("set checkpoint aside", "path", c.Path, "folder", folder, "reason", reason)
	}
	return folder, nil
}
