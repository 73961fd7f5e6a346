package pickle

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// config lets OrderedDict and the like through, and numbers as objects outside the pickle.
func config() Config {
	entry := func(g Global) bool { return g == Global{"vm", "Entry"} }
	return Config{Globals: Standard(), Record: entry, Persistent: func(id Value) (Value, error) {
		if n, ok := id.(Int); ok {
			return -n, nil
		}
		return nil, errors.New("no such object")
	}}
}

// TestRefused breaks one rule of the machine at a time.
func TestRefused(t *testing.T) {
	const p = "\x80\x02"
	for _, c := range []struct {
		name, data, want string
	}{
		{"empty", "", "without STOP"},
		{"no protocol, later opcode", "N\x85.", "does not begin with its protocol"},
		{"protocol 1", "\x80\x01N.", "protocol 1"},
		{"protocol 6", "\x80\x06N.", "protocol 6"},
		{"protocol twice", p + p + "N.", "once"},
		{"no stop", p + "N", "without STOP"},
		{"nothing to stop with", p + ".", "0 values"},
		{"two values", p + "NN.", "2 values"},
		{"mark left", p + "(N.", "1 marks"},
		{"trailing bytes", p + "N.N", "1 bytes follow"},
		{"unknown opcode", p + "\xff.", "unknown"},
		{"INST", p + "(ios\nsystem\n.", "not accepted"},
		{"OBJ", p + "(o.", "not accepted"},
		{"PERSID", p + "P0\n.", "not accepted"},
		{"EXT1", p + "\x82\x01.", "not accepted"},
		{"POP", p + "N0.", "not accepted"},
		{"DUP", p + "N2.", "not accepted"},
		{"INT as text", p + "I1\n.", "not accepted"},
		{"POP in protocol 0", "NN0.", "not accepted"},
		{"PERSID in protocol 0", "P0\n.", "not accepted"},
		{"INST in protocol 0", "(ios\nsystem\n.", "not accepted"},
		{"int no number", "I1x\n.", "is no number"},
		{"int of nothing", "I\n.", "is no number"},
		{"int without newline", "I1.", "without newline"},
		{"int of 300 digits", "L" + strings.Repeat("9", 300) + "L\n.", "without newline within 80"},
		{"int of 79 digits", "L" + strings.Repeat("9", 79) + "\n.", "at most 255"},
		{"int in hexadecimal", "I0x1\n.", "is no number"},
		{"float in hexadecimal", "F0x1p3\n.", "is no number"},
		{"float infinity", "Finfinity\n.", "is no number"},
		{"string without quotes", "Sabc\n.", "not in quotes"},
		{"string with one quote", "S'\n.", "not in quotes"},
		{"string not ASCII", "S'\xe9'\n.", "not ASCII"},
		{"string ends in an escape", "S'\\x4'\n.", "escape"},
		{"string with an unknown escape", "S'\\q'\n.", "escape"},
		{"unicode of a surrogate", "V\\ud800\n.", "no character"},
		{"unicode cut short", "V\\u12\n.", "within an escape"},
		{"unicode no number", "V\\u+123\n.", "no character"},
		{"memo number negative", "Np-1\n.", "expected a number"},
		{"memo number huge as text", "Np2000000000\n.", "memo number 2000000000 after"},
		{"dict of three", "(NNNd.", "expected pairs"},
		{"list without mark", "Nl.", "no mark"},
		{"reconstructor of another base", "ccopy_reg\n_reconstructor\n(c__builtin__\nlist\nc__builtin__\nlist\nNtR.", "another base"},
		{"reconstructor of an unknown class", "ccopy_reg\n_reconstructor\n(c__builtin__\nint\nc__builtin__\nobject\nNtR.", "may not be called"},
		{"record of an unknown class", p + "cother\nEntry\n)\x81.", "not accepted"},
		{"record with arguments", p + "cvm\nEntry\nN\x85\x81.", "not accepted"},
		{"record called", p + "cvm\nEntry\n)R.", "not accepted"},
		{"record with state twice", p + "cvm\nEntry\n)\x81}b}b.", "expected one dict"},
		{"record with a list", p + "cvm\nEntry\n)\x81]b.", "expected one dict"},
		{"record with a numbered field", p + "cvm\nEntry\n)\x81}K\x01Nsb.", "expected a string"},
		{"record in itself", p + "cvm\nEntry\n)\x81q\x00}U\x01ah\x00sb.", "holds itself"},
		{"items for a frozen set", "\x80\x04(\x91(N\x90.", "expected a set"},
		{"deque in itself", p + "ccollections\ndeque\n)Rq\x00h\x00a.", "holds itself"},
		{"deque of a negative length", p + "ccollections\ndeque\n)J\xff\xff\xff\xff\x86R.", "other arguments"},
		{"defaultdict of a string", p + "ccollections\ndefaultdict\nU\x01a\x85R.", "name of a type"},
		{"a type called", p + "c__builtin__\nint\n)R.", "may not be called"},
		{"complex of ints", p + "c__builtin__\ncomplex\nK\x01K\x02\x86R.", "two floats"},
		{"bytes of a count", p + "c__builtin__\nbytes\nK\x01\x85R.", "1 arguments"},
		{"path of bytes", "\x80\x03cpathlib\nPath\nC\x01a\x85R.", "expected strings"},
		{"path of two roots", p + "cpathlib\nPath\nU\x01/U\x02/a\x86R.", "expected a relative one"},
		{"path of two drives", p + "cpathlib\nPureWindowsPath\nU\x03C:\\U\x03D:a\x86R.", "expected a relative one"},
		{"month 13", "\x80\x03cdatetime\ndatetime\nC\x0a\x07\xe8\x0d\x01\x00\x00\x00\x00\x00\x00\x85R.", "is no time"},
		{"30 February", "\x80\x03cdatetime\ndatetime\nC\x0a\x07\xe8\x02\x1e\x00\x00\x00\x00\x00\x00\x85R.", "is no time"},
		{"hour 24", "\x80\x03cdatetime\ndatetime\nC\x0a\x07\xe8\x02\x01\x18\x00\x00\x00\x00\x00\x85R.", "is no time"},
		{"year 0", "\x80\x03cdatetime\ndatetime\nC\x0a\x00\x00\x02\x01\x01\x00\x00\x00\x00\x00\x85R.", "is no time"},
		{"time of 9 bytes", "\x80\x03cdatetime\ndatetime\nC\x09\x07\xe8\x02\x01\x01\x00\x00\x00\x00\x85R.", "expected 10 bytes"},
		{"time in zone None", "\x80\x03cdatetime\ndatetime\nC\x0a\x07\xe8\x02\x01\x01\x00\x00\x00\x00\x00N\x86R.", "expected a datetime.timezone"},
		{"difference of 86400 seconds", p + "cdatetime\ntimedelta\nK\x00J\x80\x51\x01\x00K\x00\x87R.", "not normalised"},
		{"difference of two", p + "cdatetime\ntimedelta\nK\x00K\x00\x86R.", "expected 3 ints"},
		{"difference of none", p + "cdatetime\ntimedelta\n)R.", "not normalised"},
		{"zone of a day", p + "cdatetime\ntimezone\ncdatetime\ntimedelta\nK\x01K\x00K\x00\x87R\x85R.", "less than a day"},
		{"NEXT_BUFFER", "\x80\x05\x97.", "not accepted"},
		{"string longer than the file", p + "X\xff\xff\xff\x7fab.", "length 2147483647"},
		{"string of 2^63", "\x80\x04\x8d\x00\x00\x00\x00\x00\x00\x00\x80ab.", "length 9223372036854775808"},
		{"bytes longer than the file", p + "B\xff\xff\xff\xffab.", "length 4294967295"},
		{"not UTF-8", p + "X\x01\x00\x00\x00\xff.", "not UTF-8"},
		{"surrogate", p + "X\x03\x00\x00\x00\xed\xa0\x80.", "not UTF-8"},
		{"int of 33 bytes", p + "\x8a\x21" + strings.Repeat("\x01", 33) + ".", "int of 33 bytes"},
		{"int of 2^31 bytes", p + "\x8b\x00\x00\x00\x80\x01.", "length 2147483648"},
		{"int cut short", p + "J\x01\x02", "4 bytes wanted"},
		{"memo unset", p + "h\x00.", "not set"},
		{"memo skipped", p + "Nq\x02h\x01.", "not set"},
		{"memo number huge", p + "Nr\xff\xff\xff\x0f.", "memo number 268435455"},
		{"memo of nothing", p + "q\x00.", "stack is empty"},
		{"memo below a mark", p + "N(q\x00t\x86.", "stack is empty"},
		{"tuple without mark", p + "Nt.", "no mark"},
		{"pair of one", p + "N\x86.", "1 values above"},
		{"tuple across a mark", p + "N(N\x86.", "1 values above"},
		{"append to a tuple", p + ")Na.", "expected a list"},
		{"append to None", p + "NNa.", "expected a list"},
		{"appends to a dict", p + "}(Ne.", "expected a list"},
		{"odd items", p + "}(NNNu.", "expected pairs"},
		{"items for a list", p + "](NNu.", "expected a dict"},
		{"no items for a list", p + "](u.", "expected a dict"},
		{"item for a string", p + "U\x01aNNs.", "expected a dict"},
		{"key twice", p + "}(K\x01NK\x01Nu.", "comes twice"},
		{"key twice as bool", p + "}(K\x01N\x88Nu.", "comes twice"},
		{"key twice as float", p + "}(K\x01NG\x3f\xf0\x00\x00\x00\x00\x00\x00Nu.", "comes twice"},
		{"key NaN", p + "}G\x7f\xf8\x00\x00\x00\x00\x00\x00Ns.", "NaN"},
		{"key list", p + "}]Ns.", "expected a string"},
		{"key nested tuple", p + "}))\x86Ns.", "tuple within a tuple"},
		{"set items for a list", "\x80\x04](N\x90.", "expected a set"},
		{"global unknown", p + "cos\nsystem\n.", `global "system" of module "os" is not accepted`},
		{"global by prefix", p + "ccollections\nOrderedDictX\n.", "not accepted"},
		{"global with module path", p + "ccollections.abc\nOrderedDict\n.", "not accepted"},
		{"global without newline", p + "ccollections", "without newline"},
		{"global endless", p + "c" + strings.Repeat("a", 1000) + "\n", "without newline within"},
		{"global of numbers", "\x80\x04K\x01K\x02\x93.", "expected strings"},
		{"call of a string", p + "U\x01a)R.", "expected a global"},
		{"call without tuple", p + "ccollections\nOrderedDict\nNR.", "expected a tuple"},
		{"call with arguments", p + "ccollections\nOrderedDict\nN\x85R.", "expected none"},
		{"instance of a function", p + "ccollections\nOrderedDict\n)\x81.", "may not be called this way"},
		{"instance with names", "\x80\x04ccollections\nOrderedDict\n)}U\x01aNs\x92.", "named arguments"},
		{"state for None", p + "NNb.", "takes none"},
		{"state for a dict", p + "}}b.", "plain dict"},
		{"state no dict", p + "ccollections\nOrderedDict\n)RNb.", "expected one dict"},
		{"state twice", p + "ccollections\nOrderedDict\n)R}b}b.", "expected one dict"},
		{"encode other codec", p + "c_codecs\nencode\nU\x01aU\x04utf8\x86R.", "latin1"},
		{"encode beyond latin1", p + "c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xacU\x06latin1\x86R.", "beyond latin1"},
		{"persistent unknown", p + "NQ.", "no such object"},
		{"list in itself", p + "]q\x00h\x00a.", "holds itself"},
		{"dict in itself", p + "}q\x00K\x01h\x00s.", "holds itself"},
		{"list in its tuple", p + "]q\x00h\x00\x85a.", "holds itself"},
		{"dict in its state", p + "ccollections\nOrderedDict\n)Rq\x00}K\x01h\x00sb.", "holds itself"},
		{"frame longer than the file", "\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00N.", "length 255"},
		{"frame in protocol 3", "\x80\x03\x95\x02\x00\x00\x00\x00\x00\x00\x00N.", "protocol 3"},
		{"frame cuts an opcode", "\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00M\x01\x01.", "past the end of its frame"},
		{"frame in a frame", "\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x95\x02\x00\x00\x00\x00\x00\x00\x00N.", "within a frame"},
		{"stop within a frame", "\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00N.N", "within a frame"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := Decode([]byte(c.data), config())
			var decode *DecodeError
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v (%v), want an error with %q", v, err, c.want)
			} else if !errors.As(err, &decode) || !errors.Is(err, ErrFormat) {
				t.Errorf("got %T, want a *DecodeError", err)
			}
		})
	}
}

