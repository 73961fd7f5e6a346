package migrate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
)

func TestPolicyValues(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
	}{
		{"empty", "", "map[]"},
		{"comment", "# nothing\n", "map[]"},
		{"top level", "safe_mode: false\n", "map[safety.safe_mode:false]"},
		{"words for true and false", "safety: {safe_mode: off, require_human_approval: yes}\n", "map[safety.require_human_approval:true safety.safe_mode:false]"},
		{"the Python system's section", "fdqc_safety:\n  entropy_threshold: 0.6\n  collapse_threshold: 1\n", "map[safety.collapse_threshold:1 safety.entropy_threshold:0.6]"},
		{"tier in small letters", "autonomy_tier: gamma\n", "map[safety.tier:GAMMA]"},
		{"tier as a letter", "tier: Ω\n", "map[safety.tier:OMEGA]"},
		{"stricter of two flags", "safe_mode: false\nfdqc_safety: {safe_mode: true}\n", "map[safety.safe_mode:true]"},
		{"stricter of two thresholds", "fdqc_safety: {collapse_threshold: 0.9}\nsafety: {collapse_threshold: 0.8}\n", "map[safety.collapse_threshold:0.9]"},
		{"stricter of two tiers", "tier: ALPHA\nautonomy_tier: delta\n", "map[safety.tier:ALPHA]"},
		{"same names elsewhere", "logging: {safe_mode: false}\nvalidation_layers: {six: {tier: OMEGA}}\n", "map[]"},
		{"unknown", "full_send_mode: true\nfdqc_safety: {unheard_of: [1, 2]}\n", "map[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := parsePolicy("policy.yaml", []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(p.values()); got != c.want {
				t.Errorf("%q: got %s, want %s", c.text, got, c.want)
			}
		})
	}
}

// bomb is a small file of ten levels of ten aliases each.
func bomb() string {
	text := "a0: &a0 [x]\n"
	for i := range 10 {
		text += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	return text + "safe_mode: *a10\n"
}

func TestPolicyRefused(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
	}{
		{"no YAML", "safe_mode: [", "did not find expected node content"},
		{"a tab", "fdqc_safety:\n\tsafe_mode: true\n", "policy.yaml"},
		{"a list", "- safe_mode\n", "expected a mapping"},
		{"two documents", "safe_mode: true\n---\nsafe_mode: false\n", "more than one document"},
		{"a key twice", "safe_mode: true\nsafe_mode: false\n", "line 2: safe_mode: is there twice"},
		{"a wrong type", "fdqc_safety:\n  entropy_threshold: low\n", "line 2: fdqc_safety.entropy_threshold:"},
		{"a flag of another type", "safe_mode: 1\n", "line 1: safe_mode:"},
		{"out of range", "fdqc_safety:\n  entropy_threshold: 7\n", "entropy_threshold: 7 is out of range, expected 0 to 1.1"},
		{"not a number", "fdqc_safety: {block_threshold: .nan}\n", "block_threshold: NaN is out of range"},
		{"an unknown tier", "autonomy_tier: zeta\n", `autonomy_tier: "ZETA", expected one of`},
		{"null", "fdqc_safety: {safe_mode: }\n", "fdqc_safety.safe_mode: is empty, expected a value like true"},
		{"null for a number", "fdqc_safety: {entropy_threshold: ~}\n", "is empty, expected a value like 0.7"},
		{"a list for a flag", "safe_mode: [true]\n", "safe_mode:"},
		{"two that cannot be compared", "fdqc_safety: {seed: 1}\nsafety: {seed: 2}\n", "while fdqc_safety.seed is 1; leave one of them"},
		{"an alias", "a: &a true\nsafe_mode: *a\n", "safe_mode: is an alias; write it out"},
		{"a merge", "a: &a {safe_mode: false}\nfdqc_safety:\n  <<: *a\n", "without aliases and merges"},
		{"an alias bomb", bomb(), "alias"},
		{"nesting", strings.Repeat("{a: ", 60) + "1" + strings.Repeat("}", 60), "nested more than"},
		{"deep nesting", strings.Repeat("[", 500_000), "policy.yaml"},
		{"too many keys", manyKeys(maxPolicyKeys + 1), "more than 10000 keys"},
		{"too large", strings.Repeat("#", maxPolicy+1), "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parsePolicy("policy.yaml", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%.60q: got %v, want %q", c.text, err, c.want)
			}
		})
	}
}

