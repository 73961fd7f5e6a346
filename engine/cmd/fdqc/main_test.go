package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
)

// asCommand in the environment makes the test binary be the command, for
// tests that need a process of its own.
const asCommand = "FDQC_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	// Keys are made here, not in the home of whoever runs the tests.
	home, err := os.MkdirTemp("", "fdqc-command-*")
	if err == nil {
		err = os.Setenv("XDG_CONFIG_HOME", home)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(home); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// needLibTorch skips a test on a machine without the shim; `make test` has it.
func needLibTorch(t *testing.T) {
	t.Helper()
	library, err := torch.Open(torch.Options{})
	var unavailable *torch.UnavailableError
	if errors.As(err, &unavailable) {
		t.Skip("run make build: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := library.Close(); err != nil {
		t.Fatal(err)
	}
}

// answer is what a command line did.
type answer struct {
	code        int
	out, errors string
}

// fdqc runs a command line in this process, in an empty working directory.
func fdqc(t *testing.T, stdin string, args ...string) answer {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, streams{strings.NewReader(stdin), &out, &errs})
	return answer{code, out.String(), errs.String()}
}

// process prepares a command line as a process of its own.
func process(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	return c
}

// folder is an empty working directory that holds some files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// lines decodes JSON Lines.
func lines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, object)
	}
	return all
}

// row is a JSON line with an embedding of width 8 and further fields.
func row(id int, fields string) string {
	return fmt.Sprintf(`{"id": %d, "embedding": [%d, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]%s}`+"\n", id, id, fields)
}

// startOwner starts a process that has the data directory open until the test
// ends. tell gives it rows to record and answers the receipts.
func startOwner(t *testing.T) (tell func(rows string) []map[string]any) {
	t.Helper()
	owner := process(context.WithoutCancel(t.Context()), "record", "--input", "-", "--output", "-") // which ends before the test
	in, err := owner.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), owner.Wait()); err != nil {
			t.Errorf("the owner: %v", err)
		}
	})
	answers := bufio.NewScanner(out)
	return func(rows string) []map[string]any {
		t.Helper()
		if _, err := io.WriteString(in, rows); err != nil {
			t.Fatal(err)
		}
		var receipts []map[string]any
		for range strings.Count(rows, "\n") {
			if !answers.Scan() {
				t.Fatalf("the owner ended: %v", answers.Err())
			}
			receipts = append(receipts, lines(t, answers.Text())...)
		}
		return receipts
	}
}