func defaulted(pairs ...Value) *Dict {
	d := NewDict(pairs...)
	d.Default = Global{"builtins", "list"}
	return d
}

func TestRead(t *testing.T) {
	two80, _ := new(big.Int).SetString("1208925819614629174706176", 10)
	for _, c := range []struct {
		name, data string
		want       Value
	}{
		{"long 0", "\x80\x02\x8a\x00.", Int(0)},
		{"long -1", "\x80\x02\x8a\x01\xff.", Int(-1)},
		{"long 255", "\x80\x02\x8a\x02\xff\x00.", Int(255)},
		{"long minimum", "\x80\x02\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.", Int(-1 << 63)},
		{"long 2^80", "\x80\x02\x8a\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01.", BigInt{two80}},
		{"long 4 bytes of length", "\x80\x02\x8b\x01\x00\x00\x00\x07.", Int(7)},
		{"float", "\x80\x02G\x3f\xb9\x99\x99\x99\x99\x99\x9a.", Float(0.1)},
		{"tuple", "\x80\x02(K\x01N\x88\x89t.", NewTuple(Int(1), None{}, Bool(true), Bool(false))},
		{"list", "\x80\x02](K\x01K\x02e.", &List{Items: []Value{Int(1), Int(2)}}},
		{"bytes of protocol 2", "\x80\x02c_codecs\nencode\nX\x03\x00\x00\x00a\xc3\xbfU\x06latin1\x86R.", Bytes("a\xff")},
		{"short bytes", "\x80\x03C\x02ab.", Bytes("ab")},
		{"protocol 4", "\x80\x04\x95\x09\x00\x00\x00\x00\x00\x00\x00\x8c\x02hi\x94h\x00\x86.", NewTuple(Str("hi"), Str("hi"))},
		{"persistent", "\x80\x02K\x05Q.", Int(-5)},
		{"set", "\x80\x04\x8f(K\x01K\x02\x90.", &Set{Items: []Value{Int(1), Int(2)}}},
		{"frozen set", "\x80\x04(K\x01\x91.", &Set{Items: []Value{Int(1)}, Frozen: true}},
		{"memo", "\x80\x02U\x01aq\x00h\x00\x86.", NewTuple(Str("a"), Str("a"))},
		{"int as text", "I-12\n.", Int(-12)},
		{"true as text", "(I01\nI00\nt.", NewTuple(Bool(true), Bool(false))},
		{"long as text", "L1208925819614629174706176L\n.", BigInt{two80}},
		{"float as text", "F-1e-05\n.", Float(-1e-5)},
		{"float nan as text", "(F-inf\nl.", &List{Items: []Value{Float(math.Inf(-1))}}},
		{"unicode", "Va\xe9\\u20ac\\U0001f600\\x\n.", Str("a\u00e9\u20ac\U0001f600\\x")},
		{"string", `S"it's \x41\\\n"` + "\n.", Str("it's A\\\n")},
		{"dict as text", "(dp0\nVa\np1\nI1\ns.", NewDict("a", Int(1))},
		{"memo as text", "(Va\np0\ng0\nt.", NewTuple(Str("a"), Str("a"))},
		{"dict of a mark", "(Va\nNd.", NewDict("a", None{})},
		{"record", "\x80\x02cvm\nEntry\n)\x81}U\x01aK\x01sb.", &Record{Global{"vm", "Entry"}, NewDict("a", Int(1))}},
		{"record with slots", "\x80\x02cvm\nEntry\n)\x81N}U\x01aK\x01s\x86b.", &Record{Global{"vm", "Entry"}, NewDict("a", Int(1))}},
		{"record of protocol 0", "ccopy_reg\n_reconstructor\n(cvm\nEntry\nc__builtin__\nobject\nNtR(dVa\nI1\nsb.", &Record{Global{"vm", "Entry"}, NewDict("a", Int(1))}},
		{"record without fields", "\x80\x02cvm\nEntry\n)\x81.", &Record{Class: Global{"vm", "Entry"}}},
		{"path of parts", "\x80\x02cpathlib\nPosixPath\n(U\x01/U\x04dataU\x03a.ptR.", Path{"PosixPath", "/data/a.p"}},
		{"path of Python 3.13", "\x80\x02cpathlib._local\nPosixPath\nU\x04/a/b\x85R.", Path{"PosixPath", "/a/b"}},
		{"path of Windows", "\x80\x02cpathlib\nPureWindowsPath\n(U\x03C:\\U\x01aU\x01btR.", Path{"PureWindowsPath", `C:\a\b`}},
		{"path of nothing", "\x80\x02cpathlib\nPath\n)R.", Path{"Path", "."}},
		{"complex", "\x80\x02c__builtin__\ncomplex\nG\x3f\xf0\x00\x00\x00\x00\x00\x00G\x40\x00\x00\x00\x00\x00\x00\x00\x86R.", Complex(1 + 2i)},
		{"deque", "\x80\x02ccollections\ndeque\n)K\x03\x86R(K\x01K\x02e.", &Deque{Items: []Value{Int(1), Int(2)}, MaxLen: 3}},
		{"defaultdict", "\x80\x02ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RU\x01aNs.", defaulted("a", None{})},
		{"stack global", "\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R.", &Dict{Ordered: true}},
	} {
		got, err := Decode([]byte(c.data), config())
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %#v (%v), want %#v", c.name, got, err, c.want)
		}
	}
}

