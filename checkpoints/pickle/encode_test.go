package pickle

import (
	"math/big"
	"strings"
	"testing"
)

// TestEncode compares with what CPython's pickle.dumps(value, 2) gives, taken down by hand from its definition; the
// comparison with CPython itself is in package tensor.
func TestEncode(t *testing.T) {
	shared := &List{}
	ordered := NewDict("a", Int(1))
	ordered.Ordered = true
	for _, c := range []struct {
		name  string
		value Value
		want  string
	}{
		{"none", None{}, "N"},
		{"bools", NewTuple(Bool(true), Bool(false)), "\x88\x89\x86q\x00"},
		{"one byte", Int(255), "K\xff"},
		{"two bytes", Int(256), "M\x00\x01"},
		{"four bytes", Int(-1), "J\xff\xff\xff\xff"},
		{"long", Int(1 << 40), "\x8a\x06\x00\x00\x00\x00\x00\x01"},
		{"long with sign byte", Int(1 << 31), "\x8a\x05\x00\x00\x00\x80\x00"},
		{"big negative", BigInt{new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), 63))}, "\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80"},
		{"big 2^63", BigInt{new(big.Int).Lsh(big.NewInt(1), 63)}, "\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00"},
		{"big that is small", BigInt{big.NewInt(7)}, "K\x07"},
		{"float", Float(0.1), "G\x3f\xb9\x99\x99\x99\x99\x99\x9a"},
		{"string twice", NewTuple(Str("é"), Str("é")), "X\x02\x00\x00\x00\xc3\xa9q\x00h\x00\x86q\x01"},
		{"text twice", NewTuple(&Text{"a"}, &Text{"a"}), "X\x01\x00\x00\x00aq\x00X\x01\x00\x00\x00aq\x01\x86q\x02"},
		{"empty tuple twice", NewTuple(NewTuple(), NewTuple()), "))\x86q\x00"},
		{"list twice", NewTuple(shared, shared), "]q\x00h\x00\x86q\x01"},
		{"one item", &List{Items: []Value{None{}}}, "]q\x00Na"},
		{"two items", &List{Items: []Value{None{}, None{}}}, "]q\x00(NNe"},
		{"dict", NewDict("a", None{}), "}q\x00X\x01\x00\x00\x00aq\x01Ns"},
		{"ordered dict", ordered, "ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00aq\x02K\x01s"},
		{"four in a tuple", NewTuple(None{}, None{}, None{}, None{}), "(NNNNtq\x00"},
		{"call", &Call{Func: Global{"m", "f"}, Args: NewTuple(Int(1))}, "cm\nf\nq\x00K\x01\x85q\x01Rq\x02"},
		{"persistent", Persistent{ID: Int(3)}, "K\x03Q"},
	} {
		got, err := Encode(c.value, nil)
		if want := "\x80\x02" + c.want + "."; err != nil || string(got) != want {
			t.Errorf("%s: got %q (%v), want %q", c.name, got, err, want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	deep := Value(None{})
	for range 2000 {
		deep = NewTuple(deep)
	}
	selfTuple := &Tuple{}
	selfTuple.Items = []Value{selfTuple}
	state := &Dict{State: &Dict{}}
	for name, c := range map[string]struct {
		value Value
		want  string
	}{
		"nil":             {nil, "cannot be pickled"},
		"a Go value":      {struct{}{}, "cannot be pickled"},
		"path":            {Path{Class: "Pfad"}, "class"},
		"deep":            {deep, "nested deeper"},
		"tuple in itself": {selfTuple, "holds itself"},
		"broken string":   {Str("\xff"), "not UTF-8"},
		"instance":        {&Call{Func: Global{"m", "C"}, Args: NewTuple(), New: true}, "cannot be written"},
		"state of a dict": {state, "no state"},
		"huge int":        {BigInt{new(big.Int).Lsh(big.NewInt(1), 300)}, "255 bits"},
	} {
		if _, err := Encode(c.value, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

// TestTranslate asks once for each value of another package.
func TestTranslate(t *testing.T) {
	type foreign struct{ n int }
	asked := 0
	v := &foreign{1}
	got, err := Encode(NewTuple(v, v), func(Value) (Value, error) {
		asked++
		return &List{}, nil
	})
	if err != nil || asked != 1 || string(got) != "\x80\x02]q\x00h\x00\x86q\x01." {
		t.Errorf("got %q (%v) after %d questions, want one list, once", got, err, asked)
	}
}

func TestDictKeys(t *testing.T) {
	d := &Dict{}
	for _, k := range []Value{Str("1"), Int(1), Float(1.5), None{}, Bytes("1"), NewTuple(Int(1), Str("a")), NewTuple(Str("a"), Int(1)), NewTuple(Str("a1")), Global{"m", "n"}} {
		if err := d.Add(k, None{}); err != nil {
			t.Errorf("key %s: %v", Describe(k), err)
		}
	}
	for _, k := range []Value{Str("1"), Bool(true), Float(1), None{}, NewTuple(Bool(true), Str("a")), &List{}, Str(strings.Repeat("a", maxKey+1)), nil} {
		if err := d.Add(k, None{}); err == nil {
			t.Errorf("key %s: got no error", Describe(k))
		}
	}
	if v, ok := d.Get("1"); !ok || v != (None{}) {
		t.Errorf("Get(1): got %v, %t", v, ok)
	}
}
