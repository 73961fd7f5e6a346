package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lineSource makes JSON Lines on the fly.
type lineSource struct {
	line func(i int) string // "" ends
	i    int
	rest string
	sent int64
}

func (s *lineSource) Read(p []byte) (int, error) {
	if s.rest == "" {
		s.rest = s.line(s.i)
		s.i++
	}
	if s.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	s.sent += int64(n)
	return n, nil
}

func textReader(t testing.TB, src io.Reader, kind Kind) Reader {
	t.Helper()
	r, err := Open("-", Options{Kind: kind, Stdin: src})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// numbered gives n rows of width 2 with ids from 0; every bad-th is refused (0: none).
func numbered(n, bad int) *lineSource {
	return &lineSource{line: func(i int) string {
		switch {
		case i >= n:
			return ""
		case bad > 0 && i%bad == bad-1:
			return fmt.Sprintf("{\"id\":%d,\"embedding\":[1,\"x\"]}\n", i)
		}
		return fmt.Sprintf("{\"id\":%d,\"embedding\":[%d,0.5]}\n", i, i)
	}}
}

func TestBatchesAreFullAndInOrder(t *testing.T) {
	for _, size := range []int{1, 7, 100, 5000} {
		b := NewBatcher(textReader(t, numbered(1000, 0), Validate), BatchOptions{Size: size})
		next := 0
		for {
			batch, err := b.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := min(size, 1000-next); len(batch.Entries) != want || len(batch.numbers) != 2*want {
				t.Errorf("size %d: got a batch of %d rows, %d numbers, want %d rows", size, len(batch.Entries), len(batch.numbers), want)
			}
			for i, e := range batch.Entries {
				if e.ID != IntID(int64(next)) || e.Embedding[0] != float32(next) || &e.Embedding[0] != &batch.numbers[2*i] {
					t.Fatalf("size %d: got row %v %v at %d, want it a view of the batch's numbers", size, e.ID, e.Embedding, next)
				}
				next++
			}
			batch.Release()
		}
		if next != 1000 {
			t.Errorf("size %d: got %d rows, want 1000", size, next)
		}
		if _, err := b.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: got %v, want io.EOF", err)
		}
		if err := errors.Join(b.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestRefusedRows(t *testing.T) {
	t.Run("skip", func(t *testing.T) {
		b := NewBatcher(textReader(t, numbered(100, 3), Validate), BatchOptions{Size: 10})
		defer b.Close()
		next := 0
		for {
			batch, err := b.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			good := 0
			for _, e := range batch.Entries {
				refused := next%3 == 2
				if (e.Err != nil) != refused || e.ID != IntID(int64(next)) || (e.Embedding == nil) != refused {
					t.Fatalf("row %d: got id %v, %v, %v, want refused %t in its place", next, e.ID, e.Embedding, e.Err, refused)
				}
				if !refused {
					if batch.numbers[2*good] != float32(next) {
						t.Fatalf("row %d: got number %v, want the good rows side by side", next, batch.numbers[2*good])
					}
					good++
				}
				next++
			}
			batch.Release()
		}
		if next != 100 {
			t.Errorf("got %d rows, want 100", next)
		}
	})
	t.Run("stop", func(t *testing.T) {
		b := NewBatcher(textReader(t, numbered(100, 35), Validate), BatchOptions{Size: 10, StopAtRefused: true})
		defer b.Close()
		rows := 0
		for {
			batch, err := b.Next(t.Context())
			if err != nil {
				var refusal *RowError
				if !errors.As(err, &refusal) || refusal.Number != 35 || rows != 34 {
					t.Errorf("got %v after %d rows, want the refusal of line 35 after 34 rows", err, rows)
				}
				if _, again := b.Next(t.Context()); !errors.Is(again, err) {
					t.Errorf("again: got %v, want %v", again, err)
				}
				return
			}
			rows += len(batch.Entries)
			batch.Release()
		}
	})
	t.Run("cut", func(t *testing.T) {
		b := NewBatcher(textReader(t, strings.NewReader("{\"action\":\"a\"}\n{\"action\":"), Validate), BatchOptions{Size: 10})
		defer b.Close()
		batch, err := b.Next(t.Context())
		if err != nil || len(batch.Entries) != 1 {
			t.Fatalf("got %v, %v, want the row before the cut", batch, err)
		}
		batch.Release()
		if _, err := b.Next(t.Context()); !errors.Is(err, ErrTruncated) {
			t.Errorf("got %v, want ErrTruncated", err)
		}
	})
}

func TestPipeIsAnsweredAtOnce(t *testing.T) {
	for _, name := range []string{"standard input", "named pipe"} {
		t.Run(name, func(t *testing.T) {
			in, out, reader := openPipe(t, name)
			defer in()
			b := NewBatcher(reader, BatchOptions{Size: 4096, Eager: reader.Streaming()})
			defer b.Close()
			worst := time.Duration(0)
			for i := range 20 {
				start := time.Now()
				if i == 10 { // a blank line behind the row must not hold it back
					fmt.Fprintf(out(), "{\"id\":%d,\"action\":\"a\"}\n\n", i)
				} else {
					fmt.Fprintf(out(), "{\"id\":%d,\"action\":\"a\"}\n{\"id\"", i)
				}
				batch, err := b.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				worst = max(worst, time.Since(start))
				if len(batch.Entries) != 1 || batch.Entries[0].ID != IntID(int64(i)) {
					t.Fatalf("got %d rows, first %v, want row %d alone", len(batch.Entries), batch.Entries[0].ID, i)
				}
				batch.Release()
				if i != 10 {
					fmt.Fprintf(out(), ":\"second\",\"action\":\"b\"}\n")
					if batch, err = b.Next(t.Context()); err != nil || batch.Entries[0].ID != TextID("second") {
						t.Fatalf("got %v, %v, want the row whose line came in two parts", batch, err)
					}
					batch.Release()
				}
			}
			if worst > 250*time.Millisecond { // 10 ms are promised; a loaded machine may schedule late
				t.Errorf("got an answer after %v, want at once", worst)
			}
			t.Logf("worst wait %v", worst)
		})
	}
}

// openPipe returns a way to close the writing end, the writing end, and a Reader of the other.
func openPipe(t *testing.T, name string) (closeWriter func(), writer func() io.Writer, r Reader) {
	t.Helper()
	if name == "standard input" {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close() })
		return func() { out.Close() }, func() io.Writer { return out }, textReader(t, in, Validate)
	}
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var file *os.File
	return func() { file.Close() }, func() io.Writer {
		if file == nil {
			if file, err = os.OpenFile(path, os.O_WRONLY, 0); err != nil {
				t.Fatal(err)
			}
		}
		return file
	}, r
}

// TestSlowCallerGetsLargerBatches shows that rows gather while the caller is busy, instead of queueing one by one.
func TestSlowCallerGetsLargerBatches(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	b := NewBatcher(textReader(t, in, Validate), BatchOptions{Size: 64, Eager: true})
	defer b.Close()
	for i := range 50 {
		fmt.Fprintf(out, "{\"id\":%d,\"action\":\"a\"}\n", i)
		time.Sleep(time.Millisecond / 4)
	}
	out.Close()
	time.Sleep(20 * time.Millisecond)
	batch, err := b.Next(t.Context())
	if err != nil || len(batch.Entries) != 50 {
		t.Fatalf("got %v, %v, want all 50 rows in one batch", batch, err)
	}
	batch.Release()
}

func TestCancelWhileAReadBlocks(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	b := NewBatcher(textReader(t, in, Validate), BatchOptions{Size: 8, Eager: true})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := b.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	// Rows are not lost by a cancelled wait.
	fmt.Fprintln(out, `{"action":"a"}`)
	if batch, err := b.Next(t.Context()); err != nil || len(batch.Entries) != 1 {
		t.Errorf("got %v, %v, want the row that came later", batch, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-b.finished:
	case <-time.After(5 * time.Second):
		t.Error("the goroutine reads on after Close, want a pipe's read woken")
	}
	in.Close()
}

// TestCloseWhileThePipeHasNoWriter: opening a named pipe waits for a writer, in the goroutine and not in the caller.
func TestCloseWhileThePipeHasNoWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := NewBatcher(r, BatchOptions{Size: 1, Eager: true})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := b.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	writer, err := os.OpenFile(path, os.O_WRONLY, 0) // lets the goroutine go
	if err != nil {
		t.Fatal(err)
	}
	writer.Close()
	<-b.finished
}

// TestReleaseBoundsTheBatches: with all batches out, reading waits.
func TestReleaseBoundsTheBatches(t *testing.T) {
	source := numbered(1_000_000, 0)
	b := NewBatcher(textReader(t, source, Validate), BatchOptions{Size: 10})
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		<-b.finished
	}()
	var held []*RowBatch
	for range maxBatches {
		batch, err := b.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, batch)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if batch, err := b.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v with %d batches out, want to wait", batch, err, len(held))
	}
	held[0].Release()
	if batch, err := b.Next(t.Context()); err != nil || batch.Entries[0].ID != IntID(10*maxBatches) {
		t.Errorf("got %v, %v, want the row after", batch, err)
	}
}

