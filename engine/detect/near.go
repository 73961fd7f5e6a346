package detect

import (
	"math"
	"slices"
	"sort"
)

// chunkRows bounds how many entries an insertion moves.
const chunkRows = 512

// entry is a row of a near.
type entry struct {
	key float32 // its column that they are sorted by
	id  int64
	row []float32
}

// near is the rows of one side that a transaction stored, sorted by one column:
// rows nearer than a distance are nearer in it too.
type near struct {
	column int
	chunks [][]entry // none empty
}

// chunk is the last that begins at or below a key, 0 when none does.
func (s *near) chunk(key float32) int {
	i := sort.Search(len(s.chunks), func(i int) bool { return s.chunks[i][0].key > key })
	return max(0, i-1)
}

func (s *near) insert(id int64, row []float32) {
	e := entry{row[s.column], id, row}
	if len(s.chunks) == 0 {
		s.chunks = append(s.chunks, []entry{e})
		return
	}
	c := s.chunk(e.key)
	chunk := s.chunks[c]
	i := sort.Search(len(chunk), func(i int) bool { return chunk[i].key > e.key })
	chunk = slices.Insert(chunk, i, e)
	s.chunks[c] = chunk
	if half := len(chunk) / 2; len(chunk) > chunkRows {
		s.chunks = slices.Insert(s.chunks, c+1, slices.Clone(chunk[half:]))
		clear(chunk[half:])
		s.chunks[c] = chunk[:half]
	}
}

// remove drops a row that left the memory again.
func (s *near) remove(id int64, row []float32) {
	for c := range s.chunks {
		chunk := s.chunks[c]
		if chunk[len(chunk)-1].key < row[s.column] {
			continue
		}
		if chunk[0].key > row[s.column] {
			return
		}
		if i := slices.IndexFunc(chunk, func(e entry) bool { return e.id == id }); i >= 0 {
			if s.chunks[c] = slices.Delete(chunk, i, i+1); len(s.chunks[c]) == 0 {
				s.chunks = slices.Delete(s.chunks, c, c+1)
			}
			return
		}
	}
}

// nearest is the distance to the nearest row that is nearer than a bound (0 or
// above 0 with its square), +Inf when there is none.
func (s *near) nearest(row []float32, bound float64) float64 {
	if len(s.chunks) == 0 || !(bound > 0) {
		return math.Inf(1)
	}
	key := row[s.column]
	first := s.chunk(key)
	at := sort.Search(len(s.chunks[first]), func(i int) bool { return s.chunks[first][i].key > key })
	best := bound * bound // +Inf stays
	// Up from the key, then down, until the column alone is as far.
	for c, i := first, at; c < len(s.chunks); c, i = c+1, 0 {
		chunk := s.chunks[c]
		for ; i < len(chunk); i++ {
			if far := float64(chunk[i].key) - float64(key); far*far >= best {
				c = len(s.chunks)
				break
			}
			best = min(best, squareWithin(row, chunk[i].row, best))
		}
	}
	for c, i := first, at-1; c >= 0; c-- {
		chunk := s.chunks[c]
		if c != first {
			i = len(chunk) - 1
		}
		for ; i >= 0; i-- {
			if far := float64(chunk[i].key) - float64(key); far*far >= best {
				return below(best, bound)
			}
			best = min(best, squareWithin(row, chunk[i].row, best))
		}
	}
	return below(best, bound)
}

func below(square, bound float64) float64 {
	if root := math.Sqrt(square); root < bound {
		return root
	}
	return math.Inf(1)
}

// squareWithin is the squared distance of two rows, or something at least
// `within` when it is as much.
func squareWithin(a, b []float32, within float64) float64 {
	var sum float64
	for len(a) > 16 {
		for j := range 16 {
			d := float64(a[j]) - float64(b[j])
			sum += d * d
		}
		if sum >= within {
			return sum
		}
		a, b = a[16:], b[16:]
	}
	for j := range a {
		d := float64(a[j]) - float64(b[j])
		sum += d * d
	}
	return sum
}
