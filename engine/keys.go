package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
)

// trustedKeysFile lies beside the signing key: a rotation leaves the old
// public key in it.
const trustedKeysFile = "trusted_keys"

// keys are what a data directory is signed and verified with.
type keys struct {
	signing *signing.Key // nil: nothing is signed
	ring    *signing.Ring
	path    string      // of the signing key
	file    os.FileInfo // of the signing key when it was read
}

// ErrKeyReplaced says that the signing key is no longer the one that this
// process signs with: what it signed now would be refused by the next reader.
var ErrKeyReplaced = errors.New("the signing key was replaced, nothing more is recorded or saved; open the data directory again")

// inUse looks whether the signing key is still what it was. A rotation leaves
// a writer signing.RotationGrace to end what it has begun.
func (k *keys) inUse() error {
	if k == nil || k.signing == nil {
		return nil
	}
	now, err := os.Stat(k.path)
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrKeyReplaced, err)
	}
	if !os.SameFile(now, k.file) || !now.ModTime().Equal(k.file.ModTime()) {
		return fmt.Errorf("%w (%s)", ErrKeyReplaced, k.path)
	}
	return nil
}

// KeyFiles says where the signing key and the trusted keys of a configuration
// lie.
func KeyFiles(c *Config) (signingKey, trustedKeys string, err error) {
	signingKey = c.Persistence.SigningKeyFile
	if signingKey == "" {
		if signingKey, err = signing.DefaultKeyFile(); err != nil {
			return "", "", fmt.Errorf("signing key: %w; set persistence.signing_key_file", err)
		}
	}
	if signingKey, err = physical(signingKey); err != nil {
		return "", "", fmt.Errorf("signing key: %w", err)
	}
	return signingKey, filepath.Join(filepath.Dir(signingKey), trustedKeysFile), nil
}

// openKeys reads the keys of a configuration. A writer that must sign makes
// the signing key when there is none.
func openKeys(c *Config, writes bool, logger hclog.Logger) (*keys, error) {
	path, trustedPath, err := KeyFiles(c)
	if err != nil {
		if c.Safety.RequireSigning || c.Persistence.SigningKeyFile != "" {
			return nil, err
		}
		path = "" // nobody to sign, and nobody asks for it
	}
	k := &keys{}
	var trusted []signing.Trusted
	if path != "" {
		if k.signing, err = openSigningKey(path, writes && c.Safety.RequireSigning, logger); err != nil {
			return nil, fmt.Errorf("signing key: %w", err)
		}
		if k.signing != nil {
			k.path = path
			if k.file, err = os.Stat(path); err != nil {
				return nil, fmt.Errorf("signing key: %w", err)
			}
			// Replaced between the two it would never be noticed.
			if again, err := signing.LoadKey(path); err != nil || again.KeyID() != k.signing.KeyID() {
				return nil, errors.Join(ErrKeyReplaced, err)
			}
		}
		if trusted, err = signing.LoadTrusted(trustedPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("trusted keys: %w", err)
		}
	}
	for i, line := range c.Persistence.TrustedKeys {
		t, err := signing.ParseTrusted(line)
		if err != nil {
			return nil, &ConfigError{Key: "persistence.trusted_keys", Reason: fmt.Sprintf("entry %d: %v", i+1, err)}
		}
		trusted = append(trusted, t)
	}
	ring, err := signing.NewRing(trusted...)
	if err != nil {
		return nil, fmt.Errorf("trusted keys: %w", err)
	}
	k.ring = ring.With(k.signing)
	return k, nil
}

func openSigningKey(path string, make bool, logger hclog.Logger) (*signing.Key, error) {
	if !make {
		key, err := signing.LoadKey(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return key, err
	}
	key, made, err := signing.LoadOrCreateKey(path)
	if made {
		logger.Info("made a signing key", "path", path, "key", key.KeyID())
	}
	return key, err
}

// openStore is the checkpoint store of a data directory.
func openStore(c *Config, k *keys, logger hclog.Logger, now func() time.Time) (*store.Store, error) {
	return store.New(store.Options{
		Dir: c.Persistence.Dir, Key: k.signing, Ring: k.ring, RequireSigning: c.Safety.RequireSigning,
		Compress: c.Persistence.Compression, Keep: c.Persistence.MaxCheckpoints, Now: now, Logger: logger,
	})
}

// journalOptions says where the journal of a data directory lies, how it is
// synced and who signs it.
func journalOptions(c *Config, k *keys, now func() time.Time) journal.Options {
	o := journal.Options{
		Dir: filepath.Join(c.Persistence.Dir, journalFolder), Verifier: k.ring, UnknownKey: signing.ErrUnknownKey,
		RequireSigned: c.Safety.RequireSigning, Sync: journal.SyncMode(c.Persistence.JournalSync), Now: now,
	}
	if k.signing != nil { // a nil key in an interface is no nil interface
		o.Signer = k.signing
	}
	return o
}

// OpenStore gives the checkpoints of a data directory for listing and
// verifying; it needs no lock and changes nothing.
func OpenStore(c Config, logger hclog.Logger) (*store.Store, error) {
	c, k, err := readingKeys(c, logger)
	if err != nil {
		return nil, err
	}
	return openStore(&c, k, logger, time.Now)
}

// VerifyJournal reads the whole journal of a data directory; it needs no lock
// and changes nothing.
func VerifyJournal(c Config, logger hclog.Logger) (journal.Recovery, error) {
	c, k, err := readingKeys(c, logger)
	if err != nil {
		return journal.Recovery{}, err
	}
	found, err := journal.Verify(journalOptions(&c, k, time.Now))
	return found, verification(err)
}

// readingKeys makes the directory's path physical and reads the keys of those
// who only look.
func readingKeys(c Config, logger hclog.Logger) (Config, *keys, error) {
	var err error
	if c.Persistence.Dir, err = physical(c.Persistence.Dir); err != nil {
		return c, nil, fmt.Errorf("data directory: %w", err)
	}
	k, err := openKeys(&c, false, logger)
	return c, k, err
}
