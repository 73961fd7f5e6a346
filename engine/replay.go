package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/checkpoints/store"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// replay applies the journal's records after a checkpoint to its memory.
type replay struct {
	directory *Directory
	options   journal.Options
	from      journal.Position // of the checkpoint
	started   int64            // its sequence
	until     int64            // the last record that is applied; 0: all
	standing  bool             // it says that the first record is of what stands

	memory     *memory.Memory
	levers     Levers
	quarantine quarantine
	approvals  approvals
	detector   []byte    // its state
	count      int64     // records seen
	changes    int64     // those of them that carry nothing on
	carried    *standing // the records before this one do; nil: they do not
	stood      bool      // the first one did
	unsaved    bool      // one of them is of what a checkpoint holds
	met        bool      // the record of the checkpoint's own replacement came

	audit *auditor // is told of every record; may be nil
}

// newReplay begins a replay after the checkpoint that a manifest is of.
func (d *Directory) newReplay(options journal.Options, from journal.Position, of *store.Manifest) *replay {
	return &replay{
		directory: d, options: options, from: from, started: of.Sequence, standing: of.Standing,
		memory: d.memory, levers: d.Levers(),
	}
}

// errUntil ends a replay that has seen enough.
var errUntil = errors.New("replay is complete")

// replayed takes over what a replay made.
func (d *Directory) replayed(r *replay, err error) error {
	d.recovery.Replayed = r.count
	d.levers.Store(&r.levers)
	d.quarantine.Store(&r.quarantine)
	d.approvals.Store(&r.approvals)
	d.detectorState = r.detector
	if err == nil && r.standing && !r.stood {
		return fmt.Errorf("%w: %s after %v does not go on with what stood beside the memory at the checkpoint", journal.ErrMissing, r.options.Dir, r.from)
	}
	if err == nil && !d.recovery.Journal.Boundary {
		// Every checkpoint is saved after the segment that continues it was made.
		return fmt.Errorf("%w: no segment of %s begins at %v, where the checkpoint ends", journal.ErrMissing, r.options.Dir, r.from)
	}
	return err
}

// record applies one record.
func (r *replay) record(record journal.Record) error {
	if r.until > 0 && record.Sequence > r.until {
		return errUntil
	}
	r.count++
	if record.Type != opStanding && !r.carried.carries(record.Type, record.Payload) {
		r.carried = nil
		r.changes++
	}
	r.unsaved = r.unsaved || changesMemory(record.Type)
	evicted, err := r.apply(record)
	if err != nil {
		return err
	}
	r.audit.replayed(record, evicted)
	return nil
}

// apply answers the ids of the patterns that had to go.
func (r *replay) apply(record journal.Record) (evicted []int64, err error) {
	switch record.Type {
	case opStanding:
		return nil, r.stand(record)
	case opDetector:
		if !json.Valid(record.Payload) {
			return nil, fmt.Errorf("%w: state of the detector is no JSON", errOperation)
		}
		r.detector = bytes.Clone(record.Payload)
		return nil, nil
	case opHeld, opReleased:
		return nil, r.quarantine.replayHeld(r.memory.Width()/2, record)
	case opAsked, opDecided:
		return nil, r.approvals.replayApproval(r.memory.Width()/2, record)
	case opLevers:
		levers, err := parseLevers(record.Payload)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errOperation, err)
		}
		r.levers = levers
		return nil, nil
	case opReplaced:
		return nil, r.replaced(record)
	case opSources:
		if _, err := parseSources(record.Payload); err != nil {
			return nil, fmt.Errorf("%w: %w", errOperation, err)
		}
		return nil, nil
	default:
		tx := r.memory.Begin()
		defer tx.Rollback() // does nothing after Commit
		if err := replayOperation(tx, r.memory.Width()/2, record); err != nil {
			return nil, err
		}
		tx.Commit()
		return tx.Evicted(), nil
	}
}

// replaced changes over to another checkpoint's memory where the journal says
// that it happened, unless the replay began at that very checkpoint. When both
// the checkpoint and the one that it was taken from are damaged or gone, the
// latter's memory is what the journal gives up to where it was saved.
func (r *replay) replaced(record journal.Record) error {
	var said replacement
	if err := json.Unmarshal(record.Payload, &said); err != nil {
		return fmt.Errorf("%w: %w", errOperation, err)
	}
	if said.Sequence == r.started {
		r.met = true
		return nil
	}
	next, err := r.kept(said.Sequence, said.Source)
	if err != nil {
		return err
	}
	if next == nil && said.Source > 0 && said.Position >= r.from.Sequence {
		if next, err = r.again(said.Position); err != nil {
			return err
		}
	}
	if next == nil {
		return fmt.Errorf("journal record %d changes over to checkpoint %d, which is damaged or gone: %w", record.Sequence, said.Sequence, store.ErrNoneLeft)
	}
	next.NextID = said.NextID
	return r.memory.Reset(*next, next.Capacity)
}

// kept reads the first of the checkpoints with these sequences that verifies;
// nil: none does.
func (r *replay) kept(sequences ...int64) (*memory.Snapshot, error) {
	d := r.directory
	list, err := d.store.List()
	if err != nil {
		return nil, err
	}
	for _, sequence := range sequences {
		for _, c := range list {
			if sequence == 0 || c.Manifest == nil || c.Manifest.Sequence != sequence {
				continue
			}
			set, err := d.store.Read(c)
			if err != nil {
				d.logger.Warn("checkpoint does not verify", "path", c.Path, "error", err)
				continue
			}
			d.metadata = set.Metadata
			snapshot := snapshotOf(set)
			return &snapshot, nil
		}
	}
	return nil, nil
}

// again replays from the checkpoint up to a record.
func (r *replay) again(until int64) (*memory.Snapshot, error) {
	d := r.directory
	list, err := d.store.List()
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if c.Manifest == nil || c.Manifest.Sequence != r.started {
			continue
		}
		set, err := d.store.Read(c)
		if err != nil {
			return nil, err
		}
		m, err := memory.Restore(snapshotOf(set), set.Capacity)
		if err != nil {
			return nil, err
		}
		// A record at until or before it cannot need this one again: the
		// recursion ends.
		inner := &replay{directory: d, options: r.options, from: r.from, started: r.started, until: until, memory: m}
		if until > r.from.Sequence {
			if _, err := journal.Replay(r.options, r.from, inner.record); err != nil && !errors.Is(err, errUntil) {
				return nil, err
			}
		}
		snapshot := m.Snapshot()
		return &snapshot, nil
	}
	return nil, nil
}
