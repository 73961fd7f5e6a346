package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// A memory is replaced by that of a checkpoint in four steps, so that after a
// crash at any point the directory opens with the old memory or the new one:
//
//  1. What the journal holds since that checkpoint is copied aside.
//  2. The operators' levers, where the procedure changes them, are journaled:
//     from here on safe mode holds whatever comes.
//  3. A new checkpoint with the old patterns is saved. It continues the
//     journal where it ends, so numbers and chain go on in one line.
//  4. A record of the replacement is journaled: a replay that begins at an
//     older checkpoint changes over where it is. An opening that finds the
//     checkpoint of step 3 without this record adds it.

// Replacement says what Rollback or Restore did.
type Replacement struct {
	// From is where the memory came from.
	From string
	// Checkpoint is the new checkpoint that holds it.
	Checkpoint store.Checkpoint
	// Aside is the folder with the journal since From, "" when it was empty.
	Aside  string
	Stats  memory.Stats
	Levers Levers
}

// ErrNoPrevious says that there is no older checkpoint to go back to.
var ErrNoPrevious = errors.New("there is no older checkpoint that verifies")

// Rollback goes back to the checkpoint before the newest one, or to the one
// with the sequence to when that is not 0, as one step: safe mode and human
// approval on as after an alarm, the older memory in, the journal since then
// kept aside. Ids that were given are never given again.
func (d *Directory) Rollback(ctx context.Context, to int64, by, reason string) (*Replacement, error) {
	cause := "rollback"
	if reason != "" {
		cause += ": " + reason
	}
	r, err := d.replace(ctx, "rollback", by, reason, alarmStep(cause, by, cause), func() (*replacementSource, error) { return d.kept(to) })
	if err != nil {
		return nil, fmt.Errorf("rollback: %w", err)
	}
	return r, nil
}

// Restore takes in the memory of a kept checkpoint, by its sequence, and
// leaves the levers as they are.
func (d *Directory) Restore(ctx context.Context, sequence int64, by, reason string) (*Replacement, error) {
	if sequence < 1 {
		return nil, fmt.Errorf("restore: sequence %d, expected at least 1", sequence)
	}
	r, err := d.replace(ctx, "restore", by, reason, nil, func() (*replacementSource, error) { return d.kept(sequence) })
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return r, nil
}

