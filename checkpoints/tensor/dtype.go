package tensor

import "github.com/fdqc-cockpit/fdqc/checkpoints/pickle"

// DType is the element type of a tensor.
type DType uint8

// The element types that are read and written. The first group has a storage class of its own in torch.save's
// format; tensors of the second are saved over an untyped storage, with the type beside it.
const (
	Invalid DType = iota
	Float64
	Float32
	Float16
	BFloat16
	Int64
	Int32
	Int16
	Int8
	Uint8
	Bool
	Complex128
	Complex64
	QInt8
	QUInt8
	QInt32

	Uint16
	Uint32
	Uint64
	Complex32
	Float8E4M3FN
	Float8E5M2
	Float8E4M3FNUZ
	Float8E5M2FNUZ
	Float8E8M0FNU
	Float4E2M1FNX2
	Bits8
	Bits16
	Bits1x8
	Bits2x4
	Bits4x2
)

// family tells how the sign of an element is stored, for conjugated and negated views.
type family uint8

const (
	integral family = iota
	real
	complexPair
)

type dtypeInfo struct {
	name    string // in module torch
	storage string // class in module torch, empty: untyped
	size    int
	family  family
}

var dtypes = [...]dtypeInfo{
	Invalid:        {name: "invalid", size: 1},
	Float64:        {"float64", "DoubleStorage", 8, real},
	Float32:        {"float32", "FloatStorage", 4, real},
	Float16:        {"float16", "HalfStorage", 2, real},
	BFloat16:       {"bfloat16", "BFloat16Storage", 2, real},
	Int64:          {"int64", "LongStorage", 8, integral},
	Int32:          {"int32", "IntStorage", 4, integral},
	Int16:          {"int16", "ShortStorage", 2, integral},
	Int8:           {"int8", "CharStorage", 1, integral},
	Uint8:          {"uint8", "ByteStorage", 1, integral},
	Bool:           {"bool", "BoolStorage", 1, integral},
	Complex128:     {"complex128", "ComplexDoubleStorage", 16, complexPair},
	Complex64:      {"complex64", "ComplexFloatStorage", 8, complexPair},
	QInt8:          {"qint8", "QInt8Storage", 1, integral},
	QUInt8:         {"quint8", "QUInt8Storage", 1, integral},
	QInt32:         {"qint32", "QInt32Storage", 4, integral},
	Uint16:         {"uint16", "", 2, integral},
	Uint32:         {"uint32", "", 4, integral},
	Uint64:         {"uint64", "", 8, integral},
	Complex32:      {"complex32", "", 4, complexPair},
	Float8E4M3FN:   {"float8_e4m3fn", "", 1, real},
	Float8E5M2:     {"float8_e5m2", "", 1, real},
	Float8E4M3FNUZ: {"float8_e4m3fnuz", "", 1, real},
	Float8E5M2FNUZ: {"float8_e5m2fnuz", "", 1, real},
	// Without a sign of its own, or with several numbers in an element: no lazy negation.
	Float8E8M0FNU:  {"float8_e8m0fnu", "", 1, integral},
	Float4E2M1FNX2: {"float4_e2m1fn_x2", "", 1, integral},
	Bits8:          {"bits8", "", 1, integral},
	Bits16:         {"bits16", "", 2, integral},
	Bits1x8:        {"bits1x8", "", 1, integral},
	Bits2x4:        {"bits2x4", "", 1, integral},
	Bits4x2:        {"bits4x2", "", 1, integral},
}

// String is PyTorch's name without the module, such as "float32".
func (d DType) String() string {
	if int(d) >= len(dtypes) {
		return dtypes[Invalid].name
	}
	return dtypes[d].name
}

// Size is the number of bytes of one element.
func (d DType) Size() int {
	if int(d) >= len(dtypes) {
		return dtypes[Invalid].size
	}
	return dtypes[d].size
}

// quantized tells whether the integers stand for other numbers.
func (d DType) quantized() bool { return d == QInt8 || d == QUInt8 || d == QInt32 }

const untypedStorage = "UntypedStorage"

// storageClass is the global that names the storage of a type.
func (d DType) storageClass() pickle.Global {
	if s := dtypes[d].storage; s != "" {
		return pickle.Global{Module: "torch", Name: s}
	}
	return pickle.Global{Module: "torch.storage", Name: untypedStorage}
}

// storageType finds the element type of a storage class; untyped ones count bytes.
func storageType(class pickle.Global) (d DType, untyped, ok bool) {
	if class.Name == untypedStorage {
		return Uint8, true, class.Module == "torch.storage" || class.Module == "torch"
	}
	if class.Module != "torch" && class.Module != "torch.cuda" {
		return Invalid, false, false
	}
	for i, info := range dtypes {
		if info.storage != "" && info.storage == class.Name {
			return DType(i), false, true
		}
	}
	return Invalid, false, false
}
