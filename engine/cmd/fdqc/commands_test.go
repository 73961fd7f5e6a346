package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestRecordThenValidate(t *testing.T) {
	needLibTorch(t)
	dir := folder(t, map[string]string{
		"outcomes.jsonl": row(1, `, "is_safe": true`) + row(2, `, "label": "risky", "importance": 2`),
		"actions.jsonl":  row(1, ``) + row(2, ``) + row(1, `, "basic_checks": false`),
	})
	got := fdqc(t, "", "record", "--input", "outcomes.jsonl", "--output", "receipts.jsonl")
	if got.code != exitDone || !strings.Contains(got.errors, "2 stored") {
		t.Fatalf("record: exit %d, %s", got.code, got.errors)
	}
	data, err := os.ReadFile("receipts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for i, receipt := range lines(t, string(data)) {
		if receipt["result"] != "stored" || receipt["durable"] != true || receipt["sequence"] != float64(i+1) || receipt["pattern_id"] != float64(i+1) {
			t.Errorf("receipt %d: got %v, want stored, durable, sequence and pattern_id %d", i, receipt, i+1)
		}
	}
	got = fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", "-")
	if got.code != exitDone {
		t.Fatalf("validate: exit %d, %s", got.code, got.errors)
	}
	verdicts := lines(t, got.out)
	if len(verdicts) != 3 {
		t.Fatalf("got %d verdicts, want 3: %s", len(verdicts), got.out)
	}
	if v := verdicts[0]; v["safe_similarity"] != 1.0 || v["nearest_safe"] != 1.0 || v["matched_safe"] != true || v["decision"] != "review" {
		t.Errorf("the recorded safe action: got %v, want similarity 1 to pattern 1 and review", v)
	}
	if v := verdicts[1]; v["unsafe_similarity"] != 1.0 || v["nearest_unsafe"] != 2.0 || v["matched_unsafe"] != true {
		t.Errorf("the recorded unsafe action: got %v, want similarity 1 to pattern 2", v)
	}
	if v := verdicts[2]; v["decision"] != "block" || v["risk_score"] != nil || v["reason"] != "Failed Cockpit basic validation" {
		t.Errorf("failed basic checks: got %v, want block, null risk and the reason", v)
	}

	got = fdqc(t, "", "memory", "stats")
	if got.code != exitDone || !strings.Contains(got.out, "counter          2") {
		t.Errorf("memory stats: exit %d, %s%s", got.code, got.out, got.errors)
	}
	got = fdqc(t, "", "memory", "export", "--output", "-")
	patterns := lines(t, got.out)
	if got.code != exitDone || len(patterns) != 2 || patterns[1]["importance"] != 2.0 || patterns[1]["side"] != "unsafe" {
		t.Errorf("memory export: exit %d, %s%s", got.code, got.out, got.errors)
	}
	got = fdqc(t, "", "memory", "resize", "--capacity", "1")
	if got.code != exitDone || got.out != "capacity 1, evicted 0\n" {
		t.Errorf("memory resize: exit %d, %s%s", got.code, got.out, got.errors)
	}
	// The first writer's empty memory, the one after the outcomes, the resized one.
	saved, err := filepath.Glob(filepath.Join(dir, "fdqc-data", "patterns_*.pt"))
	if err != nil || len(saved) != 3 {
		t.Fatalf("checkpoints: %v, %v, want 3", saved, err)
	}
	got = fdqc(t, "", "inspect", saved[2], "--json")
	var listing struct {
		Content struct {
			Items []struct {
				Key   any
				Value struct{ Shape []int }
			}
		}
	}
	if err := json.Unmarshal([]byte(got.out), &listing); err != nil || got.code != exitDone {
		t.Fatalf("inspect: exit %d, %v, %s", got.code, err, got.errors)
	}
	if first := listing.Content.Items[0]; first.Key != "safe_patterns" || len(first.Value.Shape) != 2 || first.Value.Shape[0] != 1 {
		t.Errorf("inspect: first item %v, want safe_patterns of one row", first)
	}
}

func TestTheSameVerdictsInEveryFormat(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{"actions.jsonl": row(3, "") + row(4, "") + row(3, "")})
	text := fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", "-", "--fields", "id,raw_risk,decision")
	if text.code != exitDone {
		t.Fatal(text.errors)
	}
	verdicts := lines(t, text.out)
	if len(verdicts) != 3 || verdicts[0]["id"] != 3.0 || verdicts[2]["id"] != 3.0 {
		t.Errorf("duplicate ids: got %v, want 3, 4, 3 in order", verdicts)
	}
	if len(verdicts[0]) != 3 {
		t.Errorf("--fields of three: got %v", verdicts[0])
	}
	if got := fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", "v.npz"); got.code != exitDone {
		t.Fatal(got.errors)
	}
	if info, err := os.Stat("v.npz"); err != nil || info.Size() == 0 {
		t.Errorf("v.npz: %v", err)
	}
}

