package detect

// Measure is Consistency of the patterns of a memory that no detector follows.
func Measure(width int, safe, unsafe Patterns) Consistency {
	d := Detector{config: Config{Width: width}}
	for i, p := range [2]Patterns{safe, unsafe} {
		s := &side{columns: newColumns(width)}
		for row := range p.IDs {
			s.columns.add(p.Rows[row*p.Stride : row*p.Stride+width])
		}
		d.sides[i] = s
	}
	return d.Consistency()
}