// TestDepth accepts nesting up to the limit, however it comes about, and refuses one more without recursion.
func TestDepth(t *testing.T) {
	tuples := func(n int) string { return "\x80\x02)" + strings.Repeat("\x85", n-1) + "." }
	for n, ok := range map[int]bool{1: true, 1000: true, 1001: false, 3_000_000: false} {
		_, err := Decode([]byte(tuples(n)), Config{Limits: Limits{Values: 4_000_000}})
		if (err == nil) != ok {
			t.Errorf("%d nested tuples: got %v, want read = %t", n, err, ok)
		}
	}
	// A list of 600 nested in a tuple of 600, put together at the end by the memo.
	inner := "\x80\x02(]q\x00" + strings.Repeat("\x85", 600) + "h\x00]" + strings.Repeat("\x85", 600) + "at."
	if _, err := Decode([]byte(inner), Config{}); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("a list filled after it was nested: got %v, want it refused as too deep", err)
	}
	shallow := strings.ReplaceAll(inner, strings.Repeat("\x85", 600), strings.Repeat("\x85", 400))
	if _, err := Decode([]byte(shallow), Config{}); err != nil {
		t.Errorf("the same with 400: got %v, want it read", err)
	}
}

// TestBombs takes small or moderate files that ask for much memory or time.
func TestBombs(t *testing.T) {
	mega := strings.Repeat("a", 60_000)
	for _, c := range []struct {
		name, data string
		limit      uint64 // bytes allocated
	}{
		{"values", "\x80\x02" + strings.Repeat("]", 8<<20), 400 << 20},
		{"stack", "\x80\x02" + strings.Repeat("N", 8<<20), 200 << 20},
		{"marks", "\x80\x02" + strings.Repeat("(", 8<<20), 200 << 20},
		{"nested tuples", "\x80\x02)" + strings.Repeat("\x85", 8<<20) + ".", 400 << 20},
		{"long key in many dicts", "\x80\x02X\x60\xea\x00\x00" + mega + "q\x00(" + strings.Repeat("}h\x00Ns", 200_000) + "l.", 200 << 20},
		{"memo", "\x80\x02N" + strings.Repeat("r\xff\xff\xff\x7f", 1000), 1 << 20},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode([]byte(c.data), Config{})
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: got it read, want an error", c.name)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > c.limit {
			t.Errorf("%s: took %d MiB for %v, want at most %d", c.name, used>>20, err, c.limit>>20)
		}
	}
}

