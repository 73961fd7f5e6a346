package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// What the records of the journal mean. Numbers are little-endian; see
// JOURNAL.md for the layout of each.
const (
	opOutcome    journal.Type = 1  // an outcome became a pattern
	opImportance journal.Type = 2  // a pattern's importance changed
	opCapacity   journal.Type = 3  // the memory's capacity changed
	opLevers     journal.Type = 4  // an operator pulled a lever
	opReplaced   journal.Type = 5  // the memory became that of a checkpoint
	opHeld       journal.Type = 6  // an outcome went into the quarantine
	opReleased   journal.Type = 7  // an outcome left the quarantine
	opStanding   journal.Type = 8  // what stands beside the memory, at a checkpoint
	opAsked      journal.Type = 9  // an action waits for a person's approval
	opDecided    journal.Type = 10 // somebody decided on it, or nobody in time
	opSources    journal.Type = 11 // who brought the outcomes before it
	opDetector   journal.Type = 12 // what the detector knows, at the end of a process
)

// changesMemory says whether a record is of what a checkpoint holds, patterns or
// levers, and not of what waits for people or of who it was.
func changesMemory(t journal.Type) bool { return t <= opReplaced }

// errOperation says that a record of the journal does not fit what it is
// applied to.
var errOperation = errors.New("record does not fit the memory before it")

// outcomeHead is the length of an outcome's record before its row.
const outcomeHead = 1 + 4 + 8 + 8

// encodeOutcome is what the journal keeps of a recorded outcome: enough to
// record it again, and what it became, so that a replay that goes another way
// is noticed.
func encodeOutcome(side memory.Side, row []float32, importance float32, counter, id int64) journal.Entry {
	b := make([]byte, outcomeHead, outcomeHead+4*len(row))
	b[0] = byte(side)
	binary.LittleEndian.PutUint32(b[1:], math.Float32bits(importance))
	binary.LittleEndian.PutUint64(b[5:], uint64(counter))
	binary.LittleEndian.PutUint64(b[13:], uint64(id))
	for _, v := range row {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return journal.Entry{Type: opOutcome, Payload: b}
}

func encodeImportance(side memory.Side, row int, value float32) journal.Entry {
	b := []byte{byte(side)}
	b = binary.LittleEndian.AppendUint32(b, uint32(row))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(value))
	return journal.Entry{Type: opImportance, Payload: b}
}

func encodeCapacity(capacity int) journal.Entry {
	return journal.Entry{Type: opCapacity, Payload: binary.LittleEndian.AppendUint32(nil, uint32(capacity))}
}

// replacement is the record of a memory that became that of a checkpoint.
type replacement struct {
	// Sequence of the checkpoint that holds the memory from here on.
	Sequence int64 `json:"sequence"`
	// Source is the sequence of the older checkpoint that it was taken
	// from, 0 when it came from outside.
	Source int64 `json:"source,omitempty"`
	// Position is the journal record up to which Source holds the journal.
	Position int64  `json:"position,omitempty"`
	NextID   int64  `json:"next_pattern_id"`
	By       string `json:"by"`
	Reason   string `json:"reason"`
}

// encodeJSON is the record of something rare.
func encodeJSON(t journal.Type, value any) (journal.Entry, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return journal.Entry{}, fmt.Errorf("journal record: %w", err)
	}
	return journal.Entry{Type: t, Payload: b}, nil
}

// replayOperation applies a record about the memory itself, in a transaction
// that stays open. width is that of the workspace.
func replayOperation(tx *memory.Tx, width int, r journal.Record) error {
	p := r.Payload
	switch r.Type {
	case opOutcome:
		if len(p) != outcomeHead+4*width {
			return fmt.Errorf("%w: outcome of %d bytes, expected %d", errOperation, len(p), outcomeHead+4*width)
		}
		row := make([]float32, width)
		for i := range row {
			row[i] = math.Float32frombits(binary.LittleEndian.Uint32(p[outcomeHead+4*i:]))
		}
		change, err := tx.Record(memory.Side(p[0]), row, math.Float32frombits(binary.LittleEndian.Uint32(p[1:])))
		if err != nil {
			return fmt.Errorf("%w: %w", errOperation, err)
		}
		counter, id := int64(binary.LittleEndian.Uint64(p[5:])), int64(binary.LittleEndian.Uint64(p[13:]))
		if got := tx.Stats().Counter; got != counter || change.ID != id {
			return fmt.Errorf("%w: outcome became number %d and pattern %d, was recorded as number %d and pattern %d", errOperation, got, change.ID, counter, id)
		}
	case opImportance:
		if len(p) != 9 {
			return fmt.Errorf("%w: importance of %d bytes, expected 9", errOperation, len(p))
		}
		row := int(binary.LittleEndian.Uint32(p[1:]))
		if err := tx.SetImportance(memory.Side(p[0]), row, math.Float32frombits(binary.LittleEndian.Uint32(p[5:]))); err != nil {
			return fmt.Errorf("%w: %w", errOperation, err)
		}
	case opCapacity:
		if len(p) != 4 {
			return fmt.Errorf("%w: capacity of %d bytes, expected 4", errOperation, len(p))
		}
		if _, err := tx.Resize(int(binary.LittleEndian.Uint32(p))); err != nil {
			return fmt.Errorf("%w: %w", errOperation, err)
		}
	default:
		return fmt.Errorf("%w: type %d is unknown to this version", errOperation, r.Type)
	}
	return nil
}
