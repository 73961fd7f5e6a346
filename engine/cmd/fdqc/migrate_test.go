package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// pythonFiles is what the Python system wrote; package checkpoints reads it
// too.
const pythonFiles = "../../../checkpoints/testdata/checkpoints"

// python is a working directory with a folder checkpoints that holds files of
// the Python system, under names of their own or as name=kit name, and a key
// to sign with.
func python(t *testing.T, files ...string) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	kit, err := filepath.Abs(pythonFiles)
	if err != nil {
		t.Fatal(err)
	}
	folder(t, nil)
	if err := os.Mkdir("checkpoints", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name, from, renamed := strings.Cut(file, "=")
		if !renamed {
			from = name
		}
		copyFile(t, filepath.Join(kit, from), filepath.Join("checkpoints", name))
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMigrate(t *testing.T) {
	python(t, "patterns_20241024_120000_torch1.13.0.pt", "validator_state.pt=validator_state_torch1.13.0.pt", "projections.pt", "ppo_state.pt")
	if err := os.WriteFile("policy.yaml", []byte("safe_mode: false\nfull_send_mode: false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := fdqc(t, "", "migrate", "--from", "checkpoints", "--to", "data", "--dry-run", "--report", "dry.json")
	if got.code != exitDone || !strings.Contains(got.out, "dry run, nothing was written") {
		t.Errorf("dry run: exit %d, %s%s", got.code, got.out, got.errors)
	}
	if _, err := os.Stat("data"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dry run made the data directory (%v)", err)
	}
	got = fdqc(t, "", "migrate", "--from", "checkpoints", "--to", "data", "--policy", "policy.yaml", "--report", "report.json")
	if got.code != exitDone || !strings.Contains(got.out, "LOOSENS SAFETY") || !strings.Contains(got.out, "WARNING: the policy loosens safety: safety.safe_mode = false") {
		t.Fatalf("exit %d, %s%s, want 0 and what is loosened", got.code, got.out, got.errors)
	}
	data, err := os.ReadFile("report.json")
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Made   bool           `json:"made"`
		Counts map[string]int `json:"counts"`
	}
	if err := json.Unmarshal(data, &report); err != nil || !report.Made || report.Counts["taken"]+report.Counts["changed"] != 4 {
		t.Errorf("report: got %s (%v), want four files and made", data, err)
	}
	got = fdqc(t, "", "config", "show", "--data-dir", "data")
	for _, want := range []string{`first_element`, "data/fdqc.toml"} {
		if got.code != exitDone || !strings.Contains(got.out, want) {
			t.Errorf("config show: exit %d, %s%s, want %q", got.code, got.out, got.errors, want)
		}
	}
	needLibTorch(t)
	got = fdqc(t, "", "memory", "stats", "--data-dir", "data")
	for _, want := range []string{"safe             1000", "unsafe           350", "capacity         1000", "counter          1750", "next_pattern_id  1351"} {
		if got.code != exitDone || !strings.Contains(got.out, want) {
			t.Errorf("memory stats: exit %d, %s%s, want %q", got.code, got.out, got.errors, want)
		}
	}
	if got := fdqc(t, row(1, `, "is_safe": true`), "record", "--data-dir", "data", "--input", "-", "--output", "-"); got.code != exitDone || !strings.Contains(got.out, `"sequence":1751`) {
		t.Errorf("an outcome after the migration: exit %d, %s%s, want sequence 1751", got.code, got.out, got.errors)
	}
}

func TestMigrateExitCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no target", []string{"--from", "checkpoints"}, exitUsage, "needs --to"},
		{"no source", []string{"--from", "absent", "--to", "data"}, exitUsage, "no such file"},
		{"target in source", []string{"--from", "checkpoints", "--to", "checkpoints/data"}, exitUsage, "never written"},
		{"target is full", []string{"--from", "checkpoints", "--to", "."}, exitUsage, "--to ."},
		{"two targets", []string{"--from", "checkpoints", "--to", "data", "--data-dir", "other"}, exitUsage, "by --to"},
		{"report in the source", []string{"--from", "checkpoints", "--to", "data", "--report", "checkpoints/report.json"}, exitUsage, "outside of both"},
		{"report nowhere", []string{"--from", "checkpoints", "--to", "data", "--report", "none/report.json"}, exitUsage, "none"},
		{"bad policy", []string{"--from", "checkpoints", "--to", "data", "--policy", "bad.yaml"}, exitUsage, "safe_mode"},
		{"damaged", []string{"--from", "damaged", "--to", "data"}, exitVerify, "nothing was made"},
		{"a link", []string{"--from", "linked", "--to", "data"}, exitFailed, "symbolic link"},
	} {
		t.Run(c.name, func(t *testing.T) {
			python(t, "projections.pt")
			if err := errors.Join(os.WriteFile("bad.yaml", []byte("safe_mode: 7\n"), 0o600), os.Mkdir("damaged", 0o755), os.Mkdir("linked", 0o755),
				os.WriteFile("damaged/patterns_20240101_000000.pt", []byte("PK"), 0o600),
				os.Symlink("../checkpoints/projections.pt", "linked/projections.pt")); err != nil {
				t.Fatal(err)
			}
			got := fdqc(t, "", append([]string{"migrate"}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.errors, c.want) {
				t.Errorf("exit %d, %s, want %d and %q", got.code, got.errors, c.code, c.want)
			}
			for _, made := range []string{"data", "checkpoints/report.json"} {
				if _, err := os.Lstat(made); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is there (%v)", made, err)
				}
			}
		})
	}
}

