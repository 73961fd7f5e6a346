package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

const (
	pemType    = "PRIVATE KEY"
	maxKeyFile = 16 << 10
	keyPerm    = 0o600
)

// Folder is where a user's keys lie: $XDG_CONFIG_HOME/fdqc, or ~/.config/fdqc. It need not exist.
func Folder() (string, error) {
	base, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the folder of keys: %w", err)
	}
	return filepath.Join(base, "fdqc"), nil
}

// DefaultKeyFile is the file of the signing key when none is configured.
func DefaultKeyFile() (string, error) {
	folder, err := Folder()
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, "signing.key"), nil
}

// LoadKey reads a private key: one PEM block of PKCS #8 with an Ed25519 key, as `openssl genpkey -algorithm ed25519` writes it.
// The file must be a plain file, no link, of this user, and with no permission for others; ErrUnsafeFile
// otherwise. fs.ErrNotExist is matched when there is none.
func LoadKey(path string) (*Key, error) {
	text, err := readOwn(path, 0o177, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("load key %s: %w: %w", path, ErrMalformed, err)
	}
	return key, nil
}

func parseKey(text []byte) (*Key, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != pemType || len(block.Headers) != 0 {
		return nil, fmt.Errorf("expected a PEM block %q without headers", pemType)
	}
	if len(bytes.TrimSpace(rest)) != 0 || !bytes.HasPrefix(text, []byte("-----BEGIN")) {
		return nil, errors.New("bytes beside the PEM block, expected one block only")
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		// The parser's own words may quote the key's bytes.
		return nil, errors.New("the PEM block holds no PKCS #8 private key")
	}
	private, ok := any.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("holds a %T, expected an Ed25519 key", any)
	}
	return newKey(private), nil
}

func (k *Key) pem() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// CreateKey makes a key file, and its folder with mode 0700 when absent. A file that is there already is not touched and its
// key is returned, so of two processes at once one wins and both go on with the same key. The file is durable on return.
func CreateKey(path string) (*Key, error) {
	key, _, err := createKey(path)
	return key, err
}

// LoadOrCreateKey loads a key, or makes it when there is none; made tells which.
func LoadOrCreateKey(path string) (key *Key, made bool, err error) {
	key, err = LoadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(path)
	}
	return key, false, err
}

func createKey(path string) (_ *Key, made bool, err error) {
	key, err := GenerateKey()
	if err != nil {
		return nil, false, err
	}
	text, err := key.pem()
	if err != nil {
		return nil, false, fmt.Errorf("create key: %w", err)
	}
	folder := filepath.Dir(path)
	if err := disk.MakeFolder(folder); err != nil {
		return nil, false, fmt.Errorf("create key: %w", err)
	}
	made, err = writeNew(path, text)
	if err != nil {
		return nil, false, fmt.Errorf("create key %s: %w", path, err)
	}
	if made {
		return key, true, nil
	}
	key, err = LoadKey(path)
	return key, false, err
}

// writeNew writes a file that must not be there yet: beside, and then linked to its name, which unlike a rename
// never replaces one. It is false when there was one.
func writeNew(path string, text []byte) (made bool, err error) {
	folder, name := filepath.Split(path)
	temp := filepath.Join(folder, "."+name+".tmp-"+rand.Text()[:10])
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyPerm)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.Remove(temp)) }()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	err = os.Link(temp, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	// Also when another process won: its name may not be on the disk yet.
	return err == nil, disk.SyncFolder(filepath.Dir(path))
}

// RotationGrace is for how long after a rotation signatures of the old key still count: a writer that has begun to sign with it
// may end what it does. Whoever keeps a key open looks before every signature whether the key file is still the same.
const RotationGrace = time.Minute

// RotateKey replaces a key by a new one. First the old public key is written into the file of trusted keys with an expiry of
// now and RotationGrace, replacing a line that it may have there, and made durable; then the key file is replaced. After a crash
// between the two the old key is still the current one, for which an expiry does not count (Ring.With), and rotating
// again works. Both files are complete at any time.
func RotateKey(path, trustedPath string, now time.Time) (old, fresh *Key, err error) {
	unlock, err := lockFolder(filepath.Dir(path))
	if err != nil {
		return nil, nil, fmt.Errorf("rotate key: %w", err)
	}
	defer unlock()
	if old, err = LoadKey(path); err != nil {
		return nil, nil, fmt.Errorf("rotate key: %w", err)
	}
	if err := retire(old, trustedPath, now.Add(RotationGrace)); err != nil {
		return nil, nil, fmt.Errorf("rotate key: %w", err)
	}
	if fresh, err = GenerateKey(); err != nil {
		return nil, nil, fmt.Errorf("rotate key: %w", err)
	}
	text, err := fresh.pem()
	if err != nil {
		return nil, nil, fmt.Errorf("rotate key: %w", err)
	}
	if err := writeOver(path, text); err != nil {
		return nil, nil, fmt.Errorf("rotate key: %w", err)
	}
	return old, fresh, nil
}

func writeOver(path string, text []byte) error {
	return checkpoints.WriteAtomic(path, keyPerm, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// lockFolder lets one process at a time change the keys of a folder: a key that two made would sign for one only.
func lockFolder(folder string) (unlock func(), err error) {
	d, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", folder, err), d.Close())
	}
	return func() { _ = d.Close() }, nil // closing unlocks
}
