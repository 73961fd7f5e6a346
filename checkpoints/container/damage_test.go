package container

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// image is an archive with the places that tests damage.
type image struct {
	data    []byte
	central int // directory
	end64   int
	locator int
	end     int
}

func newImage(t *testing.T) *image {
	data := write(t, "archive", minimal())
	end := len(data) - sizeEnd
	return &image{data: data, central: int(binary.LittleEndian.Uint32(data[end+16:])), end64: end - sizeLocator - sizeEnd64, locator: end - sizeLocator, end: end}
}

// centralOf finds the central header of a record, localOf its local one.
func (m *image) centralOf(name string) int {
	at := m.central + bytes.Index(m.data[m.central:], []byte("archive/"+name)) - sizeCentral
	return at
}

func (m *image) localOf(name string) int {
	return bytes.Index(m.data, []byte("archive/"+name)) - sizeLocal
}

func put16(b []byte, v uint16) { binary.LittleEndian.PutUint16(b, v) }
func put32(b []byte, v uint32) { binary.LittleEndian.PutUint32(b, v) }
func put64(b []byte, v uint64) { binary.LittleEndian.PutUint64(b, v) }

// TestLocalWide checks zip64 fields of local headers, which only files beyond 4 GiB have.
func TestLocalWide(t *testing.T) {
	field := func(numbers ...uint64) []byte {
		b := []byte{}
		for _, v := range numbers {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
		return b
	}
	e := &entry{name: "archive/data/0", size: 5 << 30, packed: 5 << 30, header: 6 << 30}
	for _, c := range []struct {
		name     string
		wide     []byte
		streamed bool
		want     string // part of the error; empty: accepted
	}{
		{"none", nil, true, ""},
		{"as PyTorch writes", field(5<<30, 0), true, ""},
		{"with the offset", field(5<<30, 0, 6<<30), true, ""},
		{"offset alone", field(6 << 30), true, ""},
		{"all told", field(5<<30, 5<<30), false, ""},
		{"no stored size and no descriptor", field(5<<30, 0), false, "local zip64 sizes"},
		{"no sizes and no descriptor", field(0, 0), false, "local zip64 sizes"},
		{"other size", field(4<<30, 0), true, "local zip64 sizes"},
		{"other offset", field(5<<30, 0, 7<<30), true, "local zip64 offset"},
		{"other offset alone", field(5 << 30), true, "local zip64 offset"},
		{"empty", field(), true, "of 0 bytes"},
		{"cut", field(6 << 30)[:7], true, "of 7 bytes"},
		{"longer", field(5<<30, 0, 6<<30, 0), true, "of 32 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := checkLocalWide(e, c.wide, c.streamed)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestDamage breaks one rule at a time.
func TestDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(m *image)
		want   string // part of the error; empty: still read
	}{
		{"none", func(*image) {}, ""},
		{"prefix", func(m *image) { m.data = append([]byte("MZ"), m.data...) }, "does not begin"},
		{"empty", func(m *image) { m.data = nil }, "does not begin"},
		{"trailing byte", func(m *image) { m.data = append(m.data, 0) }, "claims a comment"},
		{"comment", func(m *image) { put16(m.data[m.end+20:], 2); m.data = append(m.data, "ok"...) }, ""},
		{"comment of the wrong length", func(m *image) { put16(m.data[m.end+20:], 2); m.data = append(m.data, "oki"...) }, "claims a comment"},
		{"second end record in the comment", func(m *image) {
			put16(m.data[m.end+20:], sizeEnd)
			m.data = append(m.data, "PK\x05\x06"+strings.Repeat("\x00", 18)...)
		}, "does not end at the end records"},
		{"disk number", func(m *image) { put16(m.data[m.end+4:], 1) }, "several disks"},
		{"count", func(m *image) { put16(m.data[m.end+8:], 5); put16(m.data[m.end+10:], 5) }, "record count"},
		{"directory size", func(m *image) { put32(m.data[m.end+12:], 1) }, "directory size"},
		{"locator elsewhere", func(m *image) { put64(m.data[m.locator+8:], 64) }, "locator points"},
		{"no locator, sizes in the end record", func(m *image) {
			m.data = append(m.data[:m.end64:m.end64], m.data[m.end:]...)
		}, ""},
		{"no locator, sizes elsewhere", func(m *image) {
			put16(m.data[m.end+8:], 0xffff)
			put16(m.data[m.end+10:], 0xffff)
			m.data = append(m.data[:m.end64:m.end64], m.data[m.end:]...)
		}, "zip64 record"},
		{"zip64 record longer", func(m *image) { put64(m.data[m.end64+4:], 45) }, "zip64 end record"},
		{"zip64 count differs", func(m *image) { put64(m.data[m.end64+32:], 3) }, "several disks"},
		{"zip64 counts differ from end", func(m *image) { put64(m.data[m.end64+24:], 3); put64(m.data[m.end64+32:], 3) }, "record count"},
		{"zip64 count huge", func(m *image) {
			put64(m.data[m.end64+24:], 1<<40)
			put64(m.data[m.end64+32:], 1<<40)
			put16(m.data[m.end+8:], 0xffff)
			put16(m.data[m.end+10:], 0xffff)
		}, "1099511627776 records"},
		{"zip64 offset huge", func(m *image) { put64(m.data[m.end64+48:], 1<<63); put32(m.data[m.end+16:], max32) }, "directory offset"},
		{"directory header signature", func(m *image) { m.data[m.central] = 'Q' }, "expected a directory header"},
		{"encrypted", func(m *image) { put16(m.data[m.centralOf("data/0")+8:], 0x0809) }, "flags"},
		{"masked", func(m *image) { put16(m.data[m.centralOf("data/0")+8:], 0x2808) }, "flags"},
		{"deflated by the directory", func(m *image) { put16(m.data[m.centralOf("data/0")+10:], 8) }, "differ from the directory"},
		{"compressed otherwise", func(m *image) { put16(m.data[m.centralOf("data/0")+10:], 9) }, "compression method"},
		{"version deflated", func(m *image) { put16(m.data[m.centralOf(RecordVersion)+10:], 8) }, "compression method"},
		{"deflated locally", func(m *image) { put16(m.data[m.localOf("data/0")+8:], 8) }, "differ from the directory"},
		{"flags differ", func(m *image) { put16(m.data[m.localOf("data/0")+6:], 0x0800) }, "differ from the directory"},
		{"stored size differs", func(m *image) { put32(m.data[m.centralOf("data/0")+20:], 15) }, "differs from its full size"},
		{"sizes beyond the directory", func(m *image) {
			put32(m.data[m.centralOf("data/0")+20:], 1<<30)
			put32(m.data[m.centralOf("data/0")+24:], 1<<30)
		}, "do not lie before"},
		{"sizes shrunk", func(m *image) {
			put32(m.data[m.centralOf("data/0")+20:], 8)
			put32(m.data[m.centralOf("data/0")+24:], 8)
		}, "descriptor"},
		{"sizes in zip64 without it", func(m *image) { put32(m.data[m.centralOf("data/0")+24:], max32) }, "needs a zip64"},
		{"header offset", func(m *image) { put32(m.data[m.centralOf("data/0")+42:], 1<<31) }, "do not lie before"},
		{"two entries, one record", func(m *image) { put32(m.data[m.centralOf("data/1")+42:], uint32(m.localOf("data/0"))) }, "overlaps"},
		{"name in capitals", func(m *image) { copy(m.data[m.centralOf("data/0")+sizeCentral:], "ARCHIVE/data/0") }, "root folder"},
		{"name differs locally", func(m *image) { copy(m.data[m.localOf("data/0")+sizeLocal:], "archive/data/9") }, "in its local header"},
		{"same name", func(m *image) { rename(m, "data/1", "data/0") }, "same name"},
		{"same name but for case", func(m *image) { rename(m, "data/1", "DATA/0") }, "same name"},
		{"parent folder", func(m *image) { rename(m, "data/1", "../xy1") }, "plain relative path"},
		{"backslash", func(m *image) { rename(m, "data/1", `data\1`) }, "forbidden character"},
		{"zero byte", func(m *image) { rename(m, "data/1", "data\x001") }, "forbidden character"},
		{"beyond ASCII", func(m *image) { rename(m, "data/1", "dat_é") }, ""},
		{"beyond ASCII and not marked as UTF-8", func(m *image) {
			put16(m.data[m.centralOf("data/1")+8:], flagDescriptor)
			put16(m.data[m.localOf("data/1")+6:], flagDescriptor)
			rename(m, "data/1", "dat_é")
		}, "not marked as UTF-8"},
		{"not UTF-8", func(m *image) { rename(m, "data/1", "data/\xff") }, "forbidden character"},
		{"folder", func(m *image) { rename(m, "data/1", "data1/") }, "plain relative path"},
		{"TorchScript", func(m *image) { rename(m, "data/1", "code/1") }, "TorchScript"},
		{"local extra field", func(m *image) { put16(m.data[m.localOf("data/0")+sizeLocal+len("archive/data/0"):], 0x7075) }, "extra field"},
		{"payload", func(m *image) { m.data[bytes.Index(m.data, []byte("0123"))]++ }, "checksum"},
		{"descriptor", func(m *image) { m.data[bytes.Index(m.data, []byte("cdef"))+4]++ }, "descriptor"},
		{"version 0", func(m *image) { rewrite(m, RecordVersion, "0\n") }, "version"},
		{"version text", func(m *image) { rewrite(m, RecordVersion, "x\n") }, "version"},
		{"version signed", func(m *image) { rewrite(m, RecordVersion, "+3") }, "version"},
		{"big-endian", func(m *image) { rewrite(m, RecordByteOrder, "Little") }, "byte order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newImage(t)
			c.damage(m)
			_, err := Parse(m.data, Limits{})
			var format *FormatError
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v, want it read", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want an error with %q", err, c.want)
			case c.want != "" && (!errors.As(err, &format) || !errors.Is(err, ErrFormat)):
				t.Errorf("got %T, want a *FormatError", err)
			}
		})
	}
}

