package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// Save writes a checkpoint of the memory. reason says what it is for: it is
// kept in the manifest. Recording waits only while the memory is copied. One that
// failed before is saved first.
func (d *Directory) Save(ctx context.Context, reason string) (store.Checkpoint, error) {
	return d.SaveBy(ctx, d.user, reason)
}

// SaveBy is Save on behalf of somebody else than the user of this process.
func (d *Directory) SaveBy(ctx context.Context, by, reason string) (store.Checkpoint, error) {
	if replaces(reason) {
		return store.Checkpoint{}, fmt.Errorf("save: the reason %q is that of another memory put in, expected another one", reason)
	}
	if err := d.saving.lock(ctx); err != nil {
		return store.Checkpoint{}, fmt.Errorf("save: %w", err)
	}
	defer d.saving.unlock()
	return d.save(ctx, by, reason, 0)
}

// attempt is a checkpoint that is to be saved: the memory as it was where a
// segment of the journal begins, which carries what stands beside it. One that
// failed is kept, with its copy of the memory, and is the next that is tried: the
// journal has its part, so that attempts which fail over and over make it no
// longer.
type attempt struct {
	snapshot memory.Snapshot
	levers   Levers
	position journal.Position // where the segment begins
	carried  journal.Position // what stands goes up to here
	stands   bool
	unsaved  bool  // the memory, or the levers, changed since the checkpoint before
	source   int64 // the checkpoint that it copies; 0: none
}

// save is SaveBy for a caller that holds saving. source is the checkpoint that
// this one copies, if any.
func (d *Directory) save(ctx context.Context, by, reason string, source int64) (saved store.Checkpoint, err error) {
	defer func() { d.watch.checkpointed(err) }()
	if failed := d.failed; failed != nil {
		if saved, err = d.saveAgain(ctx, failed, by, reason); err != nil {
			return store.Checkpoint{}, err
		}
		if again, err := d.behind(ctx, failed); !again {
			return saved, err
		}
	}
	a, err := d.beginSave(ctx, source)
	if err != nil {
		return store.Checkpoint{}, fmt.Errorf("save: %w", err)
	}
	return d.write(a, by, reason)
}

// saveAgain tries an attempt that failed.
func (d *Directory) saveAgain(ctx context.Context, a *attempt, by, reason string) (store.Checkpoint, error) {
	if err := d.changing.lock(ctx); err != nil {
		return store.Checkpoint{}, fmt.Errorf("save: %w", err)
	}
	err := d.savable()
	d.changing.unlock()
	if err != nil {
		return store.Checkpoint{}, err
	}
	return d.write(a, by, reason)
}

// behind says whether anything came since an attempt began. Where nothing did,
// nothing is unsaved.
func (d *Directory) behind(ctx context.Context, a *attempt) (bool, error) {
	if err := d.changing.lock(ctx); err != nil {
		return false, fmt.Errorf("save: %w", err)
	}
	defer d.changing.unlock()
	if d.learned || len(d.owed) > 0 || d.journal.Position() != a.carried {
		return true, nil
	}
	d.unsaved.Store(false)
	return false, nil
}

// beginSave copies the memory, and gives the journal its part of a checkpoint.
// While the audit log cannot be written nothing is saved, so the journal is left
// alone then.
func (d *Directory) beginSave(ctx context.Context, source int64) (*attempt, error) {
	if err := d.changing.lock(ctx); err != nil {
		return nil, err
	}
	defer d.changing.unlock()
	if err := d.savable(); err != nil {
		return nil, err
	}
	if err := d.append(); err != nil { // what is owed belongs before the checkpoint
		return nil, err
	}
	if err := d.audit.flush(false); err != nil {
		return nil, err
	}
	a := &attempt{snapshot: d.memory.Snapshot(), levers: d.Levers(), source: source}
	var err error
	if a.position, err = d.journal.Rotate(); err != nil {
		return nil, err
	}
	if a.stands, err = d.carry(false); err != nil {
		return nil, err
	}
	a.carried = d.journal.Position()
	a.unsaved = d.unsaved.Swap(false)
	d.watch.look()
	return a, nil
}

// write saves the checkpoint of an attempt. The caller holds saving.
func (d *Directory) write(a *attempt, by, reason string) (saved store.Checkpoint, err error) {
	d.failed = a
	about, err := d.aboutCheckpoint(a.position, a.stands, a.levers, reason, a.source)
	if err == nil {
		saved, err = d.store.Save(patternSet(a.snapshot, d.now(), d.metadata), about)
	}
	if err != nil {
		if a.unsaved {
			d.unsaved.Store(true)
		}
		return store.Checkpoint{}, fmt.Errorf("save checkpoint: %w", err)
	}
	d.failed = nil
	d.saved = a.carried // what is carried says no more than was there
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

// aboutCheckpoint is what a manifest says beside what the store knows. The journal,
// whatever its mode, and the audit log are complete and durable up to it then.
func (d *Directory) aboutCheckpoint(at journal.Position, stands bool, levers Levers, reason string, source int64) (store.About, error) {
	entry, err := encodeJSON(opLevers, levers)
	if err != nil {
		return store.About{}, err
	}
	if err := d.journal.Sync(); err != nil {
		return store.About{}, err
	}
	head, err := d.audit.head()
	if err != nil {
		return store.About{}, err
	}
	return store.About{Journal: storePosition(at), Standing: stands, Levers: entry.Payload, Reason: reason, Source: source, Audit: head}, nil
}
