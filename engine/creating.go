package engine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

// Contents is what a new data directory is made of.
type Contents struct {
	State       *checkpoints.ValidatorState // nil: drawn from safety.seed
	Projections *checkpoints.Projections    // nil: none
	Patterns    *checkpoints.PatternSet     // nil: those of State, or empty
	Settings    []byte                      // text of its fdqc.toml; nil: none
	Copies      map[string][]byte           // further files by relative name, as they are
}

// CreateDirectory makes the data directory dir, which must be absent or empty,
// signed with the configured key, complete or not at all: it is made beside its
// place and moved there at the end. The configuration's own persistence.dir is
// not looked at.
func CreateDirectory(dir string, config Config, c Contents, logger hclog.Logger) (err error) {
	if dir, err = physical(dir); err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("create data directory: %s is not empty (%s)", dir, entries[0].Name())
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("create data directory: %w", err)
	}
	partial := dir + ".partial-" + rand.Text()[:10]
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("create data directory: %w", err), os.RemoveAll(partial))
		}
	}()
	config.Persistence.Dir = partial
	config.Persistence.AutoSaveInterval = 0
	if err := fill(config, c, logger); err != nil {
		return err
	}
	// Unlike os.Rename it takes the place of an empty folder, and of no other.
	if err := syscall.Rename(partial, dir); err != nil {
		return &os.LinkError{Op: "rename", Old: partial, New: dir, Err: err}
	}
	return disk.SyncFolder(filepath.Dir(dir))
}

// fill writes everything into the directory of the configuration.
func fill(config Config, c Contents, logger hclog.Logger) error {
	dir := config.Persistence.Dir
	if err := disk.MakeFolder(dir); err != nil {
		return err
	}
	for name, data := range c.Copies {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("copy %q: expected a name within the directory", name)
		}
		path := filepath.Join(dir, name)
		if err := disk.MakeFolder(filepath.Dir(path)); err != nil {
			return err
		}
		if err := writeFile(path, data); err != nil {
			return err
		}
	}
	if c.Settings != nil {
		if err := writeFile(filepath.Join(dir, configFile), c.Settings); err != nil {
			return err
		}
	}
	o := newOptions([]Option{WithLogger(logger)})
	k, err := openKeys(&config, true, o.logger)
	if err != nil {
		return err
	}
	files, err := openStore(&config, k, o.logger, o.now)
	if err != nil {
		return err
	}
	if c.State != nil {
		if c.Patterns == nil {
			c.Patterns = &c.State.Patterns
		}
		if err := files.SaveFile(stateFile, func(w io.Writer) error {
			return checkpoints.WriteValidatorState(w, container.Root(stateFile), c.State)
		}); err != nil {
			return err
		}
	}
	if c.Projections != nil {
		if err := files.SaveFile(projectionsFile, func(w io.Writer) error {
			return checkpoints.WriteProjections(w, container.Root(projectionsFile), c.Projections)
		}); err != nil {
			return err
		}
	}
	// Opening completes it: weights, journal, first checkpoint.
	d, err := openDirectory(config, &o, true, c.Patterns)
	if err != nil {
		return err
	}
	return d.Close()
}

func writeFile(path string, data []byte) error {
	return checkpoints.WriteAtomic(path, 0o600, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
