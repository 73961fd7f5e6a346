package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exitOf waits for a process and answers its exit code.
func exitOf(t *testing.T, c *exec.Cmd) int {
	t.Helper()
	err := c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode()
}

func TestInterruptLeavesNoOutput(t *testing.T) {
	needLibTorch(t)
	dir := folder(t, nil)
	c := process(t.Context(), "validate", "--input", "-", "--output", "verdicts.jsonl")
	c.Dir = dir
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var message strings.Builder
	c.Stderr = &message
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write([]byte(row(1, ""))); err != nil {
		t.Fatal(err)
	}
	// The output's temporary file shows that the command is at work.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if found, _ := filepath.Glob(filepath.Join(dir, ".verdicts*")); len(found) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the command did not start to write")
		}
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := exitOf(t, c); code != exitFailed || !strings.Contains(message.String(), "interrupted") {
		t.Errorf("exit %d, %q, want %d and interrupted", code, message.String(), exitFailed)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("files left: %v, %v, want none", left, err)
	}
}

func TestPipeIsAnsweredAtOnce(t *testing.T) {
	needLibTorch(t)
	c := process(t.Context(), "validate", "--input", "-", "--output", "-", "--quiet")
	c.Dir = folder(t, nil)
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(stdout)
	for i := range 5 {
		if _, err := stdin.Write([]byte(row(i, ""))); err != nil {
			t.Fatal(err)
		}
		// With the input still open: a command that waits for a full
		// batch would never answer here.
		if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, `"decision"`) {
			t.Fatalf("answer %d: %q, %v", i, line, err)
		}
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if code := exitOf(t, c); code != exitDone {
		t.Errorf("exit %d, want 0", code)
	}
}

func TestClosedPipeEndsTheCommand(t *testing.T) {
	needLibTorch(t)
	c := process(t.Context(), "validate", "--input", "-", "--output", "-")
	c.Dir = folder(t, nil)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout = write
	c.Stdin = strings.NewReader(strings.Repeat(row(1, ""), 20000))
	var message strings.Builder
	c.Stderr = &message
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write.Close(), read.Close()); err != nil {
		t.Fatal(err)
	}
	if code := exitOf(t, c); code != exitFailed || !strings.Contains(message.String(), "pipe") {
		t.Errorf("exit %d, %q, want %d and broken pipe", code, message.String(), exitFailed)
	}
}

// smallDisk mounts a file system of some kilobytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting a small disk needs root (%v); the project's CI runs as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	needLibTorch(t)
	disk := smallDisk(t, "16k")
	folder(t, map[string]string{"actions.jsonl": strings.Repeat(row(1, ""), 2000)})
	out := filepath.Join(disk, "verdicts.jsonl")
	got := fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", out)
	if got.code != exitFailed || !strings.Contains(got.errors, "no space") {
		t.Errorf("exit %d, %q, want %d and no space", got.code, got.errors, exitFailed)
	}
	if left, err := os.ReadDir(disk); err != nil || len(left) != 0 {
		t.Errorf("files left on the full disk: %v, %v", left, err)
	}
}

func TestRecordOnAFullDiskAcknowledgesNothing(t *testing.T) {
	needLibTorch(t)
	disk := smallDisk(t, "800k")
	data := filepath.Join(disk, "data")
	folder(t, nil)
	outcome := row(1, `, "is_safe": true`)
	if got := fdqc(t, outcome, "record", "--data-dir", data, "--input", "-", "--output", "-"); got.code != exitDone {
		t.Fatalf("the first record: %s", got.errors)
	}
	filler := filepath.Join(disk, "filler")
	fill, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = fill.Write(make([]byte, 4096))
	}
	if err := fill.Close(); err != nil {
		t.Log(err)
	}
	// More than what is left of the journal's last page.
	many := strings.Repeat(row(2, `, "is_safe": false`), 200)
	got := fdqc(t, many, "record", "--data-dir", data, "--input", "-", "--output", "-")
	if got.code != exitFailed || got.out != "" || !strings.Contains(got.errors, "no space") {
		t.Errorf("exit %d, receipts %q, %q, want %d, none and no space", got.code, got.out, got.errors, exitFailed)
	}
	if stats := fdqc(t, "", "memory", "stats", "--data-dir", data); !strings.Contains(stats.out, "counter          1") {
		t.Errorf("the memory before is not intact: %s%s", stats.out, stats.errors)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if got := fdqc(t, many, "record", "--data-dir", data, "--input", "-"); got.code != exitDone {
		t.Errorf("with space again: exit %d, %s", got.code, got.errors)
	}
}

// TestReceiptsOfABatchThatFailsHalfway: what is on the disk when a later commit of
// the same batch fails has its receipt.
func TestReceiptsOfABatchThatFailsHalfway(t *testing.T) {
	needLibTorch(t)
	const n = 1024
	const first = 16 << 20 / (21 + 4*n) // rows of the first commit, of 16.8 MB
	const count = first + 200
	folder(t, map[string]string{
		"outcomes.npy": npy("<f4", fmt.Sprintf("(%d, %d)", count, n), make([]float32, count*n)...),
		"labels.jsonl": strings.Repeat(`{"id": "x", "is_safe": true}`+"\n", count),
		"c.toml":       fmt.Sprintf("[engine]\nbatch_size = %d\n[safety]\nworkspace_dim = %d\n[memory]\ncapacity = 4\n[detector]\non_outlier = \"flag\"\n", count, n),
	})
	t.Setenv("FDQC_CONFIG", "c.toml")
	// In blocks of 512 bytes: no file grows beyond 17 MB.
	c := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -f 33200 && exec "$0" "$@"`,
		os.Args[0], "record", "--input", "outcomes.npy", "--labels", "labels.jsonl", "--output", "receipts.jsonl")
	c.Env = append(os.Environ(), asCommand+"=1")
	var message strings.Builder
	c.Stderr = &message
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if code, want := exitOf(t, c), fmt.Sprintf("the first %d of %d outcomes are recorded, then: ", first, count); code != exitFailed || !strings.Contains(message.String(), want) {
		t.Errorf("exit %d, %s, want %d and %q", code, message.String(), exitFailed, want)
	}
	text, err := os.ReadFile("receipts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if receipts := lines(t, string(text)); len(receipts) != first || receipts[first-1]["durable"] != true {
		t.Errorf("got %d receipts, want %d, the last one durable", len(receipts), first)
	}
	if got, want := fdqc(t, "", "memory", "stats").out, fmt.Sprintf("counter          %d\n", first); !strings.Contains(got, want) {
		t.Errorf("the memory: got %s, want %q", got, want)
	}
}
