package npy

import (
	"fmt"
	"strconv"
)

// Kind is the letter by which NumPy names a family of element types.
type Kind byte

// The kinds that this package reads and writes.
const (
	Float Kind = 'f' // IEEE 754, little-endian, 4 or 8 bytes
	Int   Kind = 'i' // two's complement, little-endian, 8 bytes
	Bool  Kind = 'b' // one byte, 0 or 1
	Text  Kind = 'U' // fixed-width UTF-32, little-endian, zero-padded
	Bytes Kind = 'S' // fixed-width bytes, zero-padded, read as UTF-8
)

// maxTextWidth bounds the characters of a fixed-width text, so that a row stays within MaxRowBytes.
const maxTextWidth = MaxRowBytes / 4

// DType is an element type: its kind and the bytes one element takes.
type DType struct {
	Kind Kind
	Size int
}

// String returns the type as NumPy's header spells it, such as "<f4".
func (d DType) String() string {
	switch d.Kind {
	case Text:
		return "<U" + strconv.Itoa(d.Size/4)
	case Bytes:
		return "|S" + strconv.Itoa(d.Size)
	case Bool:
		return "|b" + strconv.Itoa(d.Size)
	default:
		return "<" + string(rune(d.Kind)) + strconv.Itoa(d.Size)
	}
}

// supported tells whether the package can decode the type.
func (d DType) supported() bool {
	switch d.Kind {
	case Float:
		return d.Size == 4 || d.Size == 8
	case Int:
		return d.Size == 8
	case Bool:
		return d.Size == 1
	case Text:
		return d.Size >= 0 && d.Size%4 == 0 && d.Size/4 <= maxTextWidth
	case Bytes:
		return d.Size >= 0 && d.Size <= MaxRowBytes
	}
	return false
}

// ParseDType reads a type as NumPy's header spells it. A type that is not read here is ErrUnsupported with its name.
func ParseDType(descr string) (DType, error) {
	refuse := func(name string) (DType, error) {
		return DType{}, fmt.Errorf("%w: dtype %q is %s, expected '<f4', '<f8', '<i8', '|b1', '<U…' or '|S…'", ErrUnsupported, descr, name)
	}
	if len(descr) < 2 {
		return refuse("no dtype known here")
	}
	order, kind, digits := descr[0], Kind(descr[1]), descr[2:]
	if order != '<' && order != '>' && order != '|' {
		return refuse("no dtype known here")
	}
	if kind == 'O' {
		return refuse("object (pickled Python objects)")
	}
	if kind == 'M' || kind == 'm' {
		return refuse("a date or time")
	}
	size, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || digits[0] == '+' || (len(digits) > 1 && digits[0] == '0') {
		return refuse("no dtype known here")
	}
	name := typeName(kind, int(size))
	if order == '>' && (size > 1 || kind == Text) {
		return refuse("big-endian " + name)
	}
	dtype := DType{Kind: kind, Size: int(size)}
	if kind == Text {
		if size > maxTextWidth {
			return refuse("text wider than a row may be")
		}
		dtype.Size = int(size) * 4
	}
	if !dtype.supported() {
		return refuse(name)
	}
	return dtype, nil
}

// typeName is NumPy's name of a type, for messages.
func typeName(kind Kind, size int) string {
	switch kind {
	case Bool:
		return "bool"
	case Text:
		return "text"
	case Bytes:
		return "byte text"
	case Float:
		return "float" + strconv.Itoa(size*8)
	case Int:
		return "int" + strconv.Itoa(size*8)
	case 'u':
		return "uint" + strconv.Itoa(size*8)
	case 'c':
		return "complex" + strconv.Itoa(size*8)
	case 'V':
		return "void (raw bytes)"
	}
	return "no dtype known here"
}
