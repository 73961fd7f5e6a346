package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
)

const (
	// auditEvery is for how long entries are gathered before they are
	// written, auditSigned for how long they lie there without a signature.
	auditEvery  = time.Second
	auditSigned = time.Minute
)

// auditor writes the audit log of a data directory that this process has open
// for writing. What the journal holds is gathered in memory and written within
// a second: the journal has it durably before, and whoever opens the directory
// after a crash derives it from there. So recording goes on while the log
// cannot be written; checkpoints, which end what can be derived, and levers that
// loosen anything do not. A nil auditor does nothing.
type auditor struct {
	logger hclog.Logger
	now    func() time.Time
	who    string
	// before says whether this process may write, and makes the journal as
	// durable as the entries about it will be: the log must never know more
	// than it after a power failure. synced says whether it is already.
	before func() error
	synced func() bool

	gathering  sync.Mutex
	derived    derivation
	audited    int64 // the journal record up to which the log was complete when it was opened
	checkpoint int64 // the newest one that has an entry
	timer      *time.Timer
	closed     bool

	// Taken before gathering, where both are.
	writing sync.Mutex
	log     *audit.Log // nil when closed
	behind  bool       // the last attempt to write failed
}

// auditSettings is what every file of the log repeats, by section.key: what is
// learned and how it is judged. A settings entry says what of it changed.
type auditSettings map[string]string

// signingKey is the name of the key's id among the settings.
const signingKey = "signing key"

type openedData struct {
	Version string `json:"version"`
	Key     string `json:"key,omitempty"`
}

type settingsData struct {
	// Changed has the value before and the value now; "" is an absent one.
	Changed map[string][2]string `json:"changed"`
}

type savedData struct {
	Sequence  int64  `json:"sequence"`
	File      string `json:"file"`
	SHA256    string `json:"sha256"`
	Source    int64  `json:"source,omitempty"`
	Journal   int64  `json:"journal"`
	Safe      int    `json:"safe"`
	Unsafe    int    `json:"unsafe"`
	Oldest    int64  `json:"oldest,omitempty"` // the oldest one that is kept
	Recovered bool   `json:"recovered,omitempty"`
}

type pruningData struct {
	Keep int `json:"keep"`
}

type prunedData struct {
	Removed []string `json:"removed"` // names of files
}

func prunedOf(paths []string) prunedData {
	d := prunedData{Removed: []string{}}
	for _, path := range paths {
		d.Removed = append(d.Removed, filepath.Base(path))
	}
	return d
}

// auditSettingsOf leaves out sections that may hold secrets, and those that
// decide nothing.
func auditSettingsOf(c *Config, k *keys) auditSettings {
	s := auditSettings{}
	for key, value := range ConfigValues(c) {
		switch section, name, _ := strings.Cut(key, "."); section {
		case "safety", "memory", "detector", "policy", "embedding":
			s[key] = value
		case "persistence":
			if name == "trusted_keys" || name == "journal_sync" {
				s[key] = value
			}
		}
	}
	if k.signing != nil {
		s[signingKey] = k.signing.KeyID()
	}
	return s
}

// differences are the settings that changed.
func (s auditSettings) differences(now auditSettings) map[string][2]string {
	changed := map[string][2]string{}
	for key, value := range now {
		if s[key] != value {
			changed[key] = [2]string{s[key], value}
		}
	}
	for key, was := range s {
		if _, there := now[key]; !there {
			changed[key] = [2]string{was, ""}
		}
	}
	return changed
}

// auditOptions says where the audit log of a data directory lies and who signs
// it.
func auditOptions(c *Config, k *keys, now func() time.Time) audit.Options {
	o := audit.Options{
		Dir: filepath.Join(c.Persistence.Dir, auditFolder), Verifier: k.ring, UnknownKey: signing.ErrUnknownKey,
		RequireSigned: c.Safety.RequireSigning, Now: now,
	}
	if k.signing != nil { // a nil key in an interface is no nil interface
		o.Signer = k.signing
	}
	return o
}

