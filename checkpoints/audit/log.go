package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

// Log is a log open for writing.
type Log struct {
	options Options

	head     Head
	unsigned int       // entries since the last signature
	since    time.Time // of the first of them
	carried  any
	reason   string // of a restart, for the first line

	// Lines that are not known to be on the disk lie in parts, each for a file; the first continues the file that is open or is
	// to be opened.
	parts []part
	open  file
	path  string // of the file that is written to; "" before the first
	size  int64  // of that file: up to there it is on the disk
	total int64  // with what will be written to it
	clean bool   // the file is known to end there
	dir   bool   // the folder is known to be there
	done  bool
}

// part is what will be written to one file.
type part struct {
	path  string
	lines []byte
}

// Open opens a log for writing after its last entry, and calls visit (nil: none) with the entries of the last file. A folder that is
// absent, or holds no entry, is an empty log, which begins complete up to the journal record and the checkpoint of begin. Nothing is
// written before the first Flush. Open verifies the last file, and that the log reaches and contains what is known from elsewhere, as
// far as that is in it; Verify does the whole. Report counts the last file alone.
func Open(o Options, begin Head, visit func(*Entry) error, known ...Known) (*Log, Report, error) {
	o, err := o.complete()
	if err != nil {
		return nil, Report{}, err
	}
	if o.RequireSigned && o.Signer == nil {
		return nil, Report{}, errors.New("audit options: signatures are required and there is no signer")
	}
	l, report, err := openLog(o, begin, visit, known)
	if err != nil {
		return nil, report, fmt.Errorf("open audit log: %w", err)
	}
	return l, report, nil
}

func openLog(o Options, begin Head, visit func(*Entry) error, known []Known) (*Log, Report, error) {
	sources, err := list(o.Dir)
	if err != nil {
		return nil, Report{}, err
	}
	w := &walker{options: &o, visit: visit, known: bySequence(known)}
	l := &Log{options: o, head: Head{Journal: begin.Journal, Checkpoint: begin.Checkpoint}}
	fresh := false // the last file has no whole line yet: it was being made
	for n := len(sources); n > 0; n-- {
		s := sources[n-1]
		if s.First > 1 {
			if err := w.enter(s); err != nil {
				return nil, w.report, err
			}
		}
		if err := w.file(s, true); err != nil {
			return nil, w.report, err
		}
		if w.report.Entries > 0 {
			l.head, l.unsigned, l.since = w.report.Head, w.unsigned, w.since
			l.dir = true
			if !fresh {
				l.path, l.size = s.Path, w.size
				l.total = l.size
			}
			break
		}
		fresh = true // and is written again under the same name
	}
	return l, w.report, w.reached()
}

// Restart begins a log that continues the entry after, of a log that was given up and is no longer in the folder, and says why in its
// first line. Nothing is written before the first Flush.
func Restart(o Options, after Head, reason string) (*Log, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	sources, err := list(o.Dir)
	if err == nil && len(sources) > 0 {
		err = fmt.Errorf("%s is still there", sources[0].Path)
	}
	if err == nil && (after.Sequence < 1 || !isHash(after.Hash) || reason == "") {
		err = fmt.Errorf("after entry %d with hash %.80q because of %.80q, expected an entry and a reason", after.Sequence, after.Hash, reason)
	}
	if err != nil {
		return nil, fmt.Errorf("restart audit log: %w", err)
	}
	return &Log{options: o, head: after, reason: shorten(reason, maxWhy)}, nil
}

