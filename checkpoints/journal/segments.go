package journal

import (
	"fmt"
	"path/filepath"
)

// Rotate brings what was appended to the disk and begins a new segment, durable on return, so that the position it returns is
// a boundary: Prune can go there, and Recovery says of a replay from there that a segment begins. A segment without a commit is
// not followed by another. When the segment is no longer under its name, the error matches ErrMissing.
func (j *Journal) Rotate() (Position, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.ready()
	if err == nil {
		err = j.rotate()
	}
	if err != nil {
		return Position{}, fmt.Errorf("rotate journal: %w", err)
	}
	return j.position, nil
}

func (j *Journal) rotate() error {
	if err := j.sync(); err != nil || j.size == headerSize {
		return err
	}
	if err := j.begin(); err != nil {
		return j.fail(err)
	}
	return nil
}

// begin makes the segment that continues from the position, durable on return. After an error stray is what it left.
func (j *Journal) begin() error {
	h := header{previous: j.position, created: j.options.Now().UnixNano()}
	content, err := h.encode(&j.options)
	if err != nil {
		return err
	}
	path := filepath.Join(j.options.Dir, segmentName(j.position.Sequence+1))
	f, made, err := j.options.ops.create(path, content)
	if made {
		j.stray = path
	}
	if err != nil {
		return err
	}
	err = j.options.ops.syncDir(j.options.Dir)
	if err == nil {
		err = j.options.ops.named(f, path)
	}
	if err == nil && j.file != nil {
		err = j.named() // both in one folder
	}
	if err != nil {
		_ = f.Close() // goes with its file
		return err
	}
	j.stray = ""
	j.enter(segment{path: path, previous: h.previous}, f, headerSize)
	return nil
}

// enter makes a segment, all of which is on the disk, the one that is written to.
func (j *Journal) enter(s segment, f file, size int64) {
	if j.file != nil {
		_ = j.file.Close() // all of it was fsynced, nothing can get lost
	}
	j.segments = append(j.segments, s)
	j.file, j.size = f, size
	j.synced, j.syncedAt = size, j.position
	j.disarm()
}

// Prune removes the oldest segments of which every record has at most a sequence, durably, and returns their paths. The
// segment that is written to stays.
func (j *Journal) Prune(through int64) (removed []string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.ready(); err != nil {
		return nil, fmt.Errorf("prune journal: %w", err)
	}
	if err := j.named(); err != nil { // the folder may be another one
		return nil, fmt.Errorf("prune journal: %w", err)
	}
	// One by one: a power failure must not leave a gap.
	for len(j.segments) > 1 && j.segments[1].previous.Sequence <= through {
		path := j.segments[0].path
		if err := j.options.ops.discard(j.options.Dir, path); err != nil {
			return removed, fmt.Errorf("prune journal: %w", err)
		}
		removed = append(removed, path)
		j.segments = j.segments[1:]
	}
	return removed, nil
}