// auditHeads are the places in the audit log that the manifests of checkpoints
// name.
func auditHeads(list []store.Checkpoint) []audit.Known {
	var known []audit.Known
	for _, c := range list {
		if m := c.Manifest; m != nil && m.Audit != nil && !errors.Is(c.Problem, store.ErrUntrusted) {
			known = append(known, audit.Known{
				Head: audit.Head{Sequence: m.Audit.Sequence, Hash: m.Audit.Hash, Journal: m.Journal.Sequence}, From: c.Name,
			})
		}
	}
	return known
}

// openAudit opens the audit log, and answers the settings that it knows of. A
// directory that has none yet gets one that begins at the checkpoint.
func (d *Directory) openAudit(from journal.Position, checkpoint int64) (before auditSettings, err error) {
	list, err := d.store.List()
	if err != nil {
		return before, err
	}
	log, report, err := audit.Open(auditOptions(&d.config, d.keys, d.now), audit.Head{Journal: from.Sequence, Checkpoint: checkpoint},
		func(e *audit.Entry) error { return before.read(e) }, auditHeads(list)...)
	if err != nil {
		return before, fmt.Errorf("%w; see fdqc audit verify, and where it cannot be put right: fdqc audit restart", err)
	}
	if report.Torn > 0 {
		d.logger.Warn("the audit log ended in a line that was never completed: cut", "file", report.TornPath, "bytes", report.Torn)
	}
	d.recovery.AuditCutBytes = report.Torn
	d.audit = &auditor{
		logger: d.logger, now: d.now, who: d.user, log: log,
		audited: log.Head().Journal, checkpoint: log.Head().Checkpoint,
		derived: derivation{journal: log.Head().Journal, levers: d.Levers()},
	}
	return before, nil
}

// read takes over what an entry says of settings.
func (s *auditSettings) read(e *audit.Entry) error {
	var err error
	switch e.Event {
	case audit.EventFile:
		var data struct {
			Log auditSettings `json:"log"`
		}
		if err = json.Unmarshal(e.Data, &data); data.Log != nil {
			*s = data.Log
		}
	case eventSettings:
		var data settingsData
		err = json.Unmarshal(e.Data, &data)
		for key, values := range data.Changed {
			if *s != nil {
				(*s)[key] = values[1]
			}
		}
	}
	if err != nil {
		return fmt.Errorf("audit entry %d: %w", e.Sequence, err)
	}
	return nil
}

// startAudit goes on with the log when all that the journal held is derived:
// from here on it can be written.
func (d *Directory) startAudit(before auditSettings) error {
	a := d.audit
	if have := d.journal.Position().Sequence; have < a.audited {
		return journalCut(&d.config, have, a.audited)
	}
	a.before = func() error {
		if err := d.owned(); err != nil {
			return err
		}
		return d.journal.Sync()
	}
	a.synced = d.journal.Synced
	list, err := d.store.List()
	if err != nil {
		return err
	}
	for _, c := range slices.Backward(list) {
		if m := c.Manifest; m != nil && c.Problem == nil && m.Sequence > a.checkpoint {
			a.saved(c, "", 0, true)
		}
	}
	now := auditSettingsOf(&d.config, d.keys)
	a.log.Carry(now)
	a.event(eventOpened, "", "", openedData{d.version, now[signingKey]})
	if changed := before.differences(now); before != nil && len(changed) > 0 {
		a.event(eventSettings, "", "", settingsData{changed})
	}
	return nil
}

// commit takes the records of a commit of the journal.
func (a *auditor) commit(last int64, steps ...step) {
	if a == nil {
		return
	}
	a.gathering.Lock()
	defer a.gathering.Unlock()
	a.derived.commit(last, a.audited, a.now(), a.who, false, steps)
	a.arm(auditEvery)
}

// replayed takes one record of the journal at an opening.
func (a *auditor) replayed(r journal.Record, evicted []int64) {
	if a == nil {
		return
	}
	a.derived.commit(r.Sequence, a.audited, r.Time, "", true, []step{{[]journal.Entry{{Type: r.Type, Payload: r.Payload}}, evicted}})
}

// event takes something that is not in the journal. An empty who is the user of
// this process.
func (a *auditor) event(event, who, why string, data any) {
	if a == nil {
		return
	}
	if who == "" {
		who = a.who
	}
	a.gathering.Lock()
	defer a.gathering.Unlock()
	a.derived.add(event, a.now(), who, why, data)
	a.derived.entries[len(a.derived.entries)-1].Checkpoint = a.checkpoint
	a.arm(auditEvery)
}

