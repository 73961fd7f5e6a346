package disk

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func TestOpenRegular(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	write(t, good, "text", 0o600)
	f, info, err := OpenRegular(good)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(f); string(text) != "text" || info.Size() != 4 || err != nil {
		t.Errorf("got %q of %d bytes, %v", text, info.Size(), err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, err := range []error{
		os.Symlink(good, at("link")), os.Symlink("nowhere", at("dangling")), os.Symlink("loop", at("loop")),
		os.Mkdir(at("folder"), 0o700), syscall.Mkfifo(at("pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, kind := range map[string]string{
		"link": "symbolic link", "dangling": "symbolic link", "loop": "symbolic link", "folder": "folder", "pipe": "pipe", "socket": "socket",
	} {
		_, _, err := OpenRegular(at(name))
		var irregular *IrregularError
		if !errors.As(err, &irregular) || err.Error() != at(name)+" is a "+kind+", expected a regular file" {
			t.Errorf("%s: got %v, want it to be a %s", name, err, kind)
		}
	}
	if _, _, err := OpenRegular("/dev/null"); err == nil || !strings.Contains(err.Error(), "is a device") {
		t.Errorf("/dev/null: got %v, want it to be a device", err)
	}
	if _, _, err := OpenRegular(at("absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: got %v, want %v", err, fs.ErrNotExist)
	}
}

func TestReadOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own")
	for _, c := range []struct {
		mode      fs.FileMode
		forbidden fs.FileMode
		limit     int64
		wrong     string
	}{
		{0o600, 0o177, 4, ""}, {0o400, 0o177, 4, ""}, {0o644, 0o022, 4, ""},
		{0o640, 0o177, 4, "has mode 0640, expected at most 0600; run: chmod 600 "}, {0o601, 0o177, 4, "0601"}, {0o700, 0o177, 4, "0700"},
		{0o664, 0o022, 4, "run: chmod 644 "}, {0o646, 0o022, 4, "0646"}, {0o600 | fs.ModeSetuid, 0o022, 4, "mode"},
		{0o600, 0o177, 3, "larger than 3 bytes"},
	} {
		write(t, path, "text", c.mode)
		text, err := ReadOwn(path, c.forbidden, c.limit)
		if c.wrong == "" && (err != nil || string(text) != "text") || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("mode %v of %v: got %q, %v, want %q", c.mode, c.forbidden, text, err, c.wrong)
		}
	}
	var unsafe *UnsafeError
	if _, err := ReadOwn(filepath.Dir(path), 0o022, 1); !errors.As(err, &unsafe) {
		t.Errorf("a folder: got %v, want an UnsafeError", err)
	}
}

func TestReadOwnOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "own")
	write(t, path, "text", 0o600)
	if err := os.Chown(path, 12345, -1); err != nil {
		t.Fatal(err)
	}
	var unsafe *UnsafeError
	if _, err := ReadOwn(path, 0o022, 4); !errors.As(err, &unsafe) || !strings.Contains(err.Error(), "another user") {
		t.Errorf("another owner: got %v", err)
	}
}

func TestReadRegular(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "text", 0o644)
	if text, err := ReadRegular(path, 4); string(text) != "text" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	var large *TooLargeError
	if _, err := ReadRegular(path, 3); !errors.As(err, &large) {
		t.Errorf("got %v, want a TooLargeError", err)
	}
	if _, err := ReadRegular("/dev/zero", 3); err == nil {
		t.Error("a device: got no error")
	}
}

func TestNumbered(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		NumberedName(10, ".x"), NumberedName(9, ".x"), NumberedName(1<<62, ".x"), "9.x", NumberedName(9, ".y"), NumberedName(9, ".x") + "~",
		"0000000000000000000a.x", "99999999999999999999.x", "000000000000000000-1.x", "notes",
	} {
		write(t, filepath.Join(dir, name), "", 0o600)
	}
	all, err := ListNumbered(dir, ".x")
	if err != nil || len(all) != 3 || all[0].First != 9 || all[1].First != 10 || all[2].First != 1<<62 || all[0].Path != filepath.Join(dir, "00000000000000000009.x") {
		t.Errorf("got %v, %v, want 9, 10 and 2^62", all, err)
	}
	if _, err := ListNumbered(filepath.Join(dir, "absent"), ".x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent folder: got %v", err)
	}
}

func TestMakeFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "c")
	for range 2 { // the second time it is there
		if err := MakeFolder(dir); err != nil {
			t.Fatal(err)
		}
	}
	for d := dir; filepath.Base(d) != "a"; d = filepath.Dir(d) {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v, want mode 0700", d, info, err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{file, filepath.Join(file, "below")} {
		if err := MakeFolder(bad); err == nil {
			t.Errorf("%s: got no error", bad)
		}
	}
}
