package tensor_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// zipOf puts a pickle into an archive, with storages of the given contents.
func zipOf(t testing.TB, main string, storages ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := container.NewWriter(&out, "archive")
	add := func(name string, data []byte) {
		if err := w.Add(name, data); err != nil {
			t.Fatal(err)
		}
	}
	add(container.RecordPickle, []byte(main))
	for i, s := range storages {
		add(fmt.Sprintf("data/%d", i), s)
	}
	add(container.RecordVersion, []byte("3\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// puts is an opcode that remembers the top of the stack under a number.
func puts(id int) string {
	return "r" + string(binary.LittleEndian.AppendUint32(nil, uint32(id)))
}

// TestBombs reads files that ask for much: whatever becomes of them, all that is ever allocated, and not only what is in
// use at a time, stays within 64 MiB beside the file itself. -v shows memory and time of each.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("what is allocated is measured without the race detector, which allocates more")
	}
	const mega = 1 << 20
	repeat := strings.Repeat
	text := func(n int) string {
		return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(n))) + repeat("a", n)
	}
	storage := "(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04tQ"
	inner := string(legacyFile(t))
	var numbered strings.Builder
	for i := range 300_000 {
		numbered.WriteString("Nr" + string(binary.LittleEndian.AppendUint32(nil, uint32(i))))
	}
	var doubled strings.Builder
	doubled.WriteString("\x80\x02(U\x01aq\x00")
	for i := range 200 {
		doubled.Write([]byte{'h', byte(i), 'h', byte(i), 0x86, 'q', byte(i + 1)})
	}
	var keys strings.Builder
	for i := range 300_000 {
		keys.WriteString("(J" + string(binary.LittleEndian.AppendUint32(nil, uint32(i))) + "tN")
	}
	var records []byte
	{
		var out bytes.Buffer
		w := container.NewWriter(&out, "r")
		_ = w.Add(container.RecordPickle, []byte("\x80\x02N."))
		for i := range 99_000 {
			_ = w.Add(fmt.Sprintf("data/%d", i), nil)
		}
		_ = w.Add(container.RecordVersion, []byte("3\n"))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		records = out.Bytes()
	}
	zeros := func(count, size int) []byte {
		var out bytes.Buffer
		w := container.NewWriter(&out, "r")
		_ = w.Add(container.RecordPickle, []byte("\x80\x02N."))
		for i := range count {
			_ = w.AddDeflated(fmt.Sprintf("data/%d", i), int64(size), func(w io.Writer) error { _, err := w.Write(make([]byte, size)); return err })
		}
		_ = w.Add(container.RecordVersion, []byte("3\n"))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	load := "ctorch.storage\n_load_from_bytes\n"
	innerBytes := "C" + string([]byte{byte(len(inner))}) + inner
	if len(inner) > 255 {
		innerBytes = "B" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(inner)))) + inner
	}
	for _, c := range []struct {
		name string
		data string
	}{
		{"empty lists", "\x80\x02(" + repeat("]", 8*mega) + "l."},
		{"lists in a tuple", "\x80\x02(" + repeat("]", 350_000) + "t."},
		{"lists in two tuples", "\x80\x02((" + repeat("]", 350_000) + "tq\x00h\x00t."},
		{"empty dicts", "\x80\x02(" + repeat("}", 8*mega) + "t."},
		{"nothing", "\x80\x02(" + repeat("N", 16*mega) + "t."},
		{"ints", "\x80\x02](" + repeat("M\xff\xff", 4*mega) + "e."},
		{"ints one by one", "\x80\x02]" + repeat("M\xff\xffa", 4*mega) + "."},
		{"floats as text", repeat("F1\n", 4*mega) + "."},
		{"marks", "\x80\x02" + repeat("(", 16*mega) + "."},
		{"nested tuples", "\x80\x02)" + repeat("\x85", 8*mega) + "."},
		{"nested lists", "\x80\x02" + repeat("]", 2*mega) + repeat("a", 2*mega-1) + "."},
		{"long tuples of a few values", "\x80\x02" + repeat("N", 1000) + "(" + repeat("NNNNNNNNNt(", mega) + "t."},
		{"memo", "\x80\x02" + numbered.String() + "."},
		{"memo with holes", "\x80\x02" + repeat("N", 8*mega) + puts(8*mega) + "."},
		{"long text", "\x80\x02" + text(32*mega) + "."},
		{"long text as line", "V" + repeat("\xe9", 24*mega) + "\n."},
		{"long text of protocol 2 bytes", "\x80\x02c_codecs\nencode\n" + text(16*mega) + "U\x06latin1\x86R."},
		{"encoded over and over", "\x80\x02]" + text(mega) + "q\x00aU\x06latin1q\x02ac_codecs\nencode\nq\x01a(" + repeat("h\x01h\x00h\x02\x86R", 1000) + "e."},
		{"paths of a long part", "\x80\x02]" + text(mega) + "q\x00acpathlib\nPath\nq\x01a(" + repeat("h\x01h\x00\x85R", 1000) + "e."},
		{"sets of a long list", "\x80\x02]](" + repeat("N", mega/2) + "eq\x00ac__builtin__\nset\nq\x01a(" + repeat("h\x01h\x00\x85R", 1000) + "e."},
		{"long keys over and over", "\x80\x02]" + text(60_000) + "q\x00a(" + repeat("}h\x00Ns", 200_000) + "e."},
		{"tuple keys", "\x80\x02}(" + keys.String() + "u."},
		{"big ints", "\x80\x02](" + repeat("\x8a\x20"+repeat("\x7f", 32), 500_000) + "e."},
		{"a graph of many paths", doubled.String() + "t."},
		{"globals", "\x80\x02(" + repeat("ccollections\nOrderedDict\n", mega/2) + "t."},
		{"ordered dicts", "\x80\x02ccollections\nOrderedDict\nq\x00(" + repeat("h\x00)R", 2*mega) + "t."},
		{"unknown calls", "\x80\x02cos\nsystem\nq\x00(" + repeat("h\x00)R", 2*mega) + "t."},
		{"records", "\x80\x02cvector_memory\nMemoryEntry\nq\x00(" + repeat("h\x00)\x81", 2*mega) + "t."},
		{"times", "\x80\x03cdatetime\ndatetime\nq\x00C\x0a\x07\xe8\x01\x01\x00\x00\x00\x00\x00\x00q\x01(" + repeat("h\x00h\x01\x85R", mega) + "t."},
		{"an int of many digits", "I" + repeat("9", 16*mega) + "\n."},
		{"a file within", "\x80\x03" + load + innerBytes + "\x85R."},
		{"files within", "\x80\x03]" + load + "q\x00a" + innerBytes + "q\x01a(" + repeat("h\x00h\x01\x85R", 200_000) + "e."},
		{"views", string(zipOf(t, "\x80\x02]ctorch._utils\n_rebuild_tensor\nq\x00a"+storage+"q\x01a("+repeat("h\x00(h\x01K\x00K\x01\x85K\x01\x85tR", 300_000)+"e.", make([]byte, 16)))},
		{"views with many dimensions", string(zipOf(t, "\x80\x02]("+repeat("K\x01", 64)+"tq\x02actorch._utils\n_rebuild_tensor\nq\x00a"+storage+"q\x01a("+repeat("h\x00(h\x01K\x00h\x02h\x02tR", 300_000)+"e.", make([]byte, 16)))},
		{"sparse indices expanded", string(zipOf(t, "\x80\x02ctorch._utils\n_rebuild_sparse_tensor\nctorch.serialization\n_get_layout\nU\x10torch.sparse_coo\x85R"+
			"(ctorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nLongStorage\nU\x010U\x03cpuK\x01tQK\x00K\x01J\x00\x00\x60\x00\x86K\x00K\x00\x86tR"+
			"ctorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nCharStorage\nU\x011U\x03cpuK\x01tQK\x00J\x00\x00\x60\x00\x85K\x00\x85tRK\x01\x85t\x86R.", make([]byte, 8), make([]byte, 1)))},
		{"records of an archive", string(records)},
		{"zeros, one record", string(zeros(1, 64*mega))},
		{"zeros, records below the ratio's", string(zeros(500, mega))},
		{"pickle of an archive", string(zipOf(t, "\x80\x02("+repeat("]", 23*mega)+"t."))},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, opaque := range []bool{false, true} {
				data := []byte(c.data)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				start := time.Now()
				_, err := tensor.Load(data, tensor.Options{Opaque: opaque})
				took := time.Since(start)
				runtime.ReadMemStats(&after)
				used := after.TotalAlloc - before.TotalAlloc
				t.Logf("opaque %t: file of %d KiB took %d MiB and %v: %v", opaque, len(data)>>10, used>>20, took.Round(time.Millisecond), err)
				if used > 64<<20 {
					t.Errorf("opaque %t: file of %d KiB took %d MiB, want at most 64", opaque, len(data)>>10, used>>20)
				}
			}
		})
	}
}
