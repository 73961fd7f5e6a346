package engine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/gofrs/flock"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/models"
)

// readAttempts is how often a reader begins again when the writer beside it
// dropped a file between the listing and the reading.
const readAttempts = 5

// open reads everything; on an error the caller closes.
func (d *Directory) open(writes, anySize bool) error {
	if writes {
		if err := d.acquire(); err != nil {
			return err
		}
	}
	keys, err := openKeys(&d.config, writes, d.logger)
	if err != nil {
		return err
	}
	d.keys = keys
	if d.store, err = openStore(&d.config, keys, d.logger, d.now); err != nil {
		return err
	}
	if !writes {
		for attempt := 1; ; attempt++ {
			err := d.read(keys)
			if err == nil || attempt == readAttempts || !raced(err) {
				return errors.Join(err, d.fitWhenRead(err, anySize))
			}
		}
	}
	if err := d.openToWrite(keys, anySize); err != nil {
		return err
	}
	d.store.SetDamagedAside(d.recovery.Damaged) // not before: a refusal moves nothing
	return nil
}

// raced says whether an error may come from a writer beside the reader: it
// dropped old files, made the first checkpoint, or took a failed commit back.
func raced(err error) bool {
	for _, reason := range []error{fs.ErrNotExist, journal.ErrMissing, journal.ErrDamaged, store.ErrNoneLeft} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

func (d *Directory) fitWhenRead(err error, anySize bool) error {
	if err != nil {
		return nil
	}
	return d.fit(anySize, func(capacity int) error {
		tx := d.memory.Begin()
		defer tx.Rollback()
		if _, err := tx.Resize(capacity); err != nil {
			return err
		}
		tx.Commit()
		return nil
	})
}

// acquire makes the directory when it is absent, and takes its lock.
func (d *Directory) acquire() error {
	if err := disk.MakeFolder(d.config.Persistence.Dir); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	lock := flock.New(d.path(lockFile), flock.SetPermissions(0o600), flock.SetFlag(os.O_CREATE|os.O_RDONLY|syscall.O_NOFOLLOW))
	got, err := lock.TryLock()
	switch {
	case err != nil:
		return fmt.Errorf("lock of the data directory: %w", err)
	case !got:
		return &LockedError{Path: d.path(lockFile)}
	}
	d.lock = lock
	return d.owned() // somebody may have removed the file meanwhile
}

// read opens the directory for reading: the newest checkpoint that verifies
// and the journal after it.
func (d *Directory) read(keys *keys) error {
	d.recovery, d.memory = Recovery{}, nil
	d.levers.Store(&Levers{})
	d.quarantine.Store(&quarantine{})
	d.approvals.Store(&approvals{})
	loaded, err := d.store.Newest()
	if err != nil {
		return err
	}
	if err := d.readWeights(loaded); err != nil {
		return err
	}
	options := journalOptions(&d.config, keys, d.now)
	from, err := d.begin(loaded)
	if err != nil {
		return err
	}
	if loaded != nil && loaded.Manifest != nil {
		r := d.newReplay(options, from, loaded.Manifest)
		d.recovery.Journal, err = journal.Replay(options, from, r.record)
		return d.replayed(r, err)
	}
	return d.refuseJournal(options)
}

// openToWrite opens the directory with its journal, and brings everything to
// where a writer leaves it: weights saved, a checkpoint there, the capacity as
// configured.
func (d *Directory) openToWrite(keys *keys, anySize bool) error {
	loaded, err := d.store.Newest()
	if err != nil {
		return err
	}
	if err := d.readWeights(loaded); err != nil {
		return err
	}
	options := journalOptions(&d.config, keys, d.now)
	from, err := d.begin(loaded)
	if err != nil {
		return err
	}
	if loaded == nil || loaded.Manifest == nil {
		return d.startFresh(options, anySize)
	}
	settings, err := d.openAudit(from, loaded.Manifest.Sequence)
	if err != nil {
		return err
	}
	r := d.newReplay(options, from, loaded.Manifest)
	r.audit = d.audit
	d.journal, d.recovery.Journal, err = journal.Open(options, from, r.record)
	if err := d.replayed(r, err); err != nil {
		return err
	}
	d.unsaved.Store(r.unsaved)
	if r.unsaved { // its writer was killed, perhaps before it told readers
		d.tellReaders()
	}
	if d.saved = from; r.changes == 0 {
		d.saved = d.journal.Position() // it only carries on what stood there
	}
	if cut := d.recovery.Journal.CutBytes; cut > 0 {
		d.logger.Warn("the journal ended in a commit that was never completed, nobody was told of it: cut",
			"segment", d.recovery.Journal.CutSegment, "bytes", cut)
	}
	if err := d.startAudit(settings); err != nil {
		return err
	}
	if err := d.finishReplacement(loaded, r); err != nil {
		return err
	}
	if err := d.fit(anySize, d.journaledResize); err != nil {
		return err
	}
	_ = d.audit.flush(true) // it has said so; a full disk must not keep out who makes room
	return nil
}

// begin makes the memory and the levers of a checkpoint; nil: of a fresh
// directory.
func (d *Directory) begin(loaded *store.Loaded) (from journal.Position, err error) {
	if loaded == nil {
		return from, d.beginFresh()
	}
	d.recovery.Damaged = loaded.Damaged
	set := loaded.Patterns
	if want := 2 * d.config.Safety.WorkspaceDim; set.Width != want {
		return from, &MismatchError{Setting: "safety.workspace_dim", Want: want / 2, File: loaded.Path, Got: set.Width / 2}
	}
	if d.memory, err = memory.Restore(snapshotOf(set), set.Capacity); err != nil {
		return from, fmt.Errorf("%s: %w", loaded.Path, err)
	}
	d.memoryFrom, d.metadata = loaded.Path, set.Metadata
	if loaded.Manifest == nil {
		return from, nil
	}
	levers, err := parseLevers(loaded.Manifest.Levers)
	if err != nil {
		return from, &VerificationError{File: loaded.Path, Err: err}
	}
	d.levers.Store(&levers)
	return journalPosition(loaded.Manifest.Journal)
}

// beginFresh makes the memory of a directory without checkpoints: what it is
// to begin with, or what a state_dict brought, or empty.
func (d *Directory) beginFresh() (err error) {
	switch {
	case d.first != nil:
		if want := 2 * d.config.Safety.WorkspaceDim; d.first.Width != want {
			return fmt.Errorf("patterns of width %d, expected %d for a workspace of %d", d.first.Width, want, want/2)
		}
		d.memory, err = memory.Restore(snapshotOf(d.first), d.first.Capacity)
		d.memoryFrom, d.metadata = "the patterns given", d.first.Metadata
	case d.memory == nil: // readWeights has set what a state_dict brought
		d.memory, err = memory.New(2*d.config.Safety.WorkspaceDim, d.config.Memory.Capacity)
		d.memoryFrom = "empty"
	}
	return err
}

// refuseJournal answers an error when a journal holds records although no
// checkpoint says where they begin: what they belonged to is gone.
func (d *Directory) refuseJournal(options journal.Options) error {
	found, err := journal.Verify(options)
	switch {
	case errors.Is(err, journal.ErrMissing):
		return nil
	case err != nil:
		return err
	case found.Records > 0:
		return fmt.Errorf("%s holds %d records, but the checkpoint that they continue is gone: %w", options.Dir, found.Records, store.ErrNoneLeft)
	}
	return nil
}

// startFresh gives a directory without a checkpoint of its own a journal and
// a first checkpoint.
func (d *Directory) startFresh(options journal.Options, anySize bool) error {
	if err := d.refuseJournal(options); err != nil {
		return err
	}
	if err := d.fitWhenRead(nil, anySize); err != nil {
		return err
	}
	if err := d.saveDrawnWeights(); err != nil {
		return err
	}
	var err error
	d.journal, err = journal.Create(options, journal.Position{})
	if errors.Is(err, journal.ErrExists) { // made by a writer that came no further
		d.journal, d.recovery.Journal, err = journal.Open(options, journal.Position{}, func(journal.Record) error { return nil })
	}
	if err != nil {
		return err
	}
	settings, err := d.openAudit(journal.Position{}, 0)
	if err == nil {
		err = d.startAudit(settings)
	}
	if err != nil {
		return err
	}
	// Whatever the journal is given from here on continues a checkpoint.
	position := d.journal.Position()
	stands, err := d.carry(false)
	if err != nil {
		return err
	}
	about, err := d.aboutCheckpoint(position, stands, d.Levers(), "created", 0)
	if err != nil {
		return err
	}
	saved, err := d.store.Save(patternSet(d.memory.Snapshot(), d.now(), d.metadata), about)
	if err != nil {
		return fmt.Errorf("first checkpoint: %w", err)
	}
	d.saved = d.journal.Position()
	d.audit.saved(saved, "", saved.Manifest.Sequence, false)
	return d.audit.flush(true)
}

// fit brings the memory to the configured capacity. A memory that holds more
// patterns is a *memory.CapacityError, unless any size will do.
func (d *Directory) fit(anySize bool, resize func(int) error) error {
	want, stats := d.config.Memory.Capacity, d.memory.Stats()
	if anySize || stats.Capacity == want {
		return nil
	}
	for _, side := range memory.Sides() {
		if n := stats.Patterns[side]; n > want {
			return fmt.Errorf("%s: %w", d.memoryFrom, &memory.CapacityError{Side: side, Patterns: n, Capacity: want})
		}
	}
	return resize(want)
}

// readWeights reads or draws the weights, reads the projections, and where
// there is no checkpoint takes the patterns inside the state_dict.
func (d *Directory) readWeights(loaded *store.Loaded) error {
	n := d.config.Safety.WorkspaceDim
	path := d.path(stateFile)
	data, _, err := d.store.ReadFile(stateFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if loaded != nil && loaded.Manifest != nil {
			return &VerificationError{File: path, Err: errors.New("is missing, while checkpoints are there: its weights cannot be guessed")}
		}
		d.weights, d.weightsFrom = models.DrawWeights(d.config.Safety.Seed, n), drawnFrom(d.config.Safety.Seed)
	case err != nil:
		return err
	default:
		state, err := checkpoints.ParseValidatorState(path, data)
		if err != nil {
			return err
		}
		if state.Dim != n {
			return &MismatchError{Setting: "safety.workspace_dim", Want: n, File: path, Got: state.Dim}
		}
		d.weights, d.weightsFrom = models.WeightsOf(state), path
		if loaded == nil {
			if d.memory, err = memory.Restore(snapshotOf(&state.Patterns), state.Patterns.Capacity); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			d.memoryFrom, d.metadata = path, state.Patterns.Metadata
		}
	}
	return d.readProjections()
}

func drawnFrom(seed int64) string { return fmt.Sprintf("drawn from safety.seed %d", seed) }

func (d *Directory) readProjections() error {
	path := d.path(projectionsFile)
	data, _, err := d.store.ReadFile(projectionsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := checkpoints.ParseProjections(path, data)
	if err != nil {
		return err
	}
	if want := d.config.Safety.WorkspaceDim; len(p.ByWidth) > 0 && p.Dim != want {
		return &MismatchError{Setting: "safety.workspace_dim", Want: want, File: path, Got: p.Dim}
	}
	d.projections = models.ProjectionsOf(p)
	return nil
}

// saveDrawnWeights saves the weights of a fresh directory.
func (d *Directory) saveDrawnWeights() error {
	path := d.path(stateFile)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	state := models.StateOf(d.weights, d.config.Memory.Capacity)
	if err := d.store.SaveFile(stateFile, func(w io.Writer) error {
		return checkpoints.WriteValidatorState(w, container.Root(stateFile), state)
	}); err != nil {
		return fmt.Errorf("save drawn weights: %w", err)
	}
	d.logger.Info("drew the weights of a fresh validator", "path", path, "seed", d.config.Safety.Seed)
	return nil
}

// storePosition and journalPosition translate between the packages, which do
// not know each other.
func storePosition(p journal.Position) store.Position {
	return store.Position{Sequence: p.Sequence, Chain: hex.EncodeToString(p.Chain[:])}
}

func journalPosition(p store.Position) (out journal.Position, err error) {
	chain, err := hex.DecodeString(p.Chain)
	if err != nil || len(chain) != len(out.Chain) {
		return out, fmt.Errorf("manifest: chain %q, expected %d hexadecimal digits", p.Chain, 2*len(out.Chain))
	}
	out.Sequence = p.Sequence
	copy(out.Chain[:], chain)
	return out, nil
}
