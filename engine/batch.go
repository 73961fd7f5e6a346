package engine

import (
	"fmt"

	"github.com/fdqc-cockpit/fdqc/cgo/torch"
	"github.com/fdqc-cockpit/fdqc/models"
)

// MaxBatch is the largest number of rows that one call judges.
const MaxBatch = 65536

// Batch is a number of embeddings in the order in which they were proposed.
// The slices belong to the caller and are read during the call only.
type Batch struct {
	// Embeddings holds the rows one after another.
	Embeddings []float32
	// Width of every row, 1 to 4,096; ignored when Widths is set.
	Width int
	// Widths of the rows, one each, when they differ.
	Widths []int
	// Sessions names the independent state that each row moves; nil, or
	// "" for a row, is the default session.
	Sessions []string
	// BasicChecks says of each row whether it passed the checks that come
	// before the validator; nil: all passed.
	BasicChecks []bool
	// HashText marks rows whose embedding is a hash of their text
	// ([models.HashEmbedding]); they are at most Review. nil: none.
	HashText []bool
}

// rows counts the rows and checks every length against it.
func (b *Batch) rows() (int, error) {
	var rows int
	if b.Widths != nil {
		rows = len(b.Widths)
		total := 0
		for i, w := range b.Widths {
			if w < 1 || w > models.MaxWidth {
				return 0, &BatchError{i, fmt.Sprintf("width %d is outside 1 to %d", w, models.MaxWidth)}
			}
			total += w
		}
		if total != len(b.Embeddings) {
			return 0, &BatchError{-1, fmt.Sprintf("holds %d numbers, the widths of its %d rows add up to %d", len(b.Embeddings), rows, total)}
		}
	} else {
		if b.Width < 1 || b.Width > models.MaxWidth {
			return 0, &BatchError{-1, fmt.Sprintf("width %d is outside 1 to %d", b.Width, models.MaxWidth)}
		}
		if len(b.Embeddings)%b.Width != 0 {
			return 0, &BatchError{-1, fmt.Sprintf("holds %d numbers, no multiple of the width %d", len(b.Embeddings), b.Width)}
		}
		rows = len(b.Embeddings) / b.Width
	}
	if rows < 1 || rows > MaxBatch {
		return 0, &BatchError{-1, fmt.Sprintf("holds %d rows, expected 1 to %d", rows, MaxBatch)}
	}
	for _, per := range []struct {
		name string
		set  bool
		got  int
	}{
		{"sessions", b.Sessions != nil, len(b.Sessions)},
		{"basic checks", b.BasicChecks != nil, len(b.BasicChecks)},
		{"hash-text marks", b.HashText != nil, len(b.HashText)},
	} {
		if per.set && per.got != rows {
			return 0, &BatchError{-1, fmt.Sprintf("holds %d %s for %d rows", per.got, per.name, rows)}
		}
	}
	return rows, nil
}

// prepare translates a batch of rows rows for the validator, into buffers
// that are used again.
func (s *scratch) prepare(b *Batch, rows int, sessions *sessions) {
	s.batch.Segments = segments(b, s.batch.Segments[:0])
	s.batch.Count = rows
	s.batch.Slots, s.batch.Flags = nil, nil
	if b.Sessions == nil && b.BasicChecks == nil && b.HashText == nil {
		return
	}
	if cap(s.slots) < rows {
		s.slots, s.flags = make([]int32, rows), make([]uint8, rows)
	}
	s.batch.Slots, s.batch.Flags = s.slots[:rows], s.flags[:rows]
	clear(s.batch.Slots)
	clear(s.batch.Flags)
	for i := range rows {
		if b.BasicChecks != nil && !b.BasicChecks[i] {
			s.batch.Flags[i] = torch.RowSkip
			continue
		}
		if b.HashText != nil && b.HashText[i] {
			s.batch.Flags[i] |= torch.RowNoAllow
		}
		if b.Sessions != nil {
			slot, reset := sessions.slot(b.Sessions[i])
			s.batch.Slots[i] = slot
			if reset {
				s.batch.Flags[i] |= torch.RowReset
			}
		}
	}
}

// segments cuts a batch into runs of equal width.
func segments(b *Batch, into []models.Segment) []models.Segment {
	if b.Widths == nil {
		return append(into, models.Segment{Rows: b.Embeddings, Width: b.Width, Count: len(b.Embeddings) / b.Width})
	}
	at := 0
	for i := 0; i < len(b.Widths); {
		width, first := b.Widths[i], i
		for i < len(b.Widths) && b.Widths[i] == width {
			i++
		}
		size := (i - first) * width
		into = append(into, models.Segment{Rows: b.Embeddings[at : at+size], Width: width, Count: i - first})
		at += size
	}
	return into
}
