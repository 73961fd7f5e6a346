package engine

import (
	"fmt"
	"strconv"
	"strings"
)

// maxRuns bounds the ids that an entry lists.
const maxRuns = 256

// idRuns are ids in the order given, as "3-9,12"; beyond maxRuns they are only
// counted.
type idRuns struct {
	Count   int    `json:"count"`
	IDs     string `json:"pattern_ids"`
	Omitted int    `json:"omitted,omitempty"`
	runs    [][2]int64
}

func (r *idRuns) add(ids []int64) {
	for _, id := range ids {
		r.Count++
		last := len(r.runs) - 1
		switch {
		case last >= 0 && r.Omitted == 0 && r.runs[last][1]+1 == id:
			r.runs[last][1] = id
		case len(r.runs) < maxRuns:
			r.runs = append(r.runs, [2]int64{id, id})
		default:
			r.Omitted++
		}
	}
}

// done writes the runs down.
func (r *idRuns) done() {
	var b strings.Builder
	for i, run := range r.runs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(run[0], 10))
		if run[1] > run[0] {
			b.WriteByte('-')
			b.WriteString(strconv.FormatInt(run[1], 10))
		}
	}
	r.IDs = b.String()
}

// runsOf are ids; nil when there are none.
func runsOf(ids []int64) *idRuns {
	if len(ids) == 0 {
		return nil
	}
	r := &idRuns{}
	r.add(ids)
	r.done()
	return r
}

// named are the ids that a record of the journal is about: IDs in runs, or ID,
// as records had it before there were runs.
type named struct {
	ID  int64  `json:"id,omitempty"`
	IDs string `json:"ids,omitempty"`
}

// ids are the runs.
func (n *named) ids() string {
	if n.IDs == "" {
		return strconv.FormatInt(n.ID, 10)
	}
	return n.IDs
}

// each calls f for every id, in order, until it answers an error. What a
// record claims is not believed: nothing is made of a run before f saw its ids.
func (n *named) each(f func(id int64) error) error {
	for run := range strings.SplitSeq(n.ids(), ",") {
		first, last, several := strings.Cut(run, "-")
		if !several {
			last = first
		}
		from, err := strconv.ParseInt(first, 10, 64)
		to, err2 := strconv.ParseInt(last, 10, 64)
		if err != nil || err2 != nil || from < 1 || from > to {
			return fmt.Errorf("ids %q, expected runs such as 3-9,12", run)
		}
		for left := to - from; left >= 0; left-- {
			if err := f(to - left); err != nil {
				return err
			}
		}
	}
	return nil
}

// namings are records' worth of ids, in the order given: at most maxRuns runs
// each, which the audit log takes whole.
func namings(ids []int64) (all []naming) {
	for from := 0; from < len(ids); {
		r, to := &idRuns{}, from
		for ; to < len(ids); to++ {
			if r.add(ids[to : to+1]); r.Omitted > 0 {
				break
			}
		}
		r.done()
		all = append(all, naming{named{IDs: r.IDs}, from})
		from = to
	}
	return all
}

// naming is a part of a list of ids, which begins at from.
type naming struct {
	named
	from int
}

// logged are ids as a log has them.
func logged(ids []int64) string {
	r := runsOf(ids)
	switch {
	case r == nil:
		return ""
	case r.Omitted > 0:
		return fmt.Sprintf("%s and %d more", r.IDs, r.Omitted)
	}
	return r.IDs
}

// checkWhy bounds who and why, which the journal keeps.
func checkWhy(by, reason string) error {
	if most := max(len(by), len(reason)); most > maxName {
		return fmt.Errorf("name or reason of %d bytes, expected at most %d", most, maxName)
	}
	return nil
}
