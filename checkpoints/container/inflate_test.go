package container

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"
	"strings"
	"testing"
)

// deflated is an archive with one deflated storage.
func deflated(t testing.TB, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, "archive")
	for _, p := range minimal() {
		add := w.AddFunc
		if p.name == StoragePrefix+"0" {
			add, p.data = w.AddDeflated, content
		}
		if err := add(p.name, int64(len(p.data)), func(out io.Writer) error { _, err := out.Write(p.data); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestDeflated(t *testing.T) {
	for _, content := range [][]byte{[]byte("x"), bytes.Repeat([]byte("pattern "), 100_000), make([]byte, 1<<20)} {
		data := deflated(t, content)
		a, err := Parse(data, Limits{})
		if err != nil {
			t.Fatalf("%d bytes: %v", len(content), err)
		}
		r, _ := a.Record(StoragePrefix + "0")
		if !bytes.Equal(r.Data, content) || !r.Deflated || a.Inflated() != int64(len(content)) || r.Packed <= 0 || r.Packed > int64(len(content))+8 {
			t.Errorf("%d bytes: got %d inflated from %d, %d in all", len(content), len(r.Data), r.Packed, a.Inflated())
		}
		if !bytes.Equal(data, deflated(t, content)) {
			t.Errorf("%d bytes: written again, the archive differs", len(content))
		}
	}
}

// TestInflateLimits declares sizes around the limits; the comparison comes before any memory is taken.
func TestInflateLimits(t *testing.T) {
	zeros := deflated(t, make([]byte, 8<<20)) // 8 MiB from about 8 KiB
	for _, c := range []struct {
		name   string
		limits Limits
		want   string
	}{
		{"ratio by default", Limits{}, "at most 200 times"},
		{"ratio of deflate", Limits{Ratio: 1032}, ""},
		{"total", Limits{Ratio: 1032, Inflated: 8<<20 - 1}, "at most 8388607"},
		{"total reached", Limits{Ratio: 1032, Inflated: 8 << 20}, ""},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse(zeros, c.limits)
		runtime.ReadMemStats(&after)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if used := after.TotalAlloc - before.TotalAlloc; err != nil && used > 1<<20 {
			t.Errorf("%s: refusing took %d bytes, want at most 1 MiB", c.name, used)
		}
	}
}

// forged puts a deflate stream of its own into an archive, with the size and the checksum that content has.
func forged(t *testing.T, content, packed []byte) []byte {
	t.Helper()
	parts := minimal()
	parts[2].data = packed
	m := &image{data: write(t, "archive", parts)}
	end := len(m.data) - sizeEnd
	m.central = int(binary.LittleEndian.Uint32(m.data[end+16:]))
	c, l := m.centralOf("data/0"), m.localOf("data/0")
	put16(m.data[c+10:], methodDeflate)
	put16(m.data[l+8:], methodDeflate)
	put32(m.data[c+24:], uint32(len(content)))
	sum := crc32.ChecksumIEEE(content)
	put32(m.data[c+16:], sum)
	at := l + sizeLocal + int(binary.LittleEndian.Uint16(m.data[l+26:])) + int(binary.LittleEndian.Uint16(m.data[l+28:])) + len(packed)
	put32(m.data[at+4:], sum)
	put32(m.data[at+12:], uint32(len(content)))
	return m.data
}

func TestInflateRefused(t *testing.T) {
	content := bytes.Repeat([]byte("abc"), 1000)
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 9)
	w.Write(content)
	w.Close()
	good := packed.Bytes()
	// A stored block of no bytes that is not the last.
	empty := []byte{0, 0, 0, 0xff, 0xff}
	other := bytes.Clone(content)
	other[7]++
	for _, c := range []struct {
		name            string
		content, packed []byte
		want            string
	}{
		{"good", content, good, ""},
		{"empty blocks before", content, append(bytes.Repeat(empty, 10), good...), ""},
		{"checksum", other, good, "checksum"},
		{"shorter than declared", append(bytes.Clone(content), 'a'), good, "ends after 3000 of 3001"},
		{"longer than declared", content[:2999], good, "does not end"},
		{"byte behind", content, append(bytes.Clone(good), 0), "1 bytes follow"},
		{"cut short", content, good[:len(good)-1], "unexpected EOF"},
		{"damaged", content, append([]byte{0xff}, good...), "inflate"},
		{"empty blocks without end", content, append(bytes.Repeat(empty, 1<<20), good...), "longer than what it holds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(forged(t, c.content, c.packed), Limits{})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
