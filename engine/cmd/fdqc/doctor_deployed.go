package main

import (
	"fmt"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

const (
	longJournal  = 100_000         // records: a restart replays them
	lateSaves    = 3               // intervals of automatic saves
	lateUnsigned = 5 * time.Minute // entries of the audit log without a signature
)

// deployed looks at a data directory that is in use.
func (d *doctor) deployed() {
	dir, err := engine.OpenDirectory(d.config, engine.ReadOnly(), engine.AnyCapacity(), engine.WithLogger(d.logger(&d.config)), engine.WithoutMonitoring())
	if err != nil {
		d.check("in use", func() (string, error) { return "", err })
		return
	}
	d.check("checkpoint age", func() (string, error) { return d.checkpointAge(dir) })
	d.check("journal length", func() (string, error) {
		n := dir.Recovered().Replayed
		found := plural(n, "record") + " since the checkpoint that a restart begins with"
		if n > longJournal {
			return "", &warning{found + "; fdqc checkpoint save"}
		}
		return found, nil
	})
	d.check("audit head", d.auditHead)
	d.check("levers", func() (string, error) { return d.levers(dir) })
	d.check("quarantine", func() (string, error) {
		n := dir.QuarantineSize()
		if n > 0 {
			return "", &warning{fmt.Sprintf("waiting for a person: %s of at most %d; fdqc quarantine list", plural(int64(n), "outcome"), d.config.Detector.QuarantineCapacity)}
		}
		return "nothing waits for a person", nil
	})
	d.check("approvals", func() (string, error) {
		pending, _ := dir.PendingApprovals()
		if pending > 0 {
			return "", &warning{fmt.Sprintf("waiting for a person: %s; fdqc approvals list", plural(int64(pending), "action"))}
		}
		return "nothing waits for a person", nil
	})
	d.check("memory", func() (string, error) { return d.utilization(dir.Stats()) })
	if err := dir.Close(); err != nil {
		d.check("in use", func() (string, error) { return "", err })
	}
}

// checkpointAge compares the newest checkpoint with how often there should be
// one, when anything came since.
func (d *doctor) checkpointAge(dir *engine.Directory) (string, error) {
	files, err := engine.OpenStore(d.config, d.logger(&d.config))
	if err != nil {
		return "", err
	}
	list, err := files.List()
	if err != nil {
		return "", err
	}
	if len(list) == 0 || list[0].Manifest == nil {
		return "", &warning{"there is no checkpoint with a manifest; fdqc checkpoint save"}
	}
	age := d.now().Sub(list[0].Manifest.Created)
	found := fmt.Sprintf("%v", age.Round(time.Second))
	every := d.config.Persistence.AutoSaveInterval.Span()
	if dir.Recovered().Replayed > 1 && every > 0 && age > lateSaves*every {
		return "", &warning{fmt.Sprintf("%s, and outcomes came since, while persistence.auto_save_interval is %v: saves fail or nothing runs; see the log, then fdqc checkpoint save", found, every)}
	}
	return found, nil
}

// auditHead looks whether the log is kept and signed.
func (d *doctor) auditHead() (string, error) {
	report, err := verifyAudit(d.config, d.logger(&d.config))
	switch {
	case err != nil:
		return "", fmt.Errorf("%w; fdqc audit verify", err)
	case report.Entries == 0:
		return "", &warning{"there is no audit log yet; the next writer begins one"}
	}
	found := fmt.Sprintf("entry %d, signed up to %d", report.Head.Sequence, report.SignedThrough)
	late := d.now().Sub(report.Last.Time)
	switch {
	case !d.owned && (!report.Closed || report.JournalBehind > 0 || report.CheckpointsBehind > 0):
		return "", &warning{found + "; the last writer did not close it, as after a crash: the next one completes it; fdqc audit show --last 20"}
	case report.SignedThrough < report.Head.Sequence && late > lateUnsigned && d.config.Safety.RequireSigning:
		return "", &warning{fmt.Sprintf("%s; the rest waits for a signature since %v: see the log of the process", found, late.Round(time.Second))}
	}
	return found, nil
}

// levers says what holds beside the configuration.
func (d *doctor) levers(dir *engine.Directory) (string, error) {
	l := dir.Levers()
	from, do := l.Next(d.config.Safety.QuietPeriod.Span())
	if do != "" {
		return "", &warning{fmt.Sprintf("%s since %s: %s; from %s on: %s", l.Stage, l.Since.Format(time.RFC3339), plain(l.Cause), from.Format(time.RFC3339), do)}
	}
	if l.At.IsZero() {
		return "no operator has pulled one yet", nil
	}
	return fmt.Sprintf("last pulled %s by %s; fdqc safety status", l.At.Format(time.RFC3339), plain(l.By)), nil
}

func (d *doctor) utilization(s memory.Stats) (string, error) {
	found := fmt.Sprintf("%d safe and %d unsafe patterns of %d", s.Patterns[memory.Safe], s.Patterns[memory.Unsafe], s.Capacity)
	for _, side := range memory.Sides() {
		if s.Capacity > 0 && float64(s.Patterns[side])/float64(s.Capacity) > d.config.Monitor.MemoryUtilization {
			return "", &warning{found + ": old ones go as new ones come; set memory.capacity, then fdqc memory resize"}
		}
	}
	return found, nil
}
