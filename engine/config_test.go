package engine

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

func TestExampleDocumentsEveryKey(t *testing.T) {
	data, err := os.ReadFile("../fdqc.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	var example Config
	meta, err := toml.Decode(string(data), &example)
	if err != nil {
		t.Fatal(err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		t.Errorf("keys that do not exist: %v", unknown)
	}
	defaults := DefaultConfig()
	want := ConfigValues(&defaults)
	got := ConfigValues(&example)
	previous := ""
	documented := map[string]bool{}
	section := ""
	for _, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
		}
		if key, _, found := strings.Cut(line, " = "); found && !strings.HasPrefix(line, "#") {
			documented[section+"."+key] = strings.HasPrefix(previous, "#")
		}
		previous = line
	}
	for key, value := range want {
		if !meta.IsDefined(strings.Split(key, ".")...) || !documented[key] {
			t.Errorf("%s: missing from the example, or without a comment above it", key)
		}
		if got[key] != value {
			t.Errorf("%s: the example has %s, the default is %s", key, got[key], value)
		}
	}
	if err := defaults.Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
}

func TestRanges(t *testing.T) {
	for _, c := range []struct {
		key    string
		change func(*Config)
	}{
		{"engine.device", func(c *Config) { c.Engine.Device = "tpu" }},
		{"engine.device", func(c *Config) { c.Engine.Device = "cuda:x" }},
		{"engine.device", func(c *Config) { c.Engine.Device = "cuda:" }},
		{"engine.threads", func(c *Config) { c.Engine.Threads = -1 }},
		{"engine.batch_size", func(c *Config) { c.Engine.BatchSize = 65537 }},
		{"engine.max_sessions", func(c *Config) { c.Engine.MaxSessions = 0 }},
		{"safety.workspace_dim", func(c *Config) { c.Safety.WorkspaceDim = 3 }},
		{"safety.workspace_dim", func(c *Config) { c.Safety.WorkspaceDim = 1025 }},
		{"safety.entropy_threshold", func(c *Config) { c.Safety.EntropyThreshold = math.NaN() }},
		{"safety.collapse_threshold", func(c *Config) { c.Safety.CollapseThreshold = math.Inf(1) }},
		{"safety.block_threshold", func(c *Config) { c.Safety.BlockThreshold = -0.1 }},
		{"safety.tier", func(c *Config) { c.Safety.Tier = "gamma" }},
		{"safety.state_update", func(c *Config) { c.Safety.StateUpdate = "" }},
		{"safety.max_cached_projections", func(c *Config) { c.Safety.MaxCachedProjections = 0 }},
		{"safety.projection_seed", func(c *Config) { c.Safety.ProjectionSeed = -1 }},
		{"safety.seed", func(c *Config) { c.Safety.Seed = -1 }},
		{"detector.total_source_quota", func(c *Config) { c.Detector.TotalSourceQuota = -1 }},
		{"safety.quiet_period", func(c *Config) { c.Safety.QuietPeriod = -1 }},
		{"safety.allowed_file_patterns", func(c *Config) { c.Safety.AllowedFilePatterns = []string{"a", "["} }},
		{"safety.allowed_processes", func(c *Config) { c.Safety.AllowedProcesses = []string{"a b"} }},
		{"safety.action_keys", func(c *Config) { c.Safety.ActionKeys = []string{"ed25519:x"} }},
		{"safety.approval_expiry", func(c *Config) { c.Safety.ApprovalExpiry = 0 }},
		{"safety.max_pending_approvals", func(c *Config) { c.Safety.MaxPendingApprovals = 0 }},
		{"shadow.tier", func(c *Config) { c.Shadow.Tier = "" }},
		{"shadow.entropy_threshold", func(c *Config) { c.Shadow.EntropyThreshold = math.NaN() }},
		{"memory.capacity", func(c *Config) { c.Memory.Capacity = 1_000_001 }},
		{"persistence.dir", func(c *Config) { c.Persistence.Dir = "" }},
		{"persistence.max_checkpoints", func(c *Config) { c.Persistence.MaxCheckpoints = 0 }},
		{"embedding.fallback", func(c *Config) { c.Embedding.Fallback = "random" }},
		{"monitor.risk_score", func(c *Config) { c.Monitor.RiskScore = math.NaN() }},
		{"monitor.error_rate", func(c *Config) { c.Monitor.ErrorRate = 1.1 }},
		{"monitor.memory_utilization", func(c *Config) { c.Monitor.MemoryUtilization = -0.1 }},
		{"monitor.pattern_consistency", func(c *Config) { c.Monitor.PatternConsistency = math.Inf(1) }},
		{"monitor.check_interval", func(c *Config) { c.Monitor.CheckInterval = 0 }},
		{"monitor.metrics_file", func(c *Config) { c.Monitor.MetricsFile = "a\x00b" }},
		{"monitor.push_url", func(c *Config) { c.Monitor.PushURL = "localhost:9091" }},
		{"monitor.push_url", func(c *Config) { c.Monitor.PushURL = "http://me:secret@localhost:9091" }},
		{"alerts.hold", func(c *Config) { c.Alerts.Hold = -1 }},
		{"alerts.level", func(c *Config) { c.Alerts.Level = "warn" }},
		{"alerts.grace", func(c *Config) { c.Alerts.Grace = Duration(time.Hour) }},
		{"alerts.slack_webhook_file", func(c *Config) { c.Alerts.SlackWebhookFile = "https://hooks.example.com/secret" }},
		{"alerts.webhook_url_file", func(c *Config) { c.Alerts.WebhookURLFile = "https://example.com/secret" }},
		{"logging.levels", func(c *Config) { c.Logging.Levels = []string{"nobody=info"} }},
		{"logging.max_size", func(c *Config) { c.Logging.MaxSize = 0 }},
		{"logging.max_backups", func(c *Config) { c.Logging.MaxBackups = -1 }},
		{"logging.max_age", func(c *Config) { c.Logging.MaxAge = -1 }},
		{"logging.level", func(c *Config) { c.Logging.Level = "loud" }},
		{"logging.format", func(c *Config) { c.Logging.Format = "xml" }},
	} {
		t.Run(c.key, func(t *testing.T) {
			config := DefaultConfig()
			c.change(&config)
			var setting *ConfigError
			if err := config.Validate(); !errors.As(err, &setting) || setting.Key != c.key {
				t.Errorf("got %v, want an error about %s", err, c.key)
			}
		})
	}
}

