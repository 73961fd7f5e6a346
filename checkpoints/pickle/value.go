package pickle

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
)

// Value is one of the types of this package, or a value that a Registry made.
type Value any

// None is Python's None.
type None struct{}

// Bool is a Python bool.
type Bool bool

// Int is a Python int that fits 64 bits.
type Int int64

// BigInt is a Python int that does not fit 64 bits.
type BigInt struct{ *big.Int }

// Float is a Python float.
type Float float64

// Complex is a Python complex.
type Complex complex128

// Str is a Python str.
type Str string

// ByteArray is a Python bytearray, otherwise as Bytes.
type ByteArray []byte

// Bytes is a Python bytes. Decode gives slices of its input, not to be written to.
type Bytes []byte

// Text is a string that Encode remembers by identity: two Texts with equal content are written twice, as
// CPython does with strings that are made while it pickles. Decode never makes one.
type Text struct{ S string }

// List is a Python list.
type List struct{ Items []Value }

// Tuple is a Python tuple.
type Tuple struct{ Items []Value }

// NewTuple makes a tuple of values.
func NewTuple(items ...Value) *Tuple { return &Tuple{Items: items} }

// Set is a Python set or frozenset, in the order of the file.
type Set struct {
	Items  []Value
	Frozen bool
}

// Global is a name in a module: a class, a function or a constant, never looked up.
type Global struct{ Module, Name string }

// String is the dotted name.
func (g Global) String() string { return g.Module + "." + g.Name }

// Call is a call that was not made: the application of a global to arguments, and the state that BUILD gave the
// result. Items and Pairs hold what APPENDS and SETITEMS added to it.
type Call struct {
	Func  Global
	Args  *Tuple
	State Value
	// New tells that the call makes an instance (NEWOBJ), not that a function is applied (REDUCE).
	New   bool
	Items []Value
	Pairs []Entry
}

// Persistent is an object outside the pickle, known by its id.
type Persistent struct{ ID Value }

// Builder is a value that accepts BUILD.
type Builder interface {
	// Build takes the state; its error names what was expected.
	Build(state Value) error
}

// Parent is a value of a Registry that holds other values; the check for cycles and depth follows them.
type Parent interface{ Children() []Value }

// Entry is one item of a Dict.
type Entry struct{ Key, Value Value }

// Dict is a Python dict, collections.OrderedDict or collections.defaultdict: keys are unique and keep their order.
type Dict struct {
	// Ordered marks a collections.OrderedDict.
	Ordered bool
	// Default is what a collections.defaultdict makes missing values by: the name of a type or None; nil for others.
	Default Value
	// State is what BUILD set on it, such as the _metadata of a state_dict; nil without.
	State   Value
	entries []Entry
	index   map[key]int
}

// NewDict makes a dict with string keys from alternating keys and values; it is for literals in code and
// panics when a key is not a string or comes twice.
func NewDict(pairs ...Value) *Dict {
	d := &Dict{}
	for i := 0; i < len(pairs); i += 2 {
		if err := d.Add(Str(pairs[i].(string)), pairs[i+1]); err != nil {
			panic(err)
		}
	}
	return d
}

// Len is the number of entries.
func (d *Dict) Len() int { return len(d.entries) }

// Entries are the items in their order; the caller must not change the slice.
func (d *Dict) Entries() []Entry { return d.entries }

// Get finds a value by a string key.
func (d *Dict) Get(name string) (Value, bool) {
	i := d.find(key{kind: 's', text: name})
	if i < 0 {
		return nil, false
	}
	return d.entries[i].Value, true
}

// smallDict is how many entries a dict finds one after another. Instances have few fields, and a map each would take
// more memory than the fields themselves.
const smallDict = 8

// find is the place of a key, -1 without.
func (d *Dict) find(k key) int {
	if d.index != nil {
		if i, ok := d.index[k]; ok {
			return i
		}
		return -1
	}
	for i, e := range d.entries {
		if other, err := keyOf(e.Key); err == nil && other == k {
			return i
		}
	}
	return -1
}

// Add appends an entry. A key that is present already, or that Python would not hash, is an error.
func (d *Dict) Add(k, v Value) error {
	id, err := keyOf(k)
	if err != nil {
		return err
	}
	if d.find(id) >= 0 {
		return fmt.Errorf("key %s comes twice", Describe(k))
	}
	if d.index == nil && (len(d.entries) == smallDict || !id.cheap()) {
		d.index = make(map[key]int, len(d.entries)+1)
		for i, e := range d.entries {
			known, err := keyOf(e.Key)
			if err != nil {
				return err
			}
			d.index[known] = i
		}
	}
	if d.index != nil {
		d.index[id] = len(d.entries)
	}
	d.entries = append(d.entries, Entry{k, v})
	return nil
}

// key identifies a dict key as Python compares them: 1, 1.0 and True are the same key.
type key struct {
	kind byte
	text string
	bits uint64
}

