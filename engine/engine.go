package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/models"
)

// Engine judges batches and records outcomes. All its methods are safe for
// concurrent use.
type Engine struct {
	config Config
	logger hclog.Logger
	now    func() time.Time

	library     *torch.Library
	ownsLibrary bool
	device      torch.Device
	policy      torch.Policy

	// computing is held by whoever uses the validator and what is beside
	// it below. recording is held from an outcome's first change of the
	// memory to its publication, and is taken first where both are.
	computing gate
	recording gate

	validator *models.Validator
	sessions  *sessions
	scratch   scratch
	stale     bool // the validator's patterns lag behind the memory
	closed    bool

	memory   *memory.Memory
	store    *store // nil: nothing is written
	volatile bool   // changes are welcome although nothing is written

	closing  sync.Once
	closeErr error
}

// options of Open.
type options struct {
	logger   hclog.Logger
	now      func() time.Time
	library  *torch.Library
	readOnly bool
	inMemory bool
	anySize  bool
	files    files
}

// Option changes how an engine is opened.
type Option func(*options)

// WithLogger gives the engine a logger; without one it is silent.
func WithLogger(l hclog.Logger) Option { return func(o *options) { o.logger = l } }

// WithClock gives the engine another clock, for tests.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithLibrary gives the engine a library that is open already and stays the
// caller's. Engines of one process must share one.
func WithLibrary(l *torch.Library) Option { return func(o *options) { o.library = l } }

// ReadOnly opens the data directory without its lock and writes nothing:
// Record and Save answer ErrReadOnly.
func ReadOnly() Option { return func(o *options) { o.readOnly = true } }

// InMemory opens no data directory: the memory starts empty, or from the
// files named, and ends with the engine. Receipts say so.
func InMemory() Option { return func(o *options) { o.inMemory = true } }

// AnyCapacity opens a memory that holds more patterns than memory.capacity
// allows, with the capacity that it was saved with: for ResizeMemory.
func AnyCapacity() Option { return func(o *options) { o.anySize = true } }

// WithStateFile reads weights, state and, unless WithPatternsFile names
// others, patterns from a validator state_dict (.pt).
func WithStateFile(path string) Option { return func(o *options) { o.files.state = path } }

// WithProjectionsFile reads the projections from a .pt file.
func WithProjectionsFile(path string) Option { return func(o *options) { o.files.projections = path } }

// WithPatternsFile reads the pattern memory from a pattern checkpoint (.pt).
func WithPatternsFile(path string) Option { return func(o *options) { o.files.patterns = path } }

// Open makes an engine of a valid configuration. Unless InMemory is given it
// opens the data directory of the configuration, made when absent, and holds
// its lock until Close; with ReadOnly, or when files are named, it only reads.
//
// A missing LibTorch or device is a *torch.UnavailableError, found before
// anything else is read or made; a locked data directory a *LockedError; a
// setting that contradicts a file a *MismatchError.
func Open(ctx context.Context, config Config, opts ...Option) (*Engine, error) {
	o := options{logger: hclog.NewNullLogger(), now: time.Now}
	for _, opt := range opts {
		opt(&o)
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		config: config, logger: o.logger.Named("engine"), now: o.now,
		computing: newGate(), recording: newGate(),
		sessions: newSessions(config.Engine.MaxSessions),
		policy:   policyOf(&config),
		volatile: o.inMemory,
	}
	if err := e.open(ctx, &o); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context, o *options) error {
	var err error
	e.library = o.library
	if e.library == nil {
		if e.library, err = torch.Open(torch.Options{Threads: e.config.Engine.Threads}); err != nil {
			return err
		}
		e.ownsLibrary = true
	}
	if e.device, err = e.library.Device(e.config.Engine.Device); err != nil {
		return err
	}
	writes := !o.inMemory && !o.readOnly && o.files == (files{})
	loaded, store, err := load(&e.config, o.files, !o.inMemory, writes, o.logger.Named("checkpoints"), e.now)
	e.store = store
	if err != nil {
		return err
	}
	capacity := e.config.Memory.Capacity
	if o.anySize {
		capacity = max(capacity, loaded.memory.Capacity)
	}
	if e.memory, err = memory.Restore(loaded.memory, capacity); err != nil {
		return fmt.Errorf("%s: %w", loaded.memoryFrom, err)
	}
	e.validator, err = models.NewValidator(ctx, models.ValidatorOptions{
		Library: e.library, Device: e.device,
		Weights: loaded.weights, Projections: loaded.projections,
		MaxProjections: e.config.Safety.MaxCachedProjections,
		ProjectionSeed: e.config.Safety.ProjectionSeed,
		Drawn: func(width int) {
			e.logger.Warn("no file holds a projection of this width, one was drawn: its verdicts carry next to no signal and are at most review",
				"width", width, "workspace_dim", e.config.Safety.WorkspaceDim)
		},
	})
	if err != nil {
		return err
	}
	if err := e.publishAll(ctx); err != nil {
		return err
	}
	log := e.logger.Debug
	if o.files != (files{}) {
		log = e.logger.Info // files that were named need no signature: their use is on record
	}
	log("open", "device", e.DeviceName(), "workspace_dim", e.config.Safety.WorkspaceDim,
		"weights", loaded.weightsFrom, "memory", loaded.memoryFrom)
	return nil
}

// Config is the configuration that the engine was opened with.
func (e *Engine) Config() Config { return e.config }

// DeviceName is where the engine computes: cpu or cuda:N.
func (e *Engine) DeviceName() string { return e.device.String() }

// MemoryStats counts what the pattern memory holds.
func (e *Engine) MemoryStats() memory.Stats { return e.memory.Stats() }

// Patterns copies the pattern memory.
func (e *Engine) Patterns() memory.Snapshot { return e.memory.Snapshot() }

// Close waits for work in hand, frees the tensors
// and gives the lock of the data directory back. Later calls answer
// ErrClosed; a second Close answers what the first did.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		ctx := context.Background()
		_ = e.recording.lock(ctx) // a background context never ends
		defer e.recording.unlock()
		_ = e.computing.lock(ctx)
		defer e.computing.unlock()
		e.closed = true
		var errs []error
		if e.validator != nil {
			errs = append(errs, e.validator.Close())
		}
		if e.store != nil {
			errs = append(errs, e.store.close())
		}
		if e.ownsLibrary {
			errs = append(errs, e.library.Close())
		}
		e.closeErr = errors.Join(errs...)
	})
	return e.closeErr
}
