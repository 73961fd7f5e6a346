package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

type restartData struct {
	Aside string `json:"aside,omitempty"` // the folder with the log that was given up
	After int64  `json:"after"`           // the last entry that a checkpoint names
}

// RestartAudit gives up an audit log that no longer verifies: it is moved below
// set-aside, as it is, and another begins after the last entry that a checkpoint
// names, with who did it and why. What the journal holds since that checkpoint is
// on record again with the next opening. It answers where the old log lies; the
// directory must not be open for writing.
func RestartAudit(c Config, by, reason string, opts ...Option) (aside string, err error) {
	if reason == "" {
		return "", errors.New("restart audit log: no reason is given")
	}
	o := newOptions(opts)
	d := &Directory{config: c, logger: o.logger.Named("checkpoints"), now: o.now}
	if d.config.Persistence.Dir, err = physical(c.Persistence.Dir); err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	if err := d.acquire(); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.lock.Close()) }()
	if d.keys, err = openKeys(&d.config, false, d.logger); err != nil {
		return "", err
	}
	if d.store, err = openStore(&d.config, d.keys, d.logger, d.now); err != nil {
		return "", err
	}
	newest, err := d.store.Newest()
	if err != nil {
		return "", verification(err)
	}
	list, err := d.store.List()
	if err != nil {
		return "", err
	}
	var after audit.Head
	for _, k := range auditHeads(list) {
		if k.Sequence > after.Sequence {
			after = k.Head
		}
	}
	if newest == nil || newest.Manifest == nil || after.Sequence == 0 {
		return "", fmt.Errorf("restart audit log: no checkpoint in %s names an entry", d.config.Persistence.Dir)
	}
	after.Journal, after.Checkpoint = newest.Manifest.Journal.Sequence, newest.Manifest.Sequence
	if aside, err = d.auditAside(); err != nil {
		return "", fmt.Errorf("restart audit log: %w", err)
	}
	log, err := audit.Restart(auditOptions(&d.config, d.keys, d.now), after, reason)
	if err != nil {
		return aside, err
	}
	data := restartData{After: after.Sequence}
	if aside != "" {
		data.Aside = filepath.Base(aside)
	}
	err = log.Append(audit.Entry{Time: d.now(), Event: eventRestart, Who: by, Why: reason, Data: auditData(data)})
	if err == nil {
		err = log.Sign()
	}
	if err == nil {
		err = log.Flush()
	}
	d.logger.Warn("the audit log was given up and begins anew", "aside", aside, "after", after.Sequence, "by", by, "reason", reason)
	return aside, errors.Join(err, log.Close())
}

// auditAside moves the audit log away; "" when there is none.
func (d *Directory) auditAside() (string, error) {
	folder := d.path(auditFolder)
	if _, err := os.Lstat(folder); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	parent := d.path(asideFolder)
	if err := disk.MakeFolder(parent); err != nil {
		return "", err
	}
	aside := filepath.Join(parent, d.now().UTC().Format("20060102_150405.000000000")+"-audit")
	if err := os.Rename(folder, aside); err != nil {
		return "", err
	}
	return aside, errors.Join(disk.SyncFolder(parent), disk.SyncFolder(d.config.Persistence.Dir))
}
