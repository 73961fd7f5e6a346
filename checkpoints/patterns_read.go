package checkpoints

import (
	"fmt"
	"math"
	"strings"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// Keys that this system adds to a pattern checkpoint. PyTorch programs do not know them and are not disturbed.
const (
	keyCounter  = "counter"
	keyNextID   = "next_pattern_id"
	keySequence = "sequence"
	// keyEvictions is younger than the others: files without it had the others alone.
	keyEvictions = "evictions"
)

// ReadPatterns reads a pattern checkpoint. Without the exact keys, as from Python, the counter is the largest timestamp and
// the patterns are numbered from 1, safe ones first.
func ReadPatterns(path string) (*PatternSet, error) {
	data, err := readAll(path)
	if err != nil {
		return nil, err
	}
	return ParsePatterns(path, data)
}

// ParsePatterns is ReadPatterns for a file that the caller has read, for instance to verify its signature first. The set
// shares data, which must not change as long as it is in use.
func ParsePatterns(name string, data []byte, options ...ReadOption) (*PatternSet, error) {
	file, err := load(name, data, options)
	if err != nil {
		return nil, err
	}
	f, err := newFields(name, file.Root)
	if err != nil {
		return nil, err
	}
	p, err := f.patterns("safe_timestamps", "unsafe_timestamps", "safe_importance", "unsafe_importance")
	if err != nil {
		return nil, err
	}
	if err := f.saved(p); err != nil {
		return nil, err
	}
	if err := f.exact(p); err != nil {
		return nil, err
	}
	if err := p.Validate(); err != nil {
		return nil, &FileError{File: name, Err: err}
	}
	return p, nil
}

// patterns reads the tensors that pattern checkpoints and validator states share, under the given names.
func (f fields) patterns(safeTimes, unsafeTimes, safeWeights, unsafeWeights string) (*PatternSet, error) {
	safe, err := f.tensor("safe_patterns", tensor.Float32, -1, -1)
	if err != nil {
		return nil, err
	}
	capacity, width := safe.Shape[0], safe.Shape[1]
	if capacity < 1 || width < 1 || capacity > math.MaxInt32 || width > math.MaxInt32 {
		return nil, f.fail("safe_patterns", "has shape %v, expected at least one row and column", safe.Shape)
	}
	counts, err := f.float32s("pattern_counts", 2)
	if err != nil {
		return nil, err
	}
	p := &PatternSet{Width: int(width), Capacity: int(capacity)}
	for i, side := range []struct {
		s                    *PatternSide
		rows, times, weights string
	}{
		{&p.Safe, "safe_patterns", safeTimes, safeWeights},
		{&p.Unsafe, "unsafe_patterns", unsafeTimes, unsafeWeights},
	} {
		n := int64(counts[i])
		if float32(n) != counts[i] || n < 0 || n > capacity {
			return nil, f.fail("pattern_counts", "element %d is %v, expected a whole number from 0 to the capacity %d", i, counts[i], capacity)
		}
		if side.s.Rows, err = f.head(side.rows, n, capacity, width); err != nil {
			return nil, err
		}
		if side.s.Importance, err = f.head(side.weights, n, capacity); err != nil {
			return nil, err
		}
		for j, w := range side.s.Importance {
			if w < 0 {
				return nil, f.fail(side.weights, "element %d is %v, expected at least 0", j, w)
			}
		}
		times, err := f.head(side.times, n, capacity)
		if err != nil {
			return nil, err
		}
		if side.s.Timestamps, err = f.wholeTimes(side.times, times); err != nil {
			return nil, err
		}
	}
	p.number()
	return p, nil
}

// head reads the first n rows of a float32 tensor of a shape; what lies beyond the count is not looked at.
func (f fields) head(key string, n int64, shape ...int64) ([]float32, error) {
	t, err := f.tensor(key, tensor.Float32, shape...)
	if err != nil {
		return nil, err
	}
	return f.finite(key, t.Narrow(n))
}

func (f fields) wholeTimes(key string, times []float32) ([]int64, error) {
	out := make([]int64, len(times))
	for i, t := range times {
		if t < 0 || t >= 1<<62 || t != float32(math.Trunc(float64(t))) {
			return nil, f.fail(key, "element %d is %v, expected a whole number of at least 0", i, t)
		}
		out[i] = int64(t)
	}
	return out, nil
}

// saved reads what a checkpoint says about itself.
func (f fields) saved(p *PatternSet) error {
	if v, ok := f.dict.Get("version"); ok {
		if text, isText := v.(pickle.Str); !isText || text != "1" && !strings.HasPrefix(string(text), "1.") {
			return f.fail("version", "is %s, expected \"1.0\"", describe(v))
		}
	}
	if v, ok := f.dict.Get("save_time"); ok {
		switch t := v.(type) {
		case pickle.Float:
			p.SaveTime = float64(t)
		case pickle.Int:
			p.SaveTime = float64(t)
		default:
			return f.fail("save_time", "is %s, expected seconds", describe(v))
		}
	}
	p.Metadata, _ = f.dict.Get("metadata")
	return nil
}

// exact reads the exact times, the ids and the counter, all or none of which are there.
func (f fields) exact(p *PatternSet) error {
	keys := []string{"safe_timestamps_int64", "unsafe_timestamps_int64", "safe_pattern_ids", "unsafe_pattern_ids", keyCounter, keyNextID, keySequence}
	var present, absent string
	for _, key := range keys {
		if f.has(key) {
			present = key
		} else {
			absent = key
		}
	}
	if present == "" && f.has(keyEvictions) {
		present = keyEvictions
	}
	if present == "" {
		return nil
	}
	if absent != "" {
		return f.fail(absent, "missing, while %q is there", present)
	}
	var err error
	for _, side := range []struct {
		s    *PatternSide
		name string
	}{{&p.Safe, "safe"}, {&p.Unsafe, "unsafe"}} {
		rounded := side.s.Timestamps
		if side.s.Timestamps, err = f.wholeHead(side.name+"_timestamps_int64", len(rounded), p.Capacity); err != nil {
			return err
		}
		for i, t := range side.s.Timestamps {
			if float32(t) != float32(rounded[i]) {
				return f.fail(side.name+"_timestamps_int64", "element %d is %d, %q has %d", i, t, side.name+"_timestamps", rounded[i])
			}
		}
		if side.s.IDs, err = f.wholeHead(side.name+"_pattern_ids", len(rounded), p.Capacity); err != nil {
			return err
		}
	}
	for _, n := range []struct {
		key string
		to  *int64
	}{{keyCounter, &p.Counter}, {keyNextID, &p.NextID}, {keySequence, &p.Sequence}} {
		if *n.to, err = f.int64(n.key); err != nil {
			return err
		}
	}
	if f.has(keyEvictions) {
		p.Evictions, err = f.int64(keyEvictions)
	}
	return err
}

func (f fields) wholeHead(key string, n, capacity int) ([]int64, error) {
	t, err := f.tensor(key, tensor.Int64, int64(capacity))
	if err != nil {
		return nil, err
	}
	values, err := t.Narrow(int64(n)).Int64s()
	if err != nil {
		return nil, f.fail(key, "%w", err)
	}
	return values, nil
}

// String says in a few words what a set holds.
func (p *PatternSet) String() string {
	return fmt.Sprintf("%d safe and %d unsafe patterns of width %d, capacity %d", p.Safe.Len(), p.Unsafe.Len(), p.Width, p.Capacity)
}
