package pickle

import (
	"errors"
	"fmt"
)

// Record is an instance of a class that is known to hold data only, such as a dataclass: its name and its fields.
type Record struct {
	Class Global
	// Fields are the attributes by name; nil when the pickle sets none.
	Fields *Dict
}

// Build takes the fields: a dict, or behind a None for a class with slots.
func (r *Record) Build(state Value) error {
	if t, ok := state.(*Tuple); ok && len(t.Items) == 2 && t.Items[0] == (Value(None{})) {
		state = t.Items[1]
	}
	fields, ok := state.(*Dict)
	if !ok || fields.Ordered || r.Fields != nil {
		return fmt.Errorf("state of %s is %s, expected one dict of fields", r.Class, Describe(state))
	}
	for _, e := range fields.entries {
		if _, ok := e.Key.(Str); !ok {
			return fmt.Errorf("field of %s is called %s, expected a string", r.Class, Describe(e.Key))
		}
	}
	r.Fields = fields
	return nil
}

// Deque is a collections.deque.
type Deque struct {
	Items []Value
	// MaxLen is the largest number of items, -1 without a limit.
	MaxLen int64
}

// reconstructor is how protocols 0 and 1 name the making of an instance: (class, object, None).
func reconstructor(g Global) bool {
	return g.Name == "_reconstructor" && (g.Module == "copy_reg" || g.Module == "copyreg")
}

// reconstructed takes the arguments of a reconstructor; classes with another base than object hold more than fields.
func reconstructed(args []Value) (Global, error) {
	if len(args) != 3 {
		return Global{}, fmt.Errorf("copyreg._reconstructor with %d arguments, expected 3", len(args))
	}
	class, ok := args[0].(Global)
	base, known := args[1].(Global)
	if !ok || !known || base.Name != "object" || args[2] != (Value(None{})) {
		return Global{}, errors.New("copyreg._reconstructor of another base than object")
	}
	return class, nil
}

func newDeque(args []Value) (Value, error) {
	d := &Deque{MaxLen: -1}
	if len(args) == 0 {
		return d, nil
	}
	if len(args) == 2 {
		items, err := sequence(args[0])
		limit, ok := args[1].(Int)
		if err == nil && len(items) == 0 && ok && limit >= 0 {
			d.MaxLen = int64(limit)
			return d, nil
		}
	}
	return nil, errors.New("collections.deque with other arguments than no items and a largest length")
}

// newDefaultDict takes what makes the missing values: the name of a type, or None.
func newDefaultDict(args []Value) (Value, error) {
	if len(args) == 0 {
		return &Dict{Default: None{}}, nil
	}
	switch args[0].(type) {
	case Global, None:
		if len(args) == 1 {
			return &Dict{Default: args[0]}, nil
		}
	}
	return nil, fmt.Errorf("collections.defaultdict of %s, expected the name of a type", Describe(args[0]))
}

// sequence takes a list or a tuple apart.
func sequence(v Value) ([]Value, error) {
	switch v := v.(type) {
	case *List:
		return v.Items, nil
	case *Tuple:
		return v.Items, nil
	}
	return nil, fmt.Errorf("%s, expected a list or a tuple", Describe(v))
}
