package journal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The files of a branch that is under way.
const (
	stagedName  = "branch.new"      // the new segment
	planName    = "branch.plan"     // once it is there, the new history is in force
	planDraft   = "branch.plan.tmp" // the plan while it is written
	planRecords = 2                 // aside, name; the moved segments follow
)

// branch is the replacement of the segments after a position by a new one.
type branch struct {
	dir   string
	aside string   // the folder for the old segments
	name  string   // the new segment's, in dir
	moved []string // names of the old segments, oldest first
}

// Branch gives up the history after a position, which must be the end of the journal or a segment's beginning. The segments after it
// are moved into the folder aside, which is made when absent (its parent must be there, on the same file system), and a new
// segment continues from the position, with the entries, at least one, as its first commit. Numbers go on after
// the highest one of the history that was given up, so that no number ever means two records.
//
// After an error the old history is in force. After a crash either the old or the new one is, and Open finishes what was begun.
func (j *Journal) Branch(at Position, aside string, entries ...Entry) (Position, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.ready()
	if err == nil {
		err = j.branchOff(at, aside, entries)
	}
	if err != nil {
		return Position{}, fmt.Errorf("branch journal: %w", err)
	}
	return j.position, nil
}

func (j *Journal) branchOff(at Position, aside string, entries []Entry) error {
	o := &j.options
	if len(entries) == 0 {
		return errors.New("no entries, expected at least one that says why")
	}
	keep := slices.IndexFunc(j.segments, func(s segment) bool { return s.previous == at })
	if keep < 0 && at == j.position {
		keep = len(j.segments)
	}
	if keep < 0 {
		return fmt.Errorf("no segment begins at %v", at)
	}
	b := &branch{dir: o.Dir, aside: aside, name: segmentName(j.next)}
	for _, s := range j.segments[keep:] {
		b.moved = append(b.moved, filepath.Base(s.path))
	}
	now := o.Now()
	h := header{branch: true, first: j.next, previous: at, created: now.UnixNano()}
	content, err := h.encode(o)
	if err != nil {
		return err
	}
	content, chain, err := appendCommit(content, o, commitPayload, at.Chain, j.next, now, entries)
	if err != nil {
		return err
	}
	plan, err := b.encode(o, now)
	if err != nil {
		return err
	}
	if err := j.sync(); err != nil {
		return err
	}
	// A plan that stayed must not meet a new segment.
	if err := o.ops.discard(b.dir, b.path(planName), b.path(planDraft), b.path(stagedName)); err != nil {
		return err
	}
	f, err := b.begin(o.ops, content, plan)
	if err == nil {
		err = b.finish(o.ops)
	}
	if err != nil {
		if f != nil {
			_ = f.Close() // goes with its file
		}
		j.branch = b
		return j.fail(err)
	}
	// The plan says nothing new any more. Should it stay, the next Open or Branch removes it.
	_ = o.ops.discard(b.dir, b.path(planName))
	j.segments = j.segments[:keep:keep]
	j.position = Position{Sequence: j.next + int64(len(entries)) - 1, Chain: chain}
	j.next = j.position.Sequence + 1
	j.enter(segment{path: b.path(b.name), first: h.first, previous: at}, f, int64(len(content)))
	return nil
}

func (b *branch) path(name string) string { return filepath.Join(b.dir, name) }

// begin writes the new segment beside the others and then the plan, which puts it in force.
func (b *branch) begin(ops *fileOps, content, plan []byte) (file, error) {
	if err := ops.makeDir(b.aside); err != nil {
		return nil, err
	}
	for _, name := range b.moved {
		if there, err := exists(filepath.Join(b.aside, name)); err != nil || there {
			return nil, errors.Join(err, fmt.Errorf("%s holds %s already", b.aside, name))
		}
	}
	f, _, err := ops.create(b.path(stagedName), content)
	if err != nil {
		return nil, err
	}
	if err := ops.syncDir(b.dir); err != nil {
		return f, err
	}
	draft, _, err := ops.create(b.path(planDraft), plan)
	if err != nil {
		return f, err
	}
	if err := draft.Close(); err != nil {
		return f, err
	}
	if err := ops.rename(b.path(planDraft), b.path(planName)); err != nil {
		return f, err
	}
	return f, ops.syncDir(b.dir)
}

// finish does what the plan says, from wherever it was left. While the new segment is staged, the others are in the way.
func (b *branch) finish(ops *fileOps) error {
	staged, err := exists(b.path(stagedName))
	if err != nil || !staged {
		return err
	}
	if err := ops.makeDir(b.aside); err != nil {
		return err
	}
	// Newest first: what is left is a whole history at every moment.
	for _, name := range slices.Backward(b.moved) {
		if err := move(ops, b.path(name), filepath.Join(b.aside, name)); err != nil {
			return err
		}
	}
	if err := errors.Join(ops.syncDir(b.aside), ops.syncDir(b.dir)); err != nil {
		return err
	}
	if err := move(ops, b.path(stagedName), b.path(b.name)); err != nil {
		return err
	}
	return ops.syncDir(b.dir)
}

