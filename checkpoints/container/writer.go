package container

import (
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"path/filepath"
	"strings"
)

// Writer streams an archive to an io.Writer. Records appear in the order of Add; Close adds the
// serialization id and the directory. After an error the output is worthless and every call fails.
type Writer struct {
	w       io.Writer
	root    string
	at      int64
	entries []entry
	seen    map[string]bool
	err     error
	deflate *flate.Writer // made at the first deflated record, then used again
}

// NewWriter begins an archive whose records lie under root. See Root for the name torch.save would give.
func NewWriter(w io.Writer, root string) *Writer {
	return &Writer{w: w, root: root, seen: make(map[string]bool)}
}

// Root is the root folder torch.save gives a file: its base name without extension, or "archive" where that is
// empty or not plain ASCII.
func Root(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	plain := func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == '\\' }
	if name == "" || name == "." || name == ".." || strings.ContainsFunc(name, plain) {
		return "archive"
	}
	return name
}

// Add writes one record. name lies below the root and must be new.
func (w *Writer) Add(name string, data []byte) error {
	return w.AddFunc(name, int64(len(data)), func(out io.Writer) error {
		_, err := out.Write(data)
		return err
	})
}

// AddFunc writes one record of exactly size bytes, which fill writes in as many pieces as it likes.
func (w *Writer) AddFunc(name string, size int64, fill func(io.Writer) error) error {
	return w.add(name, size, methodStore, fill)
}

// AddDeflated is AddFunc for a storage that is to be compressed. One that is empty, or so large that its compressed size
// could need other headers, is stored. Equal content gives equal bytes.
func (w *Writer) AddDeflated(name string, size int64, fill func(io.Writer) error) error {
	if size == 0 || size >= max32-max32/64 {
		return w.add(name, size, methodStore, fill)
	}
	return w.add(name, size, methodDeflate, fill)
}

func (w *Writer) add(name string, size int64, method uint16, fill func(io.Writer) error) error {
	if w.err != nil {
		return w.err
	}
	if w.seen[name] {
		return w.fail(fmt.Errorf("write archive: record %q given twice", name))
	}
	w.seen[name] = true
	e := entry{name: w.root + "/" + name, header: w.at, size: size, method: method, flags: flagDescriptor | flagUTF8}
	if size == 0 {
		e.flags = flagUTF8
	}
	if len(e.name) > maxName {
		return w.fail(fmt.Errorf("write archive: record name %.80q is longer than %d bytes", e.name, maxName))
	}
	if err := w.write(localHeader(e)); err != nil {
		return err
	}
	packed := &summer{w: w.w}
	sum := packed
	var err error
	if method == methodDeflate {
		if w.deflate == nil {
			w.deflate, _ = flate.NewWriter(nil, flate.DefaultCompression) // fails for unknown levels only
		}
		w.deflate.Reset(packed)
		sum = &summer{w: w.deflate}
		err = fill(sum)
		if err == nil {
			err = w.deflate.Close()
		}
	} else {
		err = fill(sum)
	}
	if err != nil {
		return w.fail(fmt.Errorf("write archive: record %q: %w", name, err))
	}
	w.at += packed.n
	if sum.n != size {
		return w.fail(fmt.Errorf("write archive: record %q has %d bytes, %d were announced", name, sum.n, size))
	}
	e.crc, e.packed = sum.crc, packed.n
	w.entries = append(w.entries, e)
	if size == 0 {
		return nil
	}
	b := binary.LittleEndian.AppendUint32(nil, sigDescriptor)
	b = binary.LittleEndian.AppendUint32(b, e.crc)
	if hasWideLocal(e) {
		b = binary.LittleEndian.AppendUint64(b, uint64(e.packed))
		b = binary.LittleEndian.AppendUint64(b, uint64(size))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(e.packed))
		b = binary.LittleEndian.AppendUint32(b, uint32(size))
	}
	return w.write(b)
}

// Close writes the serialization id, the directory and the end records. It does not close the io.Writer.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if err := w.Add(RecordSerializationID, []byte(w.serializationID())); err != nil {
		return err
	}
	start := w.at
	for _, e := range w.entries {
		if err := w.write(centralHeader(e)); err != nil {
			return err
		}
	}
	if err := w.write(endRecords(len(w.entries), start, w.at-start)); err != nil {
		return err
	}
	w.err = errors.New("write archive: already closed")
	return nil
}

// serializationID is 20 digits over the names and 20 over the checksums. PyTorch only asks that equal content
// gives equal digits; its own hash of names is not specified.
func (w *Writer) serializationID() string {
	names, sums := fnv.New64a(), fnv.New64a()
	for _, e := range w.entries {
		names.Write([]byte(strings.TrimPrefix(e.name, w.root+"/") + "\n"))
		sums.Write(binary.LittleEndian.AppendUint32(nil, e.crc))
	}
	return fmt.Sprintf("%020d%020d", names.Sum64(), sums.Sum64())
}

