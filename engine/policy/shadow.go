package policy

import "sync/atomic"

// Shadow counts what rules would have decided beside those in force. Nothing
// depends on it.
type Shadow struct {
	rules  Rules
	counts [Decisions][Decisions]atomic.Int64
}

// NewShadow counts for rules.
func NewShadow(r Rules) *Shadow { return &Shadow{rules: r} }

// Count takes a row that was judged.
func (s *Shadow) Count(decided Decision, n *Numbers) Decision {
	would := s.rules.Decide(n)
	s.counts[decided][would].Add(1)
	return would
}

// CountRefused takes rows that were blocked before any rule was asked.
func (s *Shadow) CountRefused(rows int64) { s.counts[Block][Block].Add(rows) }

// Counts are rows by what was decided and what would have been.
type Counts [Decisions][Decisions]int64

// Counts are those since the beginning.
func (s *Shadow) Counts() (c Counts) {
	for decided := range s.counts {
		for would := range s.counts[decided] {
			c[decided][would] = s.counts[decided][would].Load()
		}
	}
	return c
}

// Rows is how many were counted.
func (c *Counts) Rows() (rows int64) {
	for _, decided := range c {
		for _, n := range decided {
			rows += n
		}
	}
	return rows
}
