package memory

// chunkFloats is how many float32 values a chunk of rows holds, 1 MiB: rows are
// never copied to make room for more, and an empty memory takes next to nothing.
const chunkFloats = 1 << 18

// side is one side's rows. Every slice but chunks has one element a row.
type side struct {
	width      int
	chunkRows  int         // rows a chunk
	chunks     [][]float32 // [chunkRows * width] each
	timestamps []int64
	ids        []int64
	importance []float32
	// race finds the row to evict; nil until the first eviction, and whenever
	// the rows changed without it.
	race *tournament
}

func newSide(width int) *side {
	return &side{width: width, chunkRows: max(1, chunkFloats/width)}
}

func (s *side) count() int { return len(s.ids) }

// row is the memory of one row, [width].
func (s *side) row(row int) []float32 {
	start := row % s.chunkRows * s.width
	return s.chunks[row/s.chunkRows][start : start+s.width : start+s.width]
}

// push appends a row of undefined content and returns its number.
func (s *side) push() int {
	row := s.count()
	if row/s.chunkRows == len(s.chunks) {
		s.chunks = append(s.chunks, make([]float32, s.chunkRows*s.width))
	}
	s.ids = append(s.ids, 0)
	s.timestamps = append(s.timestamps, 0)
	s.importance = append(s.importance, 0)
	return row
}

// truncate drops the rows from count on. Their memory is kept for the next.
func (s *side) truncate(count int) {
	s.ids = s.ids[:count]
	s.timestamps = s.timestamps[:count]
	s.importance = s.importance[:count]
}

// victim is the row to evict at this counter. The side must not be empty.
func (s *side) victim(counter int64) int {
	if s.race == nil {
		s.race = newTournament(s.timestamps, s.importance, counter)
	}
	return s.race.winner(counter)
}

// changed tells the tournament that a row's timestamp or importance is new.
func (s *side) changed(row int, counter int64) {
	if s.race != nil {
		s.race.update(row, s.timestamps[row], s.importance[row], counter)
	}
}

// without copies the side, leaving out the rows marked in gone; the others keep
// their order, so that ties go on being broken as before.
func (s *side) without(gone []bool) *side {
	out := newSide(s.width)
	for row := range s.count() {
		if gone[row] {
			continue
		}
		at := out.push()
		copy(out.row(at), s.row(row))
		out.ids[at], out.timestamps[at], out.importance[at] = s.ids[row], s.timestamps[row], s.importance[row]
	}
	return out
}
