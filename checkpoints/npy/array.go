package npy

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// Array is a whole array in memory.
type Array struct {
	Header
	// Data are the elements in C order, little-endian.
	Data []byte
}

// ReadArray reads a whole .npy file: besides what a Reader takes, integers and unsigned integers of 1 to 8 bytes, float16
// and complex numbers, single values, and Fortran order, which is copied into C order; otherwise the array shares data.
// Elements of texts and bools are not looked at.
func ReadArray(data []byte) (Array, error) {
	a, fortran, err := checkArray(data)
	if err == nil && fortran {
		a.Data = rowsFirst(a.Data, a.Header)
	}
	return a, err
}

// CheckArray is the header of what ReadArray would read; it copies nothing.
func CheckArray(data []byte) (Header, error) {
	a, _, err := checkArray(data)
	return a.Header, err
}

// checkArray also tells whether the first index varies fastest.
func checkArray(data []byte) (Array, bool, error) {
	src := bytes.NewReader(data)
	h, fortran, err := readHeader(src, DType.whole)
	if err != nil {
		return Array{}, false, err
	}
	body := data[len(data)-src.Len():]
	if want := h.DataBytes(); int64(len(body)) < want {
		return Array{}, false, &TruncatedError{Part: "data", Want: want, Got: int64(len(body))}
	} else if int64(len(body)) > want {
		return Array{}, false, fmt.Errorf("npy data: %w: %d bytes, expected %d", ErrTrailing, len(body), want)
	}
	return Array{Header: h, Data: body}, fortran, nil
}

// rowsFirst copies an array whose first index varies fastest.
func rowsFirst(data []byte, h Header) []byte {
	if len(data) == 0 {
		return data
	}
	size := int64(h.DType.Size)
	out := make([]byte, 0, len(data))
	steps, step := make([]int64, len(h.Shape)), size
	for i, n := range h.Shape {
		steps[i] = step
		step *= n
	}
	index := make([]int64, len(h.Shape))
	for at := int64(0); ; {
		out = append(out, data[at:at+size]...)
		i := len(index) - 1
		for ; i >= 0; i-- {
			index[i]++
			at += steps[i]
			if index[i] < h.Shape[i] {
				break
			}
			at -= steps[i] * h.Shape[i]
			index[i] = 0
		}
		if i < 0 {
			return out
		}
	}
}

// WriteArray writes a whole .npy file; fill writes the elements in C order, exactly as many as the header says.
func WriteArray(dst io.Writer, h Header, fill func(io.Writer) error) error {
	encoded, err := h.encode(DType.whole)
	if err != nil {
		return err
	}
	if _, err := dst.Write(encoded); err != nil {
		return fmt.Errorf("write npy header: %w", err)
	}
	out := &counter{dst: dst}
	if err := fill(out); err != nil {
		return fmt.Errorf("write npy data: %w", err)
	}
	if out.n != h.DataBytes() {
		return fmt.Errorf("%w: %d bytes, the shape has %d", ErrCount, out.n, h.DataBytes())
	}
	return nil
}

// NewText is a single text as an array of shape ().
func NewText(text string) (Header, []byte, error) {
	runes := []rune(text)
	if len(runes) > maxTextWidth {
		return Header{}, nil, fmt.Errorf("%w: a text of %d characters", ErrTooLarge, len(runes))
	}
	h := Header{DType: DType{Kind: Text, Size: 4 * max(len(runes), 1)}}
	var b bytes.Buffer
	w := Writer{dst: bufio.NewWriter(&b), dtype: h.DType, left: int64(h.DType.Size)}
	w.Text(text)
	err := w.Close()
	return h, b.Bytes(), err
}

// Text is the text of an array of a single text.
func (a Array) Text() (string, error) {
	if a.DType.Kind != Text && a.DType.Kind != Bytes || len(a.Data) != a.DType.Size {
		return "", fmt.Errorf("%w: array %v of %s, expected a single text", ErrValue, a.Shape, a.DType)
	}
	r := Reader{header: a.Header, row: a.Data}
	return r.Text()
}

// Entry is an array of an archive in memory.
type Entry struct {
	Name string
	// Offset is where the bytes of the entry begin, Packed how many there are, and CRC the recorded checksum of the
	// .npy file within.
	Offset, Packed int64
	CRC            uint32
	// Deflated tells that the entry is compressed; Bytes is the size of the .npy file within.
	Deflated bool
	Bytes    int64
	Array
}

