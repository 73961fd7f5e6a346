package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
)

// Save writes a checkpoint of the memory. reason says what it is for: it is
// kept in the manifest. Recording waits only while the memory is copied.
func (d *Directory) Save(ctx context.Context, reason string) (store.Checkpoint, error) {
	return d.SaveBy(ctx, d.user, reason)
}

// SaveBy is Save on behalf of somebody else than the user of this process.
func (d *Directory) SaveBy(ctx context.Context, by, reason string) (store.Checkpoint, error) {
	if err := d.saving.lock(ctx); err != nil {
		return store.Checkpoint{}, fmt.Errorf("save: %w", err)
	}
	defer d.saving.unlock()
	return d.save(ctx, by, reason, 0)
}

// save is SaveBy for a caller that holds saving. source is the checkpoint that
// this one copies, if any.
func (d *Directory) save(ctx context.Context, by, reason string, source int64) (saved store.Checkpoint, err error) {
	defer func() { d.watch.checkpointed(err) }()
	if err := d.changing.lock(ctx); err != nil {
		return store.Checkpoint{}, fmt.Errorf("save: %w", err)
	}
	if err := d.savable(); err != nil {
		d.changing.unlock()
		return store.Checkpoint{}, err
	}
	snapshot, levers := d.memory.Snapshot(), d.Levers()
	err = d.append() // what is owed belongs before the checkpoint
	var position, carried journal.Position
	if err == nil {
		position, err = d.journal.Rotate()
	}
	var stands bool
	if err == nil {
		stands, err = d.carry(false)
		carried = d.journal.Position()
		d.watch.look()
	}
	unsaved := d.unsaved.Swap(false)
	defer func() {
		if err != nil && unsaved {
			d.unsaved.Store(true)
		}
	}()
	d.changing.unlock()
	if err != nil {
		return store.Checkpoint{}, fmt.Errorf("save: %w", err)
	}
	about, err := d.aboutCheckpoint(position, stands, levers, reason, source)
	if err != nil {
		return store.Checkpoint{}, fmt.Errorf("save: %w", err)
	}
	saved, err = d.store.Save(patternSet(snapshot, d.now(), d.metadata), about)
	if err != nil {
		return store.Checkpoint{}, fmt.Errorf("save checkpoint: %w", err)
	}
	d.saved = carried // what is carried says no more than was there
	d.logger.Debug("saved", "path", saved.Path, "sequence", saved.Manifest.Sequence, "reason", reason)
	d.audit.saved(saved, by, d.pruneJournal(), false)
	_ = d.audit.flush(true) // it has said so, and tries again
	return saved, nil
}

// mostUnsaved is how many records may come after a checkpoint that are no
// reason for another one.
const mostUnsaved = 10_000

// worthSaving says whether a checkpoint would hold another memory, or other
// levers, than the newest: what only waits for people (quarantine, approvals) is
// no reason to drop a checkpoint that a rollback could go to, until the journal
// grows long. The caller holds saving.
func (d *Directory) worthSaving() bool {
	return d.unsaved.Load() || d.journal.Position().Sequence-d.saved.Sequence > mostUnsaved
}

// savable says whether there is somewhere to save to. The caller holds
// changing.
func (d *Directory) savable() error {
	switch {
	case d.closed:
		return ErrClosed
	case !d.writes():
		return ErrReadOnly
	}
	return d.owned()
}

// pruneJournal drops the segments that no kept checkpoint needs. A failure is
// no reason to take a saved checkpoint for lost: the segments stay until the
// next time. It answers the oldest checkpoint that is kept, 0 when it is not
// known.
func (d *Directory) pruneJournal() (kept int64) {
	oldest, err := d.store.OldestKept()
	if err == nil && oldest != nil {
		kept = oldest.Sequence
		_, err = d.journal.Prune(oldest.Journal.Sequence)
	}
	if err != nil {
		d.logger.Warn("old journal segments stay", "error", err)
	}
	return kept
}

// Prune drops all but the newest checkpoints, and the journal that only they
// needed; it answers the paths that are gone.
func (d *Directory) Prune(ctx context.Context, keep int, by string) ([]string, error) {
	if err := d.saving.lock(ctx); err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	defer d.saving.unlock()
	if err := d.changing.lock(ctx); err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	err := d.savable()
	d.changing.unlock()
	if err != nil {
		return nil, err
	}
	// On a full disk neither can be written before there is room again.
	d.audit.event(eventPruning, by, "", pruningData{keep})
	_ = d.audit.flush(true)
	removed, err := d.store.Prune(keep)
	d.audit.event(eventPruned, by, "", prunedOf(removed))
	if err != nil {
		return removed, fmt.Errorf("prune: %w", err)
	}
	d.pruneJournal()
	_ = d.audit.flush(true)
	return removed, nil
}

// startAutosave saves when outcomes came since the last checkpoint, every
// while, until Close.
func (d *Directory) startAutosave(every time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.autosave.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				d.saveIfChanged(ctx)
			}
		}
	})
}

// saveIfChanged is one round of autosave. A failure is logged and tried again
// the next time: the journal holds what the checkpoint would.
func (d *Directory) saveIfChanged(ctx context.Context) {
	if err := d.saving.lock(ctx); err != nil {
		return
	}
	defer d.saving.unlock()
	if !d.worthSaving() {
		return
	}
	if _, err := d.save(ctx, d.user, "auto", 0); err != nil && ctx.Err() == nil {
		d.logger.Error("automatic checkpoint failed, the journal holds every outcome", "error", err)
	}
}

// aboutCheckpoint is what a manifest says beside what the store knows. The audit
// log is complete and durable up to it then.
func (d *Directory) aboutCheckpoint(at journal.Position, stands bool, levers Levers, reason string, source int64) (store.About, error) {
	entry, err := encodeJSON(opLevers, levers)
	if err != nil {
		return store.About{}, err
	}
	head, err := d.audit.head()
	if err != nil {
		return store.About{}, err
	}
	return store.About{Journal: storePosition(at), Standing: stands, Levers: entry.Payload, Reason: reason, Source: source, Audit: head}, nil
}
