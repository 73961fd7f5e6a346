package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/engine/detect"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
	"github.com/fdqc-cockpit/fdqc/models"
)

// Values of safety.state_update.
const (
	StateUpdateRow          = "row"           // a row moves the state by its workspace row
	StateUpdateFirstElement = "first_element" // by its first element alone, as the reference does
)

// Values of detector.on_outlier: what becomes of an outcome that a rule holds.
const (
	OnOutlierQuarantine = "quarantine" // it waits for an operator
	OnOutlierReject     = "reject"     // it is refused
	OnOutlierFlag       = "flag"       // it is stored, and the receipt names the rule
)

// Bounds of settings that are times.
const (
	maxAutoSave       = 24 * time.Hour
	maxQuietPeriod    = 30 * 24 * time.Hour
	maxApprovalExpiry = 365 * 24 * time.Hour
)

// maxWindow bounds detector.source_window.
const maxWindow = 720 * time.Hour

// Duration is a span of time, written as in Go: 90s, 5m, 1h30m.
type Duration time.Duration

// Span is the duration as Go counts it.
func (d Duration) Span() time.Duration { return time.Duration(d) }

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	value, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q, expected a duration such as 90s or 5m", text)
	}
	*d = Duration(value)
	return nil
}

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String writes a duration.
func (d Duration) String() string { return time.Duration(d).String() }

// Config is every setting. DefaultConfig makes one, LoadConfig reads one, and
// Validate says whether it can be used. fdqc.example.toml documents each key.
type Config struct {
	Engine      ComputeConfig     `toml:"engine"`
	Safety      SafetyConfig      `toml:"safety"`
	Memory      MemoryConfig      `toml:"memory"`
	Persistence PersistenceConfig `toml:"persistence"`
	Detector    DetectorConfig    `toml:"detector"`
	Embedding   EmbeddingConfig   `toml:"embedding"`
	Shadow      ShadowConfig      `toml:"shadow"`
	Monitor     MonitorConfig     `toml:"monitor"`
	Alerts      AlertsConfig      `toml:"alerts"`
	Logging     LoggingConfig     `toml:"logging"`
}

// ComputeConfig says where and how batches are computed.
type ComputeConfig struct {
	Device      string `toml:"device"`       // auto, cpu, cuda or cuda:N
	Threads     int    `toml:"threads"`      // 0: the CPUs that affinity and cgroup grant
	BatchSize   int    `toml:"batch_size"`   // rows judged together by the commands
	MaxSessions int    `toml:"max_sessions"` // states kept beside the default one
}

// SafetyConfig says what verdicts are given under.
type SafetyConfig struct {
	WorkspaceDim         int     `toml:"workspace_dim"`
	EntropyThreshold     float64 `toml:"entropy_threshold"`
	CollapseThreshold    float64 `toml:"collapse_threshold"`
	BlockThreshold       float64 `toml:"block_threshold"`
	Tier                 string  `toml:"tier"`
	RequireHumanApproval bool    `toml:"require_human_approval"`
	SafeMode             bool    `toml:"safe_mode"`
	RequireSigning       bool    `toml:"require_signing"` // of what a data directory holds

	QuietPeriod          Duration `toml:"quiet_period"`          // after an alarm, before each step back
	AllowedFilePatterns  []string `toml:"allowed_file_patterns"` // of structured actions
	AllowedProcesses     []string `toml:"allowed_processes"`
	RequireSignedActions bool     `toml:"require_signed_actions"`
	ActionKeys           []string `toml:"action_keys"` // whose signatures count on actions
	ApprovalExpiry       Duration `toml:"approval_expiry"`
	MaxPendingApprovals  int      `toml:"max_pending_approvals"`

	StateUpdate          string `toml:"state_update"`
	MaxCachedProjections int    `toml:"max_cached_projections"`
	ProjectionSeed       int64  `toml:"projection_seed"`
	Seed                 int64  `toml:"seed"`
}

// MemoryConfig bounds the pattern memory.
type MemoryConfig struct {
	Capacity int `toml:"capacity"` // patterns a side
}