// ReadArrays reads all arrays of an archive in memory and checks their checksums. Stored entries share data, deflated ones
// are inflated within limit, in bytes for all of them together. An entry that is no .npy file is refused, and so are
// entries that overlap.
func ReadArrays(data []byte, limit int64) ([]Entry, error) {
	a, err := openWhole(data)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, name := range a.names {
		file := a.entries[name]
		e, plain, err := readEntry(data, file, limit, nil)
		if err == nil {
			e.Array, err = ReadArray(plain)
		}
		if err != nil {
			return nil, fmt.Errorf("open npz array %.80q: %w", name, err)
		}
		if e.Deflated {
			limit -= e.Bytes
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// ListArrays checks an archive as ReadArrays does and describes its arrays, without Data. limit, in bytes, is for the
// largest entry. What all entries inflate to is limited too, to 32 times the archive or 64 MiB, whichever is more: that
// bounds the time.
func ListArrays(data []byte, limit int64) ([]Entry, error) {
	a, err := openWhole(data)
	if err != nil {
		return nil, err
	}
	largest := uint64(0)
	for _, file := range a.entries {
		if file.Method != zip.Store && file.UncompressedSize64 <= uint64(limit) {
			largest = max(largest, file.UncompressedSize64)
		}
	}
	scratch, left := make([]byte, largest), max(32*int64(len(data)), 64<<20)
	var entries []Entry
	for _, name := range a.names {
		e, plain, err := readEntry(data, a.entries[name], min(limit, left), scratch)
		if err == nil {
			e.Header, err = CheckArray(plain)
		}
		if err != nil {
			return nil, fmt.Errorf("open npz array %.80q: %w", name, err)
		}
		if e.Deflated {
			left -= e.Bytes
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// openWhole refuses archives of other things, and entries that overlap and would make a small file take long.
func openWhole(data []byte) (*Archive, error) {
	a, err := OpenArchive(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	if a.other != "" {
		return nil, fmt.Errorf("open npz: %w: entry %.80q is no array", ErrUnsupported, a.other)
	}
	packed := uint64(0)
	for _, name := range a.names {
		size := a.entries[name].CompressedSize64
		if packed += size; size > uint64(len(data)) || packed > uint64(len(data)) {
			return nil, fmt.Errorf("open npz: %w: entries up to %.80q are larger than the file", ErrHeader, name)
		}
	}
	return a, nil
}

// readEntry gives the bytes of a .npy file, checked.
func readEntry(data []byte, file *zip.File, limit int64, scratch []byte) (Entry, []byte, error) {
	e := Entry{
		Name: strings.TrimSuffix(file.Name, extension), Packed: int64(file.CompressedSize64), CRC: file.CRC32,
		Deflated: file.Method != zip.Store, Bytes: int64(file.UncompressedSize64),
	}
	offset, err := file.DataOffset()
	if err != nil {
		return e, nil, err
	}
	if e.Offset = offset; offset < 0 || offset > int64(len(data))-e.Packed {
		return e, nil, fmt.Errorf("%w: %d bytes at %d lie beyond the file", ErrHeader, e.Packed, offset)
	}
	if e.Deflated {
		plain, err := inflate(file, limit, scratch)
		return e, plain, err
	}
	if e.Bytes != e.Packed {
		return e, nil, fmt.Errorf("%w: stored with %d bytes, %d in full", ErrHeader, e.Packed, e.Bytes)
	}
	plain := data[offset : offset+e.Packed : offset+e.Packed]
	if sum := crc32.ChecksumIEEE(plain); sum != file.CRC32 {
		return e, nil, fmt.Errorf("%w: checksum %08x, recorded is %08x", zip.ErrChecksum, sum, file.CRC32)
	}
	return e, plain, nil
}

// inflate fills scratch if that is large enough. The zip package checks size and checksum at the end.
func inflate(file *zip.File, limit int64, scratch []byte) ([]byte, error) {
	if file.UncompressedSize64 > uint64(max(limit, 0)) {
		return nil, fmt.Errorf("%w: it inflates to %d bytes, %d are left of the limit", ErrTooLarge, file.UncompressedSize64, limit)
	}
	src, err := file.Open()
	if err != nil {
		return nil, err
	}
	if uint64(len(scratch)) < file.UncompressedSize64 {
		scratch = make([]byte, file.UncompressedSize64)
	}
	plain := scratch[:file.UncompressedSize64]
	if _, err = io.ReadFull(src, plain); err == nil {
		var more [1]byte
		if _, err = io.ReadFull(src, more[:]); err == nil {
			err = fmt.Errorf("%w: more than the %d bytes that are recorded", ErrHeader, len(plain))
		} else if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil
		}
	}
	return plain, errors.Join(err, src.Close())
}

// Saver writes an archive of whole arrays, one by one. Equal arrays give equal bytes.
type Saver struct {
	archive *zip.Writer
	seen    map[string]bool
}

// NewSaver begins an archive on dst.
func NewSaver(dst io.Writer) *Saver {
	return &Saver{archive: zip.NewWriter(dst), seen: map[string]bool{}}
}

// Add writes one array; see WriteArray. Names come once.
func (s *Saver) Add(name string, h Header, fill func(io.Writer) error) error {
	if s.seen[name] || strings.HasSuffix(name, extension) {
		return fmt.Errorf("array %.80q: %w: added twice, or its name ends in %s, which NumPy takes off", name, ErrValue, extension)
	}
	s.seen[name] = true
	entry, err := s.archive.CreateHeader(&zip.FileHeader{Name: name + extension, Method: zip.Store})
	if err != nil {
		return fmt.Errorf("write npz entry %.80q: %w", name, err)
	}
	if err := WriteArray(entry, h, fill); err != nil {
		return fmt.Errorf("write npz entry %.80q: %w", name, err)
	}
	return nil
}

// Close writes the directory. It does not close what lies beneath.
func (s *Saver) Close() error {
	if err := s.archive.Close(); err != nil {
		return fmt.Errorf("write npz directory: %w", err)
	}
	return nil
}

// counter counts what passes through it.
type counter struct {
	dst io.Writer
	n   int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.dst.Write(b)
	c.n += int64(n)
	return n, err
}

// IsArray tells whether data begins as a .npy file does.
func IsArray(data []byte) bool { return bytes.HasPrefix(data, []byte(magic)) }

// IsArchive tells whether data begins as a .npz file does, by the name of its first entry.
func IsArchive(data []byte) bool {
	const header = 30 // bytes of a local header before the name
	if len(data) < header || !bytes.HasPrefix(data, []byte("PK\x03\x04")) {
		return false
	}
	name := data[header:]
	return bytes.HasSuffix(name[:min(len(name), int(binary.LittleEndian.Uint16(data[26:])))], []byte(extension))
}
