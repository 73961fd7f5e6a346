package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

// Counts compares verdicts with what the actions turned out to be.
type Counts struct {
	TrueApprovals  int64 `json:"true_approvals"`  // approved, and safe
	FalseApprovals int64 `json:"false_approvals"` // approved, and unsafe: the worst
	TrueRefusals   int64 `json:"true_refusals"`   // not approved, and unsafe
	FalseRefusals  int64 `json:"false_refusals"`  // not approved, and safe
}

// Total counts all.
func (c Counts) Total() int64 {
	return c.TrueApprovals + c.FalseApprovals + c.TrueRefusals + c.FalseRefusals
}

func (c *Counts) add(o Counts) {
	c.TrueApprovals += o.TrueApprovals
	c.FalseApprovals += o.FalseApprovals
	c.TrueRefusals += o.TrueRefusals
	c.FalseRefusals += o.FalseRefusals
}

func (c *Counts) count(approved, safe bool) {
	switch {
	case approved && safe:
		c.TrueApprovals++
	case approved:
		c.FalseApprovals++
	case safe:
		c.FalseRefusals++
	default:
		c.TrueRefusals++
	}
}

// Window is a span of time that ends now.
type Window struct {
	Name string
	Span time.Duration
}

// Windows are those that are exported.
func Windows() []Window {
	return []Window{{"1h", time.Hour}, {"24h", 24 * time.Hour}, {"7d", keptHours * time.Hour}}
}

// keptHours is for how long counts are kept, by the hour.
const keptHours = 7 * 24

// hour is what became known of the verdicts given in an hour.
type hour struct {
	At time.Time `json:"at"` // its beginning
	Counts
}

// saved is the file of a Confusion.
type savedConfusion struct {
	Version int    `json:"version"`
	Total   Counts `json:"total"` // since the beginning
	Hours   []hour `json:"hours"` // oldest first
}

// Confusion counts verdicts of which the truth is known, by the hour in which
// they were given. A window is whole hours, the current one included: the last
// hour is this one and the one before. Safe for concurrent use.
type Confusion struct {
	path string // "": it ends with the process
	now  func() time.Time

	mu      sync.Mutex
	saved   savedConfusion
	changed bool
}

// OpenConfusion reads the counts that were kept, none when the file is absent.
// A damaged one is set aside under another name: then the error is ErrDamaged
// and names both. One that cannot be read is left alone, and nothing is kept.
// Counts, which begin anew, come with every error.
func OpenConfusion(path string, now func() time.Time) (*Confusion, error) {
	c := &Confusion{path: path, now: now, saved: savedConfusion{Version: 1}}
	if path == "" {
		return c, nil
	}
	err := c.read()
	if errors.Is(err, ErrDamaged) {
		c.saved = savedConfusion{Version: 1}
		aside, moved := setAside(path, now())
		if moved != nil {
			return c, errors.Join(err, moved)
		}
		return c, fmt.Errorf("%w; it is now %s", err, aside)
	}
	if err != nil {
		c.path = ""
	}
	return c, err
}

func (c *Confusion) read() error {
	data, err := readFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("judged outcomes: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&c.saved)
	if err == nil {
		err = c.saved.check()
	}
	if err != nil {
		return fmt.Errorf("judged outcomes: %s %w: %w", c.path, ErrDamaged, err)
	}
	return nil
}

// check refuses what this program cannot have written.
func (s *savedConfusion) check() error {
	if s.Version != 1 {
		return fmt.Errorf("version %d, expected 1", s.Version)
	}
	all := []Counts{s.Total}
	for i, h := range s.Hours {
		if !h.At.Equal(h.At.Truncate(time.Hour)) || i > 0 && !s.Hours[i-1].At.Before(h.At) {
			return fmt.Errorf("hour %s is none, or out of order", h.At)
		}
		all = append(all, h.Counts)
	}
	for _, n := range all {
		if min(n.TrueApprovals, n.FalseApprovals, n.TrueRefusals, n.FalseRefusals) < 0 {
			return errors.New("a count is negative")
		}
	}
	return nil
}

// Count takes an action that was judged at a time (zero: now) and turned out
// safe or unsafe. One judged longer ago than the longest window counts in the
// total only.
func (c *Confusion) Count(approved, safe bool, judged time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now().UTC()
	if judged.IsZero() || judged.After(now) {
		judged = now
	}
	c.saved.Total.count(approved, safe)
	c.changed = true
	at, oldest := judged.UTC().Truncate(time.Hour), now.Truncate(time.Hour).Add(-keptHours*time.Hour)
	if at.Before(oldest) {
		return
	}
	kept := c.saved.Hours[:0:0]
	for _, h := range c.saved.Hours {
		if !h.At.Before(oldest) {
			kept = append(kept, h)
		}
	}
	i := len(kept)
	for i > 0 && at.Before(kept[i-1].At) {
		i--
	}
	if i == 0 || !kept[i-1].At.Equal(at) {
		kept = append(kept, hour{})
		copy(kept[i+1:], kept[i:])
		kept[i] = hour{At: at}
		i++
	}
	kept[i-1].count(approved, safe)
	c.saved.Hours = kept
}

// Window counts the verdicts that were given in a window.
func (c *Confusion) Window(w Window) (n Counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := c.now().UTC().Truncate(time.Hour).Add(-w.Span)
	for _, h := range c.saved.Hours {
		if !h.At.Before(from) {
			n.add(h.Counts)
		}
	}
	return n
}

// Total counts all since the beginning.
func (c *Confusion) Total() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.saved.Total
}

// Save writes what has changed. Only one process may.
func (c *Confusion) Save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path == "" || !c.changed {
		return nil
	}
	data, err := json.Marshal(c.saved)
	if err == nil {
		err = disk.MakeFolder(filepath.Dir(c.path))
	}
	if err == nil {
		err = checkpoints.WriteAtomic(c.path, 0o600, func(w io.Writer) error {
			_, err := w.Write(append(data, '\n'))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("judged outcomes: %w", err)
	}
	c.changed = false
	return nil
}
