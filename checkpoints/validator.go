package checkpoints

import (
	"fmt"
	"io"

	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// Hidden widths of the risk detector (validator specification, section 1).
const (
	RiskHidden1 = 64
	RiskHidden2 = 32
)

// RiskDetector holds the weights of the network 2n → 64 → 32 → 1, each matrix [out, in] row by row as nn.Linear has it.
type RiskDetector struct {
	Weight0, Bias0 []float32 // [64, 2n], [64]
	Weight3, Bias3 []float32 // [32, 64], [32]
	Weight5, Bias5 []float32 // [1, 32], [1]
}

// ValidatorState is the state_dict of a validator.
type ValidatorState struct {
	// Dim is n, the width of the workspace.
	Dim int
	// StateReal and StateImag are [n].
	StateReal, StateImag []float32
	Risk                 RiskDetector
	// Patterns are 2n wide. A state_dict has their times as float32 only and no ids: they are numbered as those of a
	// Python checkpoint, and times beyond 2^24 are rounded when it is written. Pattern checkpoints keep them exactly.
	Patterns PatternSet
}

// slot is one weight of the risk detector: its key, its place and its shape.
type slot struct {
	key   string
	to    *[]float32
	shape []int64
}

func (s *ValidatorState) slots() []slot {
	n, r := int64(s.Dim), &s.Risk
	return []slot{
		{"state_real", &s.StateReal, []int64{n}},
		{"state_imag", &s.StateImag, []int64{n}},
		{"risk_detector.0.weight", &r.Weight0, []int64{RiskHidden1, 2 * n}},
		{"risk_detector.0.bias", &r.Bias0, []int64{RiskHidden1}},
		{"risk_detector.3.weight", &r.Weight3, []int64{RiskHidden2, RiskHidden1}},
		{"risk_detector.3.bias", &r.Bias3, []int64{RiskHidden2}},
		{"risk_detector.5.weight", &r.Weight5, []int64{1, RiskHidden2}},
		{"risk_detector.5.bias", &r.Bias5, []int64{1}},
	}
}

// stateSlots is the number of slots that come before the patterns in a state_dict.
const stateSlots = 2

// ReadValidatorState reads a validator's state_dict, an OrderedDict or a plain dict. Other keys are ignored.
func ReadValidatorState(path string) (*ValidatorState, error) {
	data, err := readAll(path)
	if err != nil {
		return nil, err
	}
	return ParseValidatorState(path, data)
}

// ParseValidatorState is ReadValidatorState for a file that the caller has read. The state shares data, which must not
// change as long as it is in use.
func ParseValidatorState(name string, data []byte, options ...ReadOption) (*ValidatorState, error) {
	file, err := load(name, data, options)
	if err != nil {
		return nil, err
	}
	f, err := newFields(name, file.Root)
	if err != nil {
		return nil, err
	}
	real, err := f.tensor("state_real", tensor.Float32, -1)
	if err != nil {
		return nil, err
	}
	s := &ValidatorState{Dim: int(real.Shape[0])}
	if s.Dim < 1 {
		return nil, f.fail("state_real", "is empty, expected one number a workspace dimension")
	}
	for _, w := range s.slots() {
		if *w.to, err = f.float32s(w.key, w.shape...); err != nil {
			return nil, err
		}
	}
	p, err := f.patterns("safe_pattern_timestamps", "unsafe_pattern_timestamps", "safe_pattern_importance", "unsafe_pattern_importance")
	if err != nil {
		return nil, err
	}
	if p.Width != 2*s.Dim {
		return nil, f.fail("safe_patterns", "has %d columns, expected %d, twice the workspace", p.Width, 2*s.Dim)
	}
	if err := p.Validate(); err != nil {
		return nil, &FileError{File: name, Err: err}
	}
	s.Patterns = *p
	return s, nil
}

// Validate checks the lengths of all fields against Dim, and the patterns.
func (s *ValidatorState) Validate() error {
	if s.Dim < 1 {
		return fmt.Errorf("validator state: workspace of %d, expected at least 1", s.Dim)
	}
	for _, w := range s.slots() {
		want := int64(1)
		for _, n := range w.shape {
			want *= n
		}
		if int64(len(*w.to)) != want {
			return fmt.Errorf("validator state: %s has %d elements, expected %v", w.key, len(*w.to), w.shape)
		}
		if i := notFinite(*w.to); i >= 0 {
			return fmt.Errorf("validator state: %s has %v at %v, expected finite numbers", w.key, (*w.to)[i], position(i, w.shape))
		}
	}
	if s.Patterns.Width != 2*s.Dim {
		return fmt.Errorf("validator state: patterns are %d wide, expected %d, twice the workspace", s.Patterns.Width, 2*s.Dim)
	}
	return s.Patterns.Validate()
}

// WriteValidatorState writes a state_dict that the Python system's load_state_dict takes: its keys, in its order.
func WriteValidatorState(w io.Writer, root string, s *ValidatorState, options ...WriteOption) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("write %w", err)
	}
	p := &s.Patterns
	safe, unsafe := p.Safe.tensors(p), p.Unsafe.tensors(p)
	slots := s.slots()
	var pairs []pickle.Value
	add := func(slots []slot) {
		for _, w := range slots {
			pairs = append(pairs, w.key, tensor.FromFloat32s(*w.to, w.shape...))
		}
	}
	add(slots[:stateSlots])
	pairs = append(pairs,
		"safe_patterns", safe.rows,
		"unsafe_patterns", unsafe.rows,
		"pattern_counts", p.counts(),
		"safe_pattern_timestamps", safe.times,
		"unsafe_pattern_timestamps", unsafe.times,
		"safe_pattern_importance", safe.importance,
		"unsafe_pattern_importance", unsafe.importance,
	)
	add(slots[stateSlots:])
	d := pickle.NewDict(pairs...)
	d.Ordered = true
	if err := tensor.Save(w, root, d, options...); err != nil {
		return fmt.Errorf("write validator state: %w", err)
	}
	return nil
}

// SaveValidatorState writes a state_dict atomically, readable by its owner only.
func SaveValidatorState(path string, s *ValidatorState) error {
	return WriteAtomic(path, filePerm, func(w io.Writer) error {
		return WriteValidatorState(w, container.Root(path), s)
	})
}
