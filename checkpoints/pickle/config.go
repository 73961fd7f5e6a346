package pickle

// Limits bound one Decode. A zero field means its default.
type Limits struct {
	// Values is the number of values that may be pushed, 4,000,000 by default.
	Values int
	// Stack is the height of the stack, 1,048,576 by default.
	Stack int
	// Depth is the nesting of the finished value, 1,000 by default.
	Depth int
	// Memory is what values may take in bytes, by estimates that err upwards, or four times their content where that is
	// more: 48 MiB by default. A shared Budget takes its place.
	Memory int64
	// KeyBytes is the number of bytes hashed for dict keys: 64 MiB and 16 times the input by default.
	KeyBytes int64
}

func (l Limits) withDefaults(input int) Limits {
	if l.Values <= 0 {
		l.Values = 4_000_000
	}
	if l.Stack <= 0 {
		l.Stack = 1 << 20
	}
	if l.Depth <= 0 {
		l.Depth = 1000
	}
	if l.Memory <= 0 {
		l.Memory = 48 << 20
	}
	if l.KeyBytes <= 0 {
		l.KeyBytes = 64<<20 + 16*int64(input)
	}
	return l
}

// Maker makes a value of a call's arguments. Its error names what was expected.
type Maker func(args []Value) (Value, error)

// Class says what may be done with a global.
type Class struct {
	// Value is what the name itself stands for; nil: the Global.
	Value Value
	// Reduce is the result of calling it, New that of making an instance. nil: refused.
	Reduce, New Maker
}

// Registry lists the globals that a pickle may name, by exact module and name.
type Registry map[Global]Class

// Config is what Decode needs besides the bytes.
type Config struct {
	Limits Limits
	// Globals are the names that may occur.
	Globals Registry
	// Record tells which further names are classes that hold data only: instances become a *Record. nil: none.
	Record func(Global) bool
	// Budget is shared by several Decodes; nil: one of Limits.Memory.
	Budget *Budget
	// Opaque lets other names through as symbolic calls, for listings.
	Opaque bool
	// Persistent finds an object by its persistent id. nil: such objects are refused.
	Persistent func(id Value) (Value, error)
}

// Standard is a Registry of the harmless names of Python itself: containers, complex numbers, the way old protocols write
// bytes, paths and times. It returns a new map that the caller may add to.
func Standard() Registry {
	r := Registry{
		{"collections", "OrderedDict"}: {Reduce: newOrderedDict},
		{"collections", "defaultdict"}: {Reduce: newDefaultDict},
		{"collections", "deque"}:       {Reduce: newDeque},
		{"_codecs", "encode"}:          {Reduce: encodeLatin1},
		{"datetime", "datetime"}:       {Reduce: newDateTime},
		{"datetime", "timedelta"}:      {Reduce: newTimeDelta},
		{"datetime", "timezone"}:       {Reduce: newTimeZone},
		{"copyreg", "_reconstructor"}:  {},
		{"copy_reg", "_reconstructor"}: {},
	}
	for name, reduce := range map[string]Maker{
		"set": setMaker(false), "frozenset": setMaker(true), "bytearray": newByteArray, "bytes": newBytes, "complex": newComplex,
		// Names only: what makes the missing values of a defaultdict, and the base of instances.
		"list": nil, "dict": nil, "tuple": nil, "int": nil, "float": nil, "str": nil, "bool": nil, "object": nil,
	} {
		r[Global{builtins, name}] = Class{Reduce: reduce}
	}
	for _, class := range pathClasses {
		r[Global{"pathlib", class}] = Class{Reduce: pathMaker(class)}
		r[Global{"pathlib._local", class}] = Class{Reduce: pathMaker(class)} // Python 3.13
	}
	return r
}
