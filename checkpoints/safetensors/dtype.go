package safetensors

// DType is an element type by the format's own name, such as "F32".
type DType string

// dtypes lists the element types in the order by which the reference implementation sorts arrays, and the bits that an
// element takes.
var dtypes = []struct {
	name DType
	bits uint64
}{
	{"BOOL", 8},
	{"F4", 4},
	{"F6_E2M3", 6},
	{"F6_E3M2", 6},
	{"U8", 8},
	{"I8", 8},
	{"F8_E5M2", 8},
	{"F8_E4M3", 8},
	{"F8_E8M0", 8},
	{"F8_E4M3FNUZ", 8},
	{"F8_E5M2FNUZ", 8},
	{"I16", 16},
	{"U16", 16},
	{"F16", 16},
	{"BF16", 16},
	{"I32", 32},
	{"U32", 32},
	{"F32", 32},
	{"C64", 64},
	{"F64", 64},
	{"I64", 64},
	{"U64", 64},
}

// rank is the place of a type in that order, -1 for an unknown one.
func (d DType) rank() int {
	for i, known := range dtypes {
		if known.name == d {
			return i
		}
	}
	return -1
}

// Bits is the size of one element; 0 for a type that the format does not have.
func (d DType) Bits() int {
	if i := d.rank(); i >= 0 {
		return int(dtypes[i].bits)
	}
	return 0
}
