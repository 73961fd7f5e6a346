package pickle

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

func (m *machine) push(v Value) error {
	if m.values++; m.values > m.limits.Values {
		return fmt.Errorf("more than %d values", m.limits.Values)
	}
	if len(m.stack) >= m.limits.Stack {
		return fmt.Errorf("stack is higher than %d", m.limits.Stack)
	}
	if len(m.stack) == cap(m.stack) {
		more := max(cap(m.stack), 8)
		if err := m.budget.Take(costItem * int64(cap(m.stack)+more)); err != nil {
			return err
		}
		m.stack = slices.Grow(m.stack, more)
	}
	m.stack = append(m.stack, v)
	return nil
}

// pushNew charges what a new value takes and pushes it.
func (m *machine) pushNew(v Value, cost int64) error {
	if err := m.budget.Take(cost); err != nil {
		return err
	}
	return m.push(v)
}

// appendItems appends by doubling, and charges what is allocated.
func (m *machine) appendItems(to, items []Value) ([]Value, error) {
	if need := len(to) + len(items); need > cap(to) {
		size := max(need, 2*cap(to))
		if err := m.budget.Take(costItem * int64(size)); err != nil {
			return nil, err
		}
		to = append(make([]Value, 0, size), to...)
	}
	return append(to, items...), nil
}

// floor is the height of the stack at the topmost mark: nothing below it may be taken.
func (m *machine) floor() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

// pop takes the top n values. The slice is valid until the next push.
func (m *machine) pop(n int) ([]Value, error) {
	top := len(m.stack) - n
	if top < m.floor() {
		return nil, fmt.Errorf("stack holds %d values above the last mark, %d are needed", len(m.stack)-m.floor(), n)
	}
	v := m.stack[top:]
	m.stack = m.stack[:top]
	return v, nil
}

// popMark takes the values above the topmost mark, and the mark. The slice is valid until the next push.
func (m *machine) popMark() ([]Value, error) {
	if len(m.marks) == 0 {
		return nil, errors.New("no mark on the stack")
	}
	top := m.floor()
	v := m.stack[top:]
	m.stack = m.stack[:top]
	m.marks = m.marks[:len(m.marks)-1]
	return v, nil
}

func (m *machine) top() (Value, error) {
	if len(m.stack) <= m.floor() {
		return nil, errors.New("stack is empty above the last mark")
	}
	return m.stack[len(m.stack)-1], nil
}

