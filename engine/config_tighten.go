package engine

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// strictness orders the tiers, loosest first (validator specification,
// section 2, step 14).
var strictness = map[string]int{"GAMMA": 0, "DELTA": 1, "ALPHA": 2, "BETA": 2, "EPSILON": 3, "OMEGA": 3}

// tighten applies ./fdqc.toml, which nobody named, over settings that are
// complete without it. What it says about safety holds only where it is
// stricter; what it says about anything that decides which memory, weights or
// thresholds judge is refused when it differs. device, threads, batch_size
// and logging carry no safety and are taken where nothing else sets them.
func (l *loader) tighten(path string) error {
	if err := ownedAlone(path); err != nil {
		return err
	}
	there := &loader{config: l.config, origins: Origins{}}
	for key := range l.origins {
		there.origins[key] = ""
	}
	if err := there.file(path); err != nil {
		return err
	}
	if err := there.validate(); err != nil {
		return err
	}
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
		if !stricter(key, now[key], then[key]) {
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
	"logging.level": true, "logging.format": true,
}

// stricter says whether a setting of safety becomes stricter. Settings that
// are neither stricter nor looser, such as another data directory or seed,
// are not.
func stricter(key string, now, then any) bool {
	switch key {
	case "safety.tier":
		return strictness[*then.(*string)] > strictness[*now.(*string)]
	case "safety.safe_mode", "safety.require_human_approval":
		return *then.(*bool)
	case "safety.entropy_threshold", "safety.block_threshold":
		return *then.(*float64) < *now.(*float64)
	case "safety.collapse_threshold":
		return *then.(*float64) > *now.(*float64)
	case "embedding.fallback":
		return *then.(*string) == "" // text is refused instead of hashed
	default:
		return false
	}
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
	}
}

// ownedAlone refuses a file that somebody else could have written.
func ownedAlone(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return &ConfigError{Where: path, Reason: err.Error()}
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode()&fs.ModeSymlink != 0 || !info.Mode().IsRegular():
		return &ConfigError{Where: path, Reason: "was found and not named, and is no regular file; name it with --config"}
	case !ok || int(owner.Uid) != os.Getuid():
		return &ConfigError{Where: path, Reason: "was found and not named, and belongs to another user; name it with --config"}
	case info.Mode().Perm()&0o022 != 0:
		return &ConfigError{Where: path, Reason: fmt.Sprintf("was found and not named, and others may write it (mode %04o); run: chmod go-w %s", info.Mode().Perm(), path)}
	}
	return nil
}
