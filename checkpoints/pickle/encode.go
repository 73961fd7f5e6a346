package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"unicode/utf8"
)

// maxEncodeDepth bounds the recursion of Encode; CPython's own limit is about as deep.
const maxEncodeDepth = 900

// Encode writes a value as a protocol-2 pickle with the bytes that CPython's pickler would write. A container that occurs
// twice is written once; one that holds itself is an error. Bytes, paths and the like are written each time they occur.
//
// translate turns a value of another package, which must be comparable, into one of this package, such as a *Call;
// it is asked once for each. nil: such values are an error.
func Encode(v Value, translate func(Value) (Value, error)) ([]byte, error) {
	return EncodeAs(2, v, translate)
}

// EncodeAs is Encode in protocol 2 or 3, which has an opcode for bytes and Python 3's names of modules.
func EncodeAs(protocol int, v Value, translate func(Value) (Value, error)) ([]byte, error) {
	if protocol != 2 && protocol != 3 {
		return nil, fmt.Errorf("encode pickle: protocol %d, expected 2 or 3", protocol)
	}
	e := &encoder{protocol: protocol, out: []byte{opProto, byte(protocol)}, memo: make(map[Value]int), translate: translate, translated: make(map[Value]Value)}
	if err := e.save(v, 0); err != nil {
		return nil, fmt.Errorf("encode pickle: %w", err)
	}
	return append(e.out, opStop), nil
}

type encoder struct {
	protocol int
	out      []byte
	memo     map[Value]int // by value for Str and Global, by identity for pointers

	translate  func(Value) (Value, error)
	translated map[Value]Value
}

func (e *encoder) save(v Value, depth int) error {
	if depth > maxEncodeDepth {
		return fmt.Errorf("nested deeper than %d, or a container that holds itself", maxEncodeDepth)
	}
	switch v := v.(type) {
	case None:
		e.out = append(e.out, opNone)
		return nil
	case Bool:
		op := byte(opNewFalse)
		if v {
			op = opNewTrue
		}
		e.out = append(e.out, op)
		return nil
	case Int:
		e.saveInt(int64(v))
		return nil
	case BigInt:
		return e.saveBig(v.Int)
	case Float:
		e.out = binary.BigEndian.AppendUint64(append(e.out, opBinFloat), math.Float64bits(float64(v)))
		return nil
	case Persistent:
		if err := e.save(v.ID, depth+1); err != nil {
			return err
		}
		e.out = append(e.out, opBinPersID)
		return nil
	case Bytes:
		return e.saveBytes(v, depth)
	case ByteArray:
		return e.saveCall(&Call{Func: Global{builtins, "bytearray"}, Args: NewTuple(Bytes(v))}, depth)
	case Path:
		if err := v.check(); err != nil {
			return err
		}
		return e.saveCall(standard(v), depth)
	case Complex, DateTime, TimeDelta, TimeZone:
		return e.saveCall(standard(v), depth)
	case Str, *Text, Global, *List, *Tuple, *Dict, *Call, *Set, *Deque, *Record:
		if id, ok := e.memo[v]; ok {
			e.saveGet(id)
			return nil
		}
	default:
		return e.saveForeign(v, depth)
	}
	switch v := v.(type) {
	case Str:
		return e.saveText(v, string(v))
	case *Text:
		return e.saveText(v, v.S)
	case Global:
		module := v.Module
		if module == "builtins" && e.protocol < 3 {
			module = "__builtin__" // as Python 2 calls it
		}
		e.out = append(e.out, opGlobal)
		e.out = append(e.out, module+"\n"+v.Name+"\n"...)
		e.savePut(v)
		return nil
	case *List:
		return e.saveList(v, depth)
	case *Tuple:
		return e.saveTuple(v, depth)
	case *Dict:
		return e.saveDict(v, depth)
	case *Set:
		return e.saveSet(v, depth)
	case *Deque:
		return e.saveDeque(v, depth)
	case *Record:
		return e.saveRecord(v, depth)
	}
	return e.saveCall(v.(*Call), depth)
}

// saveForeign writes a value of another package as what translate makes of it.
func (e *encoder) saveForeign(v Value, depth int) error {
	if e.translate == nil || v == nil || !reflect.TypeOf(v).Comparable() {
		return fmt.Errorf("a %T cannot be pickled", v)
	}
	known, ok := e.translated[v]
	if !ok {
		var err error
		if known, err = e.translate(v); err != nil {
			return err
		}
		e.translated[v] = known
	}
	return e.save(known, depth+1)
}

func (e *encoder) savePut(v Value) {
	id := len(e.memo)
	e.memo[v] = id
	if id < 256 {
		e.out = append(e.out, opBinPut, byte(id))
		return
	}
	e.out = binary.LittleEndian.AppendUint32(append(e.out, opLongBinPut), uint32(id))
}

func (e *encoder) saveGet(id int) {
	if id < 256 {
		e.out = append(e.out, opBinGet, byte(id))
		return
	}
	e.out = binary.LittleEndian.AppendUint32(append(e.out, opLongBinGet), uint32(id))
}

func (e *encoder) saveInt(n int64) {
	switch {
	case n >= 0 && n <= 0xff:
		e.out = append(e.out, opBinInt1, byte(n))
	case n >= 0 && n <= 0xffff:
		e.out = binary.LittleEndian.AppendUint16(append(e.out, opBinInt2), uint16(n))
	case n >= math.MinInt32 && n <= math.MaxInt32:
		e.out = binary.LittleEndian.AppendUint32(append(e.out, opBinInt), uint32(n))
	default:
		b := binary.LittleEndian.AppendUint64(nil, uint64(n))
		e.saveLong(b)
	}
}