// PersistenceConfig says where the data directory is and what stays in it.
type PersistenceConfig struct {
	Dir              string   `toml:"dir"`
	AutoSaveInterval Duration `toml:"auto_save_interval"` // 0: only when asked, and at the end
	MaxCheckpoints   int      `toml:"max_checkpoints"`
	Compression      bool     `toml:"compression"`
	JournalSync      string   `toml:"journal_sync"`     // always, interval or never
	SigningKeyFile   string   `toml:"signing_key_file"` // "": signing.key in the user's configuration folder
	TrustedKeys      []string `toml:"trusted_keys"`     // beside the signing key and the trusted_keys file next to it
}

// DetectorConfig says what is let into the memory.
type DetectorConfig struct {
	Mode               string   `toml:"mode"`        // calibrated or reference
	Sensitivity        float64  `toml:"sensitivity"` // share of clean outcomes that pass all rules
	OnOutlier          string   `toml:"on_outlier"`  // quarantine, reject or flag
	QuarantineCapacity int      `toml:"quarantine_capacity"`
	SourceQuota        int      `toml:"source_quota"`       // outcomes of one source in a window
	TotalSourceQuota   int      `toml:"total_source_quota"` // of all sources; 0: see totalSourceQuota
	SourceWindow       Duration `toml:"source_window"`      // of the quotas
}

// totalSourceQuota is how many outcomes all sources together may send within the
// window. Unless it is set it is what one side of the memory holds, or what one
// source may send: copies count four times, so they replace a quarter of a side.
func (c *Config) totalSourceQuota() int {
	if c.Detector.TotalSourceQuota == 0 {
		return max(c.Memory.Capacity, c.Detector.SourceQuota)
	}
	return c.Detector.TotalSourceQuota
}

// EmbeddingConfig says what becomes of text.
type EmbeddingConfig struct {
	Fallback string `toml:"fallback"` // "" or hash
}

// ShadowConfig is what else decisions are made under, to be counted and not
// to be obeyed.
type ShadowConfig struct {
	Enabled              bool    `toml:"enabled"`
	Tier                 string  `toml:"tier"`
	SafeMode             bool    `toml:"safe_mode"`
	RequireHumanApproval bool    `toml:"require_human_approval"`
	EntropyThreshold     float64 `toml:"entropy_threshold"`
	CollapseThreshold    float64 `toml:"collapse_threshold"`
	BlockThreshold       float64 `toml:"block_threshold"`
}

// MonitorConfig says from where on something is an alert, and where metrics go.
type MonitorConfig struct {
	RiskScore          float64  `toml:"risk_score"`
	ErrorRate          float64  `toml:"error_rate"`
	MemoryUtilization  float64  `toml:"memory_utilization"`
	PatternConsistency float64  `toml:"pattern_consistency"`
	CheckInterval      Duration `toml:"check_interval"` // of what nobody else looks at
	MetricsFile        string   `toml:"metrics_file"`   // of validate and record; "": none
	PushURL            string   `toml:"push_url"`       // likewise; "": nowhere
}

// AlertsConfig says who is told of alerts. Addresses and keys are secrets: they
// lie in files, or come from the environment.
type AlertsConfig struct {
	Hold              Duration `toml:"hold"`  // one alert of a kind and source in this time
	Level             string   `toml:"level"` // the least that leaves the process
	Grace             Duration `toml:"grace"` // for deliveries, at the end
	SlackWebhookFile  string   `toml:"slack_webhook_file"`
	WebhookURLFile    string   `toml:"webhook_url_file"`
	WebhookSecretFile string   `toml:"webhook_secret_file"`
}

// LoggingConfig says what is logged, how and where beside standard error.
type LoggingConfig struct {
	Level      string   `toml:"level"`
	Levels     []string `toml:"levels"` // component=level, where they differ
	Format     string   `toml:"format"`
	File       string   `toml:"file"` // "": none
	MaxSize    int      `toml:"max_size"`
	MaxBackups int      `toml:"max_backups"`
	MaxAge     int      `toml:"max_age"`
	Compress   bool     `toml:"compress"`
}

