package container

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"
)

// directory is where the central directory lies.
type directory struct {
	offset, size int64
	entries      int
}

// entry is one entry of the central directory, later with the place of its payload.
type entry struct {
	name         string
	at           int64 // of the central header
	header       int64 // of the local header
	size         int64 // of the content
	packed       int64 // of the payload, size unless deflated
	method       uint16
	payload, end int64 // filled by locatePayloads
	crc          uint32
	flags        uint16
	zip64        bool
}

// findDirectory reads the end records. The last end signature must be the one whose comment ends with the
// file, so that every reader that searches backwards stops at the same record.
func findDirectory(data []byte, limits Limits) (directory, error) {
	var d directory
	size := int64(len(data))
	if size < sizeEnd || binary.LittleEndian.Uint32(data) != sigLocal {
		return d, refuse(0, "does not begin with a local header (PK\\3\\4)")
	}
	tail := max(size-sizeEnd-maxComment, 0)
	at := int64(bytes.LastIndex(data[tail:], []byte("PK\x05\x06")))
	if at < 0 {
		return d, refuse(size, "no end-of-directory record in the last %d bytes: cut short, or trailing bytes", size-tail)
	}
	at += tail
	if at+sizeEnd > size {
		return d, refuse(at, "end-of-directory record is cut short")
	}
	r := reader{data: data, at: at + 4}
	disk, diskDir := r.u16(), r.u16()
	here, total := int64(r.u16()), int64(r.u16())
	d.size, d.offset = int64(r.u32()), int64(r.u32())
	if comment := int64(r.u16()); at+sizeEnd+comment != size {
		return d, refuse(at, "end-of-directory record claims a comment of %d bytes, %d bytes follow it", comment, size-at-sizeEnd)
	}
	if disk != 0 || diskDir != 0 || here != total {
		return d, refuse(at, "archive spans several disks")
	}
	stop := at
	if at >= sizeLocator+sizeEnd64 && binary.LittleEndian.Uint32(data[at-sizeLocator:]) == sigLocator {
		var err error
		if stop, err = readEnd64(data, at, &d, &total); err != nil {
			return d, err
		}
	} else if total == max16 || d.size == max32 || d.offset == max32 {
		return d, refuse(at, "end-of-directory record needs a zip64 record, none found")
	}
	if d.offset < 0 || d.size < 0 || d.offset > stop || d.size != stop-d.offset {
		return d, refuse(at, "directory at %d with %d bytes does not end at the end records at %d", d.offset, d.size, stop)
	}
	if total <= 0 || total > int64(limits.Records) {
		return d, refuse(at, "%d records, expected 1 to %d", total, limits.Records)
	}
	if total*sizeCentral > d.size {
		return d, refuse(at, "%d records do not fit a directory of %d bytes", total, d.size)
	}
	d.entries = int(total)
	return d, nil
}

// readEnd64 reads the zip64 locator and record before the end record at byte end. It returns where they begin.
func readEnd64(data []byte, end int64, d *directory, total *int64) (int64, error) {
	locator := end - sizeLocator
	at := locator - sizeEnd64
	r := reader{data: data, at: locator + 4}
	disk, where, disks := r.u32(), r.u64(), r.u32()
	if disk != 0 || disks != 1 || where != uint64(at) {
		return 0, refuse(locator, "zip64 locator points at %d on disk %d of %d, expected %d on the only disk", where, disk, disks, at)
	}
	r = reader{data: data, at: at}
	if sig, size := r.u32(), r.u64(); sig != sigEnd64 || size != end64Size {
		return 0, refuse(at, "zip64 end record has signature %#x and size %d, expected %#x and %d", sig, size, sigEnd64, end64Size)
	}
	r.at += 4 // versions
	diskA, diskB, here, all, size, offset := r.u32(), r.u32(), r.u64(), r.u64(), r.u64(), r.u64()
	if diskA != 0 || diskB != 0 || here != all {
		return 0, refuse(at, "archive spans several disks")
	}
	for _, c := range []struct {
		what   string
		narrow int64
		limit  int64
		wide   uint64
	}{{"record count", *total, max16, all}, {"directory size", d.size, max32, size}, {"directory offset", d.offset, max32, offset}} {
		if c.narrow != c.limit && uint64(c.narrow) != c.wide || c.wide > 1<<62 {
			return 0, refuse(at, "%s is %d in the zip64 record and %d in the end record", c.what, c.wide, c.narrow)
		}
	}
	*total, d.size, d.offset = int64(all), int64(size), int64(offset)
	return at, nil
}

