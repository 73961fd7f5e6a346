package rows

import (
	"encoding/binary"
	"slices"
	"unsafe"
)

// Entry is one row of a batch, or the refusal of one.
type Entry struct {
	Row
	Err   *RowError // not nil: the row was refused; of Row only Number, Op and ID mean something
	start int       // in the batch's numbers, where the embedding begins or would
}

// RowBatch is some rows in input order. It belongs to the caller until Release.
type RowBatch struct {
	// Entries are the rows; none when all are bare: nothing but an embedding each, not refused, with the row number for an
	// id.
	Entries []Entry

	bare    int   // rows of a bare batch
	first   int64 // number of its first row
	width   int   // of its embeddings
	refused int   // rows that were refused
	numbers []float32
	texts   int // bytes of actions, ids, sessions and sources
	owner   *Batcher
}

// Len is the number of rows, refused ones too.
func (b *RowBatch) Len() int { return max(b.bare, len(b.Entries)) }

// Numbers are the embeddings of the rows from..to-1 that were not refused, one after another, as they were read. When all
// have one width (validate and record of embeddings) they are a matrix, a row each.
func (b *RowBatch) Numbers(from, to int) []float32 { return b.numbers[b.start(from):b.start(to)] }

// Bare is the width of every embedding when all rows are bare, else 0.
func (b *RowBatch) Bare() int {
	if b.bare == 0 {
		return 0
	}
	return b.width
}

// Number is the number of a row.
func (b *RowBatch) Number(row int) int64 {
	if b.bare > 0 {
		return b.first + int64(row)
	}
	return b.Entries[row].Number
}

// ID is the id of a row.
func (b *RowBatch) ID(row int) ID {
	if b.bare > 0 {
		return IntID(b.first + int64(row))
	}
	return b.Entries[row].ID
}

// Release gives the batch back for reuse; its entries and numbers must not be used afterwards.
func (b *RowBatch) Release() { b.owner.release(b) }

func (b *RowBatch) start(row int) int {
	switch {
	case row == b.Len():
		return len(b.numbers)
	case b.bare > 0:
		return row * b.width
	}
	return b.Entries[row].start
}

// embedding is what a reader has put into the numbers for a row that was not refused.
func (b *RowBatch) embedding(row int) []float32 {
	if b.Entries[row].Err != nil {
		return nil
	}
	return b.Numbers(row, row+1)
}

// add appends a row whose embedding, unless it is refused, are the numbers from where the last row ended.
func (b *RowBatch) add(row *Row, start int, refusal *RowError) {
	b.Entries = append(b.Entries, Entry{Row: *row, Err: refusal, start: start})
	b.Entries[len(b.Entries)-1].Embedding = nil // the reader's memory; seal sets it
	b.texts += len(row.Action) + len(row.ID.text) + len(row.Session) + len(row.Source)
	if refusal != nil {
		b.refused++
	}
}

// addBare appends count rows of width numbers, which are the last of the numbers.
func (b *RowBatch) addBare(first int64, count, width int) {
	if b.bare == 0 {
		b.first, b.width = first, width
	}
	b.bare += count
}

// spell makes a bare batch one of entries, so that others can follow.
func (b *RowBatch) spell(op Op) {
	for i := range b.bare {
		number := b.first + int64(i)
		b.Entries = append(b.Entries, Entry{Row: Row{Number: number, Op: op, ID: IntID(number), BasicChecks: true}, start: i * b.width})
	}
	b.bare = 0
}

// seal makes the embeddings views of the numbers, which do not move any more.
func (b *RowBatch) seal() {
	for i := range b.Entries {
		if numbers := b.embedding(i); len(numbers) > 0 {
			b.Entries[i].Embedding = slices.Clip(numbers)
		}
	}
}

// cut drops the rows from the first refused one on, and returns its refusal.
func (b *RowBatch) cut() *RowError {
	for i := range b.Entries {
		if refusal := b.Entries[i].Err; refusal != nil {
			b.numbers = b.numbers[:b.Entries[i].start]
			clear(b.Entries[i:])
			b.Entries = b.Entries[:i]
			return refusal
		}
	}
	return nil
}

func (b *RowBatch) reset() {
	clear(b.Entries) // texts and errors are not kept alive
	*b = RowBatch{Entries: b.Entries[:0], numbers: b.numbers[:0], owner: b.owner}
}

// allFinite tells whether no number is a NaN or an infinity. It looks at two at a time: adding one to an exponent that is
// all ones carries into the sign, which was masked out.
func allFinite(numbers []float32) bool {
	const exponents, one, signs = 0x7f800000_7f800000, 0x00800000_00800000, 0x80000000_80000000
	raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(numbers))), 4*len(numbers))
	var carries uint64
	for len(raw) >= 16 {
		carries |= binary.LittleEndian.Uint64(raw)&exponents + one
		carries |= binary.LittleEndian.Uint64(raw[8:])&exponents + one
		raw = raw[16:]
	}
	for ; len(raw) > 0; raw = raw[4:] {
		carries |= uint64(binary.LittleEndian.Uint32(raw)&(exponents>>32)) + one>>32
	}
	return carries&signs == 0
}
