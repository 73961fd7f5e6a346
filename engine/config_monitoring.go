package engine

import (
	"net/url"
	"strings"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine/monitor"
)

// validateMonitoring reports settings of [monitor], [alerts] and [logging] that
// are out of range.
func (c *Config) validateMonitoring(refuse func(key, format string, args ...any)) {
	for _, t := range []struct {
		key         string
		value, high float64
	}{
		{"monitor.risk_score", c.Monitor.RiskScore, 1},
		{"monitor.error_rate", c.Monitor.ErrorRate, 1},
		{"monitor.memory_utilization", c.Monitor.MemoryUtilization, 1},
		{"monitor.pattern_consistency", c.Monitor.PatternConsistency, 1e6},
	} {
		if !(t.value >= 0 && t.value <= t.high) { // NaN fails too
			refuse(t.key, "%v is out of range, expected 0 to %v", t.value, t.high)
		}
	}
	for _, d := range []struct {
		key       string
		value     Duration
		low, high time.Duration
	}{
		{"monitor.check_interval", c.Monitor.CheckInterval, time.Second, 24 * time.Hour},
		{"alerts.hold", c.Alerts.Hold, 0, 7 * 24 * time.Hour},
		{"alerts.grace", c.Alerts.Grace, 0, 5 * time.Minute},
	} {
		if d.value.Span() < d.low || d.value.Span() > d.high {
			refuse(d.key, "%q is out of range, expected %s to %s", d.value, d.low, d.high)
		}
	}
	for _, n := range []struct {
		key              string
		value, low, high int
	}{
		{"logging.max_size", c.Logging.MaxSize, 1, 100_000},
		{"logging.max_backups", c.Logging.MaxBackups, 0, 10_000},
		{"logging.max_age", c.Logging.MaxAge, 0, 36_500},
	} {
		if n.value < n.low || n.value > n.high {
			refuse(n.key, "%d is out of range, expected %d to %d", n.value, n.low, n.high)
		}
	}
	for _, f := range []struct{ key, name string }{
		{"monitor.metrics_file", c.Monitor.MetricsFile}, {"logging.file", c.Logging.File},
		{"alerts.slack_webhook_file", c.Alerts.SlackWebhookFile}, {"alerts.webhook_url_file", c.Alerts.WebhookURLFile},
		{"alerts.webhook_secret_file", c.Alerts.WebhookSecretFile},
	} {
		if strings.ContainsRune(f.name, 0) || strings.Contains(f.name, "://") {
			refuse(f.key, "expected the name of a file") // what it is may be a secret
		}
	}
	var least monitor.Level
	if err := least.UnmarshalText([]byte(c.Alerts.Level)); err != nil {
		refuse("alerts.level", "%v", err)
	}
	if _, err := monitor.ParseLevels(c.Logging.Levels); err != nil {
		refuse("logging.levels", "%v", err)
	}
	if c.Monitor.PushURL != "" {
		u, err := url.Parse(c.Monitor.PushURL)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" {
			refuse("monitor.push_url", "expected http://HOST:PORT or https://HOST:PORT, without user and query")
		}
	}
}