// undo leads back to the old history, from wherever begin or finish failed.
func (b *branch) undo(ops *fileOps) error {
	planned, err := exists(b.path(planName))
	if err != nil {
		return err
	}
	if planned {
		staged, err := exists(b.path(stagedName))
		if err != nil {
			return err
		}
		if !staged {
			if err := move(ops, b.path(b.name), b.path(stagedName)); err != nil {
				return err
			}
		}
		for _, name := range b.moved {
			if err := move(ops, filepath.Join(b.aside, name), b.path(name)); err != nil {
				return err
			}
		}
		if err := errors.Join(ops.syncDir(b.dir), ops.syncDir(b.aside)); err != nil {
			return err
		}
		if err := ops.discard(b.dir, b.path(planName)); err != nil {
			return err
		}
	}
	return ops.discard(b.dir, b.path(planDraft), b.path(stagedName))
}

// move renames a file unless that was done before. Nothing is ever replaced.
func move(ops *fileOps, from, to string) error {
	source, err := exists(from)
	if err != nil {
		return err
	}
	target, err := exists(to)
	switch {
	case err != nil:
		return err
	case source && target:
		return fmt.Errorf("move %s: %s is there", from, to)
	case source:
		return ops.rename(from, to)
	case target:
		return nil
	}
	return fmt.Errorf("move %s to %s: neither is there: %w", from, to, fs.ErrNotExist)
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// encode lays the plan out as a group commit of its own. The folder is written relative to the journal's, which may be moved.
func (b *branch) encode(o *Options, now time.Time) ([]byte, error) {
	dir, err := filepath.Abs(b.dir)
	if err != nil {
		return nil, err
	}
	aside, err := filepath.Abs(b.aside)
	if err != nil {
		return nil, err
	}
	relative, err := filepath.Rel(dir, aside)
	if err != nil {
		return nil, err
	}
	if relative == "." {
		return nil, fmt.Errorf("folder %s is the journal's own, expected another", b.aside)
	}
	entries := []Entry{{Type: 1, Payload: []byte(relative)}, {Type: 1, Payload: []byte(b.name)}}
	for _, name := range b.moved {
		entries = append(entries, Entry{Type: 1, Payload: []byte(name)})
	}
	plan, _, err := appendCommit(nil, o, branchPayload, [chainSize]byte{}, 1, now, entries)
	return plan, err
}

// readPlan reads the plan of an interrupted branch; nil when there is none.
func readPlan(o *Options) (*branch, error) {
	path := filepath.Join(o.Dir, planName)
	if there, err := exists(path); err != nil || !there {
		return nil, err
	}
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	b, err := decodePlan(o, path, f, size)
	return b, errors.Join(err, f.Close())
}

func decodePlan(o *Options, path string, f *os.File, size int64) (*branch, error) {
	damage := func(reason string) error { return &DamageError{Segment: path, Reason: reason} }
	if size < commitHeaderSize || size > MaxCommit {
		return nil, damage(fmt.Sprintf("%d bytes, expected a plan", size))
	}
	content := make([]byte, size)
	if _, err := f.ReadAt(content, 0); err != nil {
		return nil, err
	}
	h, err := decodeCommitHeader(content)
	if err != nil {
		return nil, damage(err.Error())
	}
	if int64(h.length) != size || h.first != 1 || h.records < planRecords {
		return nil, damage(fmt.Sprintf("%d bytes with %d records from %d, expected %d with at least %d from 1", size, h.records, h.first, h.length, planRecords))
	}
	c, err := decodeCommit(content, h, [chainSize]byte{}, sha256.New())
	if err != nil {
		return nil, damage(err.Error())
	}
	if _, err := o.trust(branchPayload, c.chain[:], c.keyID, c.signature, time.Unix(0, c.time)); err != nil {
		return nil, &TrustError{Segment: path, Err: err}
	}
	b := &branch{dir: o.Dir}
	return b, c.each(func(r Record) error {
		if r.Sequence == 1 {
			b.aside = filepath.Join(o.Dir, string(r.Payload))
			return nil
		}
		name := string(r.Payload)
		if _, ok := parseName(name); !ok {
			return damage(fmt.Sprintf("record %d is %.40q, expected a segment's name", r.Sequence, name))
		}
		if r.Sequence == 2 {
			b.name = name
		} else {
			b.moved = append(b.moved, name)
		}
		return nil
	})
}

// settleBranch finishes an interrupted branch whose plan is there, and removes one that did not get so far.
func settleBranch(o *Options) error {
	b, err := readPlan(o)
	if err != nil {
		return err
	}
	if b != nil {
		if err := b.finish(o.ops); err != nil {
			return fmt.Errorf("finish a branch: %w", err)
		}
		return o.ops.discard(o.Dir, filepath.Join(o.Dir, planName))
	}
	for _, name := range []string{planDraft, stagedName} {
		path := filepath.Join(o.Dir, name)
		if there, err := exists(path); err != nil || !there {
			if err != nil {
				return err
			}
			continue
		}
		if err := o.ops.discard(o.Dir, path); err != nil {
			return err
		}
	}
	return nil
}

// listSettled lists the segments as settleBranch would leave them, and changes nothing.
func listSettled(o *Options) ([]source, error) {
	b, err := readPlan(o)
	if err != nil {
		return nil, err
	}
	all, err := list(o.Dir)
	if b == nil || err != nil {
		return all, err
	}
	staged := filepath.Join(o.Dir, stagedName)
	if there, err := exists(staged); err != nil || !there {
		return all, err
	}
	all = slices.DeleteFunc(all, func(s source) bool { return slices.Contains(b.moved, filepath.Base(s.path)) })
	first, _ := parseName(b.name)
	return append(all, source{first: first, path: staged}), nil
}
