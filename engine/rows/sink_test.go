package rows

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

func TestAbortLeavesNothing(t *testing.T) {
	for _, name := range []string{"out.jsonl", "out.npz"} {
		dir := t.TempDir()
		out, err := CreateOutput(filepath.Join(dir, name), nil, atomicFile)
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(out, WriterOptions{SpoolDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(sampleResults()), w.Abort(), w.Abort()); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: got %v left, want nothing", name, left)
		}
	}
}

func TestOutputRefuses(t *testing.T) {
	cases := []struct {
		name, file string
		want       error
		says       string
	}{
		{"directory", "", nil, "it is a directory"},
		{"npy", "a.npy", ErrFormat, "one array only"},
		{"unknown", "a.txt", ErrFormat, `".txt", expected .jsonl, .npz or .parquet`},
		{"no folder", "none/a.jsonl", fs.ErrNotExist, "none"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := CreateOutput(filepath.Join(dir, c.file), nil, atomicFile)
			if err == nil || (c.want != nil && !errors.Is(err, c.want)) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v saying %q", err, c.want, c.says)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("got %v made, want nothing", left)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	t.Run("device", func(t *testing.T) {
		out, err := CreateOutput("/dev/full", nil, func(string) (Sink, error) { return nil, errors.New("a device was to be replaced") })
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(out, WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(sampleResults()); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "/dev/full") {
			t.Errorf("got %v, want ENOSPC naming the output", err)
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
	})
	t.Run("file", func(t *testing.T) {
		for _, name := range []string{"out.jsonl", "out.npz"} {
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			out, err := CreateOutput(path, nil, func(path string) (Sink, error) {
				sink, err := atomicFile(path)
				return &fullSink{Sink: sink, left: 100}, err
			})
			if err != nil {
				t.Fatal(err)
			}
			w, err := NewWriter(out, WriterOptions{})
			if err != nil {
				t.Fatal(err)
			}
			err = w.Write(sampleResults())
			if err == nil {
				err = w.Commit()
			}
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: got %v, want ENOSPC naming the output", name, err)
			}
			if err := w.Abort(); err != nil {
				t.Error(err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("%s: got %v left, want nothing", name, left)
			}
		}
	})
}

// fullSink is a disk with little room.
type fullSink struct {
	Sink
	left int
}

func (s *fullSink) Write(p []byte) (int, error) {
	if len(p) > s.left {
		return 0, syscall.ENOSPC
	}
	s.left -= len(p)
	return s.Sink.Write(p)
}

func TestClosedPipe(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in.Close()
	sink, err := CreateOutput("-", out, atomicFile)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(sink, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(sampleResults()); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("verdicts: got %v, want EPIPE", err)
	}
	receipts, err := OpenReceipts("-", out)
	if err != nil {
		t.Fatal(err)
	}
	if err := receipts.Write(make([]Receipt, 1)); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("receipts: got %v, want EPIPE", err)
	}
}

func TestPipeAndSocketAreWrittenAtOnce(t *testing.T) {
	dir := t.TempDir()
	t.Run("named pipe", func(t *testing.T) {
		path := filepath.Join(dir, "pipe.jsonl")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		checkDirect(t, path, in)
	})
	t.Run("socket", func(t *testing.T) {
		path := filepath.Join(dir, "socket")
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, _ := listener.Accept()
			accepted <- conn
		}()
		checkDirect(t, path, lazyReader(func() io.Reader { return <-accepted }))
	})
}

type lazyReader func() io.Reader

func (r lazyReader) Read(p []byte) (int, error) { return r().Read(p) }

func checkDirect(t *testing.T, path string, in io.Reader) {
	t.Helper()
	out, err := CreateOutput(path, nil, func(string) (Sink, error) { return nil, errors.New("it was to be replaced") })
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(out, WriterOptions{Fields: []Field{FieldID}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write([]Result{{ID: IntID(1)}}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	if n, err := in.Read(got); err != nil || string(got[:n]) != "{\"id\":1}\n" {
		t.Errorf("got %q, %v, want the line before Commit", got[:n], err)
	}
	if err := w.Commit(); err != nil {
		t.Error(err)
	}
}
