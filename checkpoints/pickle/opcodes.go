package pickle

// Opcodes of protocols 0 to 5 (Python's pickletools). Left out on purpose: INST and OBJ, which make instances of
// classic classes; EXT, which names classes by number; PERSID and NEXT_BUFFER, which name things outside the file; and
// POP and DUP, which a pickler writes at most for values that hold themselves.
const (
	opInt     = 'I'
	opLong    = 'L'
	opFloat   = 'F'
	opString  = 'S'
	opUnicode = 'V'
	opGet     = 'g'
	opPut     = 'p'
	opDict    = 'd'
	opList    = 'l'

	opMark           = '('
	opStop           = '.'
	opNone           = 'N'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opBinInt2        = 'M'
	opBinFloat       = 'G'
	opBinUnicode     = 'X'
	opBinString      = 'T'
	opShortBinString = 'U'
	opBinBytes       = 'B'
	opShortBinBytes  = 'C'
	opBinPersID      = 'Q'
	opGlobal         = 'c'
	opReduce         = 'R'
	opBuild          = 'b'
	opAppend         = 'a'
	opAppends        = 'e'
	opSetItem        = 's'
	opSetItems       = 'u'
	opEmptyList      = ']'
	opEmptyTuple     = ')'
	opEmptyDict      = '}'
	opTuple          = 't'
	opBinGet         = 'h'
	opLongBinGet     = 'j'
	opBinPut         = 'q'
	opLongBinPut     = 'r'

	opProto    = 0x80
	opNewObj   = 0x81
	opTuple1   = 0x85
	opTuple2   = 0x86
	opTuple3   = 0x87
	opNewTrue  = 0x88
	opNewFalse = 0x89
	opLong1    = 0x8a
	opLong4    = 0x8b

	opShortBinUnicode = 0x8c
	opBinUnicode8     = 0x8d
	opBinBytes8       = 0x8e
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opFrozenSet       = 0x91
	opNewObjEx        = 0x92
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95
	opByteArray8      = 0x96
)

// batch is how many items CPython's pickler puts between a MARK and its APPENDS or SETITEMS.
const batch = 1000
