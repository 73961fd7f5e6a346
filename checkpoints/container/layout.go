package container

// Signatures and sizes of the structures of a zip archive, and the values PyTorch's writer puts into them
// (its inline_container on miniz).
const (
	sigLocal      = 0x04034b50
	sigCentral    = 0x02014b50
	sigDescriptor = 0x08074b50
	sigEnd        = 0x06054b50
	sigEnd64      = 0x06064b50
	sigLocator    = 0x07064b50

	sizeLocal   = 30
	sizeCentral = 46
	sizeEnd     = 22
	sizeEnd64   = 56
	sizeLocator = 20
	maxComment  = 0xffff

	flagDescriptor = 0x0008
	flagUTF8       = 0x0800

	methodStore   = 0
	methodDeflate = 8

	extraZip64   = 0x0001
	extraPadding = 0x4246 // "FB"

	max16 = 0xffff
	max32 = 0xffffffff

	alignment = 64

	end64Size   = 44
	end64MadeBy = 0x031e
	end64Needed = 45
)

// Names of the records that carry meaning, below the root folder.
const (
	// RecordPickle holds the pickled object.
	RecordPickle = "data.pkl"
	// RecordByteOrder holds "little" or "big".
	RecordByteOrder = "byteorder"
	// RecordVersion holds the version of the file format.
	RecordVersion = "version"
	// RecordFormatVersion holds the version of the layout, since PyTorch 2.7.
	RecordFormatVersion = ".format_version"
	// RecordAlignment holds the alignment of payloads in bytes, since PyTorch 2.7.
	RecordAlignment = ".storage_alignment"
	// RecordSerializationID holds 40 digits that identify the content.
	RecordSerializationID = ".data/serialization_id"
	// StoragePrefix comes before the key of a storage.
	StoragePrefix = "data/"
)
