package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// tighten applies ./fdqc.toml, which nobody named, over settings that are
// complete without it. What it says about safety holds only where it is
// stricter; what it says about anything that decides which memory, weights or
// thresholds judge, or where alerts, metrics and logs go, is refused when it
// differs. device, threads, batch_size
// and logging carry no safety and are taken where nothing else sets them.
func (l *loader) tighten(path string) error {
	data, err := readOwned(path)
	if err != nil {
		return err
	}
	there := &loader{config: l.config.clone(), origins: Origins{}} // the decoder writes into lists that are there
	for key := range l.origins {
		there.origins[key] = ""
	}
	if err := there.decode(path, data); err != nil {
		return err
	}
	if err := there.validate(); err != nil {
		return err
	}
	before := l.config
	now, then := fields(&l.config), fields(&there.config)
	values := ConfigValues(&l.config)
	proposed := ConfigValues(&there.config)
	for key, where := range there.origins {
		if where == "" || values[key] == proposed[key] {
			continue
		}
		if free[key] {
			if l.origins[key] == "default" {
				copySetting(now[key], then[key])
				l.origins[key] = where
			}
			continue
		}
		if !stricter(key, now[key], then[key]) && !(isAllowed(key) && allowsLess(&before.Safety, &there.config.Safety)) &&
			!(key == "detector.total_source_quota" && there.config.totalSourceQuota() < before.totalSourceQuota()) {
			return &ConfigError{Where: where, Key: key, Reason: fmt.Sprintf(
				"%s does not tighten what is in force (%s, from %s), and a file that was found and not named may do nothing else; name it with --config",
				proposed[key], values[key], l.origins[key])}
		}
		copySetting(now[key], then[key])
		l.origins[key] = where
	}
	return nil
}

// free are the settings that carry no safety.
var free = map[string]bool{
	"engine.device": true, "engine.threads": true, "engine.batch_size": true,
	"logging.format": true,
}

// levels of the log, most talkative first.
var levels = map[string]int{"trace": 0, "debug": 1, "info": 2, "warn": 3, "error": 4}

// stricter says whether a setting of safety becomes stricter. Settings that
// are neither stricter nor looser, such as another data directory or seed,
// are not.
func stricter(key string, now, then any) bool {
	switch key {
	case "safety.tier":
		a, _ := policy.Strictness(*then.(*string))
		b, _ := policy.Strictness(*now.(*string))
		return a > b
	case "safety.safe_mode", "safety.require_human_approval", "safety.require_signing", "safety.require_signed_actions":
		return *then.(*bool)
	case "safety.quiet_period":
		return *then.(*Duration) > *now.(*Duration)
	case "safety.approval_expiry":
		return *then.(*Duration) < *now.(*Duration)
	case "safety.action_keys":
		return subset(*then.(*[]string), *now.(*[]string))
	case "safety.entropy_threshold", "safety.block_threshold":
		return *then.(*float64) < *now.(*float64)
	case "safety.collapse_threshold":
		return *then.(*float64) > *now.(*float64)
	case "detector.on_outlier":
		return *now.(*string) == OnOutlierFlag
	case "detector.source_quota":
		return *then.(*int) < *now.(*int)
	case "detector.source_window":
		return *then.(*Duration) > *now.(*Duration)
	case "monitor.risk_score", "monitor.error_rate", "monitor.memory_utilization":
		return *then.(*float64) < *now.(*float64) // more is an alert
	case "monitor.pattern_consistency":
		return *then.(*float64) > *now.(*float64)
	case "monitor.check_interval", "alerts.hold":
		return *then.(*Duration) < *now.(*Duration)
	case "alerts.level":
		var was, is monitor.Level
		return was.UnmarshalText([]byte(*now.(*string))) == nil && is.UnmarshalText([]byte(*then.(*string))) == nil && is < was
	case "logging.level":
		return levels[*then.(*string)] < levels[*now.(*string)] // warnings cannot be hidden
	case "embedding.fallback":
		return *then.(*string) == "" // text is refused instead of hashed
	default:
		return false
	}
}

// isAllowed says whether a key lists what structured actions may name.
func isAllowed(key string) bool {
	return key == "safety.allowed_file_patterns" || key == "safety.allowed_processes"
}

// allowsLess compares the lists of what structured actions may name. Both
// empty, they bound nothing; else one that is empty allows none.
func allowsLess(now, then *SafetyConfig) bool {
	switch {
	case len(now.AllowedFilePatterns)+len(now.AllowedProcesses) == 0:
		return true
	case len(then.AllowedFilePatterns)+len(then.AllowedProcesses) == 0:
		return false
	}
	return subset(then.AllowedFilePatterns, now.AllowedFilePatterns) && subset(then.AllowedProcesses, now.AllowedProcesses)
}

func subset(of, all []string) bool {
	return !slices.ContainsFunc(of, func(s string) bool { return !slices.Contains(all, s) })
}

func copySetting(to, from any) {
	switch to := to.(type) {
	case *string:
		*to = *from.(*string)
	case *bool:
		*to = *from.(*bool)
	case *int:
		*to = *from.(*int)
	case *int64:
		*to = *from.(*int64)
	case *float64:
		*to = *from.(*float64)
	case *Duration:
		*to = *from.(*Duration)
	case *[]string:
		*to = slices.Clone(*from.(*[]string))
	}
}

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// readOwned reads a file that nobody named and refuses one that somebody else
// could have written.
func readOwned(path string) ([]byte, error) {
	data, err := disk.ReadOwn(path, 0o022, maxConfig)
	unsafe, large := (*disk.UnsafeError)(nil), (*disk.TooLargeError)(nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case errors.As(err, &unsafe):
		return nil, &ConfigError{Where: path, Reason: "was found and not named, and " + unsafe.Reason + "; or name it with --config"}
	case errors.As(err, &large):
		return nil, tooLarge(path)
	case err != nil:
		return nil, &ConfigError{Where: path, Reason: err.Error()}
	}
	return data, nil
}

func tooLarge(path string) error {
	return &ConfigError{Where: path, Reason: fmt.Sprintf("is larger than %d bytes, expected a configuration file", maxConfig)}
}

// readBounded reads a whole file of at most maxConfig bytes.
func readBounded(file io.Reader, path string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	switch {
	case err != nil:
		return nil, &ConfigError{Where: path, Reason: err.Error()}
	case len(data) > maxConfig:
		return nil, tooLarge(path)
	}
	return data, nil
}
