package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/models"
)

// Names in a data directory.
const (
	stateFile       = "validator_state.pt"
	projectionsFile = "projections.pt"
	lockFile        = "lock"
	journalFolder   = "journal"
	asideFolder     = "set-aside"
	auditFolder     = "audit"
)

// Directory is a data directory: the pattern memory and what makes it last
// (checkpoints, journal, operators' levers). It needs no LibTorch. An Engine
// has one inside; commands that only look after files open one themselves.
// Its methods are safe for concurrent use.
//
// A memory that no folder keeps is one too: see detachedDirectory.
type Directory struct {
	config   Config
	logger   hclog.Logger
	now      func() time.Time
	user     string // of this process
	version  string // of this program
	volatile bool   // nothing is written, and changes are welcome

	lock    *flock.Flock     // nil unless it writes
	store   *store.Store     // nil when volatile
	keys    *keys            // nil when volatile
	journal *journal.Journal // nil unless it writes
	audit   *auditor         // likewise

	weights     *models.Weights
	weightsFrom string
	projections map[int]*models.Projection
	memoryFrom  string
	first       *checkpoints.PatternSet // that a fresh directory begins with; nil: empty
	metadata    pickle.Value            // of the newest checkpoint, carried on
	recovery    Recovery

	memory     *memory.Memory
	levers     atomic.Pointer[Levers]
	quarantine atomic.Pointer[quarantine] // what it points to never changes
	approvals  atomic.Pointer[approvals]  // likewise

	// saving is held while a checkpoint is written or taken in, changing
	// while the memory changes. Where both are, saving is taken first.
	saving   gate
	changing gate
	waiting  queue
	saved    journal.Position // of the newest checkpoint; guarded by saving
	failed   *attempt         // that is tried first, the next time; guarded by saving
	unsaved  atomic.Bool      // patterns or levers changed since
	owed     []journal.Entry  // records that come before all others; guarded by changing
	complete bool             // opening succeeded: what it found may be saved
	closed   bool             // guarded by changing

	// observer is told of changes that are durable and committed, while
	// changing is held.
	observer observer
	// guard judges what is recorded. detectorState is what it left last, for
	// a directory without an engine to carry on; guarded by changing.
	guard         guard
	detectorState []byte
	learned       bool // the guard may know more than that; guarded by changing

	alarmed time.Time // when an alarm came last that is not in the levers; guarded by changing

	following *following  // nil unless it reads a folder
	untold    atomic.Bool // readers do not know of the last change

	watch *watch // nil: nobody monitors it

	autosave sync.WaitGroup
	stop     context.CancelFunc // of autosave; nil when there is none
	closing  sync.Once
	closeErr error
}

// observer follows the memory and the levers: an Engine keeps the validator
// and the policy in step.
type observer interface {
	patched([2]patch)
	replaced()
	leversChanged(Levers)
}

// Recovery says what opening a data directory had to do.
type Recovery struct {
	// Damaged are newer checkpoints that did not verify.
	Damaged []store.Damage
	// Journal counts what the journal held; CutBytes is an incomplete last
	// commit, which nobody was told of.
	Journal journal.Recovery
	// Replayed is the number of journal records after the checkpoint.
	Replayed int64
	// AuditCutBytes is an unfinished last line of the audit log; what it said
	// is derived again.
	AuditCutBytes int64
}

// OpenDirectory opens the data directory of a configuration, made when absent,
// and holds its lock until Close; with ReadOnly it only reads. Of the options
// WithLogger, WithClock, ReadOnly and AnyCapacity mean something here.
//
// Checkpoints are tried from the newest to the oldest; one that is damaged is
// set aside, and the next and the journal give the same memory. What cannot be
// trusted or no longer be had whole is a *VerificationError, and nothing is
// moved. A locked directory is a *LockedError; a setting that contradicts a
// file a *MismatchError or *memory.CapacityError.
func OpenDirectory(config Config, opts ...Option) (*Directory, error) {
	o := newOptions(opts)
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return openDirectory(config, &o, !o.readOnly, nil)
}

