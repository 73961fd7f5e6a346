package engine_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
)

// kinds lists alerts by level and kind.
func kinds(e *engine.Engine) string {
	var all []string
	for _, a := range e.Directory().Monitor().Alerts.List() {
		text := a.Level.String() + " " + a.Kind
		if a.Resolved {
			text += " resolved"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// TestWhatAnEngineDoesIsCounted judges and records, and scrapes.
func TestWhatAnEngineDoesIsCounted(t *testing.T) {
	config := onDisk(t)
	config.Memory.Capacity = 20
	config.Monitor.ErrorRate = 0.1
	config.Detector.OnOutlier = engine.OnOutlierFlag
	config.Detector.QuarantineCapacity = 4
	config.Shadow.Enabled, config.Shadow.Tier = true, "OMEGA"
	registry := prometheus.NewPedanticRegistry()
	critical := make(chan monitor.Alert, 10)
	e := open(t, config, engine.WithMetrics(registry), engine.WithOnCritical(func(a monitor.Alert) { critical <- a }))
	judged := time.Now().Add(-2 * time.Hour)
	all := outcomes(normal(1, 39, 8), 8) // 20 safe, 19 unsafe
	all[0].Judged = &engine.JudgedAs{Approved: true, At: judged}
	all[1].Judged = &engine.JudgedAs{Approved: true}
	record(t, e, append(all, engine.Outcome{Embedding: []float32{float32(math.NaN())}, Judged: &engine.JudgedAs{}}))
	rows := normal(2, 20, 8)
	rows[0] = float32(math.NaN())
	basic := make([]bool, 20)
	for i := range basic {
		basic[i] = i != 5
	}
	verdicts := validate(t, e, engine.Batch{Embeddings: rows, Width: 8, BasicChecks: basic})
	approved := 0
	for _, v := range verdicts {
		if v.Approved {
			approved++
		}
	}
	hold(t, e.Directory(), normal(3, 3, 8))
	ask(t, e.Directory(), asks(normal(4, 2, 8), "a", "b"))
	shadow := map[engine.Decision]float64{}
	for _, v := range verdicts {
		shadow[v.Decision]++
	}
	values := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			key := f.GetName()
			for _, l := range m.Label {
				key += " " + l.GetValue()
			}
			switch {
			case m.Counter != nil:
				values[key] = m.Counter.GetValue()
			case m.Gauge != nil:
				values[key] = m.Gauge.GetValue()
			case m.Histogram != nil:
				values[key] = float64(m.Histogram.GetSampleCount())
			}
		}
	}
	for key, want := range map[string]float64{
		"fdqc_validations_total approved":         float64(approved),
		"fdqc_validations_total rejected":         float64(18 - approved),
		"fdqc_validations_total basic_checks":     1,
		"fdqc_validations_total error":            1,
		"fdqc_validation_errors_total not_finite": 1,
		"fdqc_risk_score":                         18,
		"fdqc_batch_rows":                         1,
		"fdqc_batch_duration_seconds":             1,
		"fdqc_outcomes_total error":               1,
		"fdqc_outcomes_total stored":              39,
		"fdqc_memory_patterns safe":               20,
		"fdqc_memory_utilization_ratio unsafe":    0.95,
		"fdqc_judged_outcomes safe approved 1h":   0,
		"fdqc_judged_outcomes safe approved 24h":  1,
		"fdqc_judged_outcomes unsafe approved 1h": 1,
		"fdqc_shadow_decisions_total allow allow": 0,
		"fdqc_shadow_decisions_total allow block": shadow[engine.Allow],
		"fdqc_shadow_decisions_total block block": shadow[engine.Block],
		"fdqc_quarantine_size":                    3,
		"fdqc_quarantine_utilization_ratio":       0.75,
		"fdqc_approvals_pending":                  2,
		"fdqc_approvals_utilization_ratio":        0.002,
		"fdqc_tier GAMMA":                         1,
		"fdqc_safe_mode":                          0,
		"fdqc_device_fallbacks_total":             0,
		"fdqc_journal_failures_total":             0,
	} {
		if got, ok := values[key]; !ok {
			t.Errorf("%s is missing", key)
		} else if got != want {
			t.Errorf("%s: got %v, want %v", key, got, want)
		}
	}
	for _, key := range []string{"fdqc_checkpoint_saved_timestamp_seconds", "fdqc_journal_appended_timestamp_seconds", "fdqc_approvals_oldest_timestamp_seconds"} {
		if ago := float64(time.Now().Unix()) - values[key]; ago < -1 || ago > 600 {
			t.Errorf("%s is %v s ago, want now", key, ago)
		}
	}
	// One NaN in 20 rows is no reason for more than an alert; three more are.
	if got := kinds(e); strings.Count(got, "memory_utilization") != 2 || !strings.Contains(got, "error validation_error") || strings.Contains(got, "error_rate") {
		t.Errorf("alerts: %s", got)
	}
	nan := float32(math.NaN())
	validate(t, e, engine.Batch{Embeddings: []float32{nan, nan, nan}, Width: 1})
	select {
	case a := <-critical:
		if a.Kind != monitor.ErrorRate || a.Message != "High error rate: 0.174" {
			t.Errorf("critical: %+v, want an error rate of 4 by 23", a)
		}
	case <-time.After(time.Minute):
		t.Fatalf("4 errors in 23 rows are no critical alert: %s", kinds(e))
	}
	if l := e.Directory().Levers(); !l.Apply(config).Safety.SafeMode || !strings.Contains(l.Cause, "High error rate: 0.174") {
		t.Errorf("levers after a critical alert: %+v, want safe mode", l)
	}
	path := engine.AlertsFile(config)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if kept, err := monitor.ReadAlerts(path); err != nil || len(kept) < 4 {
		t.Errorf("%d alerts are kept, %v", len(kept), err)
	}
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 0 {
		t.Errorf("%d series after Close (%v), want none", n, err)
	}
	// The counts of judged outcomes last.
	again := open(t, config)
	if got, want := again.Directory().Monitor().Confusion.Total(), (monitor.Counts{TrueApprovals: 1, FalseApprovals: 1}); got != want {
		t.Errorf("judged outcomes after opening again: %+v, want %+v", got, want)
	}
}

// TestConsistencyIsWatched: sides that are one and the same are an alert.
func TestConsistencyIsWatched(t *testing.T) {
	config := inMemory(8)
	config.Detector.OnOutlier = engine.OnOutlierFlag
	e := open(t, config, engine.InMemory())
	rows := normal(3, 100, 8)
	for _, safe := range []bool{true, false} {
		all := outcomes(rows, 8)
		for i := range all {
			all[i].IsSafe = safe
		}
		record(t, e, all)
	}
	if got := kinds(e); !strings.Contains(got, "error pattern_consistency") {
		t.Errorf("alerts %q, want one about consistency", got)
	}
}

// TestAFailedCheckpointIsAnAlert, and the next one resolves it.
func TestAFailedCheckpointIsAnAlert(t *testing.T) {
	config := onDisk(t)
	e := open(t, config)
	record(t, e, outcomes(normal(1, 2, 8), 8))
	journal := filepath.Join(config.Persistence.Dir, "journal")
	hidden := journal + "-hidden"
	if err := os.Rename(journal, hidden); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Save(t.Context()); err == nil {
		t.Fatal("a checkpoint is saved although the journal is gone")
	}
	if err := os.Rename(hidden, journal); err != nil {
		t.Fatal(err)
	}
	if got := kinds(e); !strings.Contains(got, "error checkpoint_failed") {
		t.Errorf("alerts: %s", got)
	}
}

func TestWithoutMonitoring(t *testing.T) {
	e := open(t, inMemory(8), engine.InMemory(), engine.WithoutMonitoring())
	record(t, e, outcomes(normal(1, 2, 8), 8))
	validate(t, e, engine.Batch{Embeddings: normal(1, 2, 8), Width: 8})
	if e.Directory().Monitor() != nil {
		t.Error("there is a monitor")
	}
	e.Directory().Raise(monitor.Alert{Level: monitor.Critical}) // nobody hears
}

// TestMonitoringAllocatesNothing: in steady state, with rows of high risk in
// every batch.
func TestMonitoringAllocatesNothing(t *testing.T) {
	config := inMemory(8)
	config.Monitor.RiskScore = 0
	e := open(t, config, engine.InMemory())
	batch := engine.Batch{Embeddings: normal(2, 64, 8), Width: 8}
	out := make([]engine.Verdict, 64)
	run := func() {
		if err := e.ValidateInto(t.Context(), batch, out); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(50, run); n != 0 {
		t.Errorf("%v allocations a batch, want 0", n)
	}
}

// TestAlertSinks: secrets come from the environment or a private file, and a
// bad one ends Open with the key's name and without the secret.
func TestAlertSinks(t *testing.T) {
	const secret = "http://127.0.0.1:9/s3cr3t"
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	loose := filepath.Join(t.TempDir(), "loose")
	if err := os.WriteFile(loose, []byte(secret+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		set       func(*engine.AlertsConfig)
		env       map[string]string
		want, bad string
	}{
		{"none", func(*engine.AlertsConfig) {}, nil, "", ""},
		{"files", func(a *engine.AlertsConfig) {
			a.SlackWebhookFile, a.WebhookURLFile, a.WebhookSecretFile = file, file, file
		}, nil, "slack webhook", ""},
		{"environment", func(*engine.AlertsConfig) {}, map[string]string{engine.SlackWebhookVariable: secret, engine.WebhookURLVariable: secret}, "slack webhook", ""},
		{"both", func(a *engine.AlertsConfig) { a.SlackWebhookFile = file }, map[string]string{engine.SlackWebhookVariable: secret}, "", "alerts.slack_webhook_file"},
		{"others may read it", func(a *engine.AlertsConfig) { a.WebhookURLFile = loose }, nil, "", "alerts.webhook_url_file"},
		{"no address", func(*engine.AlertsConfig) {}, map[string]string{engine.WebhookURLVariable: "s3cr3t"}, "", "alerts.webhook_url_file"},
		{"not TLS", func(*engine.AlertsConfig) {}, map[string]string{engine.SlackWebhookVariable: "http://example.com/s3cr3t"}, "", "alerts.slack_webhook_file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			config := engine.DefaultConfig()
			c.set(&config.Alerts)
			sinks, err := engine.AlertSinks(config)
			if (err != nil) != (c.bad != "") || err != nil && (!strings.Contains(err.Error(), c.bad) || strings.Contains(err.Error(), "s3cr3t")) {
				t.Fatalf("got %v, want an error about %q that shows no secret", err, c.bad)
			}
			var names []string
			for _, s := range sinks {
				names = append(names, s.Name())
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("sinks %q, want %q", got, c.want)
			}
		})
	}
}