// TestLargeInputInBoundedMemory streams 200 MB of rows through batches.
func TestLargeInputInBoundedMemory(t *testing.T) {
	const total, limit = 200 << 20, 48 << 20
	var row strings.Builder
	for i := range 384 {
		fmt.Fprintf(&row, ",%.17g", 1/float64(i+1))
	}
	line := `"embedding":[` + row.String()[1:] + "]}\n"
	rows := total / len(line)
	source := &lineSource{line: func(i int) string {
		if i == rows {
			return ""
		}
		return fmt.Sprintf("{\"id\":\"row %d\",", i) + line
	}}
	b := NewBatcher(textReader(t, source, Validate), BatchOptions{Size: 1024})
	defer b.Close()
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	base, peak, got := stats.HeapAlloc, uint64(0), 0
	start := time.Now()
	for {
		batch, err := b.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got += len(batch.Entries)
		runtime.ReadMemStats(&stats)
		peak = max(peak, stats.HeapAlloc-min(base, stats.HeapAlloc))
		batch.Release()
	}
	if got != rows {
		t.Errorf("got %d rows, want %d", got, rows)
	}
	if peak > limit {
		t.Errorf("got %d MiB of heap for %d MiB of input, want at most %d", peak>>20, source.sent>>20, limit>>20)
	}
	seconds := time.Since(start).Seconds()
	t.Logf("%d MiB in %.1f s: %.0f rows/s of 384, peak heap %d MiB", source.sent>>20, seconds, float64(got)/seconds, peak>>20)
}