// DefaultConfig is the configuration of an installation that sets nothing:
// safe mode and human approval are on, so that no decision is Allow.
func DefaultConfig() Config {
	return Config{
		Engine: ComputeConfig{Device: "auto", BatchSize: 4096, MaxSessions: 10000},
		Safety: SafetyConfig{
			WorkspaceDim: 8, EntropyThreshold: 0.7, CollapseThreshold: 0.85, BlockThreshold: 0.8,
			Tier: "GAMMA", RequireHumanApproval: true, SafeMode: true, RequireSigning: true,
			StateUpdate: StateUpdateRow, MaxCachedProjections: 10,
			QuietPeriod:         Duration(15 * time.Minute),
			AllowedFilePatterns: []string{}, AllowedProcesses: []string{}, ActionKeys: []string{},
			ApprovalExpiry: Duration(24 * time.Hour), MaxPendingApprovals: 1000,
		},
		Memory: MemoryConfig{Capacity: 1000},
		Persistence: PersistenceConfig{
			Dir: "fdqc-data", AutoSaveInterval: Duration(5 * time.Minute), MaxCheckpoints: 10,
			JournalSync: string(journal.SyncAlways), TrustedKeys: []string{},
		},
		Detector: DetectorConfig{
			Mode: detect.Calibrated, Sensitivity: 0.95, OnOutlier: OnOutlierQuarantine, QuarantineCapacity: 1000,
			SourceQuota: 100, SourceWindow: Duration(time.Hour),
		},
		Shadow: ShadowConfig{Tier: "GAMMA", EntropyThreshold: 0.7, CollapseThreshold: 0.85, BlockThreshold: 0.8},
		Monitor: MonitorConfig{
			RiskScore: 0.8, ErrorRate: 0.1, MemoryUtilization: 0.9, PatternConsistency: 0.3,
			CheckInterval: Duration(time.Minute),
		},
		Alerts:  AlertsConfig{Hold: Duration(time.Hour), Level: "warning", Grace: Duration(5 * time.Second)},
		Logging: LoggingConfig{Level: "info", Levels: []string{}, Format: "text", MaxSize: 100, MaxBackups: 5},
	}
}

// ConfigError is a setting that cannot be used.
type ConfigError struct {
	Key    string // section.key, or "" for the file as a whole
	Where  string // file and line, environment variable or flag; "" when unknown
	Reason string
}