// workDir holds an fdqc.toml of a mode, when it has content.
func workDir(t *testing.T, content string, mode fs.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	if content != "" {
		write(t, filepath.Join(dir, "fdqc.toml"), content, mode)
	}
	return dir
}

func write(t *testing.T, path, content string, mode fs.FileMode) string {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOrderOfSettings(t *testing.T) {
	data := workDir(t, "[safety]\ntier = \"ALPHA\"\nworkspace_dim = 16\nseed = 3\n[memory]\ncapacity = 7\n[engine]\nbatch_size = 9\n", 0o600)
	named := write(t, filepath.Join(t.TempDir(), "named.toml"), "[safety]\ntier = \"BETA\"\n[memory]\ncapacity = 8\n", 0o644)
	config, origins, err := LoadConfig(LoadOptions{
		ConfigFile: named,
		Environ:    []string{"FDQC_MEMORY_CAPACITY=9", "FDQC_SAFETY_SAFE_MODE=false", "FDQC_LIB=/x", "PATH=/bin"},
		Flags:      map[string]string{"memory.capacity": "10", "persistence.dir": data},
		WorkDir:    t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	values := ConfigValues(&config)
	for key, want := range map[string][2]string{
		"memory.capacity":      {"10", "flag --capacity"},
		"safety.safe_mode":     {"false", "environment FDQC_SAFETY_SAFE_MODE"},
		"safety.tier":          {`"BETA"`, named + ", line 2"},
		"safety.workspace_dim": {"16", filepath.Join(data, "fdqc.toml") + ", line 3"},
		"engine.batch_size":    {"9", filepath.Join(data, "fdqc.toml") + ", line 8"},
		"engine.device":        {`"auto"`, "default"},
	} {
		if values[key] != want[0] || origins[key] != want[1] {
			t.Errorf("%s: got %s from %s, want %s from %s", key, values[key], origins[key], want[0], want[1])
		}
	}
	if got, want := slices.Sorted(maps.Keys(origins)), slices.Sorted(maps.Keys(values)); !slices.Equal(got, want) {
		t.Errorf("origins of %v, values of %v", got, want)
	}
	// $FDQC_CONFIG names a file like --config does.
	config, _, err = LoadConfig(LoadOptions{Environ: []string{"FDQC_CONFIG=" + named}, WorkDir: t.TempDir()})
	if err != nil || config.Safety.Tier != "BETA" {
		t.Errorf("$FDQC_CONFIG: tier %s, %v, want BETA", config.Safety.Tier, err)
	}
}

func TestBadSettingsNameTheirPlace(t *testing.T) {
	for _, c := range []struct {
		name, content string
		environ       []string
		flags         map[string]string
		want          []string
	}{
		{name: "unknown key", content: "[safety]\ntier = \"GAMMA\"\nworkspce_dim = 8\n", want: []string{"c.toml, line 3", "safety.workspce_dim", "unknown key"}},
		{name: "unknown section", content: "[serve]\nmode = \"reference\"\n", want: []string{"c.toml", "serve", "unknown key"}},
		{name: "a key whose part is not built", content: "[safety]\nmax_rollout_depth = 3\n", want: []string{"c.toml, line 2", "safety.max_rollout_depth"}},
		{name: "a pattern that leads up", content: "[safety]\nallowed_file_patterns = [\"src/**\", \"../x\"]\n", want: []string{"c.toml, line 2", "safety.allowed_file_patterns", "entry 2"}},
		{name: "braces cut by the environment's commas", environ: []string{"FDQC_SAFETY_ALLOWED_FILE_PATTERNS={a,b}.md"}, want: []string{"FDQC_SAFETY_ALLOWED_FILE_PATTERNS", "entry 1"}},
		{name: "wrong type", content: "[memory]\ncapacity = \"many\"\n", want: []string{"c.toml, line 2", "memory.capacity"}},
		{name: "a fraction for a count", content: "[memory]\ncapacity = 1.5\n", want: []string{"c.toml, line 2", "capacity"}},
		{name: "out of range", content: "\n[memory]\ncapacity = 0\n", want: []string{"c.toml, line 3", "memory.capacity", "1 to 1000000"}},
		{name: "another case", content: "[Safety]\nTIER = \"OMEGA\"\n", want: []string{"c.toml", "unknown key"}},
		{name: "out of range below a flag", content: "[memory]\ncapacity = 0\n", flags: map[string]string{"memory.capacity": "5"}, want: []string{"c.toml, line 2", "memory.capacity"}},
		{name: "huge", content: strings.Repeat("#\n", 1<<20), want: []string{"c.toml", "larger"}},
		{name: "broken", content: "[memory\n", want: []string{"c.toml, line"}},
		{name: "environment", environ: []string{"FDQC_MEMORY_CAPACITY=lots"}, want: []string{"environment FDQC_MEMORY_CAPACITY", "memory.capacity", "whole number"}},
		{name: "unknown variable of a section", environ: []string{"FDQC_SAFETY_TEIR=OMEGA"}, want: []string{"FDQC_SAFETY_TEIR", "unknown key"}},
		{name: "environment boolean", environ: []string{"FDQC_SAFETY_SAFE_MODE=no"}, want: []string{"FDQC_SAFETY_SAFE_MODE", "true or false"}},
		{name: "flag", flags: map[string]string{"engine.batch_size": "0"}, want: []string{"flag --batch-size", "engine.batch_size", "1 to 65536"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := LoadOptions{Environ: c.environ, Flags: c.flags, WorkDir: t.TempDir()}
			if c.content != "" {
				o.ConfigFile = write(t, filepath.Join(t.TempDir(), "c.toml"), c.content, 0o600)
			}
			_, _, err := LoadConfig(o)
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %q", err, want)
				}
			}
		})
	}
	if _, _, err := LoadConfig(LoadOptions{ConfigFile: "/nonexistent/c.toml"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a named file that is absent: got %v, want fs.ErrNotExist", err)
	}
}

// A file that was found and not named may only tighten.
func TestFoundFileMayOnlyTighten(t *testing.T) {
	data := workDir(t, "[safety]\ntier = \"DELTA\"\nsafe_mode = false\nrequire_human_approval = false\nallowed_file_patterns = [\"src/**\", \"docs/*\"]\nallowed_processes = [\"git\"]\n[persistence]\ntrusted_keys = [\"ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]\n[embedding]\nfallback = \"hash\"\n", 0o600)
	for _, c := range []struct {
		name, content string
		want          string // the error, or "" when it is taken
	}{
		{"stricter tier", "[safety]\ntier = \"ALPHA\"\n", ""},
		{"looser tier", "[safety]\ntier = \"GAMMA\"\n", "safety.tier"},
		{"the same tier", "[safety]\ntier = \"DELTA\"\n", ""},
		{"safe mode on", "[safety]\nsafe_mode = true\n", ""},
		{"human approval on", "[safety]\nrequire_human_approval = true\n", ""},
		{"lower entropy threshold", "[safety]\nentropy_threshold = 0.6\n", ""},
		{"higher entropy threshold", "[safety]\nentropy_threshold = 0.8\n", "safety.entropy_threshold"},
		{"lower block threshold", "[safety]\nblock_threshold = 0.5\n", ""},
		{"higher block threshold", "[safety]\nblock_threshold = 0.9\n", "safety.block_threshold"},
		{"higher collapse threshold", "[safety]\ncollapse_threshold = 0.9\n", ""},
		{"lower collapse threshold", "[safety]\ncollapse_threshold = 0.1\n", "safety.collapse_threshold"},
		{"signed actions required", "[safety]\nrequire_signed_actions = true\n", ""},
		{"less of all sources", "[detector]\ntotal_source_quota = 999\n", ""},
		{"more of all sources", "[detector]\ntotal_source_quota = 1001\n", "detector.total_source_quota"},
		{"longer quiet period", "[safety]\nquiet_period = \"1h\"\n", ""},
		{"shorter quiet period", "[safety]\nquiet_period = \"1m\"\n", "safety.quiet_period"},
		{"approvals expire earlier", "[safety]\napproval_expiry = \"1h\"\n", ""},
		{"approvals expire later", "[safety]\napproval_expiry = \"48h\"\n", "safety.approval_expiry"},
		{"fewer patterns", "[safety]\nallowed_file_patterns = [\"src/**\"]\n", ""},
		{"no patterns, while processes are bounded", "[safety]\nallowed_file_patterns = []\n", ""},
		{"another pattern", "[safety]\nallowed_file_patterns = [\"src/**\", \"**\"]\n", "safety.allowed_file_patterns"},
		{"another process", "[safety]\nallowed_processes = [\"git\", \"sh\"]\n", "safety.allowed_processes"},
		{"another action key", "[safety]\naction_keys = [\"ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]\n", "safety.action_keys"},
		{"a shadow", "[shadow]\nenabled = true\n", "shadow.enabled"},
		{"text refused", "[embedding]\nfallback = \"\"\n", ""},
		{"another trusted key in the place of one", "[persistence]\ntrusted_keys = [\"ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=\"]\n", "persistence.trusted_keys"},
		{"another data directory", "[persistence]\ndir = \"elsewhere\"\n", "persistence.dir"},
		{"another seed", "[safety]\nseed = 1\n", "safety.seed"},
		{"another capacity", "[memory]\ncapacity = 1\n", "memory.capacity"},
		{"fewer checkpoints", "[persistence]\nmax_checkpoints = 1\n", "persistence.max_checkpoints"},
		{"batch size", "[engine]\nbatch_size = 17\n", ""},
		{"unknown key", "[safety]\nx = 1\n", "safety.x"},
		{"more logs", "[logging]\nlevel = \"debug\"\n", ""},
		{"warnings hidden", "[logging]\nlevel = \"error\"\n", "logging.level"},
		{"a component's warnings hidden", "[logging]\nlevels = [\"engine=error\"]\n", "logging.levels"},
		{"another log file", "[logging]\nfile = \"elsewhere\"\n", "logging.file"},
		{"alerts earlier", "[monitor]\nrisk_score = 0.5\n", ""},
		{"alerts later", "[monitor]\nerror_rate = 0.5\n", "monitor.error_rate"},
		{"alerts of consistency earlier", "[monitor]\npattern_consistency = 0.5\n", ""},
		{"alerts of consistency later", "[monitor]\npattern_consistency = 0.1\n", "monitor.pattern_consistency"},
		{"checks less often", "[monitor]\ncheck_interval = \"24h\"\n", "monitor.check_interval"},
		{"another metrics file", "[monitor]\nmetrics_file = \"elsewhere\"\n", "monitor.metrics_file"},
		{"another Pushgateway", "[monitor]\npush_url = \"http://elsewhere:9091\"\n", "monitor.push_url"},
		{"alerts held shorter", "[alerts]\nhold = \"1m\"\n", ""},
		{"alerts held longer", "[alerts]\nhold = \"24h\"\n", "alerts.hold"},
		{"more alerts sent", "[alerts]\nlevel = \"info\"\n", ""},
		{"fewer alerts sent", "[alerts]\nlevel = \"critical\"\n", "alerts.level"},
		{"another destination", "[alerts]\nslack_webhook_file = \"elsewhere\"\n", "alerts.slack_webhook_file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, origins, err := LoadConfig(LoadOptions{
				WorkDir: workDir(t, c.content, 0o600),
				Flags:   map[string]string{"persistence.dir": data},
			})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "fdqc.toml, line 2") {
					t.Errorf("got %v, want an error about %s, line 2", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// Whatever it set is in force.
			var there Config
			meta, err := toml.Decode(c.content, &there)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range meta.Keys() {
				if name := key.String(); strings.Contains(name, ".") {
					if got, want := ConfigValues(&config)[name], ConfigValues(&there)[name]; got != want {
						t.Errorf("%s: got %s from %s, want %s", name, got, origins[name], want)
					}
				}
			}
		})
	}
	t.Run("the last of both lists at once", func(t *testing.T) {
		content := "[safety]\nallowed_file_patterns = []\nallowed_processes = []\n"
		_, _, err := LoadConfig(LoadOptions{WorkDir: workDir(t, content, 0o600), Flags: map[string]string{"persistence.dir": data}})
		if err == nil || !strings.Contains(err.Error(), "safety.allowed_") {
			t.Errorf("got %v, want an error: nothing would be bounded any more", err)
		}
	})
	t.Run("the first of both lists at once", func(t *testing.T) {
		content := "[safety]\nallowed_file_patterns = [\"a\"]\nallowed_processes = [\"b\"]\n"
		config, _, err := LoadConfig(LoadOptions{WorkDir: workDir(t, content, 0o600), Flags: map[string]string{"persistence.dir": t.TempDir()}})
		if err != nil || len(config.Safety.AllowedFilePatterns) != 1 || len(config.Safety.AllowedProcesses) != 1 {
			t.Errorf("got %q, %q, %v, want both", config.Safety.AllowedFilePatterns, config.Safety.AllowedProcesses, err)
		}
	})
	t.Run("looser defaults stay loose beside it", func(t *testing.T) {
		_, _, err := LoadConfig(LoadOptions{WorkDir: workDir(t, "[safety]\nsafe_mode = false\n", 0o600), Flags: map[string]string{"persistence.dir": t.TempDir()}})
		if err == nil || !strings.Contains(err.Error(), "safety.safe_mode") {
			t.Errorf("safe mode turned off by a file that was found: got %v, want an error", err)
		}
	})
	t.Run("others may write it", func(t *testing.T) {
		_, _, err := LoadConfig(LoadOptions{WorkDir: workDir(t, "[safety]\ntier = \"OMEGA\"\n", 0o666)})
		if err == nil || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("got %v, want an error that says chmod", err)
		}
	})
	t.Run("a link", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink(filepath.Join(data, "fdqc.toml"), filepath.Join(dir, "fdqc.toml")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LoadConfig(LoadOptions{WorkDir: dir}); err == nil {
			t.Error("a link that was found is followed")
		}
	})
	t.Run("of another user", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("giving a file away needs root; the project's CI runs as root")
		}
		dir := workDir(t, "[safety]\ntier = \"OMEGA\"\n", 0o600)
		if err := os.Chown(filepath.Join(dir, "fdqc.toml"), 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LoadConfig(LoadOptions{WorkDir: dir}); err == nil || !strings.Contains(err.Error(), "another user") {
			t.Errorf("got %v, want an error about another user", err)
		}
	})
}