// RestoreFile takes in the memory of a pattern checkpoint from anywhere, a
// Python one for instance. It needs no signature; its use is logged.
func (d *Directory) RestoreFile(ctx context.Context, path, by, reason string) (*Replacement, error) {
	r, err := d.replace(ctx, "restore", by, reason, nil, func() (*replacementSource, error) {
		set, found, err := d.store.ReadOutside(path)
		if err != nil {
			return nil, err
		}
		d.logger.Info("a checkpoint that was named is taken in, it needs no signature", "path", path, "signed", found.Signed, "remark", found.Problem)
		return &replacementSource{path: path, set: set}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	d.copyRestored(context.WithoutCancel(ctx), r.Checkpoint.Manifest.Sequence)
	return r, nil
}

// copyRestored saves a memory from outside once more: no older checkpoint and
// no journal gives it again when the first one is damaged.
func (d *Directory) copyRestored(ctx context.Context, sequence int64) {
	err := d.saving.lock(ctx)
	if err == nil {
		defer d.saving.unlock()
		_, err = d.save(ctx, d.user, "copy", sequence)
	}
	if err != nil {
		d.logger.Warn("the restored memory is in one checkpoint only, until the next is saved", "error", err)
	}
}

// replacementSource is a memory that will be taken in.
type replacementSource struct {
	path     string
	set      *checkpoints.PatternSet
	sequence int64          // 0: from outside
	position store.Position // in the journal, when sequence is not 0
}

// kept finds a kept checkpoint, fully verified: that of a sequence, or with 0
// the newest one of a memory before the newest's.
func (d *Directory) kept(sequence int64) (*replacementSource, error) {
	list, err := d.store.List()
	if err != nil {
		return nil, err
	}
	if sequence == 0 {
		list = before(list)
	}
	for _, c := range list {
		if c.Manifest == nil || sequence != 0 && c.Manifest.Sequence != sequence {
			continue
		}
		set, err := d.store.Read(c)
		if err != nil {
			if sequence != 0 {
				return nil, err
			}
			d.logger.Warn("checkpoint does not verify, the one before it is tried", "path", c.Path, "error", err)
			continue
		}
		return &replacementSource{path: c.Path, set: set, sequence: c.Manifest.Sequence, position: c.Manifest.Journal}, nil
	}
	if sequence != 0 {
		return nil, fmt.Errorf("no kept checkpoint has the sequence %d", sequence)
	}
	return nil, ErrNoPrevious
}

// before leaves, of a list from newest to oldest, what is older than the memory
// of the newest: not what a rollback went back over, which another one must
// never bring back, nor where it went to.
func before(list []store.Checkpoint) []store.Checkpoint {
	if len(list) == 0 || list[0].Manifest == nil {
		return list[min(1, len(list)):]
	}
	same := list[0].Sequence() // of the newest, then of where its memory came from
	return slices.DeleteFunc(list, func(c store.Checkpoint) bool {
		m := c.Manifest
		if m != nil && m.Sequence == same && m.Source > 0 && m.Reason != "restore" {
			same = m.Source
			return true
		}
		return m == nil || m.Sequence >= same
	})
}

func (d *Directory) replace(ctx context.Context, verb, by, reason string, step leverStep, find func() (*replacementSource, error)) (*Replacement, error) {
	if err := d.saving.lock(ctx); err != nil {
		return nil, err
	}
	defer d.saving.unlock()
	if err := d.changing.lock(ctx); err != nil {
		return nil, err
	}
	defer d.changing.unlock()
	if err := d.savable(); err != nil {
		return nil, err
	}
	source, err := find()
	if err != nil {
		return nil, verification(err)
	}
	if want := 2 * d.config.Safety.WorkspaceDim; source.set.Width != want {
		return nil, &MismatchError{Setting: "safety.workspace_dim", Want: want / 2, File: source.path, Got: source.set.Width / 2}
	}
	next := snapshotOf(source.set)
	next.NextID = max(next.NextID, d.memory.Stats().NextID)
	if _, err := memory.Restore(next, source.set.Capacity); err != nil {
		return nil, fmt.Errorf("%s: %w", source.path, err)
	}
	if err := d.fits(source); err != nil {
		return nil, err
	}
	if err := d.audit.flush(false); err != nil {
		return nil, fmt.Errorf("the memory is not replaced while it cannot be put on record: %w", err)
	}
	aside, err := d.copyJournal(source.position.Sequence, verb)
	if err != nil {
		return nil, err
	}
	replaced := false
	defer func() {
		if !replaced { // the journal itself stays; attempts must not fill the disk with copies
			d.learned = true // what the journal may say now is of a memory that did not come
			if err := os.RemoveAll(aside); err != nil {
				d.logger.Warn("a copy of the journal stays", "folder", aside, "error", err)
			}
		}
	}()
	if step != nil {
		if err := d.pull(step); err != nil {
			return nil, err
		}
	}
	if err := d.append(); err != nil { // what is owed belongs before the checkpoint
		return nil, err
	}
	if err := d.audit.flush(false); err != nil { // before the journal grows
		return nil, err
	}
	position, err := d.journal.Rotate()
	if err != nil {
		return nil, err
	}
	stands, err := d.carry(true)
	if err != nil {
		return nil, err
	}
	about, err := d.aboutCheckpoint(position, stands, d.Levers(), verb, source.sequence)
	if err != nil {
		return nil, err
	}
	saved, err := d.store.Save(patternSet(next, d.now(), source.set.Metadata), about)
	if err != nil {
		return nil, err
	}
	// From here on the new memory is what the next opening finds.
	replaced = true
	d.saved, d.failed = position, nil
	d.audit.saved(saved, by, 0, false)
	if err := d.memory.Reset(next, source.set.Capacity); err != nil {
		return nil, err
	}
	d.observer.replaced()
	d.guard.replaced()
	d.metadata = source.set.Metadata
	record := replacement{Sequence: saved.Manifest.Sequence, Source: source.sequence, Position: source.position.Sequence, NextID: next.NextID, By: by, Reason: reason}
	if err := d.journalReplacement(record); err != nil {
		return nil, fmt.Errorf("%s is the memory now, its record follows with the next change: %w", saved.Path, err)
	}
	if err := d.fit(false, d.journaledResize); err != nil {
		return nil, err
	}
	d.saved = d.journal.Position() // what follows the checkpoint says no more than it
	d.unsaved.Store(false)
	d.pruneJournal()
	if err := d.audit.flush(true); err != nil {
		return nil, fmt.Errorf("%s is the memory now, and not on record yet: %w", saved.Path, err)
	}
	if d.untold.Load() {
		return nil, fmt.Errorf("%s is the memory now: %w", saved.Path, errUntold)
	}
	d.logger.Warn("the memory was replaced", "step", verb, "from", source.path, "sequence", saved.Manifest.Sequence, "aside", aside, "by", by, "reason", reason)
	return &Replacement{From: source.path, Checkpoint: saved, Aside: aside, Stats: d.memory.Stats(), Levers: d.Levers()}, nil
}

// fits refuses a memory that the configuration has no room for before anything
// is changed.
func (d *Directory) fits(source *replacementSource) error {
	for side, n := range map[memory.Side]int{memory.Safe: source.set.Safe.Len(), memory.Unsafe: source.set.Unsafe.Len()} {
		if n > d.config.Memory.Capacity {
			return fmt.Errorf("%s: %w", source.path, &memory.CapacityError{Side: side, Patterns: n, Capacity: d.config.Memory.Capacity})
		}
	}
	return nil
}

// pull changes the levers for a caller that holds changing.
func (d *Directory) pull(step leverStep) error {
	after, err := step(d.lastAlarm(d.Levers()), d.now())
	if err != nil {
		return err
	}
	entry, err := encodeJSON(opLevers, after)
	if err != nil {
		return err
	}
	if d.writes() {
		if err := d.append(entry); err != nil {
			return err
		}
	}
	d.levers.Store(&after)
	d.observer.leversChanged(after)
	return nil
}

// journalReplacement writes the record of step 4. Until it is written nothing
// else is.
func (d *Directory) journalReplacement(r replacement) error {
	entry, err := encodeJSON(opReplaced, r)
	if err != nil {
		return err
	}
	d.owed = append(d.owed, entry)
	return d.append()
}

// append makes records durable. The caller holds changing, or is alone.
func (d *Directory) append(entries ...journal.Entry) error {
	return d.appendSteps(step{entries: entries})
}

// appendSteps is append for records that evicted patterns. Those that are owed
// come before, and the audit log is told of all.
func (d *Directory) appendSteps(steps ...step) error {
	steps = slices.Insert(steps, 0, step{entries: d.owed})
	var entries []journal.Entry
	for i := range steps {
		entries = append(entries, steps[i].entries...)
	}
	if len(entries) == 0 {
		return nil
	}
	position, err := d.journal.Append(entries...)
	d.watch.changed(err)
	if err != nil {
		return err
	}
	d.owed = nil
	tell := d.untold.Load()
	for i := range entries {
		if changesMemory(entries[i].Type) {
			d.unsaved.Store(true)
		}
		tell = tell || entries[i].Type == opLevers || entries[i].Type == opReplaced
	}
	d.audit.commit(position.Sequence, steps...)
	if tell {
		d.tellReaders()
	}
	return nil
}

// journaledResize gives the memory another capacity for a caller that holds
// changing, or is alone.
func (d *Directory) journaledResize(capacity int) error {
	tx := d.memory.Begin()
	defer tx.Rollback()
	if _, err := tx.Resize(capacity); err != nil {
		return err
	}
	if err := d.appendSteps(step{[]journal.Entry{encodeCapacity(capacity)}, tx.Evicted()}); err != nil {
		return err
	}
	tx.Commit()
	return nil
}

// replaces says whether a checkpoint's reason is that it put another memory in.
func replaces(reason string) bool { return reason == "rollback" || reason == "restore" }

// finishReplacement adds the record of a replacement whose writer ended
// between its checkpoint and its record.
func (d *Directory) finishReplacement(loaded *store.Loaded, r *replay) error {
	reason := loaded.Manifest.Reason
	if !replaces(reason) || r.met {
		return nil
	}
	if r.changes > 0 {
		return fmt.Errorf("%s was put in by a %s that the journal after it does not begin with: %w", loaded.Path, reason, errOperation)
	}
	record := replacement{Sequence: loaded.Manifest.Sequence, NextID: d.memory.Stats().NextID, Reason: reason + ", interrupted"}
	if from := loaded.Manifest.Source; from > 0 {
		if source, err := d.kept(from); err == nil { // else the new checkpoint alone has the memory
			record.Source, record.Position = from, source.position.Sequence
		}
	}
	return d.journalReplacement(record)
}

// copyJournal copies the journal's segments with records after a sequence into
// a folder of its own, durably; "" when there are none.
func (d *Directory) copyJournal(after int64, verb string) (string, error) {
	if d.journal.Position().Sequence <= after {
		return "", nil
	}
	if err := d.journal.Sync(); err != nil {
		return "", err
	}
	folder := d.path(filepath.Join(asideFolder, fmt.Sprintf("%s-%s-journal", d.now().UTC().Format("20060102_150405.000000000"), verb)))
	if err := disk.MakeFolder(folder); err != nil {
		return "", err
	}
	for _, path := range d.journal.Segments(after) {
		if err := copyFile(filepath.Join(folder, filepath.Base(path)), path); err != nil {
			// Half a copy only takes room, which may be what is short.
			return "", errors.Join(fmt.Errorf("keep journal aside: %w", err), os.RemoveAll(folder))
		}
	}
	return folder, nil
}

func copyFile(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	return checkpoints.WriteAtomic(to, 0o600, func(w io.Writer) error {
		_, err := io.Copy(w, source)
		return err
	})
}
