package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
	"github.com/fdqc-cockpit/fdqc/models"
)

// Engine judges batches and records outcomes. All its methods are safe for
// concurrent use.
type Engine struct {
	config Config
	logger hclog.Logger

	library     *torch.Library
	ownsLibrary bool
	device      device

	// computing is held by whoever uses the validator, the policy and what
	// is beside them below. Where the directory's gates are held too, they
	// are taken first.
	computing gate

	policy    torch.Policy
	validator *models.Validator
	sessions  *sessions
	scratch   scratch
	shadow    *policy.Shadow // nil: none
	stale     bool           // the validator's patterns lag behind the memory
	closed    bool

	// gatekeeper has the detector. It is used while the directory changes.
	gatekeeper *gatekeeper

	actions *policy.Gate // checks of structured actions

	// directory has the memory, and what makes it last.
	directory *Directory

	closing  sync.Once
	closeErr error
}

// options of Open.
type options struct {
	logger   hclog.Logger
	now      func() time.Time
	library  *torch.Library
	version  string
	readOnly bool
	inMemory bool
	anySize  bool
	root     string
	files    files
	// undetected has everything that is recorded stored.
	undetected bool

	registerer  prometheus.Registerer // nil: the metrics are nobody's
	onCritical  func(monitor.Alert)   // may be nil
	unmonitored bool
	// delivers has alerts leave the process. A command that opens a directory
	// for a moment, to pull a lever, must not fail over a secret.
	delivers bool
}

// Option changes how an engine or a data directory is opened.
type Option func(*options)

func newOptions(opts []Option) options {
	o := options{logger: hclog.NewNullLogger(), now: time.Now, root: "."}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// WithLogger gives the engine a logger; without one, or with nil, it is silent.
func WithLogger(l hclog.Logger) Option {
	return func(o *options) {
		if l != nil {
			o.logger = l
		}
	}
}

// WithClock gives the engine another clock, for tests.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithVersion says which build this is: the audit log puts it down.
func WithVersion(version string) Option { return func(o *options) { o.version = version } }

// WithLibrary gives the engine a library that is open already and stays the
// caller's. Engines of one process must share one.
func WithLibrary(l *torch.Library) Option { return func(o *options) { o.library = l } }

// ReadOnly opens the data directory without its lock and writes nothing:
// Record and Save answer ErrReadOnly. Batches obey levers that are pulled later,
// and are judged by a memory that is put in later; not by what is recorded.
func ReadOnly() Option { return func(o *options) { o.readOnly = true } }

// InMemory opens no data directory: the memory starts empty, or from the
// files named, and ends with the engine. Receipts say so.
func InMemory() Option { return func(o *options) { o.inMemory = true } }

// WithActionRoot names the folder that the relative paths of structured actions
// start from; without it, it is the working directory.
func WithActionRoot(dir string) Option { return func(o *options) { o.root = dir } }

// AnyCapacity opens a memory that holds more patterns than memory.capacity
// allows, with the capacity that it was saved with: for ResizeMemory.
func AnyCapacity() Option { return func(o *options) { o.anySize = true } }

// WithoutDetector stores every outcome, whatever the configuration's detector
// would make of it: for replaying what was decided already, and for measuring
// what the detector is worth.
func WithoutDetector() Option { return func(o *options) { o.undetected = true } }

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
	o := newOptions(opts)
	o.delivers = true
	if err := config.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		config: config, logger: o.logger.Named("engine"),
		computing: newGate(),
		sessions:  newSessions(config.Engine.MaxSessions),
		shadow:    newShadow(&config.Shadow),
	}
	if err := e.open(ctx, &o); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context, o *options) error {
	var err error
	if e.actions, err = newActionGate(&e.config.Safety, o.root, o.now); err != nil {
		return err
	}
	e.library = o.library
	if e.library == nil {
		if e.library, err = torch.Open(torch.Options{Threads: e.config.Engine.Threads}); err != nil {
			return err
		}
		e.ownsLibrary = true
	}
	on, err := e.library.Device(e.config.Engine.Device)
	if err != nil {
		return err
	}
	loaded, err := e.load(o)
	if err != nil {
		return err
	}
	if e.directory.watch == nil {
		if e.directory.watch, err = openWatch(e.directory, o); err != nil {
			return err
		}
	}
	e.directory.watch.serves(e)
	e.policy = policyOf(&e.config, e.directory.Levers())
	if err := e.openValidator(ctx, on, loaded); err != nil {
		return err
	}
	if err := e.publish(ctx); err != nil {
		return err
	}
	e.gatekeeper = &gatekeeper{engine: e}
	if !o.undetected && e.directory.Changes() {
		if e.gatekeeper, err = newGatekeeper(ctx, e); err != nil {
			return err
		}
	}
	e.directory.observe(e, e.gatekeeper)
	log := e.logger.Debug
	if o.files != (files{}) {
		log = e.logger.Info // files that were named need no signature: their use is on record
	}
	log("open", "device", e.DeviceName(), "workspace_dim", e.config.Safety.WorkspaceDim,
		"weights", loaded.weightsFrom, "memory", e.directory.memoryFrom)
	return nil
}

// Config is the configuration that the engine was opened with.
func (e *Engine) Config() Config { return e.config }

// MemoryStats counts what the pattern memory holds.
func (e *Engine) MemoryStats() memory.Stats { return e.directory.Stats() }

// Patterns copies the pattern memory.
func (e *Engine) Patterns() memory.Snapshot { return e.directory.Patterns() }

// Directory is the data directory behind the engine, for looking after its
// files: checkpoints, levers, rollback. What is changed there the engine's next
// batch obeys. It belongs to the engine, which closes it.
func (e *Engine) Directory() *Directory { return e.directory }

// Close waits for work in hand, saves a checkpoint when outcomes came since the
// last one, frees the tensors and gives the lock of the data directory back.
// Later calls answer ErrClosed; a second Close answers what the first did.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		var errs []error
		if e.directory != nil {
			errs = append(errs, e.directory.Close())
		}
		_ = e.computing.lock(context.Background()) // such a context never ends
		defer e.computing.unlock()
		e.closed = true
		if e.validator != nil {
			errs = append(errs, e.validator.Close())
		}
		if e.ownsLibrary {
			errs = append(errs, e.library.Close())
		}
		e.closeErr = errors.Join(errs...)
	})
	return e.closeErr
}