func TestMigrateReportOnOutput(t *testing.T) {
	python(t, "projections.pt")
	got := fdqc(t, "", "migrate", "--from", "checkpoints", "--to", "data", "--dry-run", "--report", "-")
	var report struct {
		Files []struct{ Name, Result string }
	}
	if err := json.Unmarshal([]byte(got.out), &report); err != nil || got.code != exitDone || len(report.Files) != 1 || report.Files[0].Name != "projections.pt" {
		t.Errorf("exit %d, %s%s (%v), want a report of projections.pt and nothing else", got.code, got.out, got.errors, err)
	}
}

// settled are the settings that migrate finds in the files, so that no
// configuration has to name them.
var settled = regexp.MustCompile(`(?m)^(workspace_dim|capacity|state_update = "first_element").*\n`)

// TestMigratedStateConforms migrates the state of every conformance case and
// replays its operations against what was made.
func TestMigratedStateConforms(t *testing.T) {
	needLibTorch(t)
	cases, err := filepath.Glob("testdata/conformance/cases/*")
	if err != nil || len(cases) == 0 {
		t.Fatalf("cases: %v, %v, want some", cases, err)
	}
	for _, c := range cases {
		dir, err := filepath.Abs(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(c), func(t *testing.T) {
			python(t)
			args := []string{"replay", "--data-dir", "data", "--config", "rest.toml", "--state", "data/validator_state.pt",
				"--input", filepath.Join(dir, "input.jsonl"), "--output", "-", "--batch-size", "7", "--device", "cpu", "--quiet"}
			copyFile(t, filepath.Join(dir, "validator_state.pt"), "checkpoints/validator_state.pt")
			if _, err := os.Stat(filepath.Join(dir, "projections.pt")); err == nil {
				copyFile(t, filepath.Join(dir, "projections.pt"), "checkpoints/projections.pt")
				args = append(args, "--projections", "data/projections.pt")
			}
			config, err := os.ReadFile(filepath.Join(dir, "config.toml"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile("rest.toml", settled.ReplaceAll(config, nil), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := fdqc(t, "", "migrate", "--from", "checkpoints", "--to", "data"); got.code != exitDone {
				t.Fatalf("migrate: exit %d, %s%s", got.code, got.out, got.errors)
			}
			got := fdqc(t, "", args...)
			if got.code != exitDone {
				t.Fatalf("replay: exit %d, %s", got.code, got.errors)
			}
			expected, err := os.ReadFile(filepath.Join(dir, "expected.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			compareVerdicts(t, lines(t, got.out), lines(t, string(expected)))
		})
	}
}

// tolerances are those of testdata/conformance/check.py.
var tolerances = map[string]float64{
	"risk_score": 1e-4, "raw_risk": 1e-4, "base_risk": 1e-4, "entropy": 1e-4, "coherence": 1e-5,
	"novelty": 2e-4, "safe_similarity": 2e-4, "unsafe_similarity": 2e-4,
}

// compareVerdicts demands what check.py does.
func compareVerdicts(t *testing.T, got, want []map[string]any) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d verdicts, want %d", len(got), len(want))
	}
	for i := range want {
		for key, value := range want[i] {
			same := reflect.DeepEqual(got[i][key], value)
			switch expected, isNumber := value.(float64); {
			case key == "state_real_after": // no field of a verdict
				continue
			case key == "id":
				same = fmt.Sprint(got[i][key]) == fmt.Sprint(value)
			case key == "safety_violations":
				same = reflect.DeepEqual(kinds(got[i][key]), kinds(value))
			case isNumber:
				number, ok := got[i][key].(float64)
				same = ok && math.Abs(number-expected) <= tolerances[key]
			}
			if !same {
				t.Fatalf("line %d, %s: got %v, want %v", i, key, got[i][key], value)
			}
		}
	}
}

// kinds are violations without their numbers.
func kinds(violations any) []string {
	all := []string{}
	list, _ := violations.([]any)
	for _, v := range list {
		kind, _, _ := strings.Cut(fmt.Sprint(v), ":")
		all = append(all, kind)
	}
	return all
}
