package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// builtins is the module of Python's own names.
const builtins = "builtins"

// saveBytes writes bytes: before protocol 3 as the text that Latin-1 makes of them.
func (e *encoder) saveBytes(b Bytes, depth int) error {
	if e.protocol < 3 {
		call := &Call{Func: Global{builtins, "bytes"}, Args: &Tuple{}}
		if len(b) > 0 {
			text := make([]rune, len(b))
			for i, c := range b {
				text[i] = rune(c)
			}
			call = &Call{Func: Global{"_codecs", "encode"}, Args: NewTuple(&Text{S: string(text)}, Str("latin1"))}
		}
		return e.saveCall(call, depth)
	}
	if len(b) > math.MaxInt32 {
		return errors.New("bytes are longer than 2 GiB")
	}
	if len(b) < 256 {
		e.out = append(e.out, opShortBinBytes, byte(len(b)))
	} else {
		e.out = binary.LittleEndian.AppendUint32(append(e.out, opBinBytes), uint32(len(b)))
	}
	e.out = append(e.out, b...)
	e.savePut(&Text{}) // takes its number
	return nil
}

func (e *encoder) saveSet(s *Set, depth int) error {
	name := "set"
	if s.Frozen {
		name = "frozenset"
	}
	return e.saveReduce(&Call{Func: Global{builtins, name}, Args: NewTuple(&List{Items: s.Items})}, s, depth)
}

func (e *encoder) saveDeque(d *Deque, depth int) error {
	call := &Call{Func: Global{"collections", "deque"}, Args: &Tuple{}}
	if d.MaxLen >= 0 {
		call.Args = NewTuple(&Tuple{}, Int(d.MaxLen))
	}
	if err := e.saveReduce(call, d, depth); err != nil {
		return err
	}
	return e.saveItems(d.Items, depth)
}

func (e *encoder) saveRecord(r *Record, depth int) error {
	if err := e.save(r.Class, depth); err != nil {
		return err
	}
	e.out = append(e.out, opEmptyTuple, opNewObj)
	e.savePut(r)
	if r.Fields == nil {
		return nil
	}
	return e.saveState(r.Fields, depth)
}

// standard is the call by which Python makes a value.
func standard(v Value) *Call {
	call := func(module, name string, args ...Value) *Call {
		return &Call{Func: Global{module, name}, Args: NewTuple(args...)}
	}
	switch v := v.(type) {
	case Complex:
		return call(builtins, "complex", Float(real(v)), Float(imag(v)))
	case Path:
		return call("pathlib", v.Class, &Text{S: v.Text}) // in one piece: every version joins it again
	case TimeDelta:
		return call("datetime", "timedelta", Int(v.Days), Int(v.Seconds), Int(v.Microseconds))
	case TimeZone:
		if v.Name == "" {
			return call("datetime", "timezone", v.Offset)
		}
		return call("datetime", "timezone", v.Offset, Str(v.Name))
	}
	d := v.(DateTime)
	b := binary.BigEndian.AppendUint16(nil, uint16(d.Year()))
	micro := d.Nanosecond() / 1000
	b = append(b, byte(d.Month()), byte(d.Day()), byte(d.Hour()), byte(d.Minute()), byte(d.Second()), byte(micro>>16), byte(micro>>8), byte(micro))
	if d.Fold {
		b[2] |= 0x80
	}
	if d.Naive {
		return call("datetime", "datetime", Bytes(b))
	}
	name, offset := d.Zone()
	days := int64(0)
	if offset < 0 {
		days, offset = -1, offset+86400
	}
	zone := TimeZone{Offset: TimeDelta{Days: days, Seconds: int64(offset)}, Name: name}
	if zone == (TimeZone{Name: "UTC"}) {
		zone.Name = ""
	}
	return call("datetime", "datetime", Bytes(b), zone)
}

// check refuses what the type could hold and Python could not.
func (p Path) check() error {
	for _, class := range pathClasses {
		if p.Class == class {
			return nil
		}
	}
	return fmt.Errorf("path of class %q", p.Class)
}
