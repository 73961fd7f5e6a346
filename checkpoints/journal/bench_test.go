package journal

import (
	"path/filepath"
	"testing"
)

func BenchmarkAppend(b *testing.B) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		for kind, options := range kinds {
			b.Run(string(mode)+"/"+kind, func(b *testing.B) {
				o := options(filepath.Join(b.TempDir(), "journal"))
				o.Sync = mode
				j := mustCreate(b, o, Position{})
				e := Entry{Type: 1, Payload: make([]byte, 256)}
				b.ReportAllocs()
				for b.Loop() {
					mustAppend(b, j, e)
				}
			})
		}
	}
}

func BenchmarkReplay(b *testing.B) {
	for _, perCommit := range []int{1, 64} {
		for kind, options := range kinds {
			b.Run(map[int]string{1: "single/", 64: "grouped/"}[perCommit]+kind, func(b *testing.B) {
				o := options(filepath.Join(b.TempDir(), "journal"))
				o.Sync = SyncNever
				j := mustCreate(b, o, Position{})
				entries := make([]Entry, perCommit)
				for i := range entries {
					entries[i] = Entry{Type: 1, Payload: make([]byte, 256)}
				}
				for range 20_000 / perCommit {
					mustAppend(b, j, entries...)
				}
				b.SetBytes(j.size)
				mustClose(b, j)
				for b.Loop() {
					if _, err := Replay(o, Position{}, func(Record) error { return nil }); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
