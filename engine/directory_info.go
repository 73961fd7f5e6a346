package engine

import (
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// Writes says whether the directory holds its lock and takes changes.
func (d *Directory) Writes() bool { return d.writes() }

// Changes says whether the memory takes changes, whether or not they last.
func (d *Directory) Changes() bool { return d.writes() || d.volatile }

// Previous says what Rollback would go back to.
type Previous struct {
	// Path and Sequence name the checkpoint, which was verified whole.
	Path     string
	Sequence int64
	Patterns [2]int // a side
	// Records counts what the journal holds since it.
	Records int64
}

// Previous finds, and changes nothing, what Rollback would go back to with the
// same to. When there is nothing it is ErrNoPrevious.
func (d *Directory) Previous(to int64) (*Previous, error) {
	if d.store == nil {
		return nil, ErrNoPrevious
	}
	source, err := d.kept(to)
	if err != nil {
		return nil, verification(err)
	}
	end := d.recovery.Journal.Last.Sequence
	if d.writes() {
		end = d.journal.Position().Sequence
	}
	return &Previous{
		Path: source.path, Sequence: source.sequence, Records: max(0, end-source.position.Sequence),
		Patterns: [2]int{memory.Safe: source.set.Safe.Len(), memory.Unsafe: source.set.Unsafe.Len()},
	}, nil
}