// Error names where the setting came from, the key and the reason.
func (e *ConfigError) Error() string {
	parts := []string{}
	for _, part := range []string{e.Where, e.Key, e.Reason} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Validate reports every setting that is out of range, as *ConfigErrors
// joined.
func (c *Config) Validate() error {
	var errs []error
	refuse := func(key, format string, args ...any) {
		errs = append(errs, &ConfigError{Key: key, Reason: fmt.Sprintf(format, args...)})
	}
	whole := func(key string, value, low, high int64) {
		if value < low || value > high {
			refuse(key, "%d is out of range, expected %d to %d", value, low, high)
		}
	}
	threshold := func(key string, value, high float64) {
		if !(value >= 0 && value <= high) { // NaN fails too
			refuse(key, "%v is out of range, expected 0 to %v", value, high)
		}
	}
	choice := func(key, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			refuse(key, "%q, expected one of %q", value, allowed)
		}
	}
	span := func(key string, value Duration, low, high time.Duration) {
		if d := time.Duration(value); d < low || d > high {
			refuse(key, "%q is out of range, expected %v to %v", d, low, high)
		}
	}
	keys := func(key string, lines []string) {
		for i, line := range lines {
			if _, err := signing.ParseTrusted(line); err != nil {
				refuse(key, "entry %d: %v", i+1, err)
			}
		}
	}
	if !validDevice(c.Engine.Device) {
		refuse("engine.device", "%q, expected auto, cpu, cuda or cuda:N", c.Engine.Device)
	}
	whole("engine.threads", int64(c.Engine.Threads), 0, 1024)
	whole("engine.batch_size", int64(c.Engine.BatchSize), 1, MaxBatch)
	whole("engine.max_sessions", int64(c.Engine.MaxSessions), 1, 999_999)
	whole("safety.workspace_dim", int64(c.Safety.WorkspaceDim), models.MinWorkspace, models.MaxWorkspace)
	threshold("safety.entropy_threshold", c.Safety.EntropyThreshold, 1.1)
	threshold("safety.collapse_threshold", c.Safety.CollapseThreshold, 1)
	threshold("safety.block_threshold", c.Safety.BlockThreshold, 1.5)
	choice("safety.tier", c.Safety.Tier, policy.Tiers()...)
	span("safety.quiet_period", c.Safety.QuietPeriod, 0, maxQuietPeriod)
	for i, pattern := range c.Safety.AllowedFilePatterns {
		if err := policy.ValidatePattern(pattern); err != nil {
			refuse("safety.allowed_file_patterns", "entry %d: %v", i+1, err)
		}
	}
	for i, name := range c.Safety.AllowedProcesses {
		if err := policy.ValidateProcess(name); err != nil {
			refuse("safety.allowed_processes", "entry %d: %v", i+1, err)
		}
	}
	keys("safety.action_keys", c.Safety.ActionKeys)
	span("safety.approval_expiry", c.Safety.ApprovalExpiry, time.Minute, maxApprovalExpiry)
	whole("safety.max_pending_approvals", int64(c.Safety.MaxPendingApprovals), 1, 100_000)
	threshold("shadow.entropy_threshold", c.Shadow.EntropyThreshold, 1.1)
	threshold("shadow.collapse_threshold", c.Shadow.CollapseThreshold, 1)
	threshold("shadow.block_threshold", c.Shadow.BlockThreshold, 1.5)
	choice("shadow.tier", c.Shadow.Tier, policy.Tiers()...)
	choice("safety.state_update", c.Safety.StateUpdate, StateUpdateRow, StateUpdateFirstElement)
	whole("safety.max_cached_projections", int64(c.Safety.MaxCachedProjections), 1, models.MaxWidth)
	whole("safety.projection_seed", c.Safety.ProjectionSeed, 0, math.MaxInt64)
	whole("safety.seed", c.Safety.Seed, 0, math.MaxInt64)
	whole("memory.capacity", int64(c.Memory.Capacity), 1, memory.MaxCapacity)
	if c.Persistence.Dir == "" || strings.ContainsRune(c.Persistence.Dir, 0) {
		refuse("persistence.dir", "%q, expected the name of a folder", c.Persistence.Dir)
	}
	whole("persistence.max_checkpoints", int64(c.Persistence.MaxCheckpoints), 1, 10000)
	if every := time.Duration(c.Persistence.AutoSaveInterval); every != 0 && (every < time.Second || every > maxAutoSave) {
		refuse("persistence.auto_save_interval", "%q is out of range, expected 1s to 24h, or 0s for none", every)
	}
	choice("persistence.journal_sync", c.Persistence.JournalSync, string(journal.SyncAlways), string(journal.SyncInterval), string(journal.SyncNever))
	if strings.ContainsRune(c.Persistence.SigningKeyFile, 0) {
		refuse("persistence.signing_key_file", "%q, expected the name of a file", c.Persistence.SigningKeyFile)
	}
	keys("persistence.trusted_keys", c.Persistence.TrustedKeys)
	choice("detector.mode", c.Detector.Mode, detect.Calibrated, detect.Reference)
	if s := c.Detector.Sensitivity; !(s >= 0.5 && s <= 0.999) {
		refuse("detector.sensitivity", "%v is out of range, expected 0.5 to 0.999", s)
	}
	choice("detector.on_outlier", c.Detector.OnOutlier, OnOutlierQuarantine, OnOutlierReject, OnOutlierFlag)
	whole("detector.quarantine_capacity", int64(c.Detector.QuarantineCapacity), 1, 100_000)
	whole("detector.source_quota", int64(c.Detector.SourceQuota), 1, 1_000_000_000)
	whole("detector.total_source_quota", int64(c.Detector.TotalSourceQuota), 0, 1_000_000_000)
	if w := time.Duration(c.Detector.SourceWindow); w < time.Second || w > maxWindow {
		refuse("detector.source_window", "%q is out of range, expected 1s to 720h", w)
	}
	choice("embedding.fallback", c.Embedding.Fallback, "", "hash")
	c.validateMonitoring(refuse)
	choice("logging.level", c.Logging.Level, "trace", "debug", "info", "warn", "error")
	choice("logging.format", c.Logging.Format, "text", "json")
	return errors.Join(errs...)
}

func validDevice(name string) bool {
	number, numbered := strings.CutPrefix(name, "cuda:")
	if !numbered {
		return name == "auto" || name == "cpu" || name == "cuda"
	}
	if number == "" || len(number) > 3 {
		return false
	}
	return strings.Trim(number, "0123456789") == ""
}
