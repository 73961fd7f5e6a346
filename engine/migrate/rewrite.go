package migrate

import (
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
	"github.com/fdqc-cockpit/fdqc/models"
)

// patternKeys are what a pattern checkpoint of the Python system holds, and
// what fdqc adds to one.
var patternKeys = keys("safe_patterns", "unsafe_patterns", "pattern_counts", "safe_timestamps", "unsafe_timestamps",
	"safe_importance", "unsafe_importance", "metadata", "save_time", "version")

var exactKeys = keys("safe_timestamps_int64", "unsafe_timestamps_int64", "safe_pattern_ids", "unsafe_pattern_ids",
	"counter", "next_pattern_id", "sequence", "evictions")

// stateKeys are those of a validator's state_dict.
var stateKeys = keys("state_real", "state_imag",
	"risk_detector.0.weight", "risk_detector.0.bias", "risk_detector.3.weight", "risk_detector.3.bias", "risk_detector.5.weight", "risk_detector.5.bias",
	"safe_patterns", "unsafe_patterns", "pattern_counts", "safe_pattern_timestamps", "unsafe_pattern_timestamps",
	"safe_pattern_importance", "unsafe_pattern_importance")

func keys(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// checkSet refuses a memory that the engine cannot hold.
func checkSet(p *checkpoints.PatternSet) error {
	switch {
	case p.Width%2 != 0 || p.Width/2 < models.MinWorkspace || p.Width/2 > models.MaxWorkspace:
		return fmt.Errorf("patterns are %d wide, expected twice a workspace of %d to %d", p.Width, models.MinWorkspace, models.MaxWorkspace)
	case p.Capacity > memory.MaxCapacity:
		return fmt.Errorf("capacity is %d, expected at most %d", p.Capacity, memory.MaxCapacity)
	case p.Counter > memory.MaxCounter:
		return fmt.Errorf("counter is %d, expected at most %d", p.Counter, int64(memory.MaxCounter))
	}
	return nil
}

// checkProjections refuses projections that the engine cannot compute with.
func checkProjections(p *checkpoints.Projections) error {
	for _, one := range models.ProjectionsOf(p) {
		if err := one.Validate(p.Dim); err != nil {
			return err
		}
	}
	if n := p.Dim; len(p.ByWidth) > 0 && (n < models.MinWorkspace || n > models.MaxWorkspace) {
		return fmt.Errorf("projections to a workspace of %d, expected %d to %d", n, models.MinWorkspace, models.MaxWorkspace)
	}
	return nil
}

// patternItems says of each value of a pattern checkpoint what becomes of it.
func patternItems(root pickle.Value, p *checkpoints.PatternSet) []Item {
	dict, ok := root.(*pickle.Dict)
	if !ok {
		return nil // not reached: the checkpoint's reader demands one
	}
	_, exact := dict.Get("counter")
	var items []Item
	for _, e := range dict.Entries() {
		key := keyText(e.Key)
		item := itemOf(key, e.Value)
		switch {
		case key == "save_time":
			item.Result, item.How = Changed, "the time of this migration"
		case key == "sequence":
			item.Result, item.How = Changed, "numbered from 1 in the data directory"
		case patternKeys[key]:
			patternHow(&item, e.Value, p, exact)
		case !exactKeys[key]:
			item.Result, item.How = Unknown, "no key of a pattern checkpoint; left in the source"
		}
		items = append(items, item)
	}
	if !exact {
		items = append(items, givenItems(p)...)
	}
	return items
}

// stateItems is patternItems for a state_dict. Its patterns are the memory
// unless a pattern checkpoint is.
func stateItems(root pickle.Value, s *checkpoints.ValidatorState, memoryFrom string) []Item {
	dict, ok := root.(*pickle.Dict)
	if !ok {
		return nil // not reached, as above
	}
	var items []Item
	for _, e := range dict.Entries() {
		key := keyText(e.Key)
		item := itemOf(key, e.Value)
		if stateKeys[key] {
			patternHow(&item, e.Value, &s.Patterns, memoryFrom != "")
		} else {
			item.Result, item.How = Unknown, "no key of a validator's state_dict; left in the source"
		}
		items = append(items, item)
	}
	if memoryFrom == "" {
		items = append(items, givenItems(&s.Patterns)...)
	}
	return items
}

// patternHow adds to an item of the memory how it changes. exact: its times
// and ids stay as they are.
func patternHow(item *Item, v pickle.Value, p *checkpoints.PatternSet, exact bool) {
	side := &p.Safe
	switch item.Key {
	case "unsafe_patterns":
		side = &p.Unsafe
		fallthrough
	case "safe_patterns":
		item.How = both(item.How, fmt.Sprintf("%d of %d rows, as pattern_counts says", side.Len(), p.Capacity))
		if t, ok := v.(*tensor.Tensor); ok && !zeroBeyond(t, side.Len()) {
			item.Result, item.How = Changed, item.How+"; the others are not zero and are left"
		}
	case "safe_timestamps", "unsafe_timestamps", "safe_pattern_timestamps", "unsafe_pattern_timestamps":
		if !exact {
			item.Result, item.How = Changed, both(item.How, "float32 to int64, the same whole numbers")
		}
	}
}

// givenItems are the values that a Python checkpoint lacks.
func givenItems(p *checkpoints.PatternSet) []Item {
	n := p.Safe.Len() + p.Unsafe.Len()
	ids := "none, there are no patterns"
	if n > 0 {
		ids = fmt.Sprintf("given 1 to %d, safe rows first", n)
	}
	return []Item{
		{Key: "counter", Result: Changed, How: fmt.Sprintf("%d, from the largest timestamp", p.Counter)},
		{Key: "pattern_ids", Result: Changed, How: ids},
		{Key: "next_pattern_id", Result: Changed, How: fmt.Sprintf("%d, after the last id", p.NextID)},
	}
}

// itemOf describes a value that is rewritten for the CPU.
func itemOf(key string, v pickle.Value) Item {
	t, ok := v.(*tensor.Tensor)
	if !ok {
		return Item{Key: key, Result: Taken}
	}
	item := tensorItem(key, t)
	onCPU(&item, t)
	return item
}

// onCPU says that a tensor is saved from the CPU from now on.
func onCPU(item *Item, t *tensor.Tensor) {
	if where := t.Location(); where != "cpu" {
		item.Result, item.How = Changed, fmt.Sprintf("saved on %s, now on cpu", where)
	}
}

// projectionItems lists the tensors of projections.
func projectionItems(root pickle.Value) []Item {
	dict, ok := root.(*pickle.Dict)
	if !ok {
		return nil // not reached, as above
	}
	var items []Item
	for _, e := range dict.Entries() {
		inner, ok := e.Value.(*pickle.Dict)
		if !ok {
			continue // not reached, as above
		}
		for _, value := range inner.Entries() {
			item := itemOf(join(keyText(e.Key), keyText(value.Key)), value.Value)
			if name := keyText(value.Key); name != "weight" && name != "bias" {
				item.Result, item.How = Unknown, "neither weight nor bias; left in the source"
			}
			items = append(items, item)
		}
	}
	return items
}

// both joins two remarks.
func both(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