// openDirectory opens a directory; one that is fresh begins with the patterns
// given, if any.
func openDirectory(config Config, o *options, writes bool, first *checkpoints.PatternSet) (*Directory, error) {
	d := &Directory{
		config: config, logger: o.logger.Named("checkpoints"), now: o.now, version: o.version, user: UserName(uint32(os.Geteuid())),
		saving: newGate(), changing: newGate(), observer: nobody{}, guard: nobody{}, first: first,
	}
	d.levers.Store(&Levers{})
	d.quarantine.Store(&quarantine{})
	d.approvals.Store(&approvals{})
	var err error
	if d.config.Persistence.Dir, err = physical(config.Persistence.Dir); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if !writes {
		d.startFollowing()
	}
	if err := d.open(writes, o.anySize); err != nil {
		return nil, errors.Join(verification(err), d.Close())
	}
	if !writes {
		d.following.last = d.recovery.Journal.Last
	}
	if writes {
		if d.watch, err = openWatch(d, o); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	d.complete = true
	if every := time.Duration(config.Persistence.AutoSaveInterval); writes && every > 0 {
		d.startAutosave(every)
	}
	return d, nil
}

// detachedDirectory is a memory that no folder keeps: changes are welcome when
// the engine was asked to run in memory alone, else it only reads.
func detachedDirectory(config Config, o *options, m *memory.Memory, from string) *Directory {
	d := &Directory{
		config: config, logger: o.logger.Named("checkpoints"), now: o.now, volatile: o.inMemory,
		saving: newGate(), changing: newGate(), observer: nobody{}, guard: nobody{}, memory: m, memoryFrom: from,
	}
	d.levers.Store(&Levers{})
	d.quarantine.Store(&quarantine{})
	d.approvals.Store(&approvals{})
	return d
}

// path is a name within the directory.
func (d *Directory) path(name string) string { return filepath.Join(d.config.Persistence.Dir, name) }

// Config is the configuration that the directory was opened with.
func (d *Directory) Config() Config { return d.config }

// Recovered says what opening had to do.
func (d *Directory) Recovered() Recovery { return d.recovery }

// Levers are the operators' levers as they stand.
func (d *Directory) Levers() Levers { return *d.levers.Load() }

// Stats counts what the memory holds.
func (d *Directory) Stats() memory.Stats { return d.memory.Stats() }

// Patterns copies the memory.
func (d *Directory) Patterns() memory.Snapshot { return d.memory.Snapshot() }

// observe has an observer told of every change from now on, and a guard asked
// before.
func (d *Directory) observe(o observer, g guard) {
	_ = d.changing.lock(context.Background()) // such a context never ends
	defer d.changing.unlock()
	d.observer, d.guard = o, g
}

// writes says whether changes reach a disk.
func (d *Directory) writes() bool { return d.journal != nil }

// durable says whether a change is on the disk when it is acknowledged.
func (d *Directory) durable() bool { return d.journal != nil && d.journal.Durable() }

// usable says whether the memory may be changed. The caller holds changing.
func (d *Directory) usable() error {
	switch {
	case d.closed:
		return ErrClosed
	case !d.writes() && !d.volatile:
		return ErrReadOnly
	}
	return d.owned()
}

// owned is an error when this process may not write any more: the lock that it
// holds is not the directory's, since somebody removed it or the directory and
// another process may write there; or the key that it signs with was replaced.
func (d *Directory) owned() error {
	if d.lock == nil {
		return nil
	}
	held, err := d.lock.Stat()
	if err != nil {
		return fmt.Errorf("lock of the data directory: %w", err)
	}
	found, err := os.Lstat(d.path(lockFile))
	if err == nil && !os.SameFile(held, found) {
		err = errors.New("another file has its name")
	}
	if err != nil {
		return fmt.Errorf("lock of the data directory was taken away: %s: %w", d.path(lockFile), err)
	}
	return d.keys.inUse()
}

// PullLever changes the operators' levers, durably before it answers with
// what they are now. Batches judged from then on obey. What has to wait for a
// quiet period after an alarm is a *policy.RefusedError. While the audit log
// cannot be written, what would loosen anything is refused.
func (d *Directory) PullLever(ctx context.Context, change LeverChange) (Levers, error) {
	loosened := false
	after, err := d.stepLevers(ctx, func(l Levers, at time.Time) (Levers, error) {
		after, err := change.step(l, at, d.config.Safety.QuietPeriod.Span())
		if loosened = err == nil && after.looserThan(l); !loosened {
			return after, err
		}
		if err := d.audit.flush(false); err != nil {
			return l, fmt.Errorf("nothing is loosened while it cannot be put on record: %w", err)
		}
		return after, nil
	})
	if err != nil {
		return Levers{}, fmt.Errorf("safety lever: %w", err)
	}
	d.logger.Warn("an operator pulled a safety lever", "tier", after.Tier, "safe_mode", after.SafeMode,
		"require_human_approval", after.RequireHumanApproval, "stage", after.Stage, "by", after.By, "reason", after.Reason)
	if err := d.audit.flush(true); err != nil && loosened {
		return Levers{}, fmt.Errorf("safety lever: it is in force and in the journal, and not on record yet: %w", err)
	}
	if d.untold.Load() {
		return Levers{}, fmt.Errorf("safety lever: %w", errUntold)
	}
	return after, nil
}

// stepLevers makes a change of the levers durable and shows it: it waits for
// the changes and the batch in hand. The guard, which may need a device, is not
// asked.
func (d *Directory) stepLevers(ctx context.Context, step leverStep) (Levers, error) {
	if err := d.changing.lock(ctx); err != nil {
		return Levers{}, err
	}
	defer d.changing.unlock()
	if err := d.usable(); err != nil {
		return Levers{}, err
	}
	if err := d.pull(step); err != nil {
		return Levers{}, err
	}
	return d.Levers(), nil
}

// Close waits for work in hand, saves a checkpoint when outcomes came since
// the last one, and gives the lock back. When that checkpoint cannot be
// written the journal still holds every outcome. Later calls answer ErrClosed;
// a second Close answers what the first did.
func (d *Directory) Close() error {
	d.closing.Do(func() {
		if d.stop != nil {
			d.stop()
			d.autosave.Wait()
		}
		// Before the gates: a hook may pull a lever.
		errs := []error{d.watch.close()}
		ctx := context.Background() // it never ends, so the gates answer nil
		_ = d.saving.lock(ctx)
		defer d.saving.unlock()
		if d.complete && d.writes() && d.worthSaving() && d.keys.inUse() == nil {
			if _, err := d.save(ctx, d.user, "close", 0); err != nil {
				errs = append(errs, fmt.Errorf("%w (the journal holds every outcome)", err))
			}
		}
		_ = d.changing.lock(ctx)
		defer d.changing.unlock()
		if d.complete && d.writes() && d.owned() == nil {
			errs = append(errs, d.carryDetector())
			if d.untold.Load() { // nobody tells them later
				if d.tellReaders(); d.untold.Load() {
					errs = append(errs, errUntold)
				}
			}
		}
		d.closed = true
		errs = append(errs, d.audit.close(d.complete && d.owned() == nil))
		if d.journal != nil {
			errs = append(errs, d.journal.Close())
		}
		if d.lock != nil {
			errs = append(errs, d.lock.Close())
		}
		d.closeErr = errors.Join(errs...)
	})
	return d.closeErr
}

// nobody is the observer and the guard of directories that no engine uses.
type nobody struct{}

func (nobody) patched([2]patch)                       {}
func (nobody) leversChanged(Levers)                   {}
func (nobody) begin(bool) error                       { return nil }
func (nobody) commit()                                {}
func (nobody) rollback()                              {}
func (nobody) evicted(memory.Side, int64, []float32)  {}
func (nobody) accepted(memory.Side, []float32, int64) {}
func (nobody) released(*Held)                         {}
func (nobody) replaced()                              {}
func (nobody) resized()                               {}
func (nobody) state() ([]byte, error)                 { return nil, nil }

// snapshotOf is what a memory is restored from.
func snapshotOf(set *checkpoints.PatternSet) memory.Snapshot {
	side := func(from *checkpoints.PatternSide) memory.SideSnapshot {
		return memory.SideSnapshot{Rows: from.Rows, Timestamps: from.Timestamps, IDs: from.IDs, Importance: from.Importance}
	}
	return memory.Snapshot{
		Width: set.Width, Capacity: set.Capacity, Counter: set.Counter, NextID: set.NextID, Evictions: set.Evictions,
		Sides: [2]memory.SideSnapshot{memory.Safe: side(&set.Safe), memory.Unsafe: side(&set.Unsafe)},
	}
}

// patternSet is what a checkpoint keeps of a memory; its sequence is the
// store's to give.
func patternSet(m memory.Snapshot, at time.Time, metadata pickle.Value) *checkpoints.PatternSet {
	side := func(from *memory.SideSnapshot) checkpoints.PatternSide {
		return checkpoints.PatternSide{Rows: from.Rows, Timestamps: from.Timestamps, Importance: from.Importance, IDs: from.IDs}
	}
	return &checkpoints.PatternSet{
		Width: m.Width, Capacity: m.Capacity,
		Safe: side(&m.Sides[memory.Safe]), Unsafe: side(&m.Sides[memory.Unsafe]),
		Counter: m.Counter, NextID: m.NextID, Evictions: m.Evictions,
		SaveTime: float64(at.UnixMicro()) / 1e6, Metadata: metadata,
	}
}
