package detect

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
// order that says nothing about them: that of their scattered ids. These are
// spread evenly, so nearly all are in place after one pass.
func (s *sample) shuffled(width int, below uint64) []float32 {
	type key struct {
		scattered uint64
		row       int
	}
	next := make([]int, len(s.rows)+1)
	keys := make([]key, 0, len(s.rows))
	bucket := func(scattered uint64) int {
		return int(float64(scattered) / (float64(below) + 1) * float64(len(s.rows)-1))
	}
	for i := range s.rows {
		if scattered := scatter(s.rows[i].id); scattered <= below {
			keys = append(keys, key{scattered, i})
			next[bucket(scattered)+1]++
		}
	}
	for i := range s.rows {
		next[i+1] += next[i]
	}
	order := make([]key, len(keys))
	for _, k := range keys {
		at := &next[bucket(k.scattered)]
		order[*at] = k
		*at++
	}
	for i := range order {
		for j := i; j > 0 && order[j].scattered < order[j-1].scattered; j-- {
			order[j], order[j-1] = order[j-1], order[j]
		}
	}
	values := make([]float32, 0, len(order)*width)
	for _, k := range order {
		values = append(values, s.rows[k.row].row...)
	}
	return values
}
