package journal

// Segments lists the paths of the segments that hold records after a sequence, oldest first.
func (j *Journal) Segments(after int64) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var paths []string
	for i, s := range j.segments {
		last := j.position.Sequence
		if i+1 < len(j.segments) {
			last = j.segments[i+1].previous.Sequence
		}
		if last > after && last > s.previous.Sequence {
			paths = append(paths, s.path)
		}
	}
	return paths
}
