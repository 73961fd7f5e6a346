package engine_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/engine"
)

// A path with a link before ".." means what the system makes of it, to every
// part of the engine alike.
func TestDotsBehindALink(t *testing.T) {
	base := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(base, "real", "deep"), 0o700))
	must(t, os.Symlink(filepath.Join("real", "deep"), filepath.Join(base, "link")))
	by := base + "/link/../" // not joined, which would clean it
	t.Chdir(base)
	for name, prefix := range map[string]string{"absolute": by, "relative": "link/../", "twice": "link/../deep/../"} {
		t.Run(name, func(t *testing.T) {
			config := onDisk(t)
			config.Persistence.Dir = prefix + name + "/data"
			config.Persistence.SigningKeyFile = prefix + name + "/keys/signing.key"
			at := filepath.Join(base, "real", name)
			d, err := engine.OpenDirectory(config)
			must(t, err)
			_, err = d.Save(t.Context(), "test")
			must(t, err)
			must(t, d.Close())
			key, trusted, err := engine.KeyFiles(&config)
			must(t, err)
			_, _, err = signing.RotateKey(key, trusted, time.Now())
			must(t, err)
			for _, path := range []string{"data/lock", "data/journal", "data/validator_state.pt", "keys/signing.key", "keys/trusted_keys"} {
				if _, err := os.Stat(filepath.Join(at, path)); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
			must(t, directory(t, config).Close()) // with the rotated key
			files, err := engine.OpenStore(config, nil)
			must(t, err)
			if list, err := files.List(); err != nil || len(list) != 2 {
				t.Errorf("list: got %d checkpoints, %v, want 2", len(list), err)
			}
			if found, err := engine.VerifyJournal(config, nil); err != nil || found.Segments == 0 {
				t.Errorf("journal: got %+v, %v, want segments", found, err)
			}
			must(t, engine.CreateDirectory(prefix+name+"/made", config, engine.Contents{Settings: []byte("[safety]\ntier = \"BETA\"\n")}, nil))
			got, _, err := engine.LoadConfig(engine.LoadOptions{Flags: map[string]string{"persistence.dir": prefix + name + "/made"}, WorkDir: t.TempDir()})
			if err != nil || got.Safety.Tier != "BETA" {
				t.Errorf("settings of the directory: got tier %s, %v, want BETA", got.Safety.Tier, err)
			}
			if _, err := os.Lstat(filepath.Join(base, name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something was made in the folder of the link: %v", err)
			}
		})
	}
	t.Run("nowhere", func(t *testing.T) {
		config := onDisk(t)
		config.Persistence.Dir = "absent/../data"
		if d, err := engine.OpenDirectory(config); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "absent") {
			t.Errorf("got %v, %v, want no such folder and its name", d, err)
		}
	})
}

func TestLinkForTheLock(t *testing.T) {
	for name, target := range map[string]string{"dangling": "elsewhere", "to a file": "notes"} {
		t.Run(name, func(t *testing.T) {
			config := small(t)
			must(t, directory(t, config).Close())
			lock := filepath.Join(config.Persistence.Dir, "lock")
			outside := filepath.Join(t.TempDir(), target)
			if target == "notes" {
				must(t, os.WriteFile(outside, nil, 0o600))
			}
			must(t, errors.Join(os.Remove(lock), os.Symlink(outside, lock)))
			if d, err := engine.OpenDirectory(config); err == nil || !strings.Contains(err.Error(), lock) {
				t.Errorf("got %v, %v, want an error that names the lock", d, err)
			}
			if _, err := os.Stat(outside); target == "elsewhere" && err == nil {
				t.Error("a file was made where the link leads")
			}
		})
	}
}
