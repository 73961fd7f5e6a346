package mapped

import (
	"bytes"
	"compress/flate"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// noise is data that deflate cannot shrink.
func noise(n int) []byte {
	b := make([]byte, n)
	state := uint32(1)
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = byte(state >> 24)
	}
	return b
}

func file(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return f
}

func TestView(t *testing.T) {
	for _, content := range [][]byte{nil, []byte("a"), noise(4096), noise(100_001)} {
		f := open(t, file(t, content))
		if f.Size() != int64(len(content)) {
			t.Errorf("size %d, want %d", f.Size(), len(content))
		}
		want := errors.New("of look")
		err := f.View(func(data []byte) error {
			if !bytes.Equal(data, content) {
				t.Errorf("%d bytes: got %d others", len(content), len(data))
			}
			return want
		})
		if !errors.Is(err, want) {
			t.Errorf("got %v, want the error of the function", err)
		}
	}
}

// TestCut truncates a file between mapping and reading. Without the guard each case ends the process.
func TestCut(t *testing.T) {
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(noise(1 << 20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sink := make([]byte, 1<<20)
	for name, look := range map[string]func(data []byte) error{
		"index":    func(data []byte) error { sink[0] = data[len(data)-1]; return nil },
		"copy":     func(data []byte) error { copy(sink, data); return nil },
		"compare":  func(data []byte) error { sink[0] = byte(bytes.Compare(data, slices.Clone(data[:10]))); return nil },
		"find":     func(data []byte) error { bytes.IndexByte(data[8000:], 0xee); return nil },
		"checksum": func(data []byte) error { crc32.ChecksumIEEE(data); return nil },
		"castagnoli": func(data []byte) error {
			crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
			return nil
		},
		"inflate": func(data []byte) error {
			_, err := io.Copy(io.Discard, flate.NewReader(bytes.NewReader(data)))
			return err
		},
		"system call": func(data []byte) error {
			null, err := os.OpenFile(filepath.Join(t.TempDir(), "out"), os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			_, err = null.Write(data)
			return errors.Join(err, null.Close())
		},
		"the mapped rest of the cut page": func(data []byte) error { sink[0] = data[150]; return nil },
		"nothing":                         func([]byte) error { return nil },
		"an index that is out of range now": func(data []byte) error {
			sink[0] = sink[len(data):][0]
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, packed.Bytes())
			f := open(t, path)
			if err := os.Truncate(path, 100); err != nil {
				t.Fatal(err)
			}
			if err := f.View(look); !errors.Is(err, ErrChanged) {
				t.Errorf("got %v, want ErrChanged", err)
			}
			// The guard is gone with the view, and the file may be asked again.
			if err := f.View(func([]byte) error { return nil }); !errors.Is(err, ErrChanged) {
				t.Errorf("second view: got %v, want ErrChanged", err)
			}
		})
	}
}

// TestCutUnderManyViews cuts a file while goroutines read it, each in a view of its own.
func TestCutUnderManyViews(t *testing.T) {
	path := file(t, noise(1<<20))
	f := open(t, path)
	var readers, ready sync.WaitGroup
	cut := make(chan struct{})
	errs := make([]error, 8)
	for i := range errs {
		ready.Add(1)
		readers.Go(func() {
			errs[i] = f.View(func(data []byte) error {
				ready.Done()
				<-cut
				crc32.ChecksumIEEE(data)
				return nil
			})
		})
	}
	ready.Wait()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	close(cut)
	readers.Wait()
	for i, err := range errs {
		if !errors.Is(err, ErrChanged) {
			t.Errorf("view %d: got %v, want ErrChanged", i, err)
		}
	}
}

func TestGrownFile(t *testing.T) {
	path := file(t, []byte("abc"))
	f := open(t, path)
	if err := os.WriteFile(path, []byte("abcd"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.View(func([]byte) error { return nil }); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v, want ErrChanged", err)
	}
}

// TestOtherPanics are not hidden.
func TestOtherPanics(t *testing.T) {
	f := open(t, file(t, []byte("abc")))
	for name, look := range map[string]func([]byte) error{
		"panic": func([]byte) error { panic("mistake") },
		"index": func(data []byte) error { return errors.New(string(data[len(data):][0])) },
		"nil":   func([]byte) error { var p *File; return errors.New(p.path) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = f.View(look)
		})
	}
}

func TestRefusesOtherKinds(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe, os.DevNull} {
		if _, err := Open(path); !errors.Is(err, ErrIrregular) {
			t.Errorf("%s: got %v, want ErrIrregular", path, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: got %v, want fs.ErrNotExist", err)
	}
}

func TestClose(t *testing.T) {
	f, err := Open(file(t, []byte("abc")))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := f.View(func([]byte) error { return nil }); err == nil {
		t.Error("a closed file was shown")
	}
}
