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

// setMaker takes set([...]) and frozenset([...]).
func setMaker(frozen bool) Maker {
	return func(args []Value) (Value, error) {
		if len(args) != 1 {
			return nil, fmt.Errorf("set with %d arguments, expected one list", len(args))
		}
		items, err := sequence(args[0])
		if err != nil {
			return nil, fmt.Errorf("set of %w", err)
		}
		return &Set{Items: append([]Value(nil), items...), Frozen: frozen}, nil
	}
}

// newComplex takes complex(real, imaginary).
func newComplex(args []Value) (Value, error) {
	if len(args) == 2 {
		re, ok := args[0].(Float)
		im, also := args[1].(Float)
		if ok && also {
			return Complex(complex(re, im)), nil
		}
	}
	return nil, errors.New("complex with other arguments than two floats")
}

// newBytes takes bytes(), how old protocols write empty ones.
func newBytes(args []Value) (Value, error) {
	if len(args) != 0 {
		return nil, fmt.Errorf("bytes with %d arguments, expected none", len(args))
	}
	return Bytes{}, nil
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

// newByteArray takes bytearray(), bytearray(bytes) and, as Python 2 wrote it, bytearray(text, "latin-1").
func newByteArray(args []Value) (Value, error) {
	switch len(args) {
	case 0:
		return ByteArray{}, nil
	case 1:
		if b, ok := args[0].(Bytes); ok {
			return ByteArray(b), nil
		}
	case 2:
		if args[1] == (Value(Str("latin-1"))) {
			v, err := encodeLatin1([]Value{args[0], Str("latin1")})
			b, _ := v.(Bytes)
			return ByteArray(b), err
		}
	}
	return nil, errors.New("bytearray of other arguments than bytes")
}
