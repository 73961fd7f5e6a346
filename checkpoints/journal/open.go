package journal

import (
	"errors"
	"fmt"
	"math"
	"os"
)

// Create makes a journal that continues from a position, durable on return. The folder is made with mode 0700; its parent must
// be there. A journal in it is ErrExists, unless
// it is an empty one at that position.
func Create(o Options, at Position) (*Journal, error) {
	o, err := o.completeWriter()
	if err != nil {
		return nil, err
	}
	j, err := create(o, at)
	if err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	return j, nil
}

func create(o Options, at Position) (*Journal, error) {
	if at.Sequence < 0 || at.Sequence >= math.MaxInt64-1 {
		return nil, fmt.Errorf("position %v, expected a sequence from 0 on", at)
	}
	if err := o.ops.makeDir(o.Dir); err != nil {
		return nil, err
	}
	sources, err := list(o.Dir)
	if err != nil {
		return nil, err
	}
	if len(sources) > 0 {
		// A crash may have left a first segment without a whole header, or with nothing but one: this journal was being made.
		w := newWalker(&o, Position{}, nil)
		w.reached = true
		if err := w.segment(sources[0], len(sources) == 1); err != nil {
			return nil, errors.Join(ErrExists, err)
		}
		if len(w.segments) > 0 && (len(sources) > 1 || w.recovery.Commits > 0 || w.position != at) {
			return nil, fmt.Errorf("%w: %s", ErrExists, sources[0].Path)
		}
		if err := o.ops.discard(o.Dir, sources[0].Path); err != nil {
			return nil, err
		}
	}
	j := &Journal{options: o, position: at}
	if err := j.begin(); err != nil {
		return nil, errors.Join(err, j.abandon())
	}
	return j, nil
}

// abandon removes what an unsuccessful Create or Open made, as far as that is possible.
func (j *Journal) abandon() error {
	if j.stray == "" {
		return nil
	}
	return j.options.ops.discard(j.options.Dir, j.stray)
}

// Open opens a journal for writing. It verifies all that is kept, calls replay (nil: none) with the records after from, which must
// be a position on the journal's history, and cuts off an incomplete tail. Records are replayed as they are verified: after an error
// drop what replay built. An error of replay ends the opening.
func Open(o Options, from Position, replay func(Record) error) (*Journal, Recovery, error) {
	o, err := o.completeWriter()
	if err != nil {
		return nil, Recovery{}, err
	}
	j, recovery, err := open(o, from, replay)
	if err != nil {
		return nil, recovery, fmt.Errorf("open journal: %w", err)
	}
	return j, recovery, nil
}

func open(o Options, from Position, replay func(Record) error) (*Journal, Recovery, error) {
	sources, err := list(o.Dir)
	if err != nil {
		return nil, Recovery{}, err
	}
	w := newWalker(&o, from, replay)
	if err := w.all(sources); err != nil {
		return nil, w.recovery, err
	}
	j := &Journal{options: o, segments: w.segments, position: w.position}
	if len(j.segments) < len(sources) {
		// The last segment was being made: nothing was ever written to it.
		if err := o.ops.discard(o.Dir, sources[len(sources)-1].Path); err != nil {
			return nil, w.recovery, err
		}
		if len(j.segments) == 0 {
			if err := j.begin(); err != nil {
				return nil, w.recovery, errors.Join(err, j.abandon())
			}
			return j, w.recovery, nil
		}
	}
	if j.file, err = o.ops.open(j.path(), os.O_RDWR, 0); err != nil {
		return nil, w.recovery, err
	}
	// A process that was killed may have left pages that were acknowledged as not durable yet. Names, too.
	j.size = j.segments[len(j.segments)-1].size
	j.synced, j.syncedAt = j.size, j.position
	err = j.file.Truncate(j.size)
	if err == nil {
		err = j.file.Sync()
	}
	if err == nil {
		err = o.ops.syncDir(o.Dir)
	}
	if err == nil {
		err = j.named()
	}
	if err != nil {
		return nil, w.recovery, errors.Join(err, j.file.Close())
	}
	return j, w.recovery, nil
}

// Replay calls replay (nil: none) with the records after from, as Open does, and changes nothing on the disk. It may run beside the
// writer; when that removes a segment meanwhile, the error matches fs.ErrNotExist and another attempt
// is worth it.
func Replay(o Options, from Position, replay func(Record) error) (Recovery, error) {
	return read(o, func(o *Options) *walker { return newWalker(o, from, replay) })
}

// Verify checks all that is kept and changes nothing.
func Verify(o Options) (Recovery, error) {
	return read(o, func(o *Options) *walker {
		w := newWalker(o, Position{}, nil)
		w.reached = true
		return w
	})
}

func read(o Options, walker func(*Options) *walker) (Recovery, error) {
	o, err := o.complete()
	if err != nil {
		return Recovery{}, err
	}
	sources, err := list(o.Dir)
	if err != nil {
		return Recovery{}, fmt.Errorf("read journal: %w", err)
	}
	w := walker(&o)
	if err := w.all(sources); err != nil {
		return w.recovery, err
	}
	return w.recovery, nil
}
