package detect

import "slices"

// mostSampled is how many rows of a side a fit is made from at most.
const mostSampled = 4096

// sampled is one row of a sample.
type sampled struct {
	id  int64
	row []float32 // [width]; never written
}

// sample is a uniform sample of one side. Whether a pattern belongs to it is a
// function of its id alone, so it follows evictions, and no order of events and
// no choice of values gets a row in or out.
type sample struct {
	rows []sampled
	at   map[int64]int // of rows, by id
}

func newSample() sample { return sample{at: map[int64]int{}} }

// belongs says whether an id is among the share below/2^64 of all ids.
func belongs(id int64, below uint64) bool { return scatter(id) <= below }

// scatter is a bijection under which ids that follow each other are as good as
// random: the finaliser of splitmix64 (Steele, Lea, Flood, "Fast splittable
// pseudorandom number generators", 2014).
func scatter(id int64) uint64 {
	x := uint64(id) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (s *sample) add(r sampled) {
	s.at[r.id] = len(s.rows)
	s.rows = append(s.rows, r)
}

// remove answers the row and where it was, -1 when it is not there.
func (s *sample) remove(id int64) (sampled, int) {
	i, ok := s.at[id]
	if !ok {
		return sampled{}, -1
	}
	r, last := s.rows[i], len(s.rows)-1
	s.rows[i] = s.rows[last]
	s.at[s.rows[i].id] = i
	s.rows[last] = sampled{}
	s.rows = s.rows[:last]
	delete(s.at, id)
	return r, i
}

// unremove puts back what the last call of remove took.
func (s *sample) unremove(r sampled, i int) {
	s.add(r)
	last := len(s.rows) - 1
	s.rows[i], s.rows[last] = s.rows[last], s.rows[i]
	s.at[s.rows[i].id], s.at[s.rows[last].id] = i, last
}

// pop takes back the last add.
func (s *sample) pop() {
	last := len(s.rows) - 1
	delete(s.at, s.rows[last].id)
	s.rows[last] = sampled{}
	s.rows = s.rows[:last]
}

// thinned is the part of a sample that belongs to a smaller share.
func (s *sample) thinned(below uint64) sample {
	out := newSample()
	for _, r := range s.rows {
		if belongs(r.id, below) {
			out.add(r)
		}
	}
	return out
}

// shuffled is the values of the rows that belong to a share, [any, width], in an
// order that says nothing about them.
func (s *sample) shuffled(width int, below uint64) []float32 {
	var rows []sampled
	for _, r := range s.rows {
		if belongs(r.id, below) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b sampled) int {
		if scatter(a.id) < scatter(b.id) {
			return -1
		}
		return 1
	})
	values := make([]float32, 0, len(rows)*width)
	for i := range rows {
		values = append(values, rows[i].row...)
	}
	return values
}
