package migrate

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// TestMalformed gives every hostile or broken file of the kit the name of the
// newest patterns: none is taken, and no older file in its place.
func TestMalformed(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(kit, "pt", "malformed"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".pt" {
			continue
		}
		t.Run(e.Name(), func(t *testing.T) {
			from := installation(t, map[string]string{
				kitPatterns: "@checkpoints/" + kitPatterns, "patterns_20991231_235959.pt": "@pt/malformed/" + e.Name(),
			})
			to := filepath.Join(t.TempDir(), "data")
			start := time.Now()
			report, err := Run(t.Context(), Options{From: from, To: to, Config: configuration(t)})
			if took := time.Since(start); took > 30*time.Second { // on a busy machine
				t.Errorf("took %v, want at most 30s", took)
			}
			if !errors.Is(err, checkpoints.ErrMalformed) || !strings.Contains(err.Error(), "patterns_20991231_235959.pt") {
				t.Errorf("got %v, want the newest patterns refused as malformed", err)
			}
			if report.Made {
				t.Error("a data directory was made of the older patterns")
			}
			if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("target: %v, want none", err)
			}
		})
	}
}

// TestDamage refuses each kind of file when it is damaged, and says whether
// the rest was made.
func TestDamage(t *testing.T) {
	for _, c := range []struct {
		name string
		made bool
	}{
		{"patterns_20991231_235959.pt", false},
		{"patterns_20010101_000000.pt", true}, // not the newest
		{"validator_state.pt", false},
		{"projections.pt", false},
		{"embedding_cache.pt", true},
		{"ppo_state.pt", true},
		{"imagination_state.pt", true},
		{"vector_memory_20240101_000000.pkl", true},
		{"vector_memory_20240101_000000.json", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := installation(t, map[string]string{
				kitPatterns: "@checkpoints/" + kitPatterns, "my_validator.pt": "@checkpoints/" + kitValidator, c.name: "PK\x03\x04 cut short",
			})
			to := filepath.Join(t.TempDir(), "data")
			report, err := Run(t.Context(), Options{From: from, To: to, Config: configuration(t)})
			var refused *RefusedError
			if !errors.As(err, &refused) || !refused.Corrupt() || len(refused.Files) != 1 || refused.Files[0] != c.name {
				t.Fatalf("got %v, want %s refused", err, c.name)
			}
			if f := report.file(t, c.name); f.Result != Refused || f.How == "" || f.To != "" {
				t.Errorf("report: got %+v, want refused and why", f)
			}
			if _, err := os.Stat(to); (err == nil) != c.made || report.Made != c.made || refused.Made != c.made {
				t.Errorf("made: folder %v, report %v, error %v, want %v", err == nil, report.Made, refused.Made, c.made)
			}
		})
	}
}

// TestIrregular refuses what is no regular file of the folder itself.
func TestIrregular(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.pt")
	if err := os.WriteFile(outside, fixture(t, "checkpoints/ppo_state.pt"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"link", func(path string) error { return os.Symlink(outside, path) }, "is a symbolic link, expected a regular file"},
		{"link with dots", func(path string) error { return os.Symlink("../checkpoints/projections.pt", path) }, "is a symbolic link"},
		{"folder", func(path string) error { return os.Mkdir(path, 0o755) }, "is a folder, expected a regular file"},
		{"pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is a pipe, expected a regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := installation(t, map[string]string{"projections.pt": "@checkpoints/projections.pt"})
			if err := c.make(filepath.Join(from, "ppo_state.pt")); err != nil {
				t.Fatal(err)
			}
			if err := c.make(filepath.Join(from, "other")); err != nil {
				t.Fatal(err)
			}
			report, err := Run(t.Context(), Options{From: from, To: filepath.Join(t.TempDir(), "data"), Config: configuration(t)})
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Corrupt() || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q, not corrupt", err, c.want)
			}
			if f := report.file(t, "other"); f.Result != Unknown {
				t.Errorf("without a known name: got %+v, want unknown", f)
			}
		})
	}
}

