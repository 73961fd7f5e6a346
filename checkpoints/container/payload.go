package container

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// locatePayloads checks every local header and descriptor against the directory. The records must follow each
// other from the first byte to the directory with nothing between them: a hole could hide a record
// from readers that use the directory and show it to readers that stream.
func locatePayloads(data []byte, entries []entry, stop int64) error {
	order := make([]*entry, len(entries))
	for i := range entries {
		order[i] = &entries[i]
	}
	slices.SortStableFunc(order, func(a, b *entry) int {
		switch {
		case a.header < b.header:
			return -1
		case a.header > b.header:
			return 1
		}
		return 0
	})
	var at int64
	for _, e := range order {
		if e.header < at {
			return refuse(e.header, "record %q overlaps the record before it, which ends at %d", e.name, at)
		}
		if e.header > at {
			return refuse(at, "%d bytes before record %q belong to no record", e.header-at, e.name)
		}
		if err := readLocal(data, e, stop); err != nil {
			return err
		}
		at = e.end
	}
	if at != stop {
		return refuse(at, "%d bytes before the directory belong to no record", stop-at)
	}
	return nil
}

func readLocal(data []byte, e *entry, stop int64) error {
	if e.header+sizeLocal > stop {
		return refuse(e.header, "record %q: local header runs into the directory", e.name)
	}
	r := reader{data: data, at: e.header}
	if sig := r.u32(); sig != sigLocal {
		return refuse(e.header, "record %q: signature %#x, expected a local header", e.name, sig)
	}
	r.at += 2 // version
	flags, method := r.u16(), r.u16()
	r.at += 4 // time and date
	crc, packed, size := r.u32(), uint64(r.u32()), uint64(r.u32())
	nameLen, extraLen := int64(r.u16()), int64(r.u16())
	if flags != e.flags || method != e.method {
		return refuse(e.header, "record %q: local flags %#x and method %d differ from the directory's %#x and %d", e.name, flags, method, e.flags, e.method)
	}
	e.payload = r.at + nameLen + extraLen
	if e.payload > stop || e.packed > stop-e.payload {
		return refuse(e.header, "record %q: %d bytes run into the directory", e.name, e.packed)
	}
	if name := data[r.at : r.at+nameLen]; !bytes.Equal(name, []byte(e.name)) {
		return refuse(e.header, "record %q is called %.80q in its local header", e.name, name)
	}
	wide, err := readExtra(data, r.at+nameLen, extraLen)
	if err != nil {
		return err
	}
	streamed := flags&flagDescriptor != 0
	if err := checkLocalWide(e, wide, streamed); err != nil {
		return err
	}
	same := func(local, central uint64) bool {
		return local == central || streamed && local == 0 || wide != nil && local == max32
	}
	if !same(packed, uint64(e.packed)) || !same(size, uint64(e.size)) || !same(uint64(crc), uint64(e.crc)) {
		return refuse(e.header, "record %q: local sizes %d and %d and checksum %#08x, %d, %d and %#08x in the directory", e.name, packed, size, crc, e.packed, e.size, e.crc)
	}
	e.end = e.payload + e.packed
	if streamed {
		return readDescriptor(data, e, wide != nil, stop)
	}
	return nil
}

// checkLocalWide compares the zip64 field of a local header with the directory: full size and stored size, of which
// PyTorch's writer leaves the stored one zero, and behind them, or alone, the offset of the header.
func checkLocalWide(e *entry, wide []byte, streamed bool) error {
	rest := wide
	if len(wide) >= 16 {
		size, packed := binary.LittleEndian.Uint64(wide), binary.LittleEndian.Uint64(wide[8:])
		if size != uint64(e.size) && (size != 0 || !streamed) || packed != uint64(e.packed) && (packed != 0 || !streamed) {
			return refuse(e.header, "record %q: local zip64 sizes %d and %d, %d and %d in the directory", e.name, size, packed, e.size, e.packed)
		}
		rest = wide[16:]
	}
	switch {
	case wide != nil && len(wide) == 0, len(rest) != 0 && len(rest) != 8:
		return refuse(e.header, "record %q: local zip64 field of %d bytes, expected 8, 16 or 24", e.name, len(wide))
	case len(rest) == 8 && binary.LittleEndian.Uint64(rest) != uint64(e.header):
		return refuse(e.header, "record %q: local zip64 offset %d, the header lies at %d", e.name, binary.LittleEndian.Uint64(rest), e.header)
	}
	return nil
}

// readDescriptor reads the sizes and the checksum behind a payload: 16 bytes, 24 with zip64.
func readDescriptor(data []byte, e *entry, wide bool, stop int64) error {
	length := int64(16)
	if wide {
		length = 24
	}
	if length > stop-e.end {
		return refuse(e.end, "record %q: descriptor runs into the directory", e.name)
	}
	r := reader{data: data, at: e.end}
	sig, crc := r.u32(), r.u32()
	var packed, size uint64
	if wide {
		packed, size = r.u64(), r.u64()
	} else {
		packed, size = uint64(r.u32()), uint64(r.u32())
	}
	if sig != sigDescriptor || crc != e.crc || packed != uint64(e.packed) || size != uint64(e.size) {
		return refuse(e.end, "record %q: descriptor (signature %#x, checksum %#08x, sizes %d and %d) differs from the directory (%#08x, %d and %d)", e.name, sig, crc, packed, size, e.crc, e.packed, e.size)
	}
	e.end += length
	return nil
}

// readPayloads gives the content of every record and checks its checksum.
func readPayloads(data []byte, entries []entry, acceptNone bool) ([][]byte, error) {
	contents := make([][]byte, len(entries))
	for i, e := range entries {
		content := data[e.payload : e.payload+e.packed : e.payload+e.packed]
		if e.method == methodDeflate {
			var err error
			if content, err = inflate(content, e.size); err != nil {
				return nil, refuse(e.payload, "record %q: %v", e.name, err)
			}
		}
		contents[i] = content
		if e.crc == 0 && e.size > 0 && acceptNone {
			continue
		}
		if got := crc32.ChecksumIEEE(content); got != e.crc {
			return nil, refuse(e.payload, "record %q: checksum of its bytes is %#08x, %#08x is recorded", e.name, got, e.crc)
		}
	}
	return contents, nil
}
