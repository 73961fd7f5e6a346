package checkpoints

import (
	"fmt"
	"io"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// WritePatterns writes a pattern checkpoint: the keys of the Python system in its order, padded with zeros to the
// capacity, then the exact times, ids and counters. root is the folder within the archive, normally
// container.Root of the file's name. The set must be valid and must not change meanwhile.
func WritePatterns(w io.Writer, root string, p *PatternSet, options ...WriteOption) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("write patterns: %w", err)
	}
	metadata := p.Metadata
	if metadata == nil {
		metadata = &pickle.Dict{}
	}
	rows := int64(p.Capacity)
	safe, unsafe := p.Safe.tensors(p), p.Unsafe.tensors(p)
	d := pickle.NewDict(
		"safe_patterns", safe.rows,
		"unsafe_patterns", unsafe.rows,
		"pattern_counts", p.counts(),
		"safe_timestamps", safe.times,
		"unsafe_timestamps", unsafe.times,
		"safe_importance", safe.importance,
		"unsafe_importance", unsafe.importance,
		"metadata", metadata,
		"save_time", pickle.Float(p.SaveTime),
		"version", pickle.Str("1.0"),
		"safe_timestamps_int64", tensor.Int64Rows(p.Safe.Timestamps, rows),
		"unsafe_timestamps_int64", tensor.Int64Rows(p.Unsafe.Timestamps, rows),
		"safe_pattern_ids", tensor.Int64Rows(p.Safe.IDs, rows),
		"unsafe_pattern_ids", tensor.Int64Rows(p.Unsafe.IDs, rows),
		keyCounter, pickle.Int(p.Counter),
		keyNextID, pickle.Int(p.NextID),
		keySequence, pickle.Int(p.Sequence),
		keyEvictions, pickle.Int(p.Evictions),
	)
	if err := tensor.Save(w, root, d, options...); err != nil {
		return fmt.Errorf("write patterns: %w", err)
	}
	return nil
}

// sideTensors are the float32 tensors of one side, in the shapes of the Python system.
type sideTensors struct{ rows, times, importance *tensor.Tensor }

func (s *PatternSide) tensors(p *PatternSet) sideTensors {
	times := make([]float32, len(s.Timestamps))
	for i, t := range s.Timestamps {
		times[i] = float32(t)
	}
	return sideTensors{
		rows:       tensor.Float32Rows(s.Rows, int64(p.Capacity), int64(p.Width)),
		times:      tensor.Float32Rows(times, int64(p.Capacity)),
		importance: tensor.Float32Rows(s.Importance, int64(p.Capacity)),
	}
}

func (p *PatternSet) counts() *tensor.Tensor {
	return tensor.FromFloat32s([]float32{float32(p.Safe.Len()), float32(p.Unsafe.Len())}, 2)
}
