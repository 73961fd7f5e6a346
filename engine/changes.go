package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
)

// maxGroup is from how many bytes on a group of changes takes no further one;
// a change brings at most as much again, and the journal takes four times that
// in one commit.
const maxGroup = 16 << 20

// change is a wish to change the memory. apply changes it within a
// transaction and answers the records that say the same; it may be called
// again after a rollback. done, which may be nil, runs when the change is
// durable and committed.
type change struct {
	apply  func(*transaction) ([]journal.Entry, error)
	done   func()
	learns bool // outcomes may enter the memory: it needs the guard, and so a device
	err    error
	ended  bool // guarded by Directory.changing
}

// queue holds the changes that wait while others are being written: whoever is
// next takes them all along, so that they share one sync of the disk.
type queue struct {
	mu      sync.Mutex
	waiting []*change
}

func (q *queue) add(c *change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, c)
}

// remove says whether the change was still waiting.
func (q *queue) remove(c *change) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, c)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

func (q *queue) take() []*change {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.waiting
	q.waiting = nil
	return all
}

// change makes one change of the memory: applied, durable as the journal's
// mode has it, and only then committed and shown. When any step fails the
// memory is as before. The context ends the waiting, never a change that has
// begun.
func (d *Directory) change(ctx context.Context, c *change) error {
	d.waiting.add(c)
	if err := d.changing.lock(ctx); err != nil {
		if d.waiting.remove(c) {
			return err
		}
		_ = d.changing.lock(context.WithoutCancel(ctx)) // somebody has it in hand
	}
	defer d.changing.unlock()
	if c.ended {
		return c.err
	}
	all := d.waiting.take()
	if err := d.usable(); err != nil {
		finish(all, err)
		return err
	}
	for len(all) > 0 {
		all = all[d.changeGroup(all):]
	}
	return c.err
}

// changeGroup makes as many changes as one commit of the journal holds, and
// answers how many have ended. Those that need no device do not share the fate of
// those that do.
func (d *Directory) changeGroup(group []*change) int {
	if i := slices.IndexFunc(group, func(c *change) bool { return c.learns != group[0].learns }); i > 0 {
		group = group[:i]
	}
	tx, err := d.beginChange(group[0].learns)
	if err != nil {
		finish(group, err)
		return len(group)
	}
	defer tx.rollback() // does nothing after commit
	var steps []step
	var bytes, count int
	for count < len(group) && bytes < maxGroup {
		evicted := len(tx.Evicted())
		more, err := group[count].apply(tx)
		if err != nil {
			// What it changed before it failed cannot be told from what
			// the others changed: they begin again without it.
			tx.rollback()
			if count > 0 {
				return d.changeGroup(group[:count])
			}
			finish(group[:1], err)
			return 1
		}
		for i := range more {
			bytes += len(more[i].Payload)
		}
		steps = append(steps, step{more, tx.Evicted()[evicted:]})
		count++
	}
	group = group[:count]
	patches := patchesOf(tx.Changes())
	if d.writes() {
		if err := d.appendSteps(steps...); err != nil {
			finish(group, err)
			return count
		}
	}
	changed := len(tx.Changes())+len(tx.Evicted()) > 0
	tx.commit(d)
	if changed {
		d.observer.patched(patches)
	}
	for _, c := range group {
		if c.done != nil {
			c.done()
		}
	}
	finish(group, nil)
	return count
}

func finish(group []*change, err error) {
	for _, c := range group {
		c.err, c.ended = err, true
	}
}

// Resize changes the capacity of both sides of the memory. A smaller one evicts
// by the memory's rule, as one step; it answers how many were evicted.
func (d *Directory) Resize(ctx context.Context, capacity int) (evicted int, err error) {
	err = d.change(ctx, &change{apply: func(tx *transaction) ([]journal.Entry, error) {
		evictions, err := tx.Resize(capacity)
		evicted = len(evictions)
		return []journal.Entry{encodeCapacity(capacity)}, err
	}, done: func() { d.guard.resized() }})
	if err != nil {
		return 0, fmt.Errorf("resize: %w", err)
	}
	return evicted, nil
}
