package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/control"
)

const (
	leastDisk  = 64 << 20 // bytes: below, a save of a small memory may already fail
	scarceDisk = 1 << 30  // bytes: below, somebody should look
	oldKey     = 365 * 24 * time.Hour
)

// earliest is before any clock that this program has ever run under.
var earliest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// existing is the data directory, or what is there of the folders above it.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func (d *doctor) disk() (string, error) {
	folder, err := filepath.Abs(d.config.Persistence.Dir)
	if err != nil {
		return "", err
	}
	folder = existing(folder)
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return "", fmt.Errorf("disk of %s: %w", folder, err)
	}
	free, all := int64(s.Bavail)*s.Bsize, int64(s.Blocks)*s.Bsize
	found := fmt.Sprintf("%d MiB of %d MiB are free", free>>20, all>>20)
	switch {
	case free < leastDisk:
		return "", fmt.Errorf("%s: the next checkpoint may fail; make room, or: fdqc checkpoint prune --keep 2", found)
	case free < scarceDisk:
		return "", &warning{found + "; make room, or: fdqc checkpoint prune --keep 2"}
	}
	return found, nil
}

// clock compares the time with what the data directory has seen: keys expire
// and quiet periods end by it.
func (d *doctor) clock() (string, error) {
	now := d.now()
	if now.Before(earliest) {
		return "", fmt.Errorf("it says %s, which is past; set the clock", now.UTC().Format(time.RFC3339))
	}
	newest := now
	files, err := engine.OpenStore(d.config, d.logger(&d.config))
	if err == nil {
		list, err := files.List()
		if err != nil {
			return "", err
		}
		for _, c := range list {
			if c.Manifest != nil && c.Manifest.Created.After(newest) {
				newest = c.Manifest.Created
			}
		}
	}
	if ahead := newest.Sub(now); ahead > time.Minute {
		return "", &warning{fmt.Sprintf("it is %v behind a checkpoint: it went back, or was ahead; set the clock", ahead.Round(time.Second))}
	}
	return now.UTC().Format(time.RFC3339), nil
}

// locked says who holds the data directory. A look that took the lock for a
// moment could turn a starting writer away.
func (d *doctor) locked(ctx context.Context) (string, error) {
	pid, err := lockHolder(filepath.Join(d.config.Persistence.Dir, "lock"))
	if err != nil {
		return "", err
	}
	reached := control.Reach(ctx, d.config.Persistence.Dir)
	d.owned = pid != 0 || reached == nil
	switch {
	case errors.Is(reached, fs.ErrNotExist) || pid == 0 && errors.Is(reached, control.ErrNoOwner):
		return "no process has the data directory open for writing", nil
	case pid != 0 && errors.Is(reached, control.ErrNoOwner):
		return "", &warning{fmt.Sprintf("process %d holds the lock and does not listen: levers wait until it ends", pid)}
	case reached != nil:
		return "", reached
	}
	return fmt.Sprintf("process %d has the data directory open and answers operators", pid), nil
}

// lockHolder asks the kernel which process holds the lock of a file; 0: none.
func lockHolder(path string) (pid int, err error) {
	var s syscall.Stat_t
	if err := syscall.Stat(path, &s); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("lock %s: %w", path, err)
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0, fmt.Errorf("locks of the system: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		// 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || !strings.HasSuffix(f[5], fmt.Sprintf(":%d", s.Ino)) {
			continue
		}
		// The inode alone may be another disk's, and some file systems tell
		// the kernel another device than they tell us.
		if pid, err := strconv.Atoi(f[4]); err == nil && hasOpen(pid, path) {
			return pid, nil
		}
	}
	return 0, nil
}

// hasOpen says whether a process has a file open; of another user's process it
// is not known, and taken for true.
func hasOpen(pid int, path string) bool {
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	open, err := os.ReadDir(folder)
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	want, err := os.Stat(path)
	if err != nil {
		return false
	}
	for _, f := range open {
		if got, err := os.Stat(filepath.Join(folder, f.Name())); err == nil && os.SameFile(got, want) {
			return true
		}
	}
	return false
}

// safety warns of what a deployment should have on.
func (d *doctor) safety() (string, error) {
	s, usual := d.config.Safety, engine.DefaultConfig().Safety
	var loose []string
	for _, c := range []struct {
		loose bool
		what  string
	}{
		{!s.SafeMode, "safety.safe_mode is false: decisions can be allow"},
		{!s.RequireHumanApproval, "safety.require_human_approval is false: what is allowed asks nobody"},
		{!s.RequireSigning, "safety.require_signing is false: unsigned checkpoints are taken"},
		{s.BlockThreshold > usual.BlockThreshold, fmt.Sprintf("safety.block_threshold is %v, usual is %v", s.BlockThreshold, usual.BlockThreshold)},
		{s.EntropyThreshold > usual.EntropyThreshold, fmt.Sprintf("safety.entropy_threshold is %v, usual is %v", s.EntropyThreshold, usual.EntropyThreshold)},
		{s.CollapseThreshold < usual.CollapseThreshold, fmt.Sprintf("safety.collapse_threshold is %v, usual is %v", s.CollapseThreshold, usual.CollapseThreshold)},
		{d.config.Detector.OnOutlier == engine.OnOutlierFlag, "detector.on_outlier is flag: what the detector finds is stored all the same"},
	} {
		if c.loose {
			loose = append(loose, c.what)
		}
	}
	if len(loose) > 0 {
		return "", &warning{strings.Join(loose, "; ") + "; see fdqc config show"}
	}
	return fmt.Sprintf("tier %s, safe mode and human approval on, signatures required", s.Tier), nil
}

func (d *doctor) alerts() (string, error) {
	sinks, err := engine.AlertSinks(d.config)
	if err != nil {
		return "", err
	}
	if len(sinks) == 0 {
		return "", &warning{fmt.Sprintf("nobody is told of alerts, they are logged and kept; set %s, or alerts.slack_webhook_file or alerts.webhook_url_file", engine.SlackWebhookVariable)}
	}
	return plural(int64(len(sinks)), "destination") + ", from level " + d.config.Alerts.Level + " on", nil
}
