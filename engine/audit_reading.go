package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
)

// AuditReport says what the audit log of a data directory holds, and how it
// fits the rest.
type AuditReport struct {
	audit.Report
	// Known counts the checkpoints that name a place in the log, all of which
	// are right.
	Known int
	// JournalBehind is how many journal records, CheckpointsBehind how many
	// checkpoints are not in the log yet: a writer has them in hand, or a crash
	// came between. The next writer puts them down.
	JournalBehind     int64
	CheckpointsBehind int
	// Closed says that the last writer ended in order.
	Closed bool
}

// VerifyAudit reads the whole audit log of a data directory, checks it, and
// compares it with the manifests of all checkpoints and with the journal. It
// needs no lock and changes nothing. A log that no checkpoint knows of may be
// absent. kept are further heads that the log must contain, kept elsewhere. What
// does not verify is a *VerificationError around an
// *audit.DamageError or *audit.TrustError that names the entry.
func VerifyAudit(c Config, logger hclog.Logger, kept ...audit.Known) (AuditReport, error) {
	var report AuditReport
	c, k, err := readingKeys(c, logger)
	if err != nil {
		return report, err
	}
	files, err := openStore(&c, k, logger, time.Now)
	if err != nil {
		return report, err
	}
	// First what names the log, then the log, then what the log names: a
	// writer beside goes the other way.
	list, err := files.List()
	if err != nil {
		return report, err
	}
	known := auditHeads(list)
	report.Report, err = audit.Verify(auditOptions(&c, k, time.Now), append(known, kept...)...)
	if err != nil {
		return report, verification(err)
	}
	report.Known = len(known)
	report.Closed = report.Last.Event == eventClosed
	if report.Entries == 0 {
		return report, nil
	}
	for _, c := range list {
		if c.Manifest != nil && c.Problem == nil && c.Manifest.Sequence > report.Head.Checkpoint {
			report.CheckpointsBehind++
		}
	}
	found, err := journal.Verify(journalOptions(&c, k, time.Now))
	if err != nil && !(errors.Is(err, journal.ErrMissing) && report.Head.Journal == 0) {
		return report, verification(err)
	}
	report.JournalBehind = found.Last.Sequence - report.Head.Journal
	if report.JournalBehind < 0 {
		return report, journalCut(&c, found.Last.Sequence, report.Head.Journal)
	}
	return report, nil
}

// journalCut says that the journal lacks records that the audit log knows.
func journalCut(c *Config, have, audited int64) error {
	return &VerificationError{
		File: filepath.Join(c.Persistence.Dir, journalFolder),
		Err:  fmt.Errorf("it ends with record %d, the audit log knows it up to %d: its end was cut; see fdqc audit show --last 20, and to go on without it: fdqc audit restart", have, audited),
	}
}

// ReadAudit reads the audit log of a data directory and visits its entries,
// each when it is verified, up to one that does not verify.
func ReadAudit(c Config, logger hclog.Logger, visit func(*audit.Entry) error) (audit.Report, error) {
	c, k, err := readingKeys(c, logger)
	if err != nil {
		return audit.Report{}, err
	}
	report, err := audit.Read(auditOptions(&c, k, time.Now), visit)
	return report, verification(err)
}
