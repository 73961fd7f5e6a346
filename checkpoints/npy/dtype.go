package npy

import (
	"fmt"
	"strconv"
)

// Kind is the letter by which NumPy names a family of element types.
type Kind byte

// The kinds that this package reads and writes.
const (
	Float Kind = 'f' // IEEE 754, little-endian, 4 or 8 bytes; in whole arrays also 2
	Int   Kind = 'i' // two's complement, little-endian, 8 bytes; in whole arrays also 1, 2 and 4
	Bool  Kind = 'b' // one byte, 0 or 1
	Text  Kind = 'U' // fixed-width UTF-32, little-endian, zero-padded
	Bytes Kind = 'S' // fixed-width bytes, zero-padded, read as UTF-8

	Uint    Kind = 'u' // little-endian, 1 to 8 bytes, in whole arrays only
	Complex Kind = 'c' // two floats of 4 or 8 bytes, in whole arrays only
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
		if d.Size == 1 {
			return "|" + string(rune(d.Kind)) + "1"
		}
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

// whole tells whether the type can be read and written as part of a whole array.
func (d DType) whole() bool {
	switch d.Kind {
	case Int, Uint:
		return d.Size == 1 || d.Size == 2 || d.Size == 4 || d.Size == 8
	case Float:
		return d.Size == 2 || d.Size == 4 || d.Size == 8
	case Complex:
		return d.Size == 8 || d.Size == 16
	}
	return d.supported()
}

// ParseDType reads a type of a Reader as NumPy's header spells it. Another type is ErrUnsupported with its name.
func ParseDType(descr string) (DType, error) { return parseDType(descr, DType.supported) }

func parseDType(descr string, known func(DType) bool) (DType, error) {
	expected := "'<f4', '<f8', '<i8', '|b1', '<U…' or '|S…'"
	if known(DType{Kind: Complex, Size: 8}) {
		expected = "a number, '|b1', '<U…' or '|S…'"
	}
	refuse := func(name string) (DType, error) {
		return DType{}, fmt.Errorf("%w: dtype %q is %s, expected %s", ErrUnsupported, descr, name, expected)
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
	if !known(dtype) {
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
