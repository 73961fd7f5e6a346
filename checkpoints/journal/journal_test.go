package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

// sample makes a closed journal with three segments of 2, 1 and 2 commits and returns its positions: the beginning, and one after
// each commit.
func sample(t testing.TB, o Options) []Position {
	t.Helper()
	j := mustCreate(t, o, Position{})
	all := []Position{{}}
	all = append(all, mustAppend(t, j, entry("one"), entry("")))
	all = append(all, mustAppend(t, j, entry("three")))
	mustRotate(t, j)
	all = append(all, mustAppend(t, j, entry("four"), entry("five"), Entry{Type: 255, Payload: bytes.Repeat([]byte{6}, 700)}))
	mustRotate(t, j)
	all = append(all, mustAppend(t, j, entry("seven")))
	all = append(all, mustAppend(t, j, entry("eight")))
	mustClose(t, j)
	return all
}

func TestReplayGivesWhatWasAppended(t *testing.T) {
	for kind, options := range kinds {
		t.Run(kind, func(t *testing.T) {
			o := options(filepath.Join(t.TempDir(), "journal"))
			at := sample(t, o)
			all := replayed(t, o, Position{})
			if len(all) != 8 || all[0] != "1/7/one" || all[1] != "2/7/" || all[7] != "8/7/eight" {
				t.Fatalf("got %.200q", all)
			}
			for _, from := range at {
				if got, want := replayed(t, o, from), all[from.Sequence:]; !slices.Equal(got, want) {
					t.Errorf("from %v: got %.100q, want %.100q", from, got, want)
				}
			}
			replay, got := collect()
			j, r, err := Open(o, at[2], replay)
			if err != nil {
				t.Fatal(err)
			}
			if r.First != (Position{}) || r.Last != at[5] || r.Records != 8 || r.Commits != 5 || r.Segments != 3 || r.Replayed != 5 || r.CutSegment != "" {
				t.Errorf("got %+v", r)
			}
			if want := map[string]int{"plain": 0, "signed": 5}[kind]; r.Signed != want {
				t.Errorf("got %d signed commits, want %d", r.Signed, want)
			}
			if !slices.Equal(*got, all[3:]) {
				t.Errorf("got %.100q, want %.100q", *got, all[3:])
			}
			if p := mustAppend(t, j, entry("nine")); p.Sequence != 9 || p != j.Position() {
				t.Errorf("got position %v, then %v", p, j.Position())
			}
			mustClose(t, j)
			if got := replayed(t, o, at[5]); !slices.Equal(got, []string{"9/7/nine"}) {
				t.Errorf("after another opening: got %q", got)
			}
			for _, path := range segmentsOf(t, o.Dir) {
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: got mode %v (%v), want 0600", path, info.Mode(), err)
				}
			}
			if info, _ := os.Stat(o.Dir); info.Mode().Perm() != 0o700 {
				t.Errorf("folder: got mode %v, want 0700", info.Mode())
			}
		})
	}
}