// collect executes the opcodes that make a tuple or a frozenset of values on the stack.
func (m *machine) collect() error {
	var items []Value
	var err error
	switch m.op {
	case opTuple1:
		items, err = m.pop(1)
	case opTuple2:
		items, err = m.pop(2)
	case opTuple3:
		items, err = m.pop(3)
	default:
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	own, err := m.appendItems(nil, items)
	if err != nil {
		return err
	}
	if m.op == opFrozenSet {
		return m.pushNew(&Set{Items: own, Frozen: true}, costObject)
	}
	return m.pushNew(&Tuple{Items: own}, costObject)
}

// extend executes the opcodes that add items to the container under them.
func (m *machine) extend() error {
	var items []Value
	var err error
	switch m.op {
	case opAppend:
		items, err = m.pop(1)
	case opSetItem:
		items, err = m.pop(2)
	default:
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	target, err := m.top()
	if err != nil {
		return err
	}
	switch m.op {
	case opAppend, opAppends:
		var held *[]Value
		switch t := target.(type) {
		case *List:
			held = &t.Items
		case *Deque:
			held = &t.Items
		case *Call:
			held = &t.Items
		default:
			return fmt.Errorf("items for %s, expected a list", Describe(target))
		}
		*held, err = m.appendItems(*held, items)
		return err
	case opAddItems:
		set, ok := target.(*Set)
		if !ok || set.Frozen {
			return fmt.Errorf("items for %s, expected a set", Describe(target))
		}
		set.Items, err = m.appendItems(set.Items, items)
		return err
	}
	return m.setItems(target, items)
}

func (m *machine) setItems(target Value, items []Value) error {
	if len(items)%2 != 0 {
		return fmt.Errorf("%d keys and values, expected pairs", len(items))
	}
	for i := 0; i < len(items); i += 2 {
		if m.keys += keyCost(items[i]); m.keys > m.limits.KeyBytes {
			return fmt.Errorf("keys of more than %d bytes in all", m.limits.KeyBytes)
		}
		cost := int64(costEntry)
		if d, ok := target.(*Dict); ok && d.Len() >= smallDict {
			cost += costIndex
		}
		if _, cheap := items[i].(Str); !cheap {
			cost += costIndex + 4*keyCost(items[i]) // a key that is made of others takes memory itself
		}
		if err := m.budget.Take(cost); err != nil {
			return err
		}
		switch t := target.(type) {
		case *Dict:
			if err := t.Add(items[i], items[i+1]); err != nil {
				return err
			}
		case *Call:
			t.Pairs = append(t.Pairs, Entry{items[i], items[i+1]})
		default:
			return fmt.Errorf("keys for %s, expected a dict", Describe(target))
		}
	}
	switch target.(type) {
	case *Dict, *Call:
		return nil
	}
	return fmt.Errorf("keys for %s, expected a dict", Describe(target))
}

// remember executes the opcodes that give the top value a number. The pickler numbers one by one, so a
// number beyond the count of opcodes is an attempt to make the memo grow.
func (m *machine) remember() error {
	v, err := m.top()
	if err != nil {
		return err
	}
	id := m.memoized
	if m.op != opMemoize {
		if id, err = m.memoID(opBinPut); err != nil {
			return err
		}
	}
	if id > m.ops {
		return fmt.Errorf("memo number %d after %d opcodes", id, m.ops)
	}
	for len(m.memo) <= id/memoChunk {
		if err := m.budget.Take(costItem*memoChunk + 72); err != nil {
			return err
		}
		m.memo = append(m.memo, make([]Value, memoChunk))
	}
	m.memo[id/memoChunk][id%memoChunk] = v
	m.memoized = max(m.memoized, id+1)
	return nil
}

// memoChunk is how many values of the memo are allocated at once: it grows without being copied.
const memoChunk = 8

func (m *machine) recall() error {
	id, err := m.memoID(opBinGet)
	if err != nil {
		return err
	}
	if id >= m.memoized || m.memo[id/memoChunk][id%memoChunk] == nil {
		return fmt.Errorf("memo number %d is not set", id)
	}
	return m.push(m.memo[id/memoChunk][id%memoChunk])
}

// memoID reads one byte for the short opcode, four for the long one, and a line for that of protocol 0.
func (m *machine) memoID(short byte) (int, error) {
	if m.op == opPut || m.op == opGet {
		b, err := m.line(maxDigits)
		if err != nil {
			return 0, err
		}
		id, err := strconv.ParseUint(string(b), 10, 31)
		if err != nil {
			return 0, fmt.Errorf("memo number %q, expected a number", b)
		}
		return int(id), nil
	}
	if m.op == short {
		b, err := m.take(1)
		if err != nil {
			return 0, err
		}
		return int(b[0]), nil
	}
	b, err := m.take(4)
	if err != nil {
		return 0, err
	}
	return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 | int(b[3])<<24, nil
}

// object executes the opcodes that make objects, all by the caller's functions.
func (m *machine) object() error {
	switch m.op {
	case opBinPersID:
		v, err := m.pop(1)
		if err != nil {
			return err
		}
		if m.config.Persistent == nil {
			return errors.New("object outside the pickle, none are accepted here")
		}
		found, err := m.config.Persistent(v[0])
		if err != nil {
			return err
		}
		return m.push(found)
	case opBuild:
		v, err := m.pop(1)
		if err != nil {
			return err
		}
		state := v[0]
		target, err := m.top()
		if err != nil {
			return err
		}
		if call, ok := target.(*Call); ok {
			if call.State != nil {
				return fmt.Errorf("second state for %s", Describe(target))
			}
			call.State = state
			return nil
		}
		if b, ok := target.(Builder); ok {
			return b.Build(state)
		}
		return fmt.Errorf("state for %s, which takes none", Describe(target))
	}
	return m.call()
}

// call executes REDUCE, NEWOBJ and NEWOBJ_EX.
func (m *machine) call() error {
	n := 2
	if m.op == opNewObjEx {
		n = 3
	}
	v, err := m.pop(n)
	if err != nil {
		return err
	}
	target, argument := v[0], v[1]
	if n == 3 {
		if named, ok := v[2].(*Dict); !ok || named.Len() != 0 {
			return fmt.Errorf("instance with named arguments %s, expected none", Describe(v[2]))
		}
	}
	args, ok := argument.(*Tuple)
	if !ok {
		return fmt.Errorf("call with %s, expected a tuple of arguments", Describe(argument))
	}
	g, ok := target.(Global)
	if !ok {
		return fmt.Errorf("call of %s, expected a global", Describe(target))
	}
	instance := m.op != opReduce
	if !instance && reconstructor(g) {
		var err error
		if g, err = reconstructed(args.Items); err != nil {
			return err
		}
		args, instance = &Tuple{}, true
	}
	class, known := m.config.Globals[g]
	maker := class.Reduce
	if instance {
		maker = class.New
	}
	if maker == nil {
		if instance && !known && len(args.Items) == 0 && m.record(g) {
			return m.pushNew(&Record{Class: g}, costObject)
		}
		if m.config.Opaque {
			return m.pushNew(&Call{Func: g, Args: args, New: instance}, 2*costObject)
		}
		if known {
			return fmt.Errorf("global %s may not be called this way", g)
		}
		return fmt.Errorf("call of %.120q, which is not accepted", g.String())
	}
	made, err := maker(args.Items)
	if err != nil {
		return err
	}
	cost := int64(costDict)
	switch made := made.(type) {
	case Bytes:
		cost += 2 * int64(len(made)) // decoded from text
	case ByteArray:
		cost += 2 * int64(len(made))
	case *Set:
		cost += costItem * int64(len(made.Items))
	case Path:
		cost += 3 * int64(len(made.Text))
	}
	return m.pushNew(made, cost)
}
