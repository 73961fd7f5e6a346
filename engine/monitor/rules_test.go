package monitor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

const (
	rulesFile     = "../../scripts/prometheus/rules.yml"
	rulesTest     = "../../scripts/prometheus/rules_test.yml"
	dashboardFile = "../../scripts/grafana/dashboard.json"
	readme        = "../../README.md"
)

// promtool runs Prometheus' tool.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("there is no promtool; run scripts/prerequisites tests")
	}
	if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRules(t *testing.T) {
	promtool(t, "check", "rules", rulesFile)
	promtool(t, "test", "rules", rulesTest)
}

// TestMetricNamesExist: every metric that rules, dashboard and README name is one
// that is exported, and README names all.
func TestMetricNamesExist(t *testing.T) {
	m := full(t, newClock())
	m.Consistency(1)
	m.Metrics.Outside("x", OutsideOptions{})
	m.Metrics.Spending("x", "usd")
	registry := prometheus.NewPedanticRegistry()
	if err := m.Register(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, f := range families {
		known[f.GetName()] = true
		if f.GetType() == dto.MetricType_HISTOGRAM {
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				known[f.GetName()+suffix] = true
			}
		}
	}
	names := regexp.MustCompile(`\bfdqc_[a-z0-9_]+`)
	for _, file := range []string{rulesFile, rulesTest, dashboardFile, readme} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := names.FindAllString(string(text), -1)
		if len(found) < 10 {
			t.Errorf("%s names %d metrics, expected more", file, len(found))
		}
		for _, name := range found {
			if !known[name] {
				t.Errorf("%s names %s, which is not exported", file, name)
			}
		}
		for _, f := range families {
			if file == readme && !slices.Contains(found, f.GetName()) {
				t.Errorf("%s does not name %s", file, f.GetName())
			}
		}
	}
}

func TestRunBookHasEveryAlert(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	book, rules, tests := read("RUNBOOK.md"), read(rulesFile), read(rulesTest)
	anchors := map[string]bool{}
	for _, title := range regexp.MustCompile(`(?m)^##+ (.*)$`).FindAllStringSubmatch(book, -1) {
		anchors[strings.ReplaceAll(strings.ToLower(strings.Trim(title[1], "`")), " ", "-")] = true
	}
	for _, kind := range []string{HighRisk, ValidationError, ErrorRate, MemoryUtilization, PatternConsistency, CheckpointFailed, JournalFailed, DeviceLost, StateDamaged, Test} {
		if !anchors[kind] {
			t.Errorf("RUNBOOK.md has no section %s", kind)
		}
	}
	for _, link := range regexp.MustCompile(`RUNBOOK\.md#([a-z_-]+)`).FindAllStringSubmatch(rules, -1) {
		if !anchors[link[1]] {
			t.Errorf("rules.yml points to section %s of RUNBOOK.md, which is not there", link[1])
		}
	}
	for _, alert := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(rules, -1) {
		if !strings.Contains(tests, "alertname: "+alert[1]) {
			t.Errorf("%s has no test in rules_test.yml", alert[1])
		}
	}
}

// TestDashboard: the file is what Grafana imports, as far as can be said
// without one, and Prometheus understands every expression.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	type query struct {
		Expr  string `json:"expr"`
		RefID string `json:"refId"`
	}
	var d struct {
		Title         string `json:"title"`
		UID           string `json:"uid"`
		SchemaVersion int    `json:"schemaVersion"`
		Annotations   struct {
			List []query `json:"list"`
		} `json:"annotations"`
		Panels []struct {
			ID      int    `json:"id"`
			Type    string `json:"type"`
			Title   string `json:"title"`
			GridPos struct{ H, W, X, Y int }
			Targets []query `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 30 || len(d.Panels) < 10 {
		t.Errorf("%q %q, schema %d, %d panels: expected a dashboard", d.Title, d.UID, d.SchemaVersion, len(d.Panels))
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	queries := d.Annotations.List
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type == "" {
			t.Errorf("panel %d %q: its id is taken, or it lacks a title or type", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Errorf("%q covers %q, or is beyond the right edge", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%q shows nothing", p.Title)
		}
		queries = append(queries, p.Targets...)
	}
	var rules bytes.Buffer
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, q := range queries {
		expr := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(q.Expr)
		if strings.Contains(expr, "$") {
			t.Errorf("%s uses a variable that the dashboard has not", q.Expr)
		}
		fmt.Fprintf(&rules, "      - {record: 'dashboard:%d', expr: %q}\n", i, expr)
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, rules.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}
