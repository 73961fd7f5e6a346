package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

// Recovery says what was found in a journal.
type Recovery struct {
	// Boundary says that a segment begins where the replay did. Rotate sees to that, so where it was asked for, the lack
	// of one means that the segment is gone.
	Boundary bool
	// First is the position where the kept journal begins, Last where it ends.
	First, Last Position
	// Records, Commits and Segments count what is kept; Replayed the records that replay was called with.
	Records, Commits, Segments, Replayed int
	// CutBytes is the size of the incomplete tail, which Open cut off and the others passed over; CutSegment is the file's path,
	// also when only the file's creation was incomplete. Empty when there was none.
	CutBytes   int64
	CutSegment string
	// Signed counts the commits whose signature a trusted key's owner made.
	Signed int
}

// segment is a segment that was verified or written.
type segment struct {
	path     string
	previous Position
	size     int64 // up to the last whole commit
}

// walker reads segments in order and verifies them.
type walker struct {
	options  *Options
	position Position // after what was read

	from    Position // must be on the chain; replay begins after it
	reached bool     // from was met
	replay  func(Record) error

	recovery Recovery
	segments []segment
	hash     hash.Hash
	window   window
	path     string // of the segment at hand
}

func newWalker(o *Options, from Position, replay func(Record) error) *walker {
	return &walker{options: o, from: from, replay: replay, hash: sha256.New()}
}

// all reads the sources. The last one is not among the segments afterwards when its header is not whole.
func (w *walker) all(sources []disk.Numbered) error {
	for i, s := range sources {
		if err := w.segment(s, i == len(sources)-1); err != nil {
			return err
		}
	}
	if len(w.segments) == 0 {
		// Only a segment without a header: the journal was being made.
		if len(sources) == 0 || sources[0].First-1 != w.from.Sequence {
			return fmt.Errorf("%w: %s holds no segment", ErrMissing, w.options.Dir)
		}
		w.position, w.reached = w.from, true
		w.recovery.First = w.from
	}
	if !w.reached {
		return fmt.Errorf("%w: %s ends at %v, expected %v on it", ErrMissing, w.options.Dir, w.position, w.from)
	}
	w.recovery.Last = w.position
	w.recovery.Segments = len(w.segments)
	return nil
}

// segment reads one file. Only the last one may have an incomplete tail.
func (w *walker) segment(s disk.Numbered, last bool) (err error) {
	f, size, err := openRegular(s.Path)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w.path = s.Path
	w.window.reset(f, size)
	whole, err := w.header(s, last)
	if err != nil {
		return err
	}
	var end int64
	if whole {
		if end, err = w.commits(headerSize, last); err != nil {
			return err
		}
		w.segments[len(w.segments)-1].size = end
	}
	if !whole || end < size {
		w.recovery.CutSegment, w.recovery.CutBytes = s.Path, size-end
	}
	return nil
}

// header reads and checks the header, and says whether it is there as a whole. Since it is on the disk before the first commit is written,
// nothing can follow an incomplete one.
func (w *walker) header(s disk.Numbered, last bool) (bool, error) {
	b, err := w.window.at(0, int(min(headerSize, w.window.size)))
	if err != nil {
		return false, w.readError(err)
	}
	if len(b) < headerSize || w.window.size == headerSize && zeros(b) {
		if last {
			return false, nil
		}
		return false, w.damage(0, "%d bytes, expected a header of %d", len(b), headerSize)
	}
	h, err := decodeHeader(b)
	if err != nil {
		return false, w.damage(0, "%v", err)
	}
	if first := h.previous.Sequence + 1; first != s.First {
		return false, w.damage(0, "header says that the first sequence is %d, the name says %d", first, s.First)
	}
	started := len(w.segments) > 0
	if started && h.previous != w.position {
		return false, w.damage(0, "segment continues %v, expected %v", h.previous, w.position)
	}
	signedAt := time.Unix(0, h.created)
	if _, err := w.options.trust(segmentPayload, b[:headerSigned], h.keyID, h.signature, signedAt); err != nil {
		return false, &TrustError{Segment: w.path, Err: err}
	}
	w.segments = append(w.segments, segment{path: s.Path, previous: h.previous})
	w.position = h.previous
	w.recovery.Boundary = w.recovery.Boundary || h.previous == w.from
	if !started {
		w.recovery.First = h.previous
		if !w.reached && h.previous.Sequence > w.from.Sequence {
			return false, fmt.Errorf("%w: %s begins after %v, expected %v on it", ErrMissing, w.options.Dir, h.previous, w.from)
		}
	}
	return true, w.boundary(0)
}

