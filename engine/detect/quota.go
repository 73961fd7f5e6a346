package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
	"unicode/utf8"
)

const (
	// mostSources are told apart. When there are more at once, new ones share
	// one quota, and nobody's count is lost to a flood of names.
	mostSources = 4096
	// crowd is the source that these are, everyone what all sources are
	// together: whoever may invent names has many quotas, and one share of
	// that one. No key of a name is as they are.
	crowd, everyone = "\x00", "\x01"
	// copyWeight is how many rows of a quota a near-copy takes.
	copyWeight = 4
	longName   = 64 // bytes from which a name is kept as its hash
)

// quotas are what sources used of theirs. Each is a bucket that leaks at the
// rate of a quota a window, which forgets a source without losing anything when
// it is empty.
type quotas struct {
	quota   float64 // of a source
	total   float64 // of everyone
	window  time.Duration
	sources map[string]Consumed
	swept   time.Time // when empty ones were last dropped
}

// key is the source whose quota a name uses.
func (q *quotas) key(name string, now time.Time) string {
	if len(name) >= longName || name < " " || !utf8.ValidString(name) { // the state is JSON
		sum := sha256.Sum256([]byte(name))
		name = hex.EncodeToString(sum[:])
	}
	if _, ok := q.sources[name]; ok || len(q.sources) < mostSources {
		return name
	}
	if now.Sub(q.swept) > q.window/16 {
		q.swept = now
		for name := range q.sources {
			if q.used(name, now) == 0 {
				delete(q.sources, name)
			}
		}
		if len(q.sources) < mostSources {
			return name
		}
	}
	return crowd
}

// of is the quota of a source.
func (q *quotas) of(key string) float64 {
	if key == everyone {
		return q.total
	}
	return q.quota
}

// used is how many rows of its quota a source has in use.
func (q *quotas) used(key string, now time.Time) float64 {
	c := q.sources[key]
	// A clock that was put back gives nothing.
	past := max(0, now.Sub(c.At).Seconds())
	return max(0, c.Rows-past*q.of(key)/q.window.Seconds())
}

// use adds rows; a full quota is no fuller for what came in spite of it.
func (q *quotas) use(key string, rows float64, now time.Time) {
	if c := q.sources[key]; now.Before(c.At) {
		now = c.At
	}
	q.sources[key] = Consumed{Rows: min(q.of(key), q.used(key, now)+rows), At: now}
}