func TestFromMustLieOnTheChain(t *testing.T) {
	o := plain(filepath.Join(t.TempDir(), "journal"))
	at := sample(t, o)
	pruned := plain(copyDir(t, o.Dir))
	j, _, err := Open(pruned, Position{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if removed, err := j.Prune(3); err != nil || len(removed) != 1 {
		t.Fatalf("got %v, %v, want one removed", removed, err)
	}
	mustClose(t, j)
	other := at[3]
	other.Chain[0]++
	for name, c := range map[string]struct {
		o    Options
		from Position
		want error
	}{
		"beyond the end":        {o, Position{Sequence: 9, Chain: at[5].Chain}, ErrMissing},
		"other chain":           {o, other, ErrDamaged},
		"within a commit":       {o, Position{Sequence: 1, Chain: at[1].Chain}, ErrDamaged},
		"chain at zero":         {o, Position{Chain: at[1].Chain}, ErrDamaged},
		"before the kept part":  {pruned, at[1], ErrMissing},
		"beginning of a pruned": {pruned, Position{}, ErrMissing},
		"no folder":             {plain(filepath.Join(o.Dir, "absent")), Position{}, ErrMissing},
		"empty folder":          {plain(t.TempDir()), Position{}, ErrMissing},
	} {
		t.Run(name, func(t *testing.T) {
			replay, got := collect()
			if _, err := Replay(c.o, c.from, replay); !errors.Is(err, c.want) || len(*got) > 0 {
				t.Errorf("Replay: got %v and %d records, want %v and none", err, len(*got), c.want)
			}
			if _, _, err := Open(c.o, c.from, replay); !errors.Is(err, c.want) || len(*got) > 0 {
				t.Errorf("Open: got %v and %d records, want %v and none", err, len(*got), c.want)
			}
		})
	}
	if got := replayed(t, pruned, at[2]); len(got) != 5 {
		t.Errorf("from the first kept position: got %d records, want 5", len(got))
	}
}

func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	at := Position{Sequence: 41, Chain: [32]byte{1, 2, 3}}
	j := mustCreate(t, plain(dir), at)
	if p := mustAppend(t, j, entry("x")); p.Sequence != 42 {
		t.Errorf("got %v, want sequence 42", p)
	}
	mustClose(t, j)
	if _, err := Create(plain(dir), Position{}); !errors.Is(err, ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	if got := replayed(t, plain(dir), at); !slices.Equal(got, []string{"42/7/x"}) {
		t.Errorf("got %q", got)
	}
	if _, err := Create(Options{Dir: dir, Sync: "sometimes"}, at); err == nil {
		t.Error("sync mode sometimes: got no error")
	}
	if _, err := Create(Options{Dir: dir, RequireSigned: true, Verifier: newKey(1)}, at); err == nil {
		t.Error("signatures required and no signer: got no error")
	}
	if err := j.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := j.Append(entry("y")); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close: got %v, want ErrClosed", err)
	}
}

func TestAppendRefuses(t *testing.T) {
	o := plain(filepath.Join(t.TempDir(), "journal"))
	j := mustCreate(t, o, Position{})
	large := Entry{Type: 1, Payload: make([]byte, MaxPayload)}
	for name, entries := range map[string][]Entry{
		"type 0":           {entry("x"), {Payload: []byte("y")}},
		"payload too long": {{Type: 1, Payload: make([]byte, MaxPayload+1)}},
		"commit too long":  {large, large, large, large},
	} {
		if _, err := j.Append(entries...); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if p := mustAppend(t, j); p != (Position{}) {
		t.Errorf("no entries: got %v, want the beginning", p)
	}
	if p := mustAppend(t, j, large, large, large); p.Sequence != 3 {
		t.Errorf("got %v, want sequence 3", p)
	}
	if r, err := Verify(o); err != nil || r.Records != 3 {
		t.Errorf("got %+v, %v, want 3 records", r, err)
	}
}

func TestSegmentsRotateAndPrune(t *testing.T) {
	o := plain(filepath.Join(t.TempDir(), "journal"))
	o.SegmentBytes = 600
	j := mustCreate(t, o, Position{})
	if p := mustRotate(t, j); p != (Position{}) || len(segmentsOf(t, o.Dir)) != 1 {
		t.Errorf("rotation of an empty segment: got %v and %d segments, want none new", p, len(segmentsOf(t, o.Dir)))
	}
	for i := range 20 {
		mustAppend(t, j, entry(fmt.Sprint(i)))
	}
	before := segmentsOf(t, o.Dir)
	if len(before) < 5 {
		t.Fatalf("got %d segments, want several", len(before))
	}
	for _, path := range before {
		if info, _ := os.Stat(path); info.Size() > o.SegmentBytes {
			t.Errorf("%s: got %d bytes, want at most %d", path, info.Size(), o.SegmentBytes)
		}
	}
	second, _ := disk.ParseNumbered(filepath.Base(before[1]), suffix)
	if removed, err := j.Prune(second - 2); err != nil || len(removed) != 0 {
		t.Errorf("got %v, %v, want nothing removed: one record is needed", removed, err)
	}
	if removed, err := j.Prune(second - 1); err != nil || !slices.Equal(removed, before[:1]) {
		t.Errorf("got %v, %v, want %v", removed, err, before[:1])
	}
	if removed, err := j.Prune(1000); err != nil || len(removed) != len(before)-2 {
		t.Errorf("got %v, %v, want all but the current one removed", removed, err)
	}
	mustAppend(t, j, entry("last"))
	if r, err := Verify(o); err != nil || r.Last.Sequence != 21 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestModes(t *testing.T) {
	for _, c := range []struct {
		mode    SyncMode
		durable bool
	}{{"", true}, {SyncAlways, true}, {SyncInterval, false}, {SyncNever, false}} {
		o := plain(filepath.Join(t.TempDir(), "journal"))
		o.Sync, o.Interval = c.mode, time.Microsecond
		j := mustCreate(t, o, Position{})
		if j.Durable() != c.durable {
			t.Errorf("%q: got durable %v, want %v", c.mode, j.Durable(), c.durable)
		}
		for i := range 50 {
			mustAppend(t, j, entry(fmt.Sprint(i)))
		}
		if err := j.Sync(); err != nil {
			t.Errorf("%q: %v", c.mode, err)
		}
		mustAppend(t, j, entry("last"))
		mustClose(t, j)
		if got := replayed(t, o, Position{}); len(got) != 51 {
			t.Errorf("%q: got %d records, want 51", c.mode, len(got))
		}
	}
}

// TestInterval sees when what was acknowledged reaches the disk without being asked for.
func TestInterval(t *testing.T) {
	for mode, want := range map[SyncMode]bool{SyncInterval: true, SyncNever: false} {
		f := &faults{}
		synced := make(chan struct{}, 1)
		o := plain(filepath.Join(t.TempDir(), "journal"))
		o.Sync, o.Interval, o.ops = mode, 20*time.Millisecond, f.ops()
		j := mustCreate(t, o, Position{})
		f.before = func(step string) {
			if strings.HasPrefix(step, "sync ") {
				select {
				case synced <- struct{}{}:
				default:
				}
			}
		}
		mustAppend(t, j, entry("a"))
		limit := 200 * time.Millisecond
		if want {
			limit = time.Minute
		}
		got := false
		select {
		case <-synced:
			got = true
		case <-time.After(limit):
		}
		if got != want {
			t.Errorf("%s: synced by itself: got %v, want %v", mode, got, want)
		}
		mustClose(t, j)
	}
}

func TestReadersBesideWriters(t *testing.T) {
	o := plain(filepath.Join(t.TempDir(), "journal"))
	o.SegmentBytes, o.Sync = 4096, SyncNever
	j := mustCreate(t, o, Position{})
	const writers, each = 4, 200
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if _, err := j.Append(entry(fmt.Sprintf("%d-%d", w, i)), entry("second")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	reading.Go(func() {
		for last := 0; ; {
			seen := int64(0)
			_, err := Replay(o, Position{}, func(r Record) error {
				if seen++; r.Sequence != seen {
					return fmt.Errorf("got sequence %d, want %d", r.Sequence, seen)
				}
				return nil
			})
			if err != nil || seen%2 != 0 || int(seen) < last {
				t.Errorf("got %d records after %d and error %v, want whole commits and no fewer", seen, last, err)
				return
			}
			last = int(seen)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	writing.Wait()
	close(done)
	reading.Wait()
	next := map[byte]int{}
	for i, text := range replayed(t, o, Position{}) {
		if i%2 == 1 {
			continue
		}
		var sequence, typ, w, n int
		if _, err := fmt.Sscanf(text, "%d/%d/%d-%d", &sequence, &typ, &w, &n); err != nil || n != next[byte(w)] {
			t.Fatalf("record %q: %v, want number %d of writer %d", text, err, next[byte(w)], w)
		}
		next[byte(w)]++
	}
	for w := range writers {
		if next[byte(w)] != each {
			t.Errorf("writer %d: got %d commits, want %d", w, next[byte(w)], each)
		}
	}
}

func TestClockGoesBack(t *testing.T) {
	o := signed(filepath.Join(t.TempDir(), "journal"))
	clock := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	o.Now = func() time.Time { clock = clock.Add(-time.Hour); return clock }
	sample(t, o)
	if r, err := Verify(o); err != nil || r.Records != 8 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestErrorOfReplay(t *testing.T) {
	o := plain(filepath.Join(t.TempDir(), "journal"))
	sample(t, o)
	stop := errors.New("stop")
	if _, _, err := Open(o, Position{}, func(Record) error { return stop }); !errors.Is(err, stop) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want the error of replay", err)
	}
}

func TestLayout(t *testing.T) {
	o := plain(filepath.Join(t.TempDir(), "journal"))
	o.Now = func() time.Time { return time.Unix(1, 0) }
	j := mustCreate(t, o, Position{})
	mustAppend(t, j, entry("abc"))
	b := readFile(t, segmentsOf(t, o.Dir)[0])
	if len(b) != headerSize+104 || !bytes.HasPrefix(b, []byte("FDQCJRNL\x01\x00\x00\x00")) || !bytes.HasPrefix(b[256:], []byte("FDQCgrup\x68\x00\x00\x00\x01\x00\x00\x00\x01\x00")) || !bytes.HasSuffix(b, []byte("END\n")) {
		t.Errorf("got %d bytes: %q", len(b), b)
	}
}
