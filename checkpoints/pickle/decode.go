package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"
)

// Decode reads one pickle that fills data exactly.
func Decode(data []byte, config Config) (Value, error) {
	v, n, err := DecodeNext(data, config)
	if err != nil {
		return nil, err
	}
	if n != len(data) {
		return nil, &DecodeError{Offset: n, Err: fmt.Errorf("%d bytes follow the end of the pickle", len(data)-n)}
	}
	return v, nil
}

// DecodeNext reads one pickle from the beginning of data and returns its length.
func DecodeNext(data []byte, config Config) (v Value, n int, err error) {
	m := &machine{data: data, config: config, limits: config.Limits.withDefaults(len(data)), frame: -1, budget: config.Budget}
	if m.budget == nil {
		m.budget = NewBudget(m.limits.Memory)
	}
	defer func() {
		// Every bound is checked; this is the last line for what a check has missed.
		if r := recover(); r != nil {
			v, n, err = nil, 0, m.error(fmt.Errorf("not readable: %v", r))
		}
	}()
	v, err = m.run()
	if err != nil {
		return nil, 0, m.error(err)
	}
	if err := checkGraph(v, m.limits.Depth); err != nil {
		return nil, 0, m.error(err)
	}
	return v, m.at, nil
}

// machine is the state of one Decode.
type machine struct {
	data     []byte
	at       int // next byte
	op       byte
	opAt     int
	ops      int
	frame    int // end of the current frame, -1 outside one
	proto    int // 0: 0 or 1, which name none
	values   int
	keys     int64 // bytes hashed for keys
	stack    []Value
	marks    []int     // heights of the stack at its marks
	memo     [][]Value // chunks of memoChunk
	memoized int       // one more than the largest number
	budget   *Budget
	config   Config
	limits   Limits
}

func (m *machine) error(err error) error {
	return &DecodeError{Offset: m.opAt, Op: m.op, Err: err}
}

// run executes opcodes until STOP and returns the only value left.
func (m *machine) run() (Value, error) {
	for {
		if m.frame >= 0 && m.at >= m.frame {
			if m.at > m.frame {
				return nil, errors.New("the opcode before runs past the end of its frame")
			}
			m.frame = -1
		}
		m.opAt = m.at
		b, err := m.take(1)
		if err != nil {
			return nil, errors.New("pickle ends without STOP")
		}
		m.op = b[0]
		m.ops++
		if m.op == opStop {
			if len(m.stack) != 1 || len(m.marks) != 0 {
				return nil, fmt.Errorf("stop with %d values and %d marks left, expected one value", len(m.stack), len(m.marks))
			}
			if m.frame >= 0 && m.at != m.frame {
				return nil, errors.New("stop within a frame")
			}
			return m.stack[0], nil
		}
		if err := m.step(); err != nil {
			return nil, err
		}
	}
}

// step executes m.op.
func (m *machine) step() error {
	if m.proto == 0 && m.op > opProto {
		return errors.New("opcode of protocol 2 or later in a pickle that does not begin with its protocol")
	}
	switch m.op {
	case opProto, opFrame:
		return m.envelope()
	case opNone:
		return m.push(None{})
	case opNewTrue, opNewFalse:
		return m.push(Bool(m.op == opNewTrue))
	case opBinInt, opBinInt1, opBinInt2, opLong1, opLong4, opBinFloat:
		return m.number()
	case opBinUnicode, opShortBinUnicode, opBinUnicode8, opBinString, opShortBinString:
		return m.text()
	case opBinBytes, opShortBinBytes, opBinBytes8, opByteArray8:
		b, err := m.counted()
		if err != nil {
			return err
		}
		b = b[:len(b):len(b)]
		if m.op == opByteArray8 {
			return m.pushNew(ByteArray(b), 2*costScalar)
		}
		return m.pushNew(Bytes(b), 2*costScalar)
	case opEmptyList:
		return m.pushNew(&List{}, costObject)
	case opEmptyTuple:
		return m.pushNew(&Tuple{}, costObject)
	case opEmptyDict:
		return m.pushNew(&Dict{}, costDict)
	case opEmptySet:
		return m.pushNew(&Set{}, costObject)
	case opMark:
		if len(m.stack) >= m.limits.Stack || len(m.marks) >= m.limits.Stack {
			return fmt.Errorf("stack is higher than %d", m.limits.Stack)
		}
		if len(m.marks) == cap(m.marks) {
			if err := m.budget.Take(16 * int64(max(cap(m.marks), 4))); err != nil {
				return err
			}
			m.marks = slices.Grow(m.marks, max(cap(m.marks), 4))
		}
		m.marks = append(m.marks, len(m.stack))
		return nil
	case opTuple, opTuple1, opTuple2, opTuple3, opFrozenSet:
		return m.collect()
	case opAppend, opAppends, opAddItems, opSetItem, opSetItems:
		return m.extend()
	case opGlobal, opStackGlobal:
		return m.global()
	case opReduce, opNewObj, opNewObjEx, opBuild, opBinPersID:
		return m.object()
	case opBinPut, opLongBinPut, opMemoize:
		return m.remember()
	case opBinGet, opLongBinGet:
		return m.recall()
	case opInt, opLong, opFloat, opString, opUnicode, opGet, opPut, opDict, opList:
		if m.proto == 0 {
			return m.old()
		}
	}
	return errors.New("opcode is unknown or not accepted")
}

