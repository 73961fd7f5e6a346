package container

import (
	"strconv"
	"strings"
)

// Limits bound what Parse does for an archive. A zero field means its default.
type Limits struct {
	// Records is the largest number of records, 100,000 by default.
	Records int
	// Pickle is the largest size of data.pkl in bytes, 24 MiB by default.
	Pickle int64
	// AcceptNoCRC takes a stored checksum of zero for "not computed", which is what
	// torch.serialization.set_crc32_options(False) writes. Otherwise it is a mismatch.
	AcceptNoCRC bool
	// Inflated is what all deflated records may take together in bytes, 48 MiB by default.
	Inflated int64
	// Ratio is how many times its stored size a deflated record may take, 200 by default; up to 1 MiB is free. Deflate
	// itself cannot reach more than 1,032, which tables of zeros come near.
	Ratio int64
}

const (
	defaultRecords = 100_000
	// A tensor takes less than 250 bytes of pickle, so this is more than that of defaultRecords tensors.
	defaultPickle   = 24 << 20
	defaultInflated = 48 << 20
	defaultRatio    = 200
	freeInflated    = 1 << 20
	maxName         = 4096
)

func (l Limits) withDefaults() Limits {
	if l.Records <= 0 {
		l.Records = defaultRecords
	}
	if l.Pickle <= 0 {
		l.Pickle = defaultPickle
	}
	if l.Inflated <= 0 {
		l.Inflated = defaultInflated
	}
	if l.Ratio <= 0 {
		l.Ratio = defaultRatio
	}
	return l
}

// Record is one file of an archive.
type Record struct {
	// Name is the name below the root folder, such as "data/0".
	Name string
	// Offset is where the payload begins in the archive.
	Offset int64
	// CRC is the IEEE CRC-32 of Data.
	CRC uint32
	// Packed is the number of bytes that the payload has in the archive.
	Packed int64
	// Deflated tells that the payload is compressed, as only storages may be.
	Deflated bool
	// Data is the content: a slice of the parsed bytes, not to be written to, or what a deflated payload inflates to.
	Data []byte
}

// Archive is a checked archive.
type Archive struct {
	// Root is the folder that every record lies under.
	Root string
	// Version is the content of the version record, 1 to 10.
	Version int
	// FormatVersion and Alignment are the texts of .format_version and .storage_alignment, empty when absent.
	FormatVersion, Alignment string
	// Records are in the order of the directory.
	Records []Record

	index map[string]int
}

// Inflated is how many bytes the deflated records take beside the archive.
func (a *Archive) Inflated() int64 {
	var n int64
	for _, r := range a.Records {
		if r.Deflated {
			n += int64(len(r.Data))
		}
	}
	return n
}

// Record finds a record by its name below the root.
func (a *Archive) Record(name string) (Record, bool) {
	i, ok := a.index[name]
	if !ok {
		return Record{}, false
	}
	return a.Records[i], true
}

// Parse checks a whole archive and lists its records. data must not change as long as the archive is in use.
func Parse(data []byte, limits Limits) (*Archive, error) {
	limits = limits.withDefaults()
	end, err := findDirectory(data, limits)
	if err != nil {
		return nil, err
	}
	entries, err := readDirectory(data, end)
	if err != nil {
		return nil, err
	}
	if err := checkNames(entries); err != nil {
		return nil, err
	}
	if err := locatePayloads(data, entries, end.offset); err != nil {
		return nil, err
	}
	if err := checkInflated(entries, limits); err != nil {
		return nil, err
	}
	contents, err := readPayloads(data, entries, limits.AcceptNoCRC)
	if err != nil {
		return nil, err
	}
	return assemble(entries, contents, limits)
}

// assemble reads the records that describe the archive itself.
func assemble(entries []entry, contents [][]byte, limits Limits) (*Archive, error) {
	root, _, _ := strings.Cut(entries[0].name, "/")
	a := &Archive{Root: root, Records: make([]Record, len(entries)), index: make(map[string]int, len(entries))}
	for i, e := range entries {
		name := e.name[len(root)+1:]
		a.Records[i] = Record{Name: name, Offset: e.payload, CRC: e.crc, Packed: e.packed, Deflated: e.method == methodDeflate, Data: contents[i]}
		a.index[name] = i
		if name == "constants.pkl" || strings.HasPrefix(name, "code/") {
			return nil, refuse(e.header, "record %q: the archive is a TorchScript module, not a checkpoint", e.name)
		}
	}
	pickle, ok := a.Record(RecordPickle)
	if !ok {
		return nil, refuse(0, "no record %q under %q", RecordPickle, root)
	}
	if int64(len(pickle.Data)) > limits.Pickle {
		return nil, refuse(pickle.Offset, "record %q has %d bytes, at most %d are read", RecordPickle, len(pickle.Data), limits.Pickle)
	}
	version, ok := a.Record(RecordVersion)
	if !ok {
		return nil, refuse(0, "no record %q under %q", RecordVersion, root)
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(string(clip(version.Data)), "\n"), 10, 31)
	if err != nil || n < 1 || n > 10 {
		return nil, refuse(version.Offset, "version %q, expected a number from 1 to 10", clip(version.Data))
	}
	a.Version = int(n)
	if order, ok := a.Record(RecordByteOrder); ok && string(order.Data) != "little" {
		if string(order.Data) == "big" {
			return nil, refuse(order.Offset, "byte order is big-endian, only little-endian is supported")
		}
		return nil, refuse(order.Offset, "byte order %q, expected \"little\"", clip(order.Data))
	}
	if r, ok := a.Record(RecordFormatVersion); ok {
		a.FormatVersion = string(clip(r.Data))
	}
	if r, ok := a.Record(RecordAlignment); ok {
		a.Alignment = string(clip(r.Data))
	}
	return a, nil
}

// clip keeps messages and descriptive fields short, whatever a record holds.
func clip(b []byte) []byte {
	if len(b) > 32 {
		return b[:32]
	}
	return b
}