// TestSourceErrors: a file that cannot be opened or read is refused, with the
// reason.
func TestSourceErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(path string) (*os.File, error)
		want string
	}{
		{"no permission", func(path string) (*os.File, error) {
			return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}
		}, "permission denied"},
		{"a link since it was listed", func(path string) (*os.File, error) {
			return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
		}, "symbolic link"},
		{"a folder since it was listed", func(string) (*os.File, error) { return os.Open(t.TempDir()) }, "is a folder"},
		{"closed", func(path string) (*os.File, error) {
			f, err := os.Open(path)
			if err == nil {
				err = f.Close()
			}
			return f, err
		}, "already closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSource(installation(t, map[string]string{"ppo_state.pt": "@checkpoints/ppo_state.pt"}))
			s.open = c.open
			if _, err := s.read("ppo_state.pt"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to string // in a folder that holds src (a kit file), file, empty, full and links to src and empty
		want     string
	}{
		{"the same", "src", "src", "--to src lies in --from src"},
		{"the same by dots", "src", "full/../src", "lies in"},
		{"target in source", "src", "src/data", "lies in --from src, which is never written"},
		{"target in source by a link", "src", "link/new/data", "lies in --from"},
		{"source in target", "full/inner", "full", "lies in --to full"},
		{"no source", "absent", "data", "no such file"},
		{"source is a file", "file", "data", "is a file, expected the folder"},
		{"source without checkpoints", "empty", "data", "holds no file of a Python installation"},
		{"target is a file", "src", "file", "is a file, expected an absent or empty folder"},
		{"target is full", "src", "full", "is not empty"},
		{"target is a link", "src", "emptylink", "is a symbolic link"},
		{"target below a file", "src", "file/data", "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			for _, folder := range []string{"src/inner", "empty", "full/inner"} {
				if err := os.MkdirAll(folder, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.WriteFile("file", nil, 0o644), os.Symlink("src", "link"), os.Symlink("src/inner", "deep"), os.Symlink("empty", "emptylink"),
				os.WriteFile("src/projections.pt", checkpointOf(t, pickle.NewDict()), 0o644)); err != nil {
				t.Fatal(err)
			}
			before := state(t, dir)
			_, err := Run(t.Context(), Options{From: c.from, To: c.to, Config: configuration(t)})
			var input *InputError
			if !errors.As(err, &input) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an input error with %q", err, c.want)
			}
			if after := state(t, dir); after != before {
				t.Errorf("something was written: got\n%s\nwant\n%s", after, before)
			}
		})
	}
	t.Run("an empty target is used, and a source by a link", func(t *testing.T) {
		from := installation(t, map[string]string{"projections.pt": "@checkpoints/projections.pt"})
		link, to := filepath.Join(t.TempDir(), "link"), t.TempDir()
		if err := os.Symlink(from, link); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), Options{From: link, To: to, Config: configuration(t)}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(to, "projections.pt")); err != nil {
			t.Error(err)
		}
	})
}

// checkpointOf saves a value as torch.save does.
func checkpointOf(t *testing.T, v pickle.Value) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tensor.Save(&b, "archive", v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNotFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	bits := func(d tensor.DType, b ...byte) *tensor.Tensor {
		return tensor.New(d, []int64{int64(len(b) / d.Size())}, b)
	}
	for _, c := range []struct {
		name string
		t    *tensor.Tensor
		want int
	}{
		{"float32", tensor.FromFloat32s([]float32{1, 2, nan}, 3), 2},
		{"float32 infinity", tensor.FromFloat32s([]float32{inf, 2, 3}, 3), 0},
		{"float32 finite", tensor.FromFloat32s([]float32{math.MaxFloat32, -math.MaxFloat32, 1e-45}, 3), -1},
		{"float64", bits(tensor.Float64, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f), 1},
		{"float16", bits(tensor.Float16, 0xff, 0x7b, 0x00, 0xfc), 1},
		{"bfloat16", bits(tensor.BFloat16, 0x7f, 0x7f, 0xc0, 0x7f), 1},
		{"complex64, its second half", bits(tensor.Complex64, 0, 0, 0, 0, 0, 0, 0x80, 0x7f), 0},
		{"complex64, the second number", bits(tensor.Complex64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0, 0, 0, 0), 1},
		{"float8", bits(tensor.Float8E5M2, 0x7b, 0x7c), 1},
		{"whole numbers", tensor.FromInt64s([]int64{math.MaxInt64, -1}, 2), -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := notFinite(c.t); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
	from := installation(t, map[string]string{"embedding_cache.pt": string(checkpointOf(t, pickle.NewDict("a", tensor.FromFloat32s([]float32{1, nan}, 2))))})
	_, err := Run(t.Context(), Options{From: from, To: filepath.Join(t.TempDir(), "data"), DryRun: true, Config: configuration(t)})
	if !errors.Is(err, checkpoints.ErrMalformed) || !strings.Contains(err.Error(), `key "a": element 1 is NaN or infinite`) {
		t.Errorf("a cache with NaN: got %v, want it refused by key and element", err)
	}
}

// TestWorkspaces refuses files that were made with different workspaces.
func TestWorkspaces(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"state and patterns", map[string]string{
			"validator_state.pt": "@cases/row-patterns-workspace12/validator_state.pt", kitPatterns: "@checkpoints/" + kitPatterns,
		}, "made with a workspace of 8, validator_state.pt with 12"},
		{"state and projections", map[string]string{
			"validator_state.pt": "@checkpoints/" + kitValidator, "projections.pt": "@cases/row-patterns-workspace12/projections.pt",
		}, "made with a workspace of 12, validator_state.pt with 8"},
		{"patterns and projections", map[string]string{
			kitPatterns: "@checkpoints/" + kitPatterns, "projections.pt": "@cases/row-patterns-workspace12/projections.pt",
		}, "made with a workspace of 12, " + kitPatterns + " with 8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "data")
			_, err := Run(t.Context(), Options{From: installation(t, c.files), To: to, Config: configuration(t)})
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Corrupt() || refused.Made || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q and nothing made", err, c.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	one := func(width, capacity int, counter int64) *checkpoints.PatternSet {
		return &checkpoints.PatternSet{Width: width, Capacity: capacity, Counter: counter, NextID: 1}
	}
	for _, c := range []struct {
		name string
		set  *checkpoints.PatternSet
		want string
	}{
		{"odd width", one(17, 4, 0), "17 wide"},
		{"narrow", one(2, 4, 0), "2 wide"},
		{"wide", one(4096, 1, 0), "4096 wide"},
		{"capacity", one(16, 1_000_001, 0), "capacity is 1000001"},
		{"counter", one(16, 4, 1<<51+1), "counter is"},
		{"fine", one(16, 4, 1<<51), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := checkSet(c.set)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
