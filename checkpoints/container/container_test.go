package container

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const fixtures = "../testdata/pt"

// part is a record to write.
type part struct {
	name string
	data []byte
}

func minimal() []part {
	return []part{
		{RecordPickle, []byte("\x80\x02N.")},
		{RecordByteOrder, []byte("little")},
		{StoragePrefix + "0", []byte("0123456789abcdef")},
		{StoragePrefix + "1", nil},
		{RecordVersion, []byte("3\n")},
	}
}

func write(t testing.TB, root string, parts []part) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, root)
	for _, p := range parts {
		if err := w.Add(p.name, p.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	parts := minimal()
	for i := range 500 {
		parts = append(parts, part{fmt.Sprintf("extra/%d", i), bytes.Repeat([]byte{byte(i)}, i)})
	}
	a, err := Parse(write(t, "root", parts), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Root != "root" || a.Version != 3 || len(a.Records) != len(parts)+1 {
		t.Errorf("got root %q, version %d, %d records, want root, 3, %d", a.Root, a.Version, len(a.Records), len(parts)+1)
	}
	for _, p := range parts {
		r, ok := a.Record(p.name)
		if !ok || !bytes.Equal(r.Data, p.data) {
			t.Errorf("record %s: got %q, want %q", p.name, r.Data, p.data)
		}
		if r.Offset%alignment != 0 {
			t.Errorf("record %s: payload at %d, want a multiple of %d", p.name, r.Offset, alignment)
		}
	}
	id, ok := a.Record(RecordSerializationID)
	if !ok || len(id.Data) != 40 || strings.Trim(string(id.Data), "0123456789") != "" {
		t.Errorf("serialization id %q, want 40 digits", id.Data)
	}
}

// TestLayoutOfPyTorch writes the records of real files again. Up to the serialization id, whose content is each
// writer's own, the bytes must be those of PyTorch.
func TestLayoutOfPyTorch(t *testing.T) {
	for _, version := range []string{"2.6.0", "2.14.1"} {
		files, err := filepath.Glob(filepath.Join(fixtures, "torch-"+version, "*.pt"))
		if err != nil {
			t.Fatal(err)
		}
		compared := 0
		for _, path := range files {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(want, []byte("PK")) {
				continue // the format before 1.6
			}
			a, err := Parse(want, Limits{})
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			var parts []part
			for _, r := range a.Records {
				if r.Name != RecordSerializationID {
					parts = append(parts, part{r.Name, r.Data})
				}
			}
			got := write(t, a.Root, parts)
			id, _ := a.Record(RecordSerializationID)
			if len(got) != len(want) || !bytes.Equal(got[:id.Offset], want[:id.Offset]) {
				t.Errorf("%s: got %d bytes, want %d, equal up to byte %d", path, len(got), len(want), id.Offset)
			}
			compared++
		}
		if compared < 25 {
			t.Errorf("PyTorch %s: compared %d files, want at least 25", version, compared)
		}
	}
}

// TestWideHeaders checks the zip64 fields against bytes put together by hand from the layout of the format.
func TestWideHeaders(t *testing.T) {
	e := entry{name: "r/d", header: 0x1_0000_0040, size: 0x1_2345_6789, packed: 0x1_2345_6789, crc: 0xaabbccdd, flags: 0x0808}
	local := "504b0304" + "0000" + "0808" + "0000" + "00000000" + "00000000" + "00000000" + "00000000" + "0300" + "5f00" + hex.EncodeToString([]byte("r/d")) +
		"0100" + "1800" + "8967452301000000" + "0000000000000000" + "4000000001000000" +
		"4642" + "3f00" + strings.Repeat("5a", 63)
	if got := hex.EncodeToString(localHeader(e)); got != local {
		t.Errorf("local header\n got %s\nwant %s", got, local)
	}
	if end := e.header + int64(len(localHeader(e))); end%alignment != 0 {
		t.Errorf("payload at %#x, want a multiple of %d", end, alignment)
	}
	central := "504b0102" + "0000" + "0000" + "0808" + "0000" + "00000000" + "ddccbbaa" + "ffffffff" + "ffffffff" + "0300" + "1c00" + "0000" + "0000" + "0000" + "00000000" + "ffffffff" +
		hex.EncodeToString([]byte("r/d")) + "0100" + "1800" + "8967452301000000" + "8967452301000000" + "4000000001000000"
	if got := hex.EncodeToString(centralHeader(e)); got != central {
		t.Errorf("central header\n got %s\nwant %s", got, central)
	}
	end := endRecords(70_000, 0x1_0000_0000, 0x10)
	if count := binary.LittleEndian.Uint16(end[sizeEnd64+sizeLocator+8:]); count != 0xffff {
		t.Errorf("end record: %d records, want 65535 as a sign of zip64", count)
	}
	if offset := binary.LittleEndian.Uint32(end[sizeEnd64+sizeLocator+16:]); offset != 0xffffffff {
		t.Errorf("end record: directory at %#x, want 0xffffffff as a sign of zip64", offset)
	}
}

// TestMoreThan65535Records needs the counts of the zip64 record.
func TestMoreThan65535Records(t *testing.T) {
	parts := minimal()
	for i := range 66_000 {
		parts = append(parts, part{fmt.Sprintf("x/%d", i), nil})
	}
	data := write(t, "r", parts)
	a, err := Parse(data, Limits{})
	if err != nil || len(a.Records) != len(parts)+1 {
		t.Errorf("got %v, want %d records", err, len(parts)+1)
	}
	if _, err := Parse(data, Limits{Records: 66_000}); err == nil {
		t.Error("limit of 66,000 records: got it read, want an error")
	}
}

func TestRoot(t *testing.T) {
	for path, want := range map[string]string{
		"a/b/patterns_1.pt": "patterns_1", "x": "x", "dir/.pt": "archive", "": "archive", "ü.pt": "archive", "a b.pt": "archive", "a.b.pt": "a.b", "..": "archive",
	} {
		if got := Root(path); got != want {
			t.Errorf("Root(%q): got %q, want %q", path, got, want)
		}
	}
}

func TestWriterErrors(t *testing.T) {
	broken := errors.New("disk is full")
	for name, use := range map[string]func(w *Writer) error{
		"same name twice": func(w *Writer) error { return errors.Join(w.Add("a", nil), w.Add("a", nil)) },
		"too few bytes":   func(w *Writer) error { return w.AddFunc("a", 2, func(io.Writer) error { return nil }) },
		"too many bytes": func(w *Writer) error {
			return w.AddFunc("a", 1, func(out io.Writer) error { _, err := out.Write([]byte("ab")); return err })
		},
		"fill fails": func(w *Writer) error { return w.AddFunc("a", 1, func(io.Writer) error { return broken }) },
		"name":       func(w *Writer) error { return w.Add(strings.Repeat("a", 5000), nil) },
	} {
		w := NewWriter(io.Discard, "r")
		if err := use(w); err == nil {
			t.Errorf("%s: got no error", name)
		}
		if err := w.Close(); err == nil {
			t.Errorf("%s: got no error from Close after it", name)
		}
	}
	w := NewWriter(io.Discard, "r")
	if err := w.Close(); err != nil {
		t.Errorf("first Close: got %v", err)
	}
	if err := w.Close(); err == nil {
		t.Error("second Close: got no error")
	}
}
