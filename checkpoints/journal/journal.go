package journal

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Journal is a journal open for writing.
type Journal struct {
	options Options

	mu       sync.Mutex
	segments []segment // kept, oldest first; the last one is written to
	file     file      // of the last segment
	position Position
	size     int64 // of the last segment
	synced   int64 // how much of it is known to be on the disk
	syncedAt Position
	buffer   []byte // of the last commit, kept for the next
	timer    *time.Timer
	closed   bool

	// What a failed step left behind; repair undoes it.
	trouble error
	stray   string // a segment that must not be there
}

// keptBuffer is the most memory that is kept for the next commit, in bytes.
const keptBuffer = 1 << 20

// Append adds entries as one group commit and returns the position after it. On return they are as durable as the SyncMode says,
// in the segment that lies under its name then: when that was removed, moved or exchanged, the error matches ErrMissing until it is
// back. On an error nothing of them is in the journal; only when it matches ErrInDoubt a crash may still bring all of them back.
// Payloads are not kept. No entries are no commit.
func (j *Journal) Append(entries ...Entry) (Position, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.ready(); err != nil {
		return Position{}, fmt.Errorf("append to journal: %w", err)
	}
	if len(entries) == 0 {
		return j.position, nil
	}
	b, chain, err := appendCommit(j.buffer[:0], &j.options, j.position, j.options.Now(), entries)
	if cap(b) <= keptBuffer {
		j.buffer = b[:0]
	}
	if err != nil {
		return Position{}, fmt.Errorf("append to journal: %w", err)
	}
	if j.size > headerSize && j.size+int64(len(b)) > j.options.SegmentBytes {
		if err := j.rotate(); err != nil {
			return Position{}, fmt.Errorf("append to journal: new segment: %w", err)
		}
	}
	_, err = j.file.WriteAt(b, j.size)
	if err == nil && j.options.Sync == SyncAlways {
		err = j.file.Sync()
	}
	if err == nil {
		err = j.named()
	}
	if err != nil {
		return Position{}, fmt.Errorf("append to journal: %w", j.fail(err))
	}
	j.size += int64(len(b))
	j.position = Position{Sequence: j.position.Sequence + int64(len(entries)), Chain: chain}
	switch j.options.Sync {
	case SyncAlways:
		j.synced, j.syncedAt = j.size, j.position
	case SyncInterval:
		if j.timer == nil {
			j.timer = time.AfterFunc(j.options.Interval, j.tick)
		}
	}
	return j.position, nil
}

// Position is the position after the last commit.
func (j *Journal) Position() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.position
}

// Durable says whether what Append acknowledges is fsynced.
func (j *Journal) Durable() bool { return j.options.Sync == SyncAlways }

// Synced says whether all that was appended is known to be on the disk.
func (j *Journal) Synced() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.trouble == nil && j.synced == j.size
}

// Sync brings to the disk what was appended. When the segment is no longer under its name, the error matches ErrMissing.
func (j *Journal) Sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.ready()
	if err == nil {
		err = j.sync()
	}
	if err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	return nil
}

// Close brings what was appended to the disk and closes the journal. Another Close does nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	err := j.ready()
	if err == nil {
		err = j.sync()
	}
	if err = errors.Join(err, j.release()); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}

// release closes the file, whatever is in it.
func (j *Journal) release() error {
	j.closed = true
	j.disarm()
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// tick is the fsync of SyncInterval. When it fails, the next call repairs or tells.
func (j *Journal) tick() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.timer = nil
	if !j.closed && j.trouble == nil {
		_ = j.sync()
	}
}

func (j *Journal) disarm() {
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
}

// sync fsyncs the segment and sees that it is where a reader looks for it.
func (j *Journal) sync() error {
	if j.synced < j.size {
		if err := j.file.Sync(); err != nil {
			return j.fail(err)
		}
		j.synced, j.syncedAt = j.size, j.position
	}
	return j.named()
}

// named fails when the segment that is written to is not the one under its name. There is nothing to undo then: what is in the open
// file is right, and is found again when the file is back.
func (j *Journal) named() error { return j.options.ops.named(j.file, j.path()) }

// ready is nil when the journal can be written, if need be after a repair.
func (j *Journal) ready() error {
	if j.closed {
		return ErrClosed
	}
	if j.trouble == nil {
		return nil
	}
	if err := j.repair(); err != nil {
		return fmt.Errorf("%w: %w, after: %w", ErrInDoubt, err, j.trouble)
	}
	return nil
}

// fail undoes a failed step and returns its error, with ErrInDoubt when that fails too.
func (j *Journal) fail(err error) error {
	j.trouble = err
	if e := j.repair(); e != nil {
		return fmt.Errorf("%w: %w; undoing it: %w", ErrInDoubt, err, e)
	}
	return err
}

// repair undoes the step that caused the trouble: on the disk is then what was acknowledged, no more and no less.
func (j *Journal) repair() error {
	if j.stray != "" {
		// In a folder that took the journal's place nothing is removed.
		if err := j.named(); err != nil {
			return err
		}
		if err := j.options.ops.discard(j.options.Dir, j.stray); err != nil {
			return err
		}
		j.stray = ""
	}
	if err := j.file.Truncate(j.size); err != nil {
		return fmt.Errorf("truncate %s: %w", j.path(), err)
	}
	if err := j.rewrite(); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", j.path(), err)
	}
	j.synced, j.syncedAt = j.size, j.position
	j.trouble = nil
	return nil
}

// rewrite writes once more what was not fsynced yet: after a failed fsync the system may hold pages for clean that never
// reached the disk, and the next fsync would say that all is well.
func (j *Journal) rewrite() error {
	w := newWalker(&Options{}, Position{}, nil)
	w.reached = true
	w.path, w.position = j.path(), j.syncedAt
	w.window.reset(j.file, j.size)
	if _, err := w.commits(j.synced, false); err != nil {
		return err
	}
	for off := j.synced; off < j.size; {
		b, err := w.window.at(off, int(min(windowSize, j.size-off)))
		if err != nil {
			return w.readError(err)
		}
		if _, err := j.file.WriteAt(b, off); err != nil {
			return fmt.Errorf("write %s: %w", j.path(), err)
		}
		off += int64(len(b))
	}
	return nil
}

// path is the file that is written to.
func (j *Journal) path() string { return j.segments[len(j.segments)-1].path }