// commits reads commits from an offset to the end of the window and returns where the last whole one ends.
func (w *walker) commits(off int64, last bool) (int64, error) {
	for off < w.window.size {
		n, reason, err := w.commit(off)
		if err != nil {
			return 0, err
		}
		if reason == nil {
			off += n
			continue
		}
		// Of a group commit that was not acknowledged any part may be missing at its end, or be pages that were never written.
		torn := errors.Is(reason, errShort)
		if !torn {
			if torn, err = w.window.zeroTail(off); err != nil {
				return 0, w.readError(err)
			}
		}
		if !last || !torn {
			return 0, w.damage(off, "%v", reason)
		}
		return off, nil
	}
	return off, nil
}

// errShort says that the file ends within a commit.
var errShort = errors.New("file ends within a commit")

// commit reads, checks and replays one commit, and returns its size. reason says what is wrong with its bytes; err is everything else.
func (w *walker) commit(off int64) (n int64, reason, err error) {
	left := w.window.size - off
	if left < commitHeaderSize {
		return 0, fmt.Errorf("%w: %d bytes are left, expected a header of %d", errShort, left, commitHeaderSize), nil
	}
	b, err := w.window.at(off, commitHeaderSize)
	if err != nil {
		return 0, nil, w.readError(err)
	}
	h, reason := decodeCommitHeader(b)
	if reason != nil {
		return 0, reason, nil
	}
	if next := w.position.Sequence + 1; h.first != next {
		return 0, nil, w.damage(off, "commit begins with sequence %d, expected %d", h.first, next)
	}
	if int64(h.length) > left {
		return 0, fmt.Errorf("%w: %d bytes are left of %d", errShort, left, h.length), nil
	}
	if b, err = w.window.at(off, h.length); err != nil {
		return 0, nil, w.readError(err)
	}
	c, reason := decodeCommit(b, h, w.position.Chain, w.hash)
	if reason != nil {
		return 0, reason, nil
	}
	signed, err := w.options.trust(commitPayload, c.chain[:], c.keyID, c.signature, time.Unix(0, c.time))
	if err != nil {
		return 0, nil, &TrustError{Segment: w.path, Offset: off, Err: err}
	}
	if w.reached && w.replay != nil {
		if err := c.each(w.replay); err != nil {
			return 0, nil, err
		}
		w.recovery.Replayed += c.records
	}
	if signed {
		w.recovery.Signed++
	}
	w.recovery.Commits++
	w.recovery.Records += c.records
	w.position = Position{Sequence: c.first + int64(c.records) - 1, Chain: c.chain}
	return int64(c.length), nil, w.boundary(off)
}

// boundary compares the position with from, before any record after from is replayed.
func (w *walker) boundary(off int64) error {
	switch {
	case w.reached || w.position.Sequence < w.from.Sequence:
		return nil
	case w.position != w.from:
		return w.damage(off, "history is at %v, expected %v on it: the journal is another one's, or one of both was changed", w.position, w.from)
	}
	w.reached = true
	return nil
}

func (w *walker) damage(off int64, format string, values ...any) error {
	return &DamageError{Segment: w.path, Offset: off, Reason: fmt.Sprintf(format, values...)}
}

// readError is for what the system says. A file that became shorter is either being put right by the writer or lost.
func (w *walker) readError(err error) error {
	if errors.Is(err, io.EOF) {
		return w.damage(0, "file became shorter than %d bytes while it was read", w.window.size)
	}
	return fmt.Errorf("read journal: %w", err)
}

// window reads a file in large pieces.
type window struct {
	file  io.ReaderAt
	size  int64
	start int64 // where in the file bytes begin
	bytes []byte
}

const windowSize = 256 << 10

func (w *window) reset(file io.ReaderAt, size int64) {
	w.file, w.size, w.start, w.bytes = file, size, 0, w.bytes[:0]
}

// at returns n bytes of the file, which must have them; they are valid until the next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	if i := off - w.start; i >= 0 && i+int64(n) <= int64(len(w.bytes)) {
		return w.bytes[i : i+int64(n)], nil
	}
	want := int(min(int64(max(n, windowSize)), w.size-off))
	if cap(w.bytes) < want {
		w.bytes = make([]byte, want)
	}
	w.start, w.bytes = off, w.bytes[:want]
	if got, err := w.file.ReadAt(w.bytes, off); got < want {
		w.bytes = w.bytes[:0]
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return w.bytes[:n], nil
}

// zeroTail says whether the file from off on is zero, or is from a later multiple of 512 on.
func (w *window) zeroTail(off int64) (bool, error) {
	var b, zero [16 << 10]byte
	end := w.size // all zero from here
	for end > off {
		n := min(int64(len(b)), end-off)
		if got, err := w.file.ReadAt(b[:n], end-n); int64(got) < n {
			return false, err
		}
		if !bytes.Equal(b[:n], zero[:n]) {
			end -= n - int64(len(bytes.TrimRight(b[:n], "\x00")))
			break
		}
		end -= n
	}
	if end > math.MaxInt64-512 {
		return false, nil
	}
	return end == off || (end+511)/512*512 < w.size, nil
}
