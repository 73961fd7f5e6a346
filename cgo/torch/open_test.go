package torch

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// compile makes a shared library of C source.
func compile(t *testing.T, path, source string, flags ...string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	file := path + ".c"
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-shared", "-fPIC", "-Wl,--enable-new-dtags", "-Wl,--no-as-needed", "-o", path, file}, flags...)
	if out, err := exec.CommandContext(t.Context(), "cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("cc %v: %v\n%s", args, err, out)
	}
	return path
}

// libTorch makes a folder that looks like LibTorch's of a version.
func libTorch(t *testing.T, dir, source string, flags ...string) string {
	t.Helper()
	compile(t, filepath.Join(dir, "lib", "libc10.so"), "int c10;")
	compile(t, filepath.Join(dir, "lib", "libtorch_cpu.so"), source, flags...)
	return dir
}

const (
	torch211 = "unsigned long aoti_torch_abi_version(void) { return 2UL << 56 | 11UL << 48; }"
	torch210 = "unsigned long aoti_torch_abi_version(void) { return 2UL << 56 | 10UL << 48 | 1UL << 40; }"
	stale    = "const void *fdqc_api(unsigned version) { return 0; }"
)

// Rule 7: whatever is missing or does not fit is one sentence that says what
// to run.
func TestOpenSaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name string
		// make prepares dir and answers FDQC_LIB and LIBTORCH.
		make func(t *testing.T, dir string) (shim, libtorch string)
		want []string
	}{
		{"no shim", func(_ *testing.T, dir string) (string, string) { return filepath.Join(dir, "libfdqc.so"), "" },
			[]string{"there is no shim at", "FDQC_LIB", "make build"}},
		{"shim beside the program", func(*testing.T, string) (string, string) { return "", "" },
			[]string{"neither beside", "../lib/fdqc", "make build"}},
		{"relative shim", func(*testing.T, string) (string, string) { return "build/libfdqc.so", "" },
			[]string{`FDQC_LIB is "build/libfdqc.so"`, "absolute", "make build"}},
		{"text", func(t *testing.T, dir string) (string, string) {
			path := filepath.Join(dir, "libfdqc.so")
			if err := os.WriteFile(path, []byte("no library"), 0o600); err != nil {
				t.Fatal(err)
			}
			return path, ""
		}, []string{"is no shared library", "make build"}},
		{"another library", func(t *testing.T, dir string) (string, string) {
			// Its constructor would end the process: it must not run.
			return compile(t, filepath.Join(dir, "libfdqc.so"), "#include <stdlib.h>\n__attribute__((constructor)) static void f(void) { abort(); }"), ""
		}, []string{"is no shim", "fdqc_api", "make build"}},
		{"stale shim", func(t *testing.T, dir string) (string, string) {
			torch := libTorch(t, filepath.Join(dir, "torch"), torch211)
			return compile(t, filepath.Join(dir, "libfdqc.so"), stale, "-Wl,-rpath,"+torch+"/lib"), ""
		}, []string{"the shim", "another version", "ABI " + strconv.Itoa(ABIVersion), "make build"}},
		{"stale shim, run path from its own place", func(t *testing.T, dir string) (string, string) {
			libTorch(t, filepath.Join(dir, "torch"), torch211)
			return compile(t, filepath.Join(dir, "libfdqc.so"), stale, "-Wl,-rpath,/nowhere:$ORIGIN/torch/lib"), ""
		}, []string{"another version"}},
		{"table of another size", func(t *testing.T, dir string) (string, string) {
			torch := libTorch(t, filepath.Join(dir, "torch"), torch211)
			return compile(t, filepath.Join(dir, "libfdqc.so"), "static unsigned table[64] = {"+strconv.Itoa(ABIVersion)+", 16};\nconst void *fdqc_api(unsigned v) { return table; }", "-Wl,-rpath,"+torch+"/lib"), ""
		}, []string{"another version", "make build"}},
		{"no LibTorch", func(t *testing.T, dir string) (string, string) {
			return compile(t, filepath.Join(dir, "libfdqc.so"), stale, "-Wl,-rpath,"+dir+"/gone/lib"), ""
		}, []string{"there is no LibTorch in", "/gone/lib", "make build"}},
		{"no LibTorch where LIBTORCH says", func(t *testing.T, dir string) (string, string) {
			torch := libTorch(t, filepath.Join(dir, "torch"), torch211)
			return compile(t, filepath.Join(dir, "libfdqc.so"), stale, "-Wl,-rpath,"+torch+"/lib"), filepath.Join(dir, "other")
		}, []string{"there is no LibTorch in", "/other/lib", "make build"}},
		{"relative LIBTORCH", func(t *testing.T, dir string) (string, string) {
			return compile(t, filepath.Join(dir, "libfdqc.so"), stale), "torch"
		}, []string{`LIBTORCH is "torch"`, "absolute", "make build"}},
		{"no run path", func(t *testing.T, dir string) (string, string) {
			return compile(t, filepath.Join(dir, "libfdqc.so"), stale), ""
		}, []string{"does not say where LibTorch is", "make build"}},
		{"unsupported LibTorch", func(t *testing.T, dir string) (string, string) {
			torch := libTorch(t, filepath.Join(dir, "torch"), torch210)
			return compile(t, filepath.Join(dir, "libfdqc.so"), stale, "-Wl,-rpath,"+torch+"/lib"), ""
		}, []string{"is 2.10.1", "needs 2.11", "make build"}},
		{"LibTorch from before versions", func(t *testing.T, dir string) (string, string) {
			torch := libTorch(t, filepath.Join(dir, "torch"), "int nothing;")
			return compile(t, filepath.Join(dir, "libfdqc.so"), stale), torch
		}, []string{"of a version before", "needs 2.11", "make build"}},
		{"LibTorch needs what is missing", func(t *testing.T, dir string) (string, string) {
			part := compile(t, filepath.Join(dir, "libpart.so.13"), "int part;", "-Wl,-soname,libpart.so.13")
			torch := libTorch(t, filepath.Join(dir, "torch"), torch211, part)
			if err := os.Remove(part); err != nil {
				t.Fatal(err)
			}
			return compile(t, filepath.Join(dir, "libfdqc.so"), stale), torch
		}, []string{"LibTorch in", "needs libpart.so.13, which is missing", "make build"}},
		{"shim of another LibTorch", func(t *testing.T, dir string) (string, string) {
			torch := libTorch(t, filepath.Join(dir, "torch"), torch211)
			return compile(t, filepath.Join(dir, "libfdqc.so"), stale+"\nextern int gone(void); int use(void) { return gone(); }"), torch
		}, []string{"the shim", "cannot be loaded", "gone", "make build"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if os.Getenv(childEnv) == "" {
				if _, err := exec.LookPath("cc"); err != nil {
					t.Skip("no C compiler")
				}
				shim, libtorch := c.make(t, t.TempDir())
				// Its own process: the real shim may be open in this one.
				if !inChild(t, nil, "FDQC_LIB="+shim, "LIBTORCH="+libtorch) {
					return
				}
			}
			l, err := Open(Options{})
			var e *UnavailableError
			if l != nil || !errors.As(err, &e) {
				t.Fatalf("got %v, %v, want an *UnavailableError", l, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
			if strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), ". ") {
				t.Errorf("got %q, want one sentence", err)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	l := library(t)
	info, err := l.Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.LibTorchVersion != LibTorchVersion || info.Threads < 1 || info.CPUCapability == "" ||
		!filepath.IsAbs(info.LibTorchPath) || info.ShimPath != os.Getenv("FDQC_LIB") {
		t.Errorf("got %+v", info)
	}
}

// A second shim in a process would register the same operators twice.
func TestOneShimAProcess(t *testing.T) {
	library(t)
	copied := filepath.Join(t.TempDir(), "libfdqc.so")
	data, err := os.ReadFile(os.Getenv("FDQC_LIB"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, data, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Library: copied})
	var e *UnavailableError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "one shim a process") {
		t.Errorf("got %v, want an *UnavailableError", err)
	}
}

func TestDevice(t *testing.T) {
	l := library(t)
	for _, name := range []string{"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:128", "CPU"} {
		if d, err := l.Device(name); err == nil {
			t.Errorf("device %q: got %v, want an error", name, d)
		}
	}
	if d, err := l.Device("cpu"); err != nil || d != CPU || d.String() != "cpu" {
		t.Errorf("cpu: got %v, %v", d, err)
	}
	auto, err := l.Device("auto")
	if err != nil {
		t.Fatalf("auto: %v", err)
	}
	for _, name := range []string{"cuda", "cuda:0"} {
		d, err := l.Device(name)
		var e *UnavailableError
		switch {
		case auto == CPU && !errors.As(err, &e):
			t.Errorf("%s on a machine without: got %v, %v, want an *UnavailableError", name, d, err)
		case auto != CPU && (err != nil || d != auto || d.String() != "cuda:0"):
			t.Errorf("%s: got %v, %v, want %v", name, d, err, auto)
		}
	}
}

// The shim's whole surface is one symbol.
func TestShimExportsOneSymbol(t *testing.T) {
	library(t)
	for _, path := range []string{os.Getenv("FDQC_LIB"), os.Getenv("FDQC_FAULTS_LIB")} {
		if path == "" {
			continue
		}
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		symbols, err := f.DynamicSymbols()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		var exported []string
		for _, s := range symbols {
			if s.Section != elf.SHN_UNDEF && elf.ST_BIND(s.Info) != elf.STB_LOCAL {
				exported = append(exported, s.Name)
			}
		}
		if want := []string{"fdqc_api"}; !slices.Equal(exported, want) {
			t.Errorf("%s exports %q, want %q", path, exported, want)
		}
	}
}

// The go command does not see that a header outside the package changed: this
// reads the one that is there, and its cached result falls with it.
func TestCompiledAgainstThisHeader(t *testing.T) {
	header, err := os.ReadFile("../shim/fdqc.h")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`#define FDQC_ABI_VERSION (\d+)u`).FindSubmatch(header)
	if m == nil || string(m[1]) != strconv.Itoa(ABIVersion) {
		t.Errorf("compiled with ABI %d, the header says %s: run `go build -a ./cgo/torch`", ABIVersion, m)
	}
}