// rename changes a name in both headers.
func rename(m *image, from, to string) {
	c, l := m.centralOf(from), m.localOf(from)
	copy(m.data[c+sizeCentral+len("archive/"):], to)
	copy(m.data[l+sizeLocal+len("archive/"):], to)
}

// rewrite changes the payload of a record and makes its checksums right.
func rewrite(m *image, name, text string) {
	c, l := m.centralOf(name), m.localOf(name)
	at := l + sizeLocal + int(binary.LittleEndian.Uint16(m.data[l+26:])) + int(binary.LittleEndian.Uint16(m.data[l+28:]))
	copy(m.data[at:], text)
	sum := crc32.ChecksumIEEE([]byte(text))
	put32(m.data[c+16:], sum)
	put32(m.data[at+len(text)+4:], sum)
}

// TestHole hides bytes between two records: a reader that streams would see what the directory does not name.
func TestHole(t *testing.T) {
	parts := minimal()
	data := write(t, "archive", append(parts, part{"hidden", []byte("x")}))
	m := &image{data: data}
	m.end = len(data) - sizeEnd
	m.central = int(binary.LittleEndian.Uint32(data[m.end+16:]))
	at := m.centralOf("hidden")
	length := sizeCentral + len("archive/hidden")
	m.data = append(data[:at:at], data[at+length:]...)
	end := len(m.data) - sizeEnd
	for _, f := range []int{end + 8, end + 10} {
		put16(m.data[f:], binary.LittleEndian.Uint16(m.data[f:])-1)
	}
	put32(m.data[end+12:], binary.LittleEndian.Uint32(m.data[end+12:])-uint32(length))
	end64 := end - sizeLocator - sizeEnd64
	for _, f := range []int{24, 32} {
		put64(m.data[end64+f:], binary.LittleEndian.Uint64(m.data[end64+f:])-1)
	}
	put64(m.data[end64+40:], binary.LittleEndian.Uint64(m.data[end64+40:])-uint64(length))
	put64(m.data[end64+sizeEnd64+8:], uint64(end64))
	if _, err := Parse(m.data, Limits{}); err == nil || !strings.Contains(err.Error(), "belong to no record") {
		t.Errorf("got %v, want the hidden record refused", err)
	}
}

