package journal

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// The most that a segment may cost to read: one commit in memory beside the file, and time in proportion to it.
const (
	mostMemory = MaxCommit + 1<<20
	mostTime   = 30 * time.Second // on a busy machine; what is not bounded takes hours
)

// hostile gives a segment's header and one commit header with the fields given, and zeros up to a size.
func hostile(length, records, keyLength uint32, size int) []byte {
	h := header{}
	b, err := h.encode(&Options{})
	if err != nil {
		panic(err) // only a signer fails
	}
	b = append(b, commitMagic...)
	b = binary.LittleEndian.AppendUint32(b, length)
	b = binary.LittleEndian.AppendUint32(b, records)
	b = binary.LittleEndian.AppendUint64(b, 1)
	b = binary.LittleEndian.AppendUint64(b, 0)
	b = binary.LittleEndian.AppendUint32(b, keyLength)
	b = append(b, make([]byte, max(4, size-len(b)))...)
	return repair(b)
}

func TestHostileSegmentsAreBounded(t *testing.T) {
	const (
		filled = 16 << 20                                  // a commit that is read to its end
		most   = filled - commitHeaderSize - chainSize - 8 // bytes of its records
	)
	count := uint32(most / recordHeaderSize)
	full := func(lastType byte) []byte {
		b := hostile(filled, count, 0, headerSize+filled)
		records := b[headerSize+commitHeaderSize:]
		for i := range int(count) {
			r := records[i*recordHeaderSize:][:recordHeaderSize]
			binary.LittleEndian.PutUint64(r[8:], uint64(i)+1)
			r[16] = 1
		}
		last := records[most-most%recordHeaderSize-recordHeaderSize:]
		binary.LittleEndian.PutUint32(last, most%recordHeaderSize) // the commit is full
		last[16] = lastType
		copy(b[len(b)-4:], commitEnd)
		return repair(b)
	}
	sized := func(record uint32) []byte {
		b := hostile(104, 1, 0, headerSize+104)
		r := b[headerSize+commitHeaderSize:]
		binary.LittleEndian.PutUint32(r, record)
		r[8], r[16] = 1, 1
		copy(b[len(b)-4:], commitEnd)
		return repair(b)
	}
	for name, c := range map[string]struct {
		content []byte
		size    int64 // of the file, which is longer than content when that is not 0
		want    error
		records int
	}{
		"64 MiB claimed, none there":           {hostile(MaxCommit, count, 0, 0), 0, nil, 0},
		"64 MiB claimed, zeros there":          {hostile(MaxCommit, count, 0, 0), headerSize + MaxCommit, nil, 0},
		"more than 64 MiB claimed":             {hostile(MaxCommit+8, 1, 0, 0), headerSize + 2*MaxCommit, nil, 0},
		"4 GiB claimed":                        {hostile(1<<32-8, 1, 0, 4096), 0, nil, 0},
		"4 GiB claimed, not zero to the end":   {append(hostile(1<<32-8, 1, 0, 0), 1), 0, ErrDamaged, 0},
		"4 billion records":                    {append(hostile(104, 1<<32-1, 0, 0), 1), 0, ErrDamaged, 0},
		"key id of 4 GiB":                      {append(hostile(104, 1, 1<<32-1, 0), 1), 0, ErrDamaged, 0},
		"record of 4 GiB":                      {sized(1<<32 - 1), 0, ErrDamaged, 0},
		"record one byte longer than is left":  {sized(8), 0, ErrDamaged, 0},
		"record as long as is left":            {sized(7), 0, nil, 1},
		"256 MiB of zeros":                     {hostile(0, 0, 0, 0)[:headerSize], 256 << 20, nil, 0},
		"16 MiB of empty records":              {full(1), 0, nil, int(count)},
		"16 MiB of empty records, last is bad": {full(0), 0, ErrDamaged, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o, from := alone(t, c.content)
			if c.size > 0 {
				if err := os.Truncate(filepath.Join(o.Dir, segmentName(1)), c.size); err != nil {
					t.Fatal(err)
				}
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start, records := time.Now(), 0
			_, err := Replay(o, from, func(Record) error { records++; return nil })
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, c.want) || records != c.records {
				t.Errorf("got %d records, %v, want %d, %v", records, err, c.records, c.want)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > mostMemory {
				t.Errorf("got %d bytes allocated, want at most %d", got, mostMemory)
			}
			if took > mostTime {
				t.Errorf("got %v, want at most %v", took, mostTime)
			}
			t.Logf("%d bytes in %v", after.TotalAlloc-before.TotalAlloc, took.Round(time.Millisecond))
		})
	}
}