// cheap tells that making the key again takes no memory.
func (k key) cheap() bool { return k.kind == 's' || k.kind == 'i' || k.kind == 'f' || k.kind == 'n' }

// maxKey bounds the length of one key, so that a pickle cannot have a long string hashed over and over.
const maxKey = 1 << 16

func keyOf(v Value) (key, error) {
	switch v := v.(type) {
	case Str:
		if len(v) > maxKey {
			return key{}, fmt.Errorf("key of %d bytes, at most %d are accepted", len(v), maxKey)
		}
		return key{kind: 's', text: string(v)}, nil
	case Bytes:
		if len(v) > maxKey {
			return key{}, fmt.Errorf("key of %d bytes, at most %d are accepted", len(v), maxKey)
		}
		return key{kind: 'b', text: string(v)}, nil
	case Int:
		return key{kind: 'i', bits: uint64(v)}, nil
	case BigInt:
		return key{kind: 'I', text: v.String()}, nil
	case Bool:
		if v {
			return key{kind: 'i', bits: 1}, nil
		}
		return key{kind: 'i'}, nil
	case Float:
		f := float64(v)
		if f != f {
			return key{}, fmt.Errorf("key is NaN")
		}
		if n := int64(f); f == math.Trunc(f) && math.Abs(f) < 1<<62 {
			return key{kind: 'i', bits: uint64(n)}, nil
		}
		return key{kind: 'f', bits: math.Float64bits(f)}, nil
	case None:
		return key{kind: 'n'}, nil
	case Global:
		return key{kind: 'g', text: v.Module + "\n" + v.Name}, nil
	case Path:
		return key{kind: 'p', text: v.Class + "\n" + v.Text}, nil
	case *Tuple:
		return tupleKey(v)
	}
	return key{}, fmt.Errorf("key is %s, expected a string, a number or a tuple of them", Describe(v))
}

// tupleKey accepts short tuples of scalars. Tuples of tuples could share parts and grow without bound.
func tupleKey(t *Tuple) (key, error) {
	var text []byte
	for _, item := range t.Items {
		if _, nested := item.(*Tuple); nested {
			return key{}, fmt.Errorf("key is a tuple within a tuple")
		}
		part, err := keyOf(item)
		if err != nil {
			return key{}, err
		}
		text = append(text, part.kind)
		text = binary.AppendUvarint(text, uint64(len(part.text)))
		text = append(text, part.text...)
		text = binary.AppendUvarint(text, part.bits)
		if len(text) > maxKey {
			return key{}, fmt.Errorf("key is a tuple of more than %d bytes", maxKey)
		}
	}
	return key{kind: 't', text: string(text)}, nil
}

// keyCost is about what hashing a key costs in bytes, for the machine's budget.
func keyCost(v Value) int64 {
	switch v := v.(type) {
	case Str:
		return int64(len(v))
	case Bytes:
		return int64(len(v))
	case BigInt:
		return 128
	case Global:
		return int64(len(v.Module) + len(v.Name))
	case Path:
		return int64(len(v.Text))
	case *Tuple:
		cost := int64(16)
		for _, item := range v.Items {
			if _, nested := item.(*Tuple); nested || cost > maxKey {
				break
			}
			cost += keyCost(item)
		}
		return cost
	}
	return 16
}

// Describe names a value in a few words for messages; it never follows into containers.
func Describe(v Value) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case None:
		return "None"
	case Bool:
		return fmt.Sprintf("bool %t", bool(v))
	case Int:
		return fmt.Sprintf("int %d", int64(v))
	case BigInt:
		return fmt.Sprintf("int of %d bits", v.BitLen())
	case Float:
		return fmt.Sprintf("float %g", float64(v))
	case Complex:
		return fmt.Sprintf("complex %g", complex128(v))
	case Path:
		return fmt.Sprintf("path %.60q", v.Text)
	case DateTime:
		return "time " + v.String()
	case TimeDelta:
		return "time difference " + v.String()
	case TimeZone:
		return "time zone " + v.Offset.String()
	case Str:
		return fmt.Sprintf("%.60q", string(v))
	case Bytes:
		return fmt.Sprintf("%d bytes", len(v))
	case ByteArray:
		return fmt.Sprintf("bytearray of %d", len(v))
	case *List:
		return fmt.Sprintf("list of %d", len(v.Items))
	case *Tuple:
		return fmt.Sprintf("tuple of %d", len(v.Items))
	case *Set:
		return fmt.Sprintf("set of %d", len(v.Items))
	case *Dict:
		return fmt.Sprintf("dict of %d", v.Len())
	case *Deque:
		return fmt.Sprintf("deque of %d", len(v.Items))
	case *Record:
		return fmt.Sprintf("record %.80s", v.Class.String())
	case Global:
		return fmt.Sprintf("global %.80s", v.String())
	case *Call:
		return fmt.Sprintf("object %.80s", v.Func.String())
	}
	return fmt.Sprintf("%T", v)
}