// enter begins the walk at a file that is not the first one: what came before it is taken from its first line, as far as that is
// whole.
func (w *walker) enter(s disk.Numbered) error {
	f, err := openRegular(s.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	buffer := make([]byte, MaxLine+1)
	n, err := f.ReadAt(buffer, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	at := bytes.IndexByte(buffer[:n], '\n')
	if at < 0 {
		return nil // a file that was being made, or damage, which is found next
	}
	e, err := decode(buffer[:at])
	if err != nil || e.Sequence != s.First {
		w.report.Head = Head{Sequence: s.First - 1}
		return nil
	}
	w.report.Head = Head{Sequence: s.First - 1, Hash: e.Previous}
	return nil
}

// Head is the place after what was appended.
func (l *Log) Head() Head { return l.head }

// Unsigned counts the entries since the last signature, and says when the first of them was made.
func (l *Log) Unsigned() (int, time.Time) { return l.unsigned, l.since }

// Flushed says whether all that was appended is on the disk.
func (l *Log) Flushed() bool { return len(l.parts) == 0 }

// Carry sets what every further file repeats in its first line, so that it need not be looked for in files before: a value for JSON.
func (l *Log) Carry(value any) { l.carried = value }

// Append adds an entry. It keeps it in memory until Flush. Journal and Checkpoint of 0 stand for those of the entry before. An error
// is about the entry itself: nothing was added.
func (l *Log) Append(e Entry) error {
	if l.done {
		return errors.New("append to audit log: it is closed")
	}
	if !isWord(e.Event) || e.Event == EventFile || e.Event == EventSigned {
		return fmt.Errorf("append to audit log: event %.80q, expected a word of small letters that the log itself does not use", e.Event)
	}
	if err := l.rotate(); err != nil {
		return err
	}
	if err := l.add(e, nil); err != nil {
		return err
	}
	if l.unsigned >= MaxUnsigned {
		return l.Sign()
	}
	return nil
}

// Sign adds a signature over everything before it, when there is a Signer and anything is unsigned.
func (l *Log) Sign() error {
	if l.options.Signer == nil || l.unsigned == 0 || l.done {
		return nil
	}
	err := l.add(Entry{Time: l.options.Now(), Event: EventSigned, Key: l.options.Signer.KeyID()}, func(message []byte) []byte {
		return l.options.Signer.Sign(signedPayload, message)
	})
	if err == nil {
		l.unsigned = 0
	}
	return err
}

// rotate begins a file where there is none yet, and when the one at hand is full.
func (l *Log) rotate() error {
	if l.head.Sequence > 0 && l.total > 0 && l.total < l.options.FileBytes {
		return nil
	}
	if l.unsigned > 0 {
		if err := l.Sign(); err != nil {
			return err
		}
	}
	data, err := json.Marshal(about{Format: format, Restarted: l.reason, Log: l.carried}, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("new file of the audit log: %w", err)
	}
	if len(data) > maxData {
		data = fmt.Appendf(nil, `{"format":%d}`, format)
	}
	l.reason = ""
	l.parts = append(l.parts, part{path: filepath.Join(l.options.Dir, fileName(l.head.Sequence+1))})
	l.total = 0
	return l.add(Entry{Time: l.options.Now(), Event: EventFile, Data: data}, nil)
}

func (l *Log) add(e Entry, sign func([]byte) []byte) error {
	e.bound()
	e.Sequence, e.Previous = l.head.Sequence+1, l.head.previous()
	e.Journal, e.Checkpoint = max(e.Journal, l.head.Journal), max(e.Checkpoint, l.head.Checkpoint)
	line, err := e.encode(sign)
	if err != nil {
		return err
	}
	if len(l.parts) == 0 {
		l.parts = append(l.parts, part{path: l.path})
	}
	last := &l.parts[len(l.parts)-1]
	last.lines = append(last.lines, line...)
	l.total += int64(len(line))
	l.head = Head{Sequence: e.Sequence, Hash: e.Hash, Journal: e.Journal, Checkpoint: e.Checkpoint}
	if l.unsigned == 0 {
		l.since = e.Time
	}
	l.unsigned++
	return nil
}

// Flush writes what was appended and syncs it. After an error all of it is kept, and the next Flush writes it again: after a failed
// fsync the system may hold pages for clean that never reached the disk.
func (l *Log) Flush() error {
	if l.done && len(l.parts) > 0 {
		return errors.New("write audit log: it is closed")
	}
	for len(l.parts) > 0 {
		if err := l.flushPart(l.parts[0]); err != nil {
			l.clean = false
			return fmt.Errorf("write audit log: %w", err)
		}
		l.parts = l.parts[1:]
	}
	l.parts = nil
	return nil
}

func (l *Log) flushPart(p part) error {
	if err := l.enterFile(p.path); err != nil {
		return err
	}
	if !l.clean { // an unfinished line of a writer before, or of a Flush before
		if err := l.open.Truncate(l.size); err != nil {
			return err
		}
		l.clean = true
	}
	_, err := l.open.WriteAt(p.lines, l.size)
	if err == nil {
		err = l.open.Sync()
	}
	if err == nil {
		err = l.options.ops.named(l.open, l.path)
	}
	if err != nil {
		// Whole lines of it must not stay: nobody knows of them.
		return errors.Join(err, l.open.Truncate(l.size))
	}
	l.size += int64(len(p.lines))
	return nil
}

// enterFile opens the file of a path for writing, made when absent.
func (l *Log) enterFile(path string) error {
	if l.open != nil && l.path == path {
		return nil
	}
	ops := l.options.ops
	flags := os.O_RDWR | syscall.O_NOFOLLOW
	begins := l.path != path || l.size == 0
	if begins {
		flags |= os.O_CREATE
	}
	if !l.dir {
		if err := ops.makeFolder(l.options.Dir); err != nil {
			return err
		}
		l.dir = true
	}
	f, err := ops.open(path, flags, filePerm)
	if err != nil {
		return err
	}
	if begins {
		if err := ops.syncDir(l.options.Dir); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if l.open != nil {
		_ = l.open.Close() // all of it was synced, nothing can get lost
	}
	if begins {
		l.size = 0
	}
	l.open, l.path, l.clean = f, path, false
	return nil
}

// Close closes the file. What was not flushed is lost.
func (l *Log) Close() error {
	l.done = true
	if l.open == nil {
		return nil
	}
	f := l.open
	l.open = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("close audit log: %w", err)
	}
	return nil
}
