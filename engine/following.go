package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/engine/monitor"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// A reader that goes on for hours, from a pipe for instance, has to learn of
// levers that are pulled and of a memory that is replaced meanwhile. The writer
// makes the lock file a byte longer after each: a hole, which takes no room on a
// full disk and needs no clock. The reader looks at that file before a batch, at
// most once a second; where it is another one than before, it reads the whole
// directory again. What is only recorded makes no difference to it.

// lookEvery is for how long a reader does not look.
const lookEvery = time.Second

// Why a directory that can be read is not obeyed.
var (
	errOlder = errors.New("an older state was put in the place of the data directory")
	errOther = errors.New("another validator was put in the place of the data directory's: its weights or projections are not those in use")
)

// following is what a reader knows of the directory that it read. It is guarded
// by Directory.changing.
type following struct {
	looked     atomic.Int64     // when it looked last; nanoseconds since 1970
	lock       fs.FileInfo      // as it was before the directory was read; nil: absent
	last       journal.Position // up to where in the journal that went
	err        error            // why the directory cannot be read
	leversOnly bool             // the memory is that of a file that was named
	alarm      policy.State     // of an alarm in this process; Normal: there was none
}

// startFollowing comes before the directory is read. A lock that cannot be looked
// at is looked at again soon.
func (d *Directory) startFollowing() {
	d.following = &following{}
	d.following.lock, _ = d.lookAtLock()
	d.following.looked.Store(d.now().UnixNano())
}

// lookAtLock answers nil for a lock that is not there.
func (d *Directory) lookAtLock() (fs.FileInfo, error) {
	info, err := os.Lstat(d.path(lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}

// follow has a reader obey what the directory's levers are now, and judge by the
// memory that was put in. The levers of an alarm in this process hold beside
// them. While they cannot be read everything is blocked. Its error is the
// context's.
func (d *Directory) follow(ctx context.Context) error {
	f := d.following
	if f == nil || !f.due(d.now()) {
		return nil
	}
	if err := d.changing.lock(ctx); err != nil {
		return err
	}
	defer d.changing.unlock()
	if d.closed || !f.due(d.now()) {
		return nil
	}
	defer func() { f.looked.Store(d.now().UnixNano()) }()
	lock, err := d.lookAtLock()
	switch {
	case err == nil && f.lock != nil && lock == nil:
		err = fmt.Errorf("%s is gone, and perhaps the data directory: %w", d.path(lockFile), fs.ErrNotExist)
	case err == nil && f.err == nil && sameLock(f.lock, lock):
		return nil
	case err == nil:
		err = d.readAgain()
	}
	if err == nil {
		f.lock = lock
	}
	d.followed(err)
	return nil
}

// due says whether it is time to look. A clock that was put back makes it so.
func (f *following) due(now time.Time) bool {
	since := now.UnixNano() - f.looked.Load()
	return since < 0 || since >= int64(lookEvery)
}

func sameLock(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// readAgain takes over what the directory holds now: the levers, and the memory.
func (d *Directory) readAgain() error {
	f := d.following
	next := &Directory{config: d.config, logger: d.logger, now: d.now, observer: nobody{}, guard: nobody{}}
	if err := next.open(false, true); err != nil {
		return err
	}
	last := next.recovery.Journal.Last
	if last.Sequence < f.last.Sequence {
		return fmt.Errorf("%w: its journal ends at record %d, and went to %d", errOlder, last.Sequence, f.last.Sequence)
	}
	if !reflect.DeepEqual(next.weights, d.weights) || !reflect.DeepEqual(next.projections, d.projections) {
		return errOther
	}
	if !f.leversOnly && last != f.last { // a commit that was taken back had the same number
		if err := d.memory.Reset(next.memory.Snapshot(), next.memory.Stats().Capacity); err != nil {
			return err
		}
		d.observer.replaced()
	}
	f.last = last
	d.obey(next.Levers())
	return nil
}

// obey puts levers in force, and those of this process's own alarm beside them.
func (d *Directory) obey(l Levers) {
	if own := d.following.alarm; own.Stage == policy.Alarmed {
		l.State = l.Alarm(own.Since, own.Cause)
	}
	d.levers.Store(&l)
	d.observer.leversChanged(l)
}

// followed takes note of what became of an attempt to read the directory again.
func (d *Directory) followed(err error) {
	f := d.following
	if err == nil {
		l := d.Levers()
		d.logger.Warn("the data directory was read again: its levers and its memory are in force from here on",
			"tier", l.Tier, "safe_mode", l.SafeMode, "require_human_approval", l.RequireHumanApproval, "stage", l.Stage, "by", l.By, "reason", l.Reason)
		if f.err != nil && d.watch != nil {
			d.watch.Failed(monitor.StateDamaged, "levers", nil)
		}
		f.err = nil
		return
	}
	if f.err == nil || f.err.Error() != err.Error() {
		d.logger.Error("the levers of the data directory cannot be read: everything is blocked until they can", "error", err)
	}
	if f.err == nil && d.watch != nil {
		d.watch.Failed(monitor.StateDamaged, "levers", fmt.Errorf("levers cannot be read, everything is blocked: %w", err))
	}
	f.err = err
	d.obey(Levers{
		State: policy.State{Tier: policy.Omega, SafeMode: true, RequireHumanApproval: true},
		At:    d.now().UTC(), Reason: "the levers cannot be read: " + err.Error(),
	})
}

// errUntold says that readers do not know of a change.
var errUntold = errors.New("it is in force and in the journal, and programs that read the data directory are not told yet")

// tellReaders has readers look at the directory again. What could not be told is
// told with the next change, or within monitor.check_interval. The caller holds
// changing, or is alone.
func (d *Directory) tellReaders() {
	file, err := os.OpenFile(d.path(lockFile), os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err == nil {
		var info fs.FileInfo
		if info, err = file.Stat(); err == nil {
			err = file.Truncate(info.Size() + 1)
		}
		err = errors.Join(err, file.Close())
	}
	d.untold.Store(err != nil)
	if err != nil {
		d.logger.Error("programs that read the data directory are not told of a change of levers or memory", "error", err)
	}
}
