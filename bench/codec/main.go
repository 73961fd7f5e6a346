// Command codec measures how long checkpoints take to be listed, opened and saved, and what memory that takes, beside
// PyTorch and gopickle on the same files.
//
// Each operation runs in a process of its own, several times; the best time counts, and how far resident memory rose
// above what the process had before. Files are in the page cache. Saving ends with the write, without fsync, as
// torch.save does.
//
//	go run ./bench/codec -python "$(scripts/peers)"
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/nlpodyssey/gopickle/pytorch"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/mapped"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

//go:embed peer.py
var script string

// files are the sizes of the elements in bytes, and into how many tensors they are cut.
var files = []struct {
	name    string
	bytes   int
	tensors int
	rounds  int
}{
	{"0.15 MB", 150_000, 4, 200},
	{"64 MB", 64_000_000, 100, 12},
	{"400 MB", 400_000_000, 100, 6},
}

func main() {
	python := flag.String("python", "", "`path` of a Python with PyTorch; without one it is left out")
	dir := flag.String("dir", "", "`folder` for files of 1 GB; default: the system's temporary one")
	operation := flag.String("run", "", "run one operation on a file (for the program itself)")
	rounds := flag.Int("rounds", 1, "how often -run runs it")
	flag.Parse()
	err := func() error {
		if *operation != "" {
			return measure(*operation, flag.Arg(0), *rounds)
		}
		return compare(context.Background(), *dir, *python)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "codec:", err)
		os.Exit(1)
	}
}

// compare prints a table.
func compare(ctx context.Context, dir, python string) (err error) {
	if dir, err = os.MkdirTemp(dir, "codec-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	torch := filepath.Join(dir, "peer.py")
	if err := os.WriteFile(torch, []byte(script), 0o600); err != nil {
		return err
	}
	fmt.Printf("%-8s %-34s %10s %9s %14s\n", "file", "operation", "ms", "MB", "torch / this")
	small := filepath.Join(dir, "small.pt")
	if err := makeFile(small, 1000, 1); err != nil {
		return err
	}
	for i, f := range files {
		path := filepath.Join(dir, strconv.Itoa(i)+".pt")
		if err := makeFile(path, f.bytes, f.tensors); err != nil {
			return err
		}
		base := map[string]float64{} // seconds of PyTorch
		for _, c := range []struct{ name, operation, against string }{
			{"torch.load", "load", "load"},
			{"torch.load(mmap=True)", "mmap", "mmap"},
			{"torch.save", "save", "save"},
			{"gopickle pytorch.Load", "gopickle", "load"},
			{"fdqc open (private copy, CRC)", "open", "load"},
			{"fdqc list (mapped, CRC)", "list", "mmap"},
			{"fdqc CRC alone (mapped)", "crc", "mmap"},
			{"fdqc list (mapped, no CRC in file)", "bare", "mmap"},
			{"fdqc save", "write", "save"},
		} {
			command := exec.CommandContext(ctx, self, "-run", c.operation, "-rounds", strconv.Itoa(f.rounds), path)
			if isTorch := c.operation == c.against; isTorch {
				if python == "" {
					continue
				}
				command = exec.CommandContext(ctx, python, torch, c.operation, path, strconv.Itoa(f.rounds), small)
			}
			command.Stderr = os.Stderr
			out, err := command.Output()
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			var seconds, grown float64
			if _, err := fmt.Sscan(string(out), &seconds, &grown); err != nil {
				return fmt.Errorf("%s: %q: %w", c.name, out, err)
			}
			ratio := ""
			if c.operation == c.against {
				base[c.against] = seconds
			} else if torch := base[c.against]; torch > 0 {
				ratio = fmt.Sprintf("%.2f (%s)", torch/seconds, c.against)
			}
			fmt.Printf("%-8s %-34s %10.3f %9.1f %14s\n", f.name, c.name, 1e3*seconds, grown/1e6, ratio)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// makeFile saves tensors of noise in a dict.
func makeFile(path string, size, tensors int) error {
	root := &pickle.Dict{}
	data := make([]byte, size/tensors/4*4)
	state := uint32(1)
	for i := range data {
		state = state*1664525 + 1013904223
		data[i] = byte(state>>24) & 0x3f
	}
	for i := range tensors {
		if err := root.Add(pickle.Str("tensor_"+strconv.Itoa(i)), tensor.New(tensor.Float32, []int64{int64(len(data) / 4)}, data)); err != nil {
			return err
		}
	}
	return save(path, root)
}

func save(path string, root pickle.Value) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(tensor.Save(f, "archive", root), f.Close())
}

// measure runs one operation and prints the best seconds and the growth of resident memory.
func measure(operation, path string, rounds int) error {
	var run func() error
	switch operation {
	case "list":
		run = func() error { _, err := checkpoints.ReadFile(path); return err }
	case "open":
		run = func() error {
			data, err := os.ReadFile(path)
			if err == nil {
				_, err = tensor.Load(data, tensor.Options{})
			}
			return err
		}
	case "gopickle":
		run = func() error { _, err := pytorch.Load(path); return err }
	case "crc", "bare":
		bare := path + ".bare"
		if err := dropChecksums(path, bare); err != nil {
			return err
		}
		defer os.Remove(bare)
		run = func() error {
			m, err := mapped.Open(bare)
			if err != nil {
				return err
			}
			err = m.View(func(data []byte) error {
				if operation == "crc" {
					crc32.ChecksumIEEE(data)
					return nil
				}
				options := tensor.Options{Opaque: true}
				options.Container.AcceptNoCRC = true
				_, err := tensor.Load(data, options)
				return err
			})
			return errors.Join(err, m.Close())
		}
	case "write":
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := tensor.Load(data, tensor.Options{})
		if err != nil {
			return err
		}
		run = func() error { return save(path+".out", f.Root) }
	default:
		return fmt.Errorf("no operation %q", operation)
	}
	// The peak of resident memory begins here.
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return err
	}
	before, err := resident("VmRSS")
	if err != nil {
		return err
	}
	best := time.Duration(1<<63 - 1)
	for range rounds {
		runtime.GC() // of what the last round left, as PyTorch frees at once
		start := time.Now()
		if err := run(); err != nil {
			return err
		}
		best = min(best, time.Since(start))
	}
	peak, err := resident("VmHWM")
	if err != nil {
		return err
	}
	fmt.Println(best.Seconds(), max(peak-before, 0))
	return nil
}

// dropChecksums copies a file with zero for every checksum of its archive, which PyTorch can be told to write too.
func dropChecksums(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := tensor.Load(data, tensor.Options{})
	if err != nil {
		return err
	}
	const descriptor, header = 16, 46 // bytes
	at := int64(0)
	for _, r := range f.Archive.Records {
		at = r.Offset + int64(len(r.Data))
		clear(data[at+4 : at+8])
	}
	for at += descriptor; bytes.HasPrefix(data[at:], []byte("PK\x01\x02")); {
		clear(data[at+16 : at+20])
		lengths := data[at+28 : at+34] // of name, extra field and comment
		at += header
		for ; len(lengths) > 0; lengths = lengths[2:] {
			at += int64(binary.LittleEndian.Uint16(lengths))
		}
	}
	return os.WriteFile(to, data, 0o600)
}

func resident(field string) (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s: %w", field, io.EOF)
}
