package migrate

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/models"
)

// keptFolder is where files go, byte for byte, that decide nothing any more:
// out of the way of the engine's own names and of the Python system's globs.
const keptFolder = "python"

// Options of Run.
type Options struct {
	// From is the folder of the Python installation, To the data directory
	// to be made.
	From, To string
	// Policy is its config/policy.yaml; empty: none.
	Policy string
	// DryRun judges everything and writes nothing.
	DryRun bool
	// Config says with which key the data directory is signed; what it
	// says about safety is not written.
	Config engine.Config
	// Logger gets a line a file; nil: silent.
	Logger hclog.Logger
}

// Run makes a data directory of a Python installation's folder and reports on
// every file of it. See the package for what is promised.
//
// The report is nil when the paths or the policy cannot be used by
// themselves. A context that ends stops the work between two files.
func Run(ctx context.Context, o Options) (*Report, error) {
	from, to, err := checkPaths(o.From, o.To)
	if err != nil {
		return nil, err
	}
	var said *policyFile
	if o.Policy != "" {
		if said, err = readPolicy(o.Policy); err != nil {
			return nil, err
		}
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	m := &migration{
		options: o, source: newSource(from), policy: said, logger: o.Logger.Named("migrate"),
		report: &Report{From: from, To: to, DryRun: o.DryRun, Files: []File{}, Settings: []Setting{}, Warnings: []string{}},
	}
	err = m.run(ctx)
	return m.report, err
}

// migration is one Run at work.
type migration struct {
	options Options
	source  *source
	logger  hclog.Logger
	report  *Report

	policy  *policyFile // nil: none
	read    []*input
	current map[Kind]*input
}

// input is a file with a known name, as far as it could be read.
type input struct {
	file    *File
	written time.Time
	data    []byte
	root    pickle.Value

	patterns    *checkpoints.PatternSet
	state       *checkpoints.ValidatorState
	projections *checkpoints.Projections
}

func (m *migration) run(ctx context.Context) error {
	if err := m.scan(ctx); err != nil {
		return err
	}
	contents := m.assemble()
	err := m.settings(contents)
	refused := m.report.count()
	for i := range m.report.Files {
		f := &m.report.Files[i]
		m.logger.Debug(string(f.Result), "file", f.Name, "kind", string(f.Kind), "how", f.How)
	}
	switch {
	case err != nil:
		return err
	case len(m.read) == 0:
		return inputf("%s holds no file of a Python installation (patterns_*.pt, *validator*.pt, projections*.pt, embedding_cache*.pt, ppo*.pt, imagination*.pt, vector_memory_*.pkl)", m.report.From)
	case slices.ContainsFunc(refused, func(f *File) bool { return f.Current && f.Kind.decides() }):
		return refusedError(refused, false)
	}
	if !m.options.DryRun {
		config, err := m.config(contents)
		if err == nil {
			err = engine.CreateDirectory(m.report.To, config, *contents, m.options.Logger)
		}
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		m.report.Made = true
		m.logger.Info("made a data directory", "from", m.report.From, "to", m.report.To, "files", len(m.read), "refused", len(refused))
	}
	if len(refused) > 0 {
		return refusedError(refused, m.report.Made)
	}
	return nil
}

// scan reads every file whose name is known and finds the current ones.
func (m *migration) scan(ctx context.Context) error {
	entries, err := m.source.list()
	if err != nil {
		return inputf("--from: %w", err)
	}
	m.report.Files = make([]File, len(entries)) // stays in place: inputs point into it
	for i, entry := range entries {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		f := &m.report.Files[i]
		f.Name, f.Kind = entry.Name(), kindOf(entry.Name())
		if f.Kind == NoKind {
			f.Result, f.How = Unknown, "no glob of the Python system; left in the source"
			if entry.IsDir() {
				f.How = "a folder, which the Python system's globs do not enter; left in the source"
			}
			continue
		}
		in := &input{file: f}
		m.read = append(m.read, in)
		m.take(in, entry)
	}
	m.choose()
	return nil
}

// take reads and verifies one file.
func (m *migration) take(in *input, entry fs.DirEntry) {
	f := in.file
	info, err := entry.Info()
	if err != nil {
		f.refuse(err)
		return
	}
	in.written = info.ModTime()
	if why := irregular(entry.Type()); why != "" {
		f.refuse(errors.New(why))
		return
	}
	if in.data, err = m.source.read(f.Name); err != nil {
		f.refuse(err)
		return
	}
	sum := sha256.Sum256(in.data)
	f.Bytes, f.SHA256 = int64(len(in.data)), hex.EncodeToString(sum[:])
	if err := in.parse(f.Name); err != nil {
		f.refuse(err)
		return
	}
	f.Result = Taken
}

// parse verifies a file by the strict reader of its kind.
func (in *input) parse(name string) (err error) {
	f := in.file
	switch f.Kind {
	case VectorIndex:
		return checkJSON(name, in.data)
	case VectorMemory:
		memory, err := checkpoints.ParseVectorMemory(name, in.data)
		if err == nil {
			f.Items, err = documentItems(name, memory)
		}
		return err
	}
	if in.root, err = load(name, in.data); err != nil {
		return err
	}
	switch f.Kind {
	case Patterns:
		in.patterns, err = checkpoints.ParsePatterns(name, in.data)
	case Validator:
		in.state, err = checkpoints.ParseValidatorState(name, in.data)
	case Projections:
		in.projections, err = checkpoints.ParseProjections(name, in.data)
	}
	if err != nil {
		return err
	}
	// The readers of what decides look at the numbers that count.
	f.Items, err = tensorsOf(name, in.root, !f.Kind.decides())
	return err
}

// checkJSON verifies that a file is one JSON value.
func checkJSON(name string, data []byte) error {
	if !json.Valid(bytes.TrimSpace(data)) {
		return &checkpoints.FileError{File: name, Err: errors.New("is not valid JSON, expected the index of a vector memory")}
	}
	return nil
}

// choose finds the current file of each kind that decides: of patterns the
// last by name, as the Python system does; of the others the one with the
// usual name, else the one that was written last. A file that was refused
// counts, or an older one would silently take its place.
func (m *migration) choose() {
	m.current = map[Kind]*input{}
	for _, in := range m.read {
		kind := in.file.Kind
		if !kind.decides() {
			continue
		}
		now := m.current[kind]
		if now == nil || newer(in, now) {
			m.current[kind] = in
		}
	}
	for _, in := range m.current {
		in.file.Current = true
	}
}

// newer says whether a file rather than b is current.
func newer(a, b *input) bool {
	byName := cmp.Compare(a.file.Name, b.file.Name)
	if a.file.Kind == Patterns {
		return byName > 0
	}
	usual := func(in *input) int { // the first of the usual names is the best
		i := slices.Index(usualNames[in.file.Kind], in.file.Name)
		if i < 0 {
			i = len(usualNames[in.file.Kind])
		}
		return -i
	}
	return cmp.Or(cmp.Compare(usual(a), usual(b)), a.written.Compare(b.written), byName) > 0
}

// assemble decides what becomes of each file that was verified.
func (m *migration) assemble() *engine.Contents {
	c := &engine.Contents{Copies: map[string][]byte{}}
	m.agree()
	if in := m.usable(Validator); in != nil {
		c.State = in.state
		memoryFrom := ""
		if patterns := m.current[Patterns]; patterns != nil {
			memoryFrom = patterns.file.Name
		}
		in.file.To, in.file.How = "validator_state.pt", "weights and state; the memory is in "+memoryFrom
		if memoryFrom == "" {
			in.file.How = "weights, state and the memory: " + in.state.Patterns.String()
		}
		in.file.setItems(stateItems(in.root, in.state, memoryFrom))
	}
	if in := m.usable(Patterns); in != nil {
		c.Patterns = in.patterns
		in.file.To, in.file.How = "patterns_*.pt", "the memory: "+in.patterns.String()
		in.file.setItems(patternItems(in.root, in.patterns))
	}
	if in := m.usable(Projections); in != nil {
		c.Projections = in.projections
		in.file.To, in.file.How = "projections.pt", fmt.Sprintf("projections of %d widths", len(in.projections.ByWidth))
		in.file.setItems(projectionItems(in.root))
	}
	for _, in := range m.read {
		f := in.file
		switch {
		case f.Result == Refused || f.Current && f.Kind.decides():
		case f.Kind.decides():
			f.To = keptFolder + "/" + f.Name
			f.How = "verified and kept byte for byte; current is " + m.current[f.Kind].file.Name
			c.Copies[f.To] = in.data
		default:
			f.To, f.How = f.Name, "verified and copied byte for byte"
			c.Copies[f.To] = in.data
		}
	}
	return c
}

// usable is the current file of a kind, nil when there is none or it was
// refused.
func (m *migration) usable(kind Kind) *input {
	in := m.current[kind]
	if in == nil || in.file.Result == Refused {
		return nil
	}
	return in
}

// agree refuses current files that the engine cannot work with, or that were
// made with another workspace than the ones before them.
func (m *migration) agree() {
	workspace, says := 0, ""
	for _, kind := range []Kind{Validator, Patterns, Projections} {
		in := m.usable(kind)
		if in == nil {
			continue
		}
		n, err := in.workspace(m.current[Patterns] == nil)
		if err == nil && n != 0 && workspace != 0 && n != workspace {
			err = fmt.Errorf("was made with a workspace of %d, %s with %d", n, says, workspace)
		}
		if err != nil {
			in.file.refuse(err)
			continue
		}
		if workspace == 0 && n != 0 {
			workspace, says = n, in.file.Name
		}
	}
}

// workspace is the width that a current file was made with, 0 when it does
// not say. isMemory: the patterns of a validator state are the memory.
func (in *input) workspace(isMemory bool) (int, error) {
	switch in.file.Kind {
	case Validator:
		err := models.WeightsOf(in.state).Validate()
		if err == nil && isMemory {
			err = checkSet(&in.state.Patterns)
		}
		return in.state.Dim, err
	case Patterns:
		return in.patterns.Width / 2, checkSet(in.patterns)
	default:
		return in.projections.Dim, checkProjections(in.projections)
	}
}

// setItems records what became of a file's values; one that changed makes
// the file a changed one.
func (f *File) setItems(items []Item) {
	f.Items = items
	if slices.ContainsFunc(items, func(i Item) bool { return i.Result != Taken }) {
		f.Result = Changed
	}
}