// envelope executes the opcodes that frame a pickle.
func (m *machine) envelope() error {
	if m.op == opProto {
		b, err := m.take(1)
		if err != nil {
			return err
		}
		if m.ops != 1 || b[0] < 2 || b[0] > 5 {
			return fmt.Errorf("protocol %d, expected 2 to 5, once, at the beginning", b[0])
		}
		m.proto = int(b[0])
		return nil
	}
	size, err := m.length(8)
	if err != nil {
		return err
	}
	if m.proto < 4 || m.frame >= 0 {
		return fmt.Errorf("frame in protocol %d or within a frame", m.proto)
	}
	m.frame = m.at + size
	return nil
}

func (m *machine) number() error {
	switch m.op {
	case opBinInt1:
		b, err := m.take(1)
		if err != nil {
			return err
		}
		return m.push(Int(b[0]))
	case opBinInt2:
		b, err := m.take(2)
		if err != nil {
			return err
		}
		return m.push(Int(binary.LittleEndian.Uint16(b)))
	case opBinInt:
		b, err := m.take(4)
		if err != nil {
			return err
		}
		return m.push(Int(int32(binary.LittleEndian.Uint32(b))))
	case opBinFloat:
		b, err := m.take(8)
		if err != nil {
			return err
		}
		return m.push(Float(math.Float64frombits(binary.BigEndian.Uint64(b))))
	}
	b, err := m.counted()
	if err != nil {
		return err
	}
	if len(b) > 32 {
		return fmt.Errorf("int of %d bytes, at most 32 are read", len(b))
	}
	return m.pushNew(integer(b), costScalar+4*int64(len(b)))
}

// integer reads a little-endian number in two's complement.
func integer(b []byte) Value {
	if len(b) == 0 {
		return Int(0)
	}
	negative := b[len(b)-1]&0x80 != 0
	if len(b) <= 8 {
		var full [8]byte
		if negative {
			full = [8]byte{255, 255, 255, 255, 255, 255, 255, 255}
		}
		copy(full[:], b)
		return Int(binary.LittleEndian.Uint64(full[:]))
	}
	reversed := make([]byte, len(b))
	for i, x := range b {
		reversed[len(b)-1-i] = x
	}
	n := new(big.Int).SetBytes(reversed)
	if negative {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if n.IsInt64() {
		return Int(n.Int64())
	}
	return BigInt{n}
}

func (m *machine) text() error {
	b, err := m.counted()
	if err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return errors.New("string is not UTF-8")
	}
	return m.pushNew(Str(b), costScalar+int64(len(b)))
}

// global reads a name and looks it up.
func (m *machine) global() error {
	var g Global
	if m.op == opStackGlobal {
		v, err := m.pop(2)
		if err != nil {
			return err
		}
		module, ok := v[0].(Str)
		name, also := v[1].(Str)
		if !ok || !also {
			return fmt.Errorf("global named by %s and %s, expected strings", Describe(v[0]), Describe(v[1]))
		}
		g = Global{string(module), string(name)}
	} else {
		var err error
		if g.Module, err = m.name(); err != nil {
			return err
		}
		if g.Name, err = m.name(); err != nil {
			return err
		}
	}
	if g.Module == "__builtin__" {
		// Python 2's name, which the pickler writes up to protocol 2.
		if _, known := m.config.Globals[Global{builtins, g.Name}]; known {
			g.Module = builtins
		}
	}
	if class, ok := m.config.Globals[g]; ok {
		if class.Value != nil {
			return m.push(class.Value)
		}
		return m.pushNew(g, costObject+int64(len(g.Module)+len(g.Name)))
	}
	if m.record(g) {
		return m.pushNew(g, costObject+int64(len(g.Module)+len(g.Name)))
	}
	if !m.config.Opaque {
		return fmt.Errorf("global %.120q of module %.120q is not accepted", g.Name, g.Module)
	}
	if len(g.Module) > maxName || len(g.Name) > maxName || strings.ContainsAny(g.Module+g.Name, "\n\r\x00") || g.Name == "" || g.Module == "" {
		return errors.New("global has no plain name")
	}
	return m.pushNew(g, costObject+int64(len(g.Module)+len(g.Name)))
}

// record tells whether a name is a class that holds data only.
func (m *machine) record(g Global) bool { return m.config.Record != nil && m.config.Record(g) }

const maxName = 512

// name reads a part of a global's name.
func (m *machine) name() (string, error) {
	b, err := m.line(maxName)
	if err != nil {
		return "", fmt.Errorf("global name: %w", err)
	}
	if !utf8.Valid(b) {
		return "", errors.New("global name is not UTF-8")
	}
	return string(b), nil
}

// take returns the next n bytes of the pickle.
func (m *machine) take(n int) ([]byte, error) {
	if n < 0 || n > len(m.data)-m.at {
		return nil, fmt.Errorf("%d bytes wanted, %d remain", n, len(m.data)-m.at)
	}
	m.at += n
	return m.data[m.at-n : m.at], nil
}

// length reads a count of the given width and compares it with what remains, before anything is allocated.
func (m *machine) length(width int) (int, error) {
	b, err := m.take(width)
	if err != nil {
		return 0, err
	}
	var full [8]byte
	copy(full[:], b)
	n := binary.LittleEndian.Uint64(full[:])
	if n > uint64(len(m.data)-m.at) {
		return 0, fmt.Errorf("length %d, only %d bytes remain", n, len(m.data)-m.at)
	}
	return int(n), nil
}

// counted returns the bytes of a string, bytes or long int, whose length comes first.
func (m *machine) counted() ([]byte, error) {
	width := 4
	switch m.op {
	case opShortBinUnicode, opShortBinString, opShortBinBytes, opLong1:
		width = 1
	case opBinUnicode8, opBinBytes8, opByteArray8:
		width = 8
	}
	n, err := m.length(width)
	if err != nil {
		return nil, err
	}
	m.budget.Found(int64(n))
	return m.take(n)
}
