package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	crand "crypto/rand"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)

// generate draws a key.
func generate(t testing.TB) *Key {
	t.Helper()
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// fixed is the key of RFC 8032, section 7.1, test 1.
func fixed() *Key {
	seed := []byte{0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
		0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60}
	return newKey(ed25519.NewKeyFromSeed(seed))
}

func names(t testing.TB, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFolder(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/somewhere")
	if got, err := DefaultKeyFile(); err != nil || got != "/somewhere/fdqc/signing.key" {
		t.Errorf("with XDG_CONFIG_HOME: got %q, %v", got, err)
	}
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", "/home/someone")
	if got, err := DefaultKeyFile(); err != nil || got != "/home/someone/.config/fdqc/signing.key" {
		t.Errorf("without: got %q, %v", got, err)
	}
	t.Setenv("HOME", "")
	if got, err := DefaultKeyFile(); err == nil {
		t.Errorf("without a home: got %q, want an error", got)
	}
}

func TestEncoding(t *testing.T) {
	// The example of the DSSE protocol.
	got := string(encode("http://example.com/HelloWorld", []byte("hello world")))
	if want := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeyID(t *testing.T) {
	// sha256 of the 32 bytes d75a9801 … f707511a, the first half.
	if got, want := fixed().KeyID(), "21fe31dfa154a261626bf854046fd227"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", fixed(), fixed(), fixed(), fixed()); strings.Contains(text, "9d61") || strings.Contains(text, "157") {
		t.Errorf("printing shows the private key: %s", text)
	}
}

func TestCreateAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "fdqc", "signing.key")
	if _, err := LoadKey(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want fs.ErrNotExist", err)
	}
	key, made, err := LoadOrCreateKey(path)
	if err != nil || !made {
		t.Fatalf("first: got made %t, %v", made, err)
	}
	for range 2 {
		again, made, err := LoadOrCreateKey(path)
		if err != nil || made || again.KeyID() != key.KeyID() {
			t.Errorf("again: got %v, made %t, %v, want %v", again, made, err, key)
		}
		if again, err = CreateKey(path); err != nil || again.KeyID() != key.KeyID() {
			t.Errorf("create again: got %v, %v, want %v", again, err, key)
		}
	}
	for path, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700 | fs.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: got %v (%v), want mode %v", path, info, err, want)
		}
	}
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("got files %v, want the key only", got)
	}
}

// TestCreateAtOnce lets many make the same key: all get one.
func TestCreateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fdqc", "signing.key")
	var group sync.WaitGroup
	var lock sync.Mutex
	ids, winners := map[string]int{}, 0
	for range 16 {
		group.Go(func() {
			key, made, err := LoadOrCreateKey(path)
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			ids[key.KeyID()]++
			if made {
				winners++
			}
		})
	}
	group.Wait()
	if len(ids) != 1 || winners != 1 {
		t.Errorf("got keys %v and %d winners, want one of each", ids, winners)
	}
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("got files %v, want the key only", got)
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	dir := t.TempDir()
	good, err := fixed().pem()
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(crand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaDER, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(good)
	write := func(path string, text []byte, mode fs.FileMode) {
		if err := errors.Join(os.WriteFile(path, text, 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	content := func(text []byte) func(string) {
		return func(path string) { write(path, text, 0o600) }
	}
	mode := func(m fs.FileMode) func(string) {
		return func(path string) { write(path, good, m) }
	}
	for _, c := range []struct {
		name string
		make func(path string)
		want error
		text string
	}{
		{"group may read", mode(0o640), ErrUnsafeFile, "chmod 600"},
		{"all may read", mode(0o604), ErrUnsafeFile, "chmod 600"},
		{"group may write", mode(0o620), ErrUnsafeFile, "0620"},
		{"executable", mode(0o700), ErrUnsafeFile, "0700"},
		{"set user", mode(0o600 | fs.ModeSetuid), ErrUnsafeFile, ""},
		{"folder", func(path string) { os.Mkdir(path, 0o700) }, ErrUnsafeFile, "regular file"},
		{"pipe", func(path string) { syscall.Mkfifo(path, 0o600) }, ErrUnsafeFile, "regular file"},
		{"link", func(path string) { write(path+".to", good, 0o600); os.Symlink(path+".to", path) }, ErrUnsafeFile, "symbolic link"},
		{"dangling link", func(path string) { os.Symlink(path+".nowhere", path) }, ErrUnsafeFile, "symbolic link"},
		{"empty", content(nil), ErrMalformed, "PEM"},
		{"large", content(make([]byte, maxKeyFile+1)), ErrMalformed, "larger than"},
		{"bytes behind", content(append(bytes.Clone(good), 'x')), ErrMalformed, "one block"},
		{"two blocks", content(append(bytes.Clone(good), good...)), ErrMalformed, "one block"},
		{"bytes before", content(append([]byte("x\n"), good...)), ErrMalformed, "one block"},
		{"other block", content(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: block.Bytes})), ErrMalformed, "PRIVATE KEY"},
		{"header", content(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: block.Bytes, Headers: map[string]string{"a": "b"}})), ErrMalformed, "headers"},
		{"no PKCS #8", content(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: block.Bytes[1:]})), ErrMalformed, "PKCS #8"},
		{"RSA", content(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: rsaDER})), ErrMalformed, "expected an Ed25519 key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, c.name)
			c.make(path)
			key, err := LoadKey(path)
			if key != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, %v, want %v, with %q and the path", key, err, c.want, c.text)
			}
			if _, _, err := LoadOrCreateKey(path); !errors.Is(err, c.want) {
				t.Errorf("LoadOrCreateKey: got %v, want %v", err, c.want)
			}
		})
	}
	t.Run("another owner", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root can give files away")
		}
		path := filepath.Join(dir, "other")
		write(path, good, 0o600)
		if err := os.Chown(path, 12345, 12345); err != nil {
			t.Skip(err)
		}
		if _, err := LoadKey(path); !errors.Is(err, ErrUnsafeFile) {
			t.Errorf("got %v, want %v", err, ErrUnsafeFile)
		}
	})
}

// TestOpenSSL exchanges keys with openssl in both directions.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl")
	}
	dir := t.TempDir()
	ours := filepath.Join(dir, "ours")
	key, err := CreateKey(ours)
	if err != nil {
		t.Fatal(err)
	}
	der, err := exec.Command(openssl, "pkey", "-in", ours, "-pubout", "-outform", "DER").Output()
	if err != nil || !bytes.HasSuffix(der, key.Public()) {
		t.Errorf("openssl reads %x (%v), want a public key %x", der, err, key.Public())
	}
	theirs := filepath.Join(dir, "theirs")
	if out, err := exec.Command(openssl, "genpkey", "-algorithm", "ed25519", "-out", theirs).CombinedOutput(); err != nil {
		t.Skipf("openssl makes no Ed25519 key: %s", out)
	}
	if err := os.Chmod(theirs, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(theirs); err != nil {
		t.Error(err)
	}
}

// TestCreateKeyFails leaves nothing behind when the name cannot be given.
func TestCreateKeyFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateKey(filepath.Join(file, "signing.key")); err == nil {
		t.Error("folder is a file: got no error")
	}
}