func TestFailOn(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{"actions.jsonl": row(1, "") + row(2, `, "basic_checks": false`), "fine.jsonl": row(1, "")})
	for _, c := range []struct {
		input, failOn string
		want          int
	}{
		{"actions.jsonl", "block", exitFailOn},
		{"actions.jsonl", "review", exitFailOn},
		{"fine.jsonl", "review", exitFailOn},
		{"fine.jsonl", "block", exitDone},
		{"fine.jsonl", "deny", exitUsage},
	} {
		t.Run(c.input+" "+c.failOn, func(t *testing.T) {
			got := fdqc(t, "", "validate", "--input", c.input, "--output", "-", "--fail-on", c.failOn)
			if got.code != c.want {
				t.Errorf("exit %d, want %d: %s", got.code, c.want, got.errors)
			}
		})
	}
}

func TestActionText(t *testing.T) {
	needLibTorch(t)
	folder(t, map[string]string{
		"fdqc-hash.toml": "[safety]\nsafe_mode = false\nrequire_human_approval = false\n[embedding]\nfallback = \"hash\"\n",
	})
	outcome := `{"id": 1, "action": "Read file", "is_safe": true}` + "\n"
	if got := fdqc(t, outcome, "record", "--input", "-"); got.code != exitUsage || !strings.Contains(got.errors, "needs an encoder") {
		t.Errorf("text without an encoder: exit %d, %s", got.code, got.errors)
	}
	if got := fdqc(t, outcome, "record", "--config", "fdqc-hash.toml", "--input", "-"); got.code != exitDone {
		t.Fatalf("record with the hash: exit %d, %s", got.code, got.errors)
	}
	got := fdqc(t, outcome, "validate", "--config", "fdqc-hash.toml", "--input", "-", "--output", "-")
	if got.code != exitDone || !strings.Contains(got.errors, "carries no signal") {
		t.Fatalf("validate with the hash: exit %d, %s", got.code, got.errors)
	}
	v := lines(t, got.out)[0]
	if v["safe_similarity"] != 1.0 || v["decision"] == "allow" {
		t.Errorf("a recorded text: got %v, want similarity 1 and a decision that is not allow", v)
	}
}

func TestHelpHasExamples(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" {
			return // the library's own
		}
		if c.Example == "" || c.Short == "" {
			t.Errorf("%s: no example or no description", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	root, _ := newRoot(streams{})
	walk(root)
}

func TestVersionNeedsNoLibTorch(t *testing.T) {
	t.Setenv("FDQC_LIB", "/nonexistent/libfdqc.so")
	got := fdqc(t, "", "version")
	if got.code != exitDone || !strings.Contains(got.out, "libtorch not usable") {
		t.Errorf("exit %d, %s%s, want 0 and why LibTorch is not usable", got.code, got.out, got.errors)
	}
}

func TestMissingLibTorchIsFoundFirst(t *testing.T) {
	dir := folder(t, map[string]string{"actions.jsonl": "not JSON"})
	t.Setenv("FDQC_LIB", "/nonexistent/libfdqc.so")
	for _, args := range [][]string{
		{"validate", "--input", "actions.jsonl", "--output", "out.jsonl"},
		{"record", "--input", "actions.jsonl"},
		{"memory", "stats"},
		{"doctor"},
	} {
		t.Run(args[0], func(t *testing.T) {
			got := fdqc(t, "", args...)
			if got.code != exitUnavailable || !strings.Contains(got.errors, "make build") {
				t.Errorf("exit %d, %s, want %d and what to run", got.code, got.errors, exitUnavailable)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 1 {
				t.Errorf("files made: %v, %v", left, err)
			}
		})
	}
}

// TestParquet: a table in, a table out; the memory as a table.
func TestParquet(t *testing.T) {
	needLibTorch(t)
	table, err := filepath.Abs("../../rows/testdata/lists.parquet")
	if err != nil {
		t.Fatal(err)
	}
	folder(t, nil)
	got := fdqc(t, "", "validate", "--input", table, "--output", "out.parquet")
	if got.code != exitUsage || !strings.Contains(got.errors, "lists.parquet, row 1") {
		t.Errorf("exit %d, %s, want %d and the row without an embedding", got.code, got.errors, exitUsage)
	}
	got = fdqc(t, "", "validate", "--input", table, "--output", "out.parquet", "--on-error", "skip", "--fields", "id,decision")
	if got.code != exitDone || !strings.Contains(got.errors, "judged 3 rows") {
		t.Errorf("exit %d, %s", got.code, got.errors)
	}
	if got := fdqc(t, "", "record", "--input", table, "--on-error", "skip"); got.code != exitDone || !strings.Contains(got.errors, "2 stored, 0 quarantined, 0 rejected, 1 refused") {
		t.Errorf("record: exit %d, %s", got.code, got.errors)
	}
	if got := fdqc(t, "", "memory", "export", "--output", "memory.parquet"); got.code != exitDone {
		t.Errorf("export: exit %d, %s", got.code, got.errors)
	}
	for _, name := range []string{"out.parquet", "memory.parquet"} {
		if data, err := os.ReadFile(name); err != nil || !strings.HasPrefix(string(data), "PAR1") || !strings.HasSuffix(string(data), "PAR1") {
			t.Errorf("%s: got %d bytes, %v, want a whole table", name, len(data), err)
		}
	}
}