func (w *Writer) fail(err error) error {
	w.err = err
	return err
}

func (w *Writer) write(b []byte) error {
	n, err := w.w.Write(b)
	w.at += int64(n)
	if err != nil {
		return w.fail(fmt.Errorf("write archive: %w", err))
	}
	return nil
}

// hasWideLocal tells whether the local header has a zip64 field. Sizes there stay zero until the descriptor.
func hasWideLocal(e entry) bool { return e.size >= max32 || e.header >= max32 }

func localHeader(e entry) []byte {
	wide := wideField(e, true)
	unpadded := e.header + sizeLocal + int64(len(e.name)+len(wide)) + 4
	pad := int((alignment - unpadded%alignment) % alignment)
	b := binary.LittleEndian.AppendUint32(nil, sigLocal)
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint16(b, e.flags)
	b = binary.LittleEndian.AppendUint16(b, e.method)
	b = append(b, make([]byte, 4+12)...) // time and date, checksum and sizes
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.name)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(wide)+4+pad))
	b = append(b, e.name...)
	b = append(b, wide...)
	b = binary.LittleEndian.AppendUint16(b, extraPadding)
	b = binary.LittleEndian.AppendUint16(b, uint16(pad))
	return append(b, strings.Repeat("Z", pad)...)
}

// wideField is the zip64 field of a header: the sizes if they need it, then the offset if it does. In the local
// header the stored size is zero, as PyTorch's writer leaves it.
func wideField(e entry, local bool) []byte {
	var b []byte
	if e.size >= max32 {
		b = binary.LittleEndian.AppendUint64(b, uint64(e.size))
		packed := uint64(e.packed)
		if local {
			packed = 0
		}
		b = binary.LittleEndian.AppendUint64(b, packed)
	}
	if e.header >= max32 {
		b = binary.LittleEndian.AppendUint64(b, uint64(e.header))
	}
	if b == nil {
		return nil
	}
	head := binary.LittleEndian.AppendUint16(nil, extraZip64)
	return append(binary.LittleEndian.AppendUint16(head, uint16(len(b))), b...)
}

func centralHeader(e entry) []byte {
	wide := wideField(e, false)
	b := binary.LittleEndian.AppendUint32(nil, sigCentral)
	b = append(b, 0, 0, 0, 0) // versions
	b = binary.LittleEndian.AppendUint16(b, e.flags)
	b = binary.LittleEndian.AppendUint16(b, e.method)
	b = append(b, 0, 0, 0, 0) // time and date
	b = binary.LittleEndian.AppendUint32(b, e.crc)
	b = binary.LittleEndian.AppendUint32(b, narrow(e.packed))
	b = binary.LittleEndian.AppendUint32(b, narrow(e.size))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.name)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(wide)))
	b = append(b, make([]byte, 2+2+2+4)...) // comment, disk, attributes
	b = binary.LittleEndian.AppendUint32(b, narrow(e.header))
	b = append(b, e.name...)
	return append(b, wide...)
}

// endRecords are the zip64 record, its locator and the end record; PyTorch writes all three always.
func endRecords(count int, start, size int64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, sigEnd64)
	b = binary.LittleEndian.AppendUint64(b, end64Size)
	b = binary.LittleEndian.AppendUint16(b, end64MadeBy)
	b = binary.LittleEndian.AppendUint16(b, end64Needed)
	b = append(b, make([]byte, 8)...) // disks
	b = binary.LittleEndian.AppendUint64(b, uint64(count))
	b = binary.LittleEndian.AppendUint64(b, uint64(count))
	b = binary.LittleEndian.AppendUint64(b, uint64(size))
	b = binary.LittleEndian.AppendUint64(b, uint64(start))

	b = binary.LittleEndian.AppendUint32(b, sigLocator)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(start+size))
	b = binary.LittleEndian.AppendUint32(b, 1)

	b = binary.LittleEndian.AppendUint32(b, sigEnd)
	b = binary.LittleEndian.AppendUint32(b, 0) // disks
	few := uint16(min(count, max16))
	b = binary.LittleEndian.AppendUint16(b, few)
	b = binary.LittleEndian.AppendUint16(b, few)
	b = binary.LittleEndian.AppendUint32(b, narrow(size))
	b = binary.LittleEndian.AppendUint32(b, narrow(start))
	return binary.LittleEndian.AppendUint16(b, 0) // comment
}

func narrow(n int64) uint32 { return uint32(min(n, max32)) }

// summer counts and checks what passes through it.
type summer struct {
	w   io.Writer
	n   int64
	crc uint32
}

func (s *summer) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.n += int64(n)
	s.crc = crc32.Update(s.crc, crc32.IEEETable, b[:n])
	return n, err
}
