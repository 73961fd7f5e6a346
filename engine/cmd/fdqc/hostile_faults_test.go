package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// malformed are the hostile files of the codec's tests, and what is to become
// of each: accept, refuse or either.
func malformed(t *testing.T) map[string]string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("..", "..", "..", "checkpoints", "testdata", "pt", "malformed"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "expect.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expect map[string]string
	if err := json.Unmarshal(text, &expect); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name, verdict := range expect {
		files[filepath.Join(folder, name)] = verdict
	}
	return files
}

// cost is what a command took of this process.
type cost struct {
	cpu   time.Duration
	bytes uint64 // allocated in all, so at least what was held at once
}

func measured(t *testing.T, args ...string) (answer, cost) {
	t.Helper()
	var before, after runtime.MemStats
	var from, to syscall.Rusage
	runtime.ReadMemStats(&before)
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &from); err != nil {
		t.Fatal(err)
	}
	got := fdqc(t, row(1, ""), args...)
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &to); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	cpu := time.Duration(to.Utime.Nano() + to.Stime.Nano() - from.Utime.Nano() - from.Stime.Nano())
	return got, cost{cpu, after.TotalAlloc - before.TotalAlloc}
}

// door is a way for a file into the program.
type door struct {
	// as is the name that the file must have, "" when any will do.
	as   string
	args func(t *testing.T, path string) []string
	// loads says that what the codec accepts is taken, whatever it is.
	loads bool
}

// doors are all ways in.
func doors(t *testing.T) map[string]door {
	t.Helper()
	config := func(signing bool) string {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, fmt.Appendf(nil, "[safety]\nrequire_signing = %v\n", signing), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	streams := []string{"--input", "-", "--output", "-"}
	named := func(command, flag string) door {
		return door{args: func(_ *testing.T, path string) []string { return append([]string{command, flag, path}, streams...) }}
	}
	all := map[string]door{
		"inspect":                {args: func(_ *testing.T, path string) []string { return []string{"inspect", path} }, loads: true},
		"inspect --json":         {args: func(_ *testing.T, path string) []string { return []string{"inspect", "--json", path} }, loads: true},
		"validate --state":       named("validate", "--state"),
		"validate --patterns":    named("validate", "--patterns"),
		"validate --projections": named("validate", "--projections"),
		"replay --state":         named("replay", "--state"),
	}
	for _, name := range []string{"patterns_20240101_000000.pt", "validator_state.pt", "projections.pt"} {
		all["migrate "+name] = door{as: name, args: func(t *testing.T, path string) []string {
			return []string{"migrate", "--from", filepath.Dir(path), "--to", filepath.Join(t.TempDir(), "to")}
		}}
		for _, signing := range []bool{true, false} {
			file := config(signing)
			for _, command := range []string{"validate", "record"} {
				all[fmt.Sprintf("%s, signing %v, %s", command, signing, name)] = door{as: name, args: func(_ *testing.T, path string) []string {
					return append([]string{command, "--config", file, "--data-dir", filepath.Dir(path)}, streams...)
				}}
			}
		}
	}
	return all
}

func TestHostileFilesAtEveryDoor(t *testing.T) {
	needLibTorch(t)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	files := malformed(t)
	folder(t, nil)
	var tries, refused int
	var most cost
	for name, door := range doors(t) {
		t.Run(name, func(t *testing.T) {
			for source, verdict := range files {
				path := source
				if door.as != "" {
					path = filepath.Join(t.TempDir(), "folder", door.as)
					put(t, source, path)
				}
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				got, c := measured(t, append(door.args(t, path), "--log-level", "error")...)
				tries++
				most.cpu, most.bytes = max(most.cpu, c.cpu), max(most.bytes, c.bytes)
				ok := got.code == exitVerify || got.code == exitUsage
				if door.loads && verdict != "refuse" {
					ok = got.code == exitDone || verdict == "either" && ok
				}
				if !ok {
					t.Errorf("%s (%s): exit %d, %s", filepath.Base(source), verdict, got.code, got.errors)
				}
				if c.cpu > 2*time.Second || c.bytes > uint64(64<<20+info.Size()) {
					t.Errorf("%s: took %v and %d bytes, want 2s and 64 MiB beyond the file's %d at most", filepath.Base(source), c.cpu, c.bytes, info.Size())
				}
				if got.code == exitDone {
					continue
				}
				refused++
				if strings.Count(got.errors, "\n") != 1 || !strings.HasPrefix(got.errors, "fdqc: ") || !strings.Contains(got.errors, filepath.Base(path)) {
					t.Errorf("%s: error %q, want one line that names the file", filepath.Base(source), got.errors)
				}
				if got.out != "" && !strings.HasPrefix(name, "migrate") {
					t.Errorf("%s: refused, yet it printed %q", filepath.Base(source), got.out)
				}
			}
		})
	}
	t.Logf("%d files at %d doors, %d tries: %d refused, 0 crashes; at most %v of processor time and %d KiB allocated",
		len(files), len(doors(t)), tries, refused, most.cpu, most.bytes>>10)
}

// put copies a file into a folder, which is made.
func put(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.Mkdir(filepath.Dir(to), 0o700)
	}
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestStrangeFilesAtEveryDoor puts what is no file of any use where one is
// expected; nothing may wait for it, or read it for ever.
func TestStrangeFilesAtEveryDoor(t *testing.T) {
	needLibTorch(t)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	folder(t, nil)
	write := func(content []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, content, 0o600) }
	}
	kinds := map[string]struct {
		create func(path string) error
		file   bool // a regular file, whose content is what is wrong
	}{
		"empty":          {write(nil), true},
		"text":           {write([]byte("PK\x03\x04 is how it begins\n")), true},
		"zeros":          {write(make([]byte, 1<<20)), true},
		"folder":         {func(path string) error { return os.Mkdir(path, 0o700) }, false},
		"pipe":           {func(path string) error { return syscall.Mkfifo(path, 0o600) }, false},
		"device":         {func(path string) error { return os.Symlink("/dev/zero", path) }, false},
		"dangling link":  {func(path string) error { return os.Symlink("nowhere", path) }, false},
		"link to itself": {func(path string) error { return os.Symlink(filepath.Base(path), path) }, false},
		"huge": {func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40))
		}, false},
	}
	for name, door := range doors(t) {
		t.Run(name, func(t *testing.T) {
			for name, kind := range kinds {
				dir := filepath.Join(t.TempDir(), "folder")
				path := filepath.Join(dir, "strange.pt")
				if door.as != "" {
					path = filepath.Join(dir, door.as)
				}
				if err := errors.Join(os.Mkdir(dir, 0o700), kind.create(path)); err != nil {
					t.Fatal(err)
				}
				type result struct {
					answer
					cost
				}
				done := make(chan result, 1)
				go func() {
					got, c := measured(t, append(door.args(t, path), "--log-level", "error")...)
					done <- result{got, c}
				}()
				select {
				case got := <-done:
					if got.code != exitVerify && got.code != exitUsage && (kind.file || got.code != exitFailed) {
						t.Errorf("%s: exit %d, %s", name, got.code, got.errors)
					}
					if strings.Count(got.errors, "\n") != 1 || !strings.Contains(got.errors, filepath.Base(path)) {
						t.Errorf("%s: error %q, want one line that names the file", name, got.errors)
					}
					if got.cpu > 2*time.Second || got.bytes > 64<<20+1<<20 {
						t.Errorf("%s: took %v and %d bytes", name, got.cpu, got.bytes)
					}
				case <-time.After(30 * time.Second):
					t.Errorf("%s: the command waits for it", name)
				}
			}
		})
	}
}