// saved takes a checkpoint that was saved.
func (a *auditor) saved(c store.Checkpoint, who string, oldest int64, recovered bool) {
	if a == nil {
		return
	}
	m := c.Manifest
	a.gathering.Lock()
	a.checkpoint = max(a.checkpoint, m.Sequence)
	a.gathering.Unlock()
	a.event(eventSaved, who, m.Reason, savedData{m.Sequence, m.File, m.SHA256, m.Source, m.Journal.Sequence, m.Safe, m.Unsafe, oldest, recovered})
}

// arm has the log written after a while. The caller holds gathering.
func (a *auditor) arm(after time.Duration) {
	if a.timer == nil && !a.closed && a.before != nil {
		a.timer = time.AfterFunc(after, a.tick)
	}
}

// tick writes what was gathered, and tries again later when that fails. Where
// the journal is not synced with each commit, it waits for a moment in which it
// is, or for who needs the log: a sync only for it would hold up recording.
func (a *auditor) tick() {
	synced := a.synced()
	a.gathering.Lock()
	a.timer = nil
	if !synced {
		a.arm(auditEvery)
	}
	a.gathering.Unlock()
	if !synced {
		return
	}
	err := a.flush(false)
	a.writing.Lock()
	unsigned := 0
	if a.log != nil {
		unsigned, _ = a.log.Unsigned()
	}
	a.writing.Unlock()
	a.gathering.Lock()
	defer a.gathering.Unlock()
	switch {
	case err != nil:
		a.arm(auditEvery)
	case unsigned > 0:
		a.arm(auditSigned)
	}
}

// flush writes what was gathered, durably, and signs it when sign is set or it
// has been unsigned for long.
func (a *auditor) flush(sign bool) error {
	if a == nil {
		return nil
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	if a.log == nil {
		return nil
	}
	return a.flushed(sign)
}

// flushed is flush for a caller that holds writing.
func (a *auditor) flushed(sign bool) error {
	err := a.write(sign)
	if err != nil && !a.behind {
		a.logger.Error("the audit log cannot be written: until it can, nothing is saved or loosened; the journal holds what it lacks", "error", err)
	}
	if err == nil && a.behind {
		a.logger.Info("the audit log is complete again")
	}
	a.behind = err != nil
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

// write appends what was gathered, as soon as the disk has all before it, and
// sees to it that the journal is durable as far as the entries go.
func (a *auditor) write(sign bool) error {
	if !a.log.Flushed() {
		if err := a.before(); err != nil {
			return err
		}
		if err := a.log.Flush(); err != nil {
			return err
		}
	}
	a.gathering.Lock()
	entries := a.derived.take()
	a.gathering.Unlock()
	for i, e := range entries {
		if err := a.log.Append(e); err != nil {
			// Those after it would say that the log is complete up to them.
			a.gathering.Lock()
			a.derived.entries = slices.Concat(entries[i:], a.derived.entries)
			a.gathering.Unlock()
			return err
		}
	}
	if n, since := a.log.Unsigned(); sign || n > 0 && a.now().Sub(since) >= auditSigned {
		if err := a.log.Sign(); err != nil {
			return err
		}
	}
	if a.log.Flushed() {
		return nil
	}
	if err := a.before(); err != nil {
		return err
	}
	return a.log.Flush()
}

// head writes and signs everything, and answers what a manifest says of it.
func (a *auditor) head() (*store.AuditHead, error) {
	a.writing.Lock()
	defer a.writing.Unlock()
	if err := a.flushed(true); err != nil {
		return nil, err
	}
	h := a.log.Head()
	return &store.AuditHead{Sequence: h.Sequence, Hash: h.Hash}, nil
}

// close ends the log, in order when this process may still write.
func (a *auditor) close(orderly bool) error {
	if a == nil {
		return nil
	}
	var err error
	if orderly {
		a.event(eventClosed, "", "", nil)
		err = a.flush(true)
	}
	a.gathering.Lock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
	a.gathering.Unlock()
	a.writing.Lock()
	defer a.writing.Unlock()
	err = errors.Join(err, a.log.Close())
	a.log = nil
	return err
}