func (e *encoder) saveBig(n *big.Int) error {
	if n == nil || n.BitLen() > 255 {
		return errors.New("int has more than 255 bits")
	}
	if n.IsInt64() {
		e.saveInt(n.Int64())
		return nil
	}
	wrapped := n
	if n.Sign() < 0 {
		wrapped = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), 256))
	}
	b := wrapped.FillBytes(make([]byte, 32))
	for i := range 16 {
		b[i], b[31-i] = b[31-i], b[i]
	}
	e.saveLong(b)
	return nil
}

// saveLong writes two's complement in as few bytes as keep the sign.
func (e *encoder) saveLong(b []byte) {
	for len(b) > 1 {
		last, before := b[len(b)-1], b[len(b)-2]
		if last == 0 && before < 0x80 || last == 0xff && before >= 0x80 {
			b = b[:len(b)-1]
			continue
		}
		break
	}
	e.out = append(e.out, opLong1, byte(len(b)))
	e.out = append(e.out, b...)
}

func (e *encoder) saveText(v Value, s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("string %.40q is not UTF-8", s)
	}
	if len(s) > math.MaxInt32 {
		return errors.New("string is longer than 2 GiB")
	}
	e.out = binary.LittleEndian.AppendUint32(append(e.out, opBinUnicode), uint32(len(s)))
	e.out = append(e.out, s...)
	e.savePut(v)
	return nil
}

func (e *encoder) saveList(l *List, depth int) error {
	e.out = append(e.out, opEmptyList)
	e.savePut(l)
	return e.saveItems(l.Items, depth)
}

// saveItems writes what is appended to a list.
func (e *encoder) saveItems(items []Value, depth int) error {
	if len(items) == 1 {
		if err := e.save(items[0], depth+1); err != nil {
			return err
		}
		e.out = append(e.out, opAppend)
		return nil
	}
	for rest := items; len(rest) > 0; {
		n := min(len(rest), batch)
		e.out = append(e.out, opMark)
		for _, item := range rest[:n] {
			if err := e.save(item, depth+1); err != nil {
				return err
			}
		}
		e.out = append(e.out, opAppends)
		rest = rest[n:]
	}
	return nil
}

func (e *encoder) saveTuple(t *Tuple, depth int) error {
	if len(t.Items) == 0 {
		e.out = append(e.out, opEmptyTuple)
		return nil
	}
	if len(t.Items) > 3 {
		e.out = append(e.out, opMark)
	}
	for _, item := range t.Items {
		if err := e.save(item, depth+1); err != nil {
			return err
		}
	}
	switch len(t.Items) {
	case 1, 2, 3:
		e.out = append(e.out, byte(opTuple1-1+len(t.Items)))
	default:
		e.out = append(e.out, opTuple)
	}
	e.savePut(t)
	return nil
}

func (e *encoder) saveDict(d *Dict, depth int) error {
	if d.Default != nil {
		if d.Ordered || d.State != nil {
			return errors.New("a dict cannot have a default and an order or a state")
		}
		call := &Call{Func: Global{"collections", "defaultdict"}, Args: NewTuple(d.Default)}
		if err := e.saveReduce(call, d, depth); err != nil {
			return err
		}
		return e.saveEntries(d.entries, false, depth)
	}
	if !d.Ordered {
		e.out = append(e.out, opEmptyDict)
		e.savePut(d)
		if err := e.saveEntries(d.entries, true, depth); err != nil {
			return err
		}
		if d.State != nil {
			return errors.New("a plain dict has no state")
		}
		return nil
	}
	if err := e.save(Global{"collections", "OrderedDict"}, depth); err != nil {
		return err
	}
	e.out = append(e.out, opEmptyTuple, opReduce)
	e.savePut(d)
	if err := e.saveEntries(d.entries, false, depth); err != nil {
		return err
	}
	return e.saveState(d.State, depth)
}

// saveEntries writes the items of a dict. CPython walks a plain dict (exact) by position and notices its end only
// after a full batch, so it closes a dict of 1,000 with an empty batch; other mappings it walks one item ahead.
func (e *encoder) saveEntries(entries []Entry, exact bool, depth int) error {
	if len(entries) == 0 {
		return nil
	}
	for rest := entries; ; {
		n := min(len(rest), batch)
		single := len(entries) == 1 || !exact && n == 1
		if !single {
			e.out = append(e.out, opMark)
		}
		for _, item := range rest[:n] {
			if err := e.save(item.Key, depth+1); err != nil {
				return err
			}
			if err := e.save(item.Value, depth+1); err != nil {
				return err
			}
		}
		if single {
			e.out = append(e.out, opSetItem)
		} else {
			e.out = append(e.out, opSetItems)
		}
		rest = rest[n:]
		if n < batch || len(rest) == 0 && !exact {
			return nil
		}
	}
}

func (e *encoder) saveCall(c *Call, depth int) error {
	if c.New || len(c.Items) > 0 || len(c.Pairs) > 0 || c.Args == nil {
		return fmt.Errorf("object %s was read without its class and cannot be written", c.Func)
	}
	if err := e.saveReduce(c, c, depth); err != nil {
		return err
	}
	return e.saveState(c.State, depth)
}

// saveReduce writes a call and remembers its result as v.
func (e *encoder) saveReduce(c *Call, v Value, depth int) error {
	if err := e.save(c.Func, depth); err != nil {
		return err
	}
	if err := e.save(c.Args, depth+1); err != nil {
		return err
	}
	e.out = append(e.out, opReduce)
	e.savePut(v)
	return nil
}

func (e *encoder) saveState(state Value, depth int) error {
	if state == nil {
		return nil
	}
	if err := e.save(state, depth+1); err != nil {
		return err
	}
	e.out = append(e.out, opBuild)
	return nil
}