func manyKeys(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "k%d: 1\n", i)
	}
	return text.String()
}

// TestPolicyInRun: what the policy says reaches fdqc.toml and the report, and
// what loosens safety is loud.
func TestPolicyInRun(t *testing.T) {
	from := installation(t, map[string]string{"validator_state.pt": "@cases/row-patterns-workspace12/validator_state.pt"})
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "policy.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	to := filepath.Join(t.TempDir(), "data")
	report, err := Run(t.Context(), Options{From: from, To: to, Config: configuration(t),
		Policy: write("safe_mode: false\nfdqc_safety: {workspace_dim: 12, entropy_threshold: 0.5}\nextra: {deep: [1]}\n")})
	if err != nil {
		t.Fatal(err)
	}
	config, _, err := engine.LoadConfig(engine.LoadOptions{Flags: map[string]string{"persistence.dir": to}, WorkDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if config.Safety.SafeMode || config.Safety.WorkspaceDim != 12 || config.Safety.EntropyThreshold != 0.5 || config.Safety.StateUpdate != engine.StateUpdateFirstElement {
		t.Errorf("settings of the data directory: got %+v", config.Safety)
	}
	warnings := strings.Join(report.Warnings, "\n")
	if !strings.Contains(warnings, "loosens safety: safety.safe_mode = false") || !strings.Contains(warnings, "1 keys of the policy are unknown") || strings.Contains(warnings, "entropy") {
		t.Errorf("warnings: got %s, want safe_mode and one unknown key", warnings)
	}

	var input *InputError
	for _, c := range []struct{ name, policy, want string }{
		{"another workspace", write("fdqc_safety: {workspace_dim: 8}\n"), "workspace_dim: is 8, but safety.workspace_dim is 12 from validator_state.pt"},
		{"another state update", write("fdqc_safety: {state_update: row}\n"), `is "row", but safety.state_update is "first_element"`},
		{"out of range", write("fdqc_safety: {entropy_threshold: -1}\n"), "out of range"},
		{"absent", filepath.Join(t.TempDir(), "none.yaml"), "no such file"},
		{"a folder", t.TempDir(), "is a folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "data")
			_, err := Run(t.Context(), Options{From: from, To: to, Policy: c.policy, Config: configuration(t)})
			if !errors.As(err, &input) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an input error with %q", err, c.want)
			}
			if _, err := os.Stat(to); err == nil {
				t.Error("a data directory was made")
			}
		})
	}
}

func TestLooser(t *testing.T) {
	for _, c := range []struct {
		setting  string
		is, than any
		want     bool
	}{
		{"safety.safe_mode", false, true, true},
		{"safety.safe_mode", true, false, false},
		{"safety.require_signing", false, true, true},
		{"safety.tier", "GAMMA", "ALPHA", true},
		{"safety.tier", "OMEGA", "GAMMA", false},
		{"safety.entropy_threshold", 0.8, 0.7, true},
		{"safety.entropy_threshold", int64(1), 0.7, true},
		{"safety.collapse_threshold", 0.8, 0.85, true},
		{"safety.collapse_threshold", 0.9, 0.85, false},
		{"safety.max_rollout_depth", int64(4), int64(3), true},
		{"safety.allowed_processes", []string{"git", "sh"}, []string{"git"}, true},
		{"safety.allowed_processes", []string{"git"}, []string{"git", "sh"}, false},
		{"safety.allowed_processes", []string{"git"}, []string{}, false},
		{"safety.allowed_processes", []string{}, []string{"git"}, true},
		{"safety.seed", int64(1), int64(0), false},
	} {
		if got := looser(c.setting, c.is, c.than); got != c.want {
			t.Errorf("%s = %v instead of %v: looser %v, want %v", c.setting, c.is, c.than, got, c.want)
		}
	}
}

// FuzzPolicy: whatever a policy says, what is taken of it is a valid
// configuration.
func FuzzPolicy(f *testing.F) {
	data, err := os.ReadFile("testdata/policy.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(bomb()))
	f.Add([]byte("safety: {tier: Ω, safe_mode: off, block_threshold: 1e300}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<14 {
			t.Skip()
		}
		p, err := parsePolicy("policy.yaml", text)
		if err != nil {
			return
		}
		for setting, value := range p.values() {
			if err := checkSetting(setting, value); err != nil {
				t.Errorf("%q: %s = %v was taken and is refused: %v", text, setting, value, err)
			}
		}
	})
}