// readDirectory reads the central headers, which must fill the directory exactly.
func readDirectory(data []byte, d directory) ([]entry, error) {
	entries := make([]entry, 0, d.entries)
	stop := d.offset + d.size
	at := d.offset
	for i := range d.entries {
		if at+sizeCentral > stop {
			return nil, refuse(at, "directory ends in record %d of %d", i+1, d.entries)
		}
		r := reader{data: data, at: at}
		if sig := r.u32(); sig != sigCentral {
			return nil, refuse(at, "signature %#x, expected a directory header", sig)
		}
		r.at += 4 // versions
		e := entry{at: at, flags: r.u16()}
		e.method = r.u16()
		r.at += 4 // time and date
		e.crc = r.u32()
		packed, size := uint64(r.u32()), uint64(r.u32())
		nameLen, extraLen, commentLen, disk := int64(r.u16()), int64(r.u16()), int64(r.u16()), r.u16()
		r.at += 6 // attributes
		header := uint64(r.u32())
		next := r.at + nameLen + extraLen + commentLen
		if next > stop {
			return nil, refuse(at, "directory header runs past the directory")
		}
		e.name = string(data[r.at : r.at+nameLen])
		if e.flags&^(flagDescriptor|flagUTF8) != 0 {
			return nil, refuse(at, "record %q: flags %#x, only %#x are understood (encrypted, patched or masked records are refused)", e.name, e.flags, flagDescriptor|flagUTF8)
		}
		if _, below, _ := strings.Cut(e.name, "/"); e.method != methodStore && (e.method != methodDeflate || !strings.HasPrefix(below, StoragePrefix)) {
			return nil, refuse(at, "record %q: compression method %d, only stored records and deflated storages are read", e.name, e.method)
		}
		if disk != 0 {
			return nil, refuse(at, "record %q lies on disk %d", e.name, disk)
		}
		wide, err := readExtra(data, r.at+nameLen, extraLen)
		if err != nil {
			return nil, err
		}
		if e.zip64 = wide != nil; e.zip64 {
			for _, v := range []*uint64{&size, &packed, &header} {
				if *v != max32 {
					continue
				}
				if len(wide) < 8 {
					return nil, refuse(at, "record %q: zip64 field is too short", e.name)
				}
				*v, wide = binary.LittleEndian.Uint64(wide), wide[8:]
			}
			if len(wide) != 0 {
				return nil, refuse(at, "record %q: zip64 field has %d bytes too many", e.name, len(wide))
			}
		} else if size == max32 || packed == max32 || header == max32 {
			return nil, refuse(at, "record %q: a size needs a zip64 field, none found", e.name)
		}
		if e.method == methodStore && size != packed {
			return nil, refuse(at, "record %q: stored size %d differs from its full size %d", e.name, packed, size)
		}
		if header >= uint64(d.offset) || packed > uint64(d.offset) {
			return nil, refuse(at, "record %q: %d bytes at %d do not lie before the directory at %d", e.name, packed, header, d.offset)
		}
		if size > 1<<56 {
			return nil, refuse(at, "record %q: size %d overflows", e.name, size)
		}
		e.size, e.packed, e.header = int64(size), int64(packed), int64(header)
		entries = append(entries, e)
		at = next
	}
	if at != stop {
		return nil, refuse(at, "%d bytes of the directory follow its last record", stop-at)
	}
	return entries, nil
}

// readExtra walks an extra field and returns the zip64 part, nil when there is none. Only the two parts
// that PyTorch writes are known: others (other names, strong encryption) could make readers disagree.
func readExtra(data []byte, at, length int64) ([]byte, error) {
	var wide []byte
	for stop := at + length; at < stop; {
		if stop-at < 4 {
			return nil, refuse(at, "extra field is cut short")
		}
		tag, size := binary.LittleEndian.Uint16(data[at:]), int64(binary.LittleEndian.Uint16(data[at+2:]))
		if at+4+size > stop {
			return nil, refuse(at, "extra field %#04x runs past its end", tag)
		}
		switch {
		case tag == extraZip64 && wide == nil:
			wide = data[at+4 : at+4+size : at+4+size]
		case tag == extraPadding:
		default:
			return nil, refuse(at, "extra field %#04x is unknown or given twice", tag)
		}
		at += 4 + size
	}
	return wide, nil
}

// checkNames demands plain paths under one root, unique even when upper and lower case are not told apart.
func checkNames(entries []entry) error {
	root, _, found := strings.Cut(entries[0].name, "/")
	seen := make(map[string]string, len(entries))
	for _, e := range entries {
		if e.name == "" || len(e.name) > maxName || !utf8.ValidString(e.name) || strings.ContainsAny(e.name, "\\\x00") || strings.ContainsFunc(e.name, unicode.IsControl) {
			return refuse(e.at, "record name %.80q is empty, too long, not UTF-8 or has a forbidden character", e.name)
		}
		if e.flags&flagUTF8 == 0 && strings.ContainsFunc(e.name, func(r rune) bool { return r > unicode.MaxASCII }) {
			return refuse(e.at, "record name %.80q is not ASCII and not marked as UTF-8: readers disagree about it", e.name)
		}
		for part := range strings.SplitSeq(e.name, "/") {
			if part == "" || part == "." || part == ".." {
				return refuse(e.at, "record name %.80q is not a plain relative path to a file", e.name)
			}
		}
		if !found || !strings.HasPrefix(e.name, root+"/") {
			return refuse(e.at, "record %.80q does not lie in the root folder of the first record, %.80q", e.name, root)
		}
		key := fold(e.name)
		if other, ok := seen[key]; ok {
			return refuse(e.at, "records %.80q and %.80q have the same name", other, e.name)
		}
		seen[key] = e.name
	}
	return nil
}

// fold maps names that differ only in case to one key.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// reader reads little-endian numbers whose bounds the caller has checked.
type reader struct {
	data []byte
	at   int64
}

func (r *reader) u16() uint16 {
	r.at += 2
	return binary.LittleEndian.Uint16(r.data[r.at-2:])
}

func (r *reader) u32() uint32 {
	r.at += 4
	return binary.LittleEndian.Uint32(r.data[r.at-4:])
}

func (r *reader) u64() uint64 {
	r.at += 8
	return binary.LittleEndian.Uint64(r.data[r.at-8:])
}
