package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

// Report says what a log holds.
type Report struct {
	// Files, Entries and Signatures count what is there; First is the sequence of the first entry.
	Files, Entries, Signatures int
	First                      int64
	// Head is the last entry, Last the last one that is no signature.
	Head Head
	Last Entry
	// SignedThrough is the last entry that a signature covers, SignedAt when that was made; 0 without any.
	SignedThrough int64
	SignedAt      time.Time
	// Torn is the size of an unfinished last line in bytes, TornPath its file: a crash left it, or a writer is at it.
	Torn     int64
	TornPath string
	// Restarted says why the log begins with another entry than 1: an operator gave up the one before.
	Restarted string
}

// Known is a head that is known from elsewhere.
type Known struct {
	Head
	From string // where, for people
}

// about is the data of the first line of a file.
type about struct {
	Format int `json:"format"`
	// Restarted is why the log begins here, in the first file of one that continues another, which was given up.
	Restarted string `json:"restarted,omitzero"`
	// Log is the caller's, see Log.Carry.
	Log any `json:"log,omitzero"`
}

// walker reads files in order and verifies them.
type walker struct {
	options *Options
	visit   func(*Entry) error // may be nil
	known   map[int64][]Known

	report   Report
	unsigned int       // entries since the last signature that counts
	since    time.Time // of the first of them

	// Of the file at hand.
	path string
	line int
	size int64 // up to the last whole line
}

