package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
)

// TestMissingPeersAreNamed runs with no Python and with some that are none.
func TestMissingPeersAreNamed(t *testing.T) {
	for _, c := range []struct{ name, python, gotorch, want string }{
		{"not named", "", "", "FDQC_PEERS_PYTHON"},
		{"not there", "/nonexistent/python", "", "no such file"},
		{"no PyTorch", "/bin/false", "", "the peer ended"},
		{"no gotorch", "", "", "FDQC_GOTORCH_PEER"},
		{"a program that answers otherwise", "/bin/cat", "/bin/cat", "expected a kind and a name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &Options{Plan: FullPlan(1, 1), Device: "cpu", Threads: 1, Python: c.python, Gotorch: c.gotorch}
			targets, missing, err := openTargets(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			reasons := ""
			for _, m := range missing {
				reasons += m.Name + ": " + m.Reason + "\n"
			}
			// CUDA, which --device cpu leaves out, the Python peers and gotorch.
			if len(targets) != 1 || len(missing) != 2+len(pythonPeers) || !strings.Contains(reasons, c.want) {
				t.Errorf("got %d targets, missing\n%swant the engine alone and a reason with %q", len(targets), reasons, c.want)
			}
		})
	}
}

func TestPeersThatThePlanLeavesOutAreNamed(t *testing.T) {
	_, missing, err := openTargets(t.Context(), &Options{Plan: QuickPlan(1, 1), Device: "cpu", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range missing {
		if strings.Contains(m.Name, "torch.compile") && m.Reason == leftOut {
			return
		}
	}
	t.Errorf("got %+v, want torch.compile and that the plan leaves it out", missing)
}

// TestEngineAndPeersAnswerAlike is what makes the figures comparable.
func TestEngineAndPeersAnswerAlike(t *testing.T) {
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("no Python with PyTorch is named (FDQC_PEERS_PYTHON); run make peers")
	}
	gotorch := os.Getenv("FDQC_GOTORCH_PEER")
	if gotorch == "" {
		t.Skip("no program of gotorch is named (FDQC_GOTORCH_PEER); run make peers")
	}
	// Compiling takes a minute, and what it compiles is the eager program.
	group := func(d, n int) Group {
		return Group{SweepBatch, d, n, 50, 1, []int{1, 256}, []string{"engine", "loop", "eager", "gotorch", "faiss", "tree"}}
	}
	report, err := Run(t.Context(), Options{
		Plan:   Plan{Groups: []Group{group(8, 8), group(40, 8), group(384, 384)}, Rounds: 1, PerTurn: time.Millisecond},
		Python: python, Gotorch: gotorch,
	})
	needLibTorch(t, err)
	// CUDA and torch.compile are.
	if len(report.Missing) != 2 || len(report.Targets) != 6 {
		t.Fatalf("got targets %+v, missing %+v, want the engine and 5 peers", report.Targets, report.Missing)
	}
	for _, r := range report.Results {
		if r.Difference > Tolerance {
			t.Errorf("d=%d n=%d: answers differ by %v, want at most %v", r.Width, r.Workspace, r.Difference, Tolerance)
		}
		want := 6
		if r.BatchSize > 64 {
			want-- // the loop
		}
		if r.Workspace > 16 {
			want-- // the tree
		}
		if len(r.Figures) != want {
			t.Errorf("d=%d n=%d B=%d: got %d figures, want %d", r.Width, r.Workspace, r.BatchSize, len(r.Figures), want)
		}
		for _, f := range r.Figures {
			if f.RowsPerSecond <= 0 || f.Batches < 1 || f.Resident <= 0 {
				t.Errorf("d=%d n=%d B=%d: got %+v, want a measurement", r.Width, r.Workspace, r.BatchSize, f)
			}
		}
	}
}

// TestFilesAreJudged measures files with a command that only says what it was
// asked, and compares the rows with what a run in the process does.
func TestFilesAreJudged(t *testing.T) {
	script := filepath.Join(t.TempDir(), "fdqc")
	log := script + ".log"
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec echo \"$*\" >>"+log+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := options(newFake("engine", time.Microsecond))
	o.Fdqc, o.Plan.FileRows, o.Plan.LineRows = script, 20_000, 5
	o.Plan.Groups = append(o.Plan.Groups, Group{SweepBatch, 8, 8, goalPatterns, 1, []int{64}, validators})
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Files) != 2 || report.Files[0].Rows != 20_000 || report.Files[1].Width != 768 {
		t.Fatalf("got %+v, want a .npy and a JSON Lines file", report.Files)
	}
	for _, f := range report.Files {
		if f.RowsPerSecond <= 0 || f.Reference <= 0 || report.fileRatio(f.Name) != f.RowsPerSecond/f.Reference {
			t.Errorf("got %+v, want two rates and their ratio", f)
		}
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSpace(string(text)), "\n"); len(got) != 1+2*fileTurns || !strings.HasPrefix(got[0], "record ") || !strings.Contains(got[1], "rows.npy") {
		t.Errorf("the command was asked %q, want to record and then to validate each file %d times", got, fileTurns)
	}

	if err := os.WriteFile(script, []byte("#!/bin/sh\necho no room >&2; exit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	o.Targets = []Target{newFake("engine", time.Microsecond)}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "fdqc record: exit status 1: no room") {
		t.Errorf("a command that fails: got %v, want its words", err)
	}
}

func TestMeasure(t *testing.T) {
	single, err := Measure(t.Context(), Case{12, 8, 5, 16, 1}, "cpu", 5*time.Millisecond)
	needLibTorch(t, err)
	if single.Device != "cpu" || single.Threads != 1 || single.BatchSize != 16 || single.Batches < 1 ||
		!(single.RowsPerSecond >= single.MeanRowsPerSecond) || !(single.P50 > 0) || !(single.P99 >= single.P50) {
		t.Errorf("got %+v, want one case measured on the CPU", single)
	}
	if _, err := Measure(t.Context(), Case{12, 8, 5, 1 << 17, 1}, "cpu", time.Millisecond); err == nil || !strings.Contains(err.Error(), "batch size 131072") {
		t.Errorf("a batch that is too large: got %v, want it named", err)
	}
}

// needLibTorch skips what cannot run without, and fails on other errors.
func needLibTorch(t *testing.T, err error) {
	t.Helper()
	if unavailable := new(torch.UnavailableError); errors.As(err, &unavailable) {
		t.Skipf("%v; run make build", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestUsedBy(t *testing.T) {
	if got := usedBy(12, "12, 300\n1, 5\n12, 20\nsomething else\n"); got != 320<<20 {
		t.Errorf("got %d bytes, want 320 MiB of process 12", got)
	}
}
