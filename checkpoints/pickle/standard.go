package pickle

import (
	"errors"
	"fmt"
)

func newOrderedDict(args []Value) (Value, error) {
	if len(args) != 0 {
		return nil, fmt.Errorf("collections.OrderedDict with %d arguments, expected none", len(args))
	}
	return &Dict{Ordered: true}, nil
}

// Build takes the attributes of an OrderedDict, such as the _metadata of a state_dict.
func (d *Dict) Build(state Value) error {
	if !d.Ordered {
		return errors.New("state for a plain dict, expected an OrderedDict")
	}
	attributes, ok := state.(*Dict)
	if !ok || d.State != nil {
		return fmt.Errorf("state of an OrderedDict is %s, expected one dict", Describe(state))
	}
	d.State = attributes
	return nil
}

// newSet takes set([...]); the items are scalars.
func newSet(args []Value) (Value, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("set with %d arguments, expected one list", len(args))
	}
	list, ok := args[0].(*List)
	if !ok {
		return nil, fmt.Errorf("set of %s, expected a list", Describe(args[0]))
	}
	return &Set{Items: append([]Value(nil), list.Items...)}, nil
}

// encodeLatin1 takes _codecs.encode(text, 'latin1'), how protocol 2 writes bytes.
func encodeLatin1(args []Value) (Value, error) {
	if len(args) != 2 {
		return nil, fmt.Errorf("_codecs.encode with %d arguments, expected two", len(args))
	}
	text, ok := args[0].(Str)
	if codec, known := args[1].(Str); !ok || !known || codec != "latin1" {
		return nil, fmt.Errorf("_codecs.encode of %s by %s, expected a string and \"latin1\"", Describe(args[0]), Describe(args[1]))
	}
	out := make(Bytes, 0, len(text))
	for _, r := range string(text) {
		if r > 0xff {
			return nil, fmt.Errorf("_codecs.encode of a character %#x beyond latin1", r)
		}
		out = append(out, byte(r))
	}
	return out, nil
}

func newByteArray(args []Value) (Value, error) {
	if len(args) == 0 {
		return Bytes{}, nil
	}
	b, ok := args[0].(Bytes)
	if !ok || len(args) != 1 {
		return nil, fmt.Errorf("bytearray of %s, expected bytes", Describe(args[0]))
	}
	return b, nil
}
