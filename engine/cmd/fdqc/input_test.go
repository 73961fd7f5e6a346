package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

// npy is a .npy file of a header and some float32 numbers.
func npy(descr string, shape string, values ...float32) string {
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
	header += strings.Repeat(" ", 63-(len(header)+10)%64) + "\n"
	data := []byte("\x93NUMPY\x01\x00")
	data = binary.LittleEndian.AppendUint16(data, uint16(len(header)))
	data = append(data, header...)
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return string(data)
}

func TestBadInput(t *testing.T) {
	needLibTorch(t)
	nan := float32(math.NaN())
	eight := make([]float32, 8)
	files := map[string]string{
		"empty.jsonl":     "",
		"nan.jsonl":       row(1, "") + `{"id": 2, "embedding": [NaN, 1, 1, 1, 1, 1, 1, 1]}` + "\n",
		"infinity.jsonl":  row(1, "") + `{"id": 2, "embedding": [1e39, 1, 1, 1, 1, 1, 1, 1]}` + "\n",
		"width.jsonl":     row(1, "") + `{"id": 2, "embedding": [1, 2, 3]}` + "\n",
		"wide.jsonl":      `{"id": 1, "embedding": [` + strings.Repeat("0,", 4096) + `0]}` + "\n",
		"none.jsonl":      `{"id": 1, "embedding": []}` + "\n",
		"cut.jsonl":       row(1, "") + `{"id": 2, "embed`,
		"bad.jsonl":       row(1, "") + "{}}\n",
		"overflow.jsonl":  row(1, "") + `{"id": 2, "embedding": [3e38, 3e38, 3e38, 3e38, 3e38, 3e38, 3e38, 3e38, 3e38]}` + "\n",
		"nan.npy":         npy("<f4", "(2, 8)", append(append([]float32{}, eight...), nan, 0, 0, 0, 0, 0, 0, 0)...),
		"infinity.npy":    npy("<f4", "(1, 8)", float32(math.Inf(1)), 0, 0, 0, 0, 0, 0, 0),
		"cut.npy":         npy("<f4", "(2, 8)", eight...),
		"header.npy":      npy("<f4", "(2, 8)")[:20],
		"big-endian.npy":  npy(">f4", "(1, 8)", eight...),
		"half.npy":        npy("<f2", "(1, 16)", eight...),
		"empty.npy":       npy("<f4", "(0, 8)"),
		"flat.npy":        npy("<f4", "(8,)", eight...),
		"actions.parquet": "PAR1",
		"actions.csv":     "1,2,3",
	}
	for _, c := range []struct {
		input string
		want  []string // in the message
	}{
		{"empty.jsonl", []string{"empty.jsonl", "no rows"}},
		{"nan.jsonl", []string{"nan.jsonl", "line 2"}},
		{"infinity.jsonl", []string{"infinity.jsonl", "line 2", "embedding"}},
		{"width.jsonl", []string{"width.jsonl", "line 2", "3", "8"}},
		{"wide.jsonl", []string{"wide.jsonl", "line 1", "4096"}},
		{"none.jsonl", []string{"none.jsonl", "line 1"}},
		{"cut.jsonl", []string{"cut.jsonl", "line 2"}},
		{"bad.jsonl", []string{"bad.jsonl", "line 2"}},
		{"nan.npy", []string{"nan.npy", "row 1"}},
		{"infinity.npy", []string{"infinity.npy", "row 0"}},
		{"cut.npy", []string{"cut.npy", "64", "32"}},
		{"header.npy", []string{"header.npy"}},
		{"big-endian.npy", []string{"big-endian.npy", ">f4"}},
		{"half.npy", []string{"half.npy", "f2"}},
		{"empty.npy", []string{"empty.npy", "no rows"}},
		{"flat.npy", []string{"flat.npy"}},
		{"actions.parquet", []string{"actions.parquet"}},
		{"actions.csv", []string{"actions.csv", ".jsonl"}},
		{"absent.jsonl", []string{"absent.jsonl"}},
		{".", []string{"directory"}},
	} {
		t.Run(c.input, func(t *testing.T) {
			folder(t, files)
			got := fdqc(t, "", "validate", "--input", c.input, "--output", "out.jsonl")
			if got.code != exitUsage {
				t.Errorf("exit %d, want %d: %s", got.code, exitUsage, got.errors)
			}
			for _, want := range c.want {
				if !strings.Contains(got.errors, want) {
					t.Errorf("message %q does not name %q", got.errors, want)
				}
			}
			if strings.Count(got.errors, "\n") != 1 {
				t.Errorf("message is %q, want one line", got.errors)
			}
			if _, err := os.Stat("out.jsonl"); err == nil {
				t.Error("an output appeared under its name")
			}
		})
	}
}

