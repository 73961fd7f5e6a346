package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// MakeFolder makes a folder with mode 0700 and the ones above it that are
// missing, and makes their names durable: a file that is synced into a folder is
// lost with the folder's own name otherwise. An existing folder stays as it is.
func MakeFolder(dir string) error {
	dir = filepath.Clean(dir)
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("make folder: %s is no folder", dir)
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MakeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := SyncFolder(parent); err != nil {
		return fmt.Errorf("make folder %s: %w", dir, err)
	}
	return nil
}

// SyncFolder makes the names in a folder durable: what was created, renamed or
// deleted in it.
func SyncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