// The data directory's own file is trusted only while nobody else can have
// written it.
func TestDataDirectoryFileIsPrivate(t *testing.T) {
	loose := "[safety]\nsafe_mode = false\n"
	load := func(dir string) error {
		_, _, err := LoadConfig(LoadOptions{WorkDir: t.TempDir(), Flags: map[string]string{"persistence.dir": dir}})
		return err
	}
	if err := load(workDir(t, loose, 0o600)); err != nil {
		t.Errorf("a private one: %v", err)
	}
	if err := load(workDir(t, loose, 0o666)); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("one that others may write: got %v, want an error that says chmod", err)
	}
	if err := load(workDir(t, "[persistence]\ndir = \"elsewhere\"\n", 0o600)); err == nil || !strings.Contains(err.Error(), "persistence.dir") {
		t.Errorf("one that names another directory: got %v, want an error", err)
	}
	pipe := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(pipe, "fdqc.toml"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := load(pipe); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a pipe: got %v, want an error and no waiting", err)
	}
	// A default data directory that is a link to the working directory
	// would make ./fdqc.toml its own file.
	t.Chdir(workDir(t, loose, 0o600))
	if err := os.Symlink(".", "fdqc-data"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadConfig(LoadOptions{WorkDir: "."}); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a linked default directory: got %v, want an error", err)
	}
}