// TestSharedIsCheap reads a graph whose tree would have 2^60 leaves: the machine must not walk it as a tree.
func TestSharedIsCheap(t *testing.T) {
	data := "\x80\x02U\x01aq\x00"
	for i := range 60 {
		data += fmt.Sprintf("h%c\x86q%c", byte(i), byte(i+1))
	}
	if _, err := Decode([]byte(data+"."), Config{}); err != nil {
		t.Errorf("got %v, want it read", err)
	}
}

// TestOpaque turns unknown calls into values and runs nothing.
func TestOpaque(t *testing.T) {
	c := config()
	c.Opaque = true
	v, err := Decode([]byte("\x80\x02cos\nsystem\nU\x02ls\x85R}U\x01aNsb."), c)
	if err != nil {
		t.Fatal(err)
	}
	call, ok := v.(*Call)
	if !ok || call.Func != (Global{"os", "system"}) || call.New || len(call.Args.Items) != 1 || call.State == nil {
		t.Errorf("got %#v, want the call os.system('ls') with a state", v)
	}
	if _, err := Decode([]byte("\x80\x02cos\nsystem\n)R}b}b."), c); err == nil {
		t.Error("second state: got it read, want an error")
	}
}

// TestPanicIsError turns a panic of a caller's function into an error.
func TestPanicIsError(t *testing.T) {
	c := Config{Globals: Registry{Global{"a", "b"}: {Reduce: func(args []Value) (Value, error) { return args[3], nil }}}}
	if _, err := Decode([]byte("\x80\x02ca\nb\n)R."), c); err == nil || !errors.Is(err, ErrFormat) {
		t.Errorf("got %v, want an error", err)
	}
}