// TestNoCRC takes a checksum of zero for none only when asked to.
func TestNoCRC(t *testing.T) {
	m := newImage(t)
	put32(m.data[m.centralOf("data/0")+16:], 0)
	put32(m.data[bytes.Index(m.data, []byte("cdef"))+8:], 0)
	if _, err := Parse(m.data, Limits{}); err == nil {
		t.Error("checksum 0: got it read, want an error")
	}
	if _, err := Parse(m.data, Limits{AcceptNoCRC: true}); err != nil {
		t.Errorf("checksum 0, accepted: got %v", err)
	}
}

func TestMissingRecords(t *testing.T) {
	for _, name := range []string{RecordPickle, RecordVersion} {
		var parts []part
		for _, p := range minimal() {
			if p.name != name {
				parts = append(parts, p)
			}
		}
		if _, err := Parse(write(t, "archive", parts), Limits{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: got %v, want an error that names it", name, err)
		}
	}
	big := minimal()
	big[0].data = make([]byte, 1000)
	if _, err := Parse(write(t, "archive", big), Limits{Pickle: 999}); err == nil || !strings.Contains(err.Error(), "at most 999") {
		t.Errorf("pickle of 1,000 bytes, limit 999: got %v", err)
	}
}

// FuzzParse looks for panics, and for records outside the file.
func FuzzParse(f *testing.F) {
	f.Add(write(f, "archive", minimal()))
	f.Add(write(f, "a", []part{{RecordPickle, nil}, {RecordVersion, []byte("1")}}))
	f.Add(deflated(f, []byte("0123456789abcdef")))
	files, err := filepath.Glob(filepath.Join(fixtures, "*", "*.pt"))
	if err != nil || len(files) < 100 {
		f.Fatalf("got %d seeds (%v), want at least 100", len(files), err)
	}
	for _, path := range files {
		if data, err := os.ReadFile(path); err == nil && len(data) < 8<<10 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			t.Skip("larger than the size cap")
		}
		a, err := Parse(data, Limits{})
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("got %v, want it to match ErrFormat", err)
			}
			return
		}
		for _, r := range a.Records {
			if !r.Deflated && !bytes.Equal(r.Data, data[r.Offset:r.Offset+int64(len(r.Data))]) || crc32.ChecksumIEEE(r.Data) != r.CRC {
				t.Errorf("record %q is not at its place", r.Name)
			}
		}
	})
}