func TestRefusedRowsWithSkip(t *testing.T) {
	needLibTorch(t)
	input := row(1, "") + `{"id": 2, "embedding": [NaN]}` + "\n" + row(3, "") + `{"id": "four", "embedding": [1, 2]}` + "\n" + row(5, "")
	folder(t, nil)
	got := fdqc(t, input, "validate", "--input", "-", "--output", "-", "--on-error", "skip")
	if got.code != exitDone {
		t.Fatalf("exit %d, %s", got.code, got.errors)
	}
	verdicts := lines(t, got.out)
	if len(verdicts) != 5 {
		t.Fatalf("got %d verdicts, want 5: %s", len(verdicts), got.out)
	}
	for i, v := range verdicts {
		refused := i == 1 || i == 3
		if refused != (v["error"] != nil) || refused != (v["risk_score"] == nil) || (refused && (v["decision"] != "block" || v["approved"] != false)) {
			t.Errorf("verdict %d: %v, refused: want %v", i, v, refused)
		}
	}
	// Refused rows move no state: the others are as without them.
	alone := fdqc(t, row(1, "")+row(3, "")+row(5, ""), "validate", "--input", "-", "--output", "-")
	for i, v := range lines(t, alone.out) {
		if with := verdicts[2*i]; with["raw_risk"] != v["raw_risk"] || with["entropy"] != v["entropy"] {
			t.Errorf("row %d: %v beside refused rows, %v alone", i, with, v)
		}
	}
}

func TestStopAnswersWhatCameBefore(t *testing.T) {
	needLibTorch(t)
	folder(t, nil)
	input := row(1, `, "is_safe": true`) + row(2, `, "is_safe": false`) + `{"id": 3}` + "\n" + row(4, `, "is_safe": true`)
	got := fdqc(t, input, "record", "--input", "-", "--output", "-")
	if got.code != exitUsage || !strings.Contains(got.errors, "line 3") {
		t.Errorf("exit %d, %s, want %d and line 3", got.code, got.errors, exitUsage)
	}
	if receipts := lines(t, got.out); len(receipts) != 2 || receipts[1]["durable"] != true {
		t.Errorf("receipts: %s, want the two before the refused row", got.out)
	}
	stats := fdqc(t, "", "memory", "stats")
	if !strings.Contains(stats.out, "counter          2") {
		t.Errorf("what was acknowledged is not stored: %s", stats.out)
	}
}

func TestBadUsage(t *testing.T) {
	dir := folder(t, map[string]string{
		"unknown.toml": "[safety]\nworkspce_dim = 8\n",
		"range.toml":   "[safety]\nworkspace_dim = 2\n",
		"type.toml":    "[memory]\ncapacity = \"many\"\n",
		"broken.toml":  "[memory\n",
	})
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"config", "check", "--config", "unknown.toml"}, "workspce_dim"},
		{[]string{"config", "check", "--config", "range.toml"}, "workspace_dim"},
		{[]string{"config", "check", "--config", "type.toml"}, "capacity"},
		{[]string{"config", "check", "--config", "broken.toml"}, "broken.toml"},
		{[]string{"config", "check", "--config", "absent.toml"}, "absent.toml"},
		{[]string{"config", "check", "--batch-size", "0"}, "batch_size"},
		{[]string{"config", "check", "--device", "tpu"}, "device"},
		{[]string{"config", "check", "--on-error", "ignore"}, "--on-error"},
		{[]string{"config", "check", "extra"}, "extra"},
		{[]string{"config"}, "config"},
		{[]string{"validte"}, "validte"},
		{[]string{"validate", "--output", "x.jsonl"}, "--input"},
		{[]string{"validate", "--nope"}, "--nope"},
		{[]string{"inspect"}, "arg"},
		{[]string{"inspect", "absent.pt"}, "absent.pt"},
		{[]string{"memory", "resize"}, "--capacity"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Chdir(dir)
			got := fdqc(t, "", c.args...)
			if got.code != exitUsage || !strings.Contains(got.errors, c.want) {
				t.Errorf("exit %d, %q, want %d and %q", got.code, got.errors, exitUsage, c.want)
			}
		})
	}
}

func TestOutputThatCannotBeWritten(t *testing.T) {
	needLibTorch(t)
	for _, output := range []string{".", "absent/out.jsonl", "out.csv", "out.npy"} {
		t.Run(output, func(t *testing.T) {
			folder(t, map[string]string{"actions.jsonl": row(1, "")})
			got := fdqc(t, "", "validate", "--input", "actions.jsonl", "--output", output)
			if got.code != exitUsage || !strings.Contains(got.errors, output) {
				t.Errorf("exit %d, %q, want %d and the name", got.code, got.errors, exitUsage)
			}
		})
	}
}