// FuzzDecode looks for panics, and for values that are read otherwise once they are written again.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"\x80\x02N.", "\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01X\x01\x00\x00\x00bq\x02](K\x02K\x03eu.", "\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01.",
		"\x80\x04\x95\x07\x00\x00\x00\x00\x00\x00\x00\x8c\x02hi\x94h\x00\x86.", "\x80\x02\x8a\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01.", "\x80\x02K\x05Q.",
	} {
		f.Add([]byte(seed))
	}
	for _, seed := range []string{
		"(dp0\nVa\np1\nI1\nsV\\u20ac\nL5L\ns.", "(lp0\nF1e-05\naI01\naS'x\\n'\nag0\na.", "ccopy_reg\n_reconstructor\n(cvm\nEntry\nc__builtin__\nobject\nNtR(dVa\nI1\nsb.",
		"\x80\x02cpathlib\nPosixPath\n(U\x01/U\x04dataU\x03a.ptR.", "\x80\x03cdatetime\ndatetime\nC\x0a\x07\xe8\x02\x1d\x01\x02\x03\x00\x00\x09\x85R.",
		"\x80\x02ccollections\ndeque\n)K\x03\x86R(K\x01K\x02e.", "\x80\x02ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RU\x01aNs.", "\x80\x02cvm\nEntry\n)\x81N}U\x01aK\x01s\x86b.",
	} {
		f.Add([]byte(seed))
	}
	files, err := filepath.Glob(filepath.Join("..", "testdata", "pt", "pickle", "*.pkl"))
	if err != nil || len(files) < 15 {
		f.Fatalf("got %d seeds (%v), want at least 15", len(files), err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 16<<10 {
			t.Skip("larger than the size cap")
		}
		c := config()
		c.Opaque = true
		v, err := Decode(data, c)
		if err != nil {
			return
		}
		out, err := Encode(v, nil)
		if err != nil {
			return // unknown objects are not written
		}
		again, err := Decode(out, c)
		if err != nil {
			t.Fatalf("read %q, wrote %q: %v", data, out, err)
		}
		if second, err := Encode(again, nil); err != nil || !bytes.Equal(out, second) {
			t.Errorf("read %q, wrote %q, then %q (%v)", data, out, second, err)
		}
	})
}