// file reads one file. Only the last one may end in an unfinished line.
func (w *walker) file(s disk.Numbered, last bool) (err error) {
	f, err := openRegular(s.Path)
	if err != nil {
		return fmt.Errorf("read audit log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w.path, w.line, w.size = s.Path, 0, 0
	reader := bufio.NewReaderSize(f, MaxLine+1)
	for {
		text, err := reader.ReadSlice('\n')
		if err == nil {
			w.line++
			if err := w.entry(text[:len(text)-1], s); err != nil {
				return err
			}
			w.size += int64(len(text))
			continue
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("read audit log: %s: %w", w.path, err)
		}
		if len(text) > 0 || errors.Is(err, bufio.ErrBufferFull) {
			if err := w.rest(bytes.Clone(text), reader, last); err != nil {
				return err
			}
		}
		break
	}
	if w.line == 0 && !last {
		return w.damage(w.report.Head.Sequence+1, Dropped, "the file is empty")
	}
	w.report.Files++
	return nil
}

// rest looks at what follows the last line break: at most one line, perhaps filled up with zeros that were never written.
func (w *walker) rest(text []byte, more io.Reader, last bool) error {
	w.line++
	size := int64(len(text))
	whole := len(bytes.TrimRight(text, "\x00")) <= MaxLine
	buffer := make([]byte, MaxLine)
	for {
		n, err := more.Read(buffer)
		whole = whole && len(bytes.Trim(buffer[:n], "\x00")) == 0
		size += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read audit log: %s: %w", w.path, err)
		}
	}
	if !last || !whole {
		return w.damage(w.report.Head.Sequence+1, Changed, "the file goes on with %d bytes that are no line", size)
	}
	w.report.Torn, w.report.TornPath = size, w.path
	return nil
}

// entry checks one line.
func (w *walker) entry(text []byte, s disk.Numbered) error {
	next := w.report.Head.Sequence + 1
	e, err := decode(text)
	if err == nil && w.report.Entries == 0 && w.line == 1 && s.First > 1 {
		next = w.restarted(e, next)
	}
	switch {
	case err != nil:
		return w.damage(next, Changed, "%v", err)
	case e.Sequence != next:
		return w.misplaced(e, next)
	case w.line == 1 && e.Sequence != s.First:
		return w.damage(e.Sequence, Changed, "its file is named after entry %d", s.First)
	case (w.line == 1) != (e.Event == EventFile):
		return w.damage(next, Changed, "it is a %s in line %d, expected a %s in the first line and nowhere else", e.Event, w.line, EventFile)
	case e.Previous != w.report.Head.previous():
		d := w.damage(max(1, next-1), Changed, "entry %d continues an entry with the hash %s, its own is %s", next, e.Previous, w.report.Head.previous())
		d.Line = max(1, w.line-1)
		return d
	case e.Journal < w.report.Head.Journal || e.Checkpoint < w.report.Head.Checkpoint:
		return w.damage(next, Changed, "it is complete up to journal record %d and checkpoint %d, the one before up to %d and %d", e.Journal, e.Checkpoint, w.report.Head.Journal, w.report.Head.Checkpoint)
	}
	if e.Event == EventFile {
		if err := w.header(e); err != nil {
			return err
		}
	}
	if err := w.trust(e); err != nil {
		return err
	}
	if w.report.Entries == 0 {
		w.report.First = e.Sequence
	}
	w.report.Entries++
	w.report.Head = Head{Sequence: e.Sequence, Hash: e.Hash, Journal: e.Journal, Checkpoint: e.Checkpoint}
	if e.Event != EventSigned {
		w.report.Last = *e
	}
	for _, k := range w.known[e.Sequence-1] {
		if k.Hash != e.Previous {
			return w.damage(e.Sequence-1, Changed, "entry %d continues one with the hash %s, %s knows it as %s", e.Sequence, e.Previous, k.From, k.Hash)
		}
	}
	for _, k := range w.known[e.Sequence] {
		if k.Hash != e.Hash {
			return w.damage(e.Sequence, Changed, "it has the hash %s, %s knows it as %s: it was written anew, or one before it", e.Hash, k.From, k.Hash)
		}
		if k.Journal > e.Journal {
			return w.damage(e.Sequence, Changed, "it is complete up to journal record %d, %s says %d", e.Journal, k.From, k.Journal)
		}
	}
	if w.visit != nil {
		return w.visit(e)
	}
	return nil
}

// restarted lets a log begin with another entry than 1 where its first line says that it was restarted, and answers the sequence that
// is expected.
func (w *walker) restarted(e *Entry, next int64) int64 {
	var a about
	if e.Event != EventFile || json.Unmarshal(e.Data, &a) != nil || a.Restarted == "" || next == e.Sequence {
		return next
	}
	w.report.Restarted = a.Restarted
	w.report.Head = Head{Sequence: e.Sequence - 1, Hash: e.Previous}
	return e.Sequence
}

// misplaced says of an entry in the place of another what happened.
func (w *walker) misplaced(e *Entry, next int64) error {
	if e.Sequence < next {
		return w.damage(e.Sequence, Repeated, "it stands in the place of entry %d", next)
	}
	if path, line := w.find(next); line > 0 {
		return w.damage(next, Reordered, "entry %d stands in its place, it is in %s", e.Sequence, place(path, line))
	}
	d := w.damage(next, Dropped, "entry %d follows entry %d", e.Sequence, next-1)
	d.Through = e.Sequence - 1
	return d
}

// find looks for an entry anywhere.
func (w *walker) find(sequence int64) (path string, line int) {
	sources, err := list(w.options.Dir)
	if err != nil {
		return "", 0
	}
	for _, s := range sources {
		text, err := os.ReadFile(s.Path)
		if err != nil {
			continue
		}
		at := 0
		for l := range bytes.Lines(text) {
			at++
			if e, err := decode(bytes.TrimSuffix(l, []byte("\n"))); err == nil && e.Sequence == sequence {
				return s.Path, at
			}
		}
	}
	return "", 0
}

func (w *walker) header(e *Entry) error {
	var a about
	if err := json.Unmarshal(e.Data, &a); err != nil {
		return w.damage(e.Sequence, Changed, "%v", err)
	}
	if a.Format > format {
		return &TrustError{Path: w.path, Line: w.line, Sequence: e.Sequence, Err: fmt.Errorf("%w: format %d, this one reads %d", ErrNewerFormat, a.Format, format)}
	}
	if a.Format != format {
		return w.damage(e.Sequence, Changed, "its format is %d, expected %d", a.Format, format)
	}
	return nil
}

// trust checks a signature, and that there are enough of them.
func (w *walker) trust(e *Entry) error {
	refuse := func(err error) error {
		return &TrustError{Path: w.path, Line: w.line, Sequence: e.Sequence, Err: err}
	}
	if e.Event == EventSigned && w.options.Verifier != nil {
		err := w.options.Verifier.Verify(signedPayload, e.signed, e.Key, e.signature, e.Time)
		switch {
		case err == nil:
			w.report.Signatures++
			w.report.SignedThrough, w.report.SignedAt = e.Sequence, e.Time
			w.unsigned = 0
			return nil
		case w.options.RequireSigned || w.options.UnknownKey == nil || !errors.Is(err, w.options.UnknownKey):
			return refuse(err)
		}
	}
	if w.unsigned == 0 {
		w.since = e.Time
	}
	w.unsigned++
	if w.options.RequireSigned && w.unsigned > MaxUnsigned {
		return refuse(fmt.Errorf("%w: no signature in %d entries, expected one after %d", errUnsigned, w.unsigned, MaxUnsigned))
	}
	return nil
}

// reached compares the end with what is known from elsewhere.
func (w *walker) reached() error {
	var furthest Known
	for _, all := range w.known {
		for _, k := range all {
			if k.Sequence > furthest.Sequence {
				furthest = k
			}
		}
	}
	if furthest.Sequence <= w.report.Head.Sequence {
		return nil
	}
	path := w.path
	if path == "" {
		path = w.options.Dir
	}
	return &DamageError{Path: path, Sequence: w.report.Head.Sequence + 1, Through: furthest.Sequence, Kind: Cut,
		Reason: fmt.Sprintf("the log ends after entry %d, %s knows it up to %d", w.report.Head.Sequence, furthest.From, furthest.Sequence)}
}

func (w *walker) damage(sequence int64, kind Kind, format string, values ...any) *DamageError {
	return &DamageError{Path: w.path, Line: w.line, Sequence: sequence, Kind: kind, Reason: fmt.Sprintf(format, values...)}
}

func bySequence(known []Known) map[int64][]Known {
	m := map[int64][]Known{}
	for _, k := range known {
		m[k.Sequence] = append(m[k.Sequence], k)
	}
	return m
}

// Verify reads a whole log, checks all of it, and that it contains the heads that are known from elsewhere. It changes nothing. A log
// that is absent is empty. The error is a *DamageError or *TrustError when something does not verify; the report then says what
// came before.
func Verify(o Options, known ...Known) (Report, error) { return read(o, nil, known) }

// Read is Verify, and visits the entries as they are verified; an error of visit ends it.
func Read(o Options, visit func(*Entry) error) (Report, error) { return read(o, visit, nil) }

func read(o Options, visit func(*Entry) error, known []Known) (Report, error) {
	o, err := o.complete()
	if err != nil {
		return Report{}, err
	}
	sources, err := list(o.Dir)
	if err != nil {
		return Report{}, fmt.Errorf("read audit log: %w", err)
	}
	w := &walker{options: &o, visit: visit, known: bySequence(known)}
	for i, s := range sources {
		err := w.file(s, i == len(sources)-1)
		if errors.Is(err, fs.ErrNotExist) {
			err = w.damage(s.First, Dropped, "the file went while it was read")
		}
		if err != nil {
			return w.report, err
		}
	}
	if w.report.Restarted != "" && o.RequireSigned && w.report.SignedThrough == 0 {
		return w.report, &TrustError{Path: w.path, Line: 1, Sequence: w.report.First, Err: fmt.Errorf("%w: it was restarted", errUnsigned)}
	}
	return w.report, w.reached()
}
