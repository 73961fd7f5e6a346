package journal

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// childDir tells a re-executed test that it is the writer, and where.
const childDir = "FDQC_TEST_JOURNAL_CHILD"

// TestWriterChild is the writer of TestKill: it says which commits were acknowledged until it is killed.
func TestWriterChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("the writer of TestKill")
	}
	o := signed(dir)
	o.SegmentBytes = 4096
	j, _, err := Open(o, Position{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for {
		next := j.Position().Sequence + 1
		p, err := j.Append(entry(fmt.Sprintf("outcome %d", next)), entry(strings.Repeat("x", int(next%700))))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("acknowledged %d\n", p.Sequence)
	}
}

// TestKill kills a writer at random moments: nothing acknowledged may be lost, nothing stored twice.
func TestKill(t *testing.T) {
	rounds := 20
	if soak() {
		rounds = 200
	}
	var o Options
	var acknowledged, total int64
	cut := 0
	for round := range rounds {
		if round%20 == 0 { // a new one, since each round reads all of it
			total, acknowledged = total+acknowledged, 0
			o = signed(filepath.Join(t.TempDir(), "journal"))
			mustClose(t, mustCreate(t, o, Position{}))
		}
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriterChild$")
		child.Env = append(os.Environ(), childDir+"="+o.Dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines, seen := bufio.NewScanner(out), 0
		for stop := 1 + rand.IntN(200); lines.Scan(); {
			var n int64
			if _, err := fmt.Sscanf(lines.Text(), "acknowledged %d", &n); err != nil {
				continue
			}
			acknowledged = n
			// What the writer said until it was dead is read to the end.
			if seen++; seen == stop {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := child.Wait(); err == nil || seen == 0 {
			t.Fatalf("round %d: the writer ended by itself: %v after %d commits", round, err, seen)
		}
		records := int64(0)
		r, err := Replay(o, Position{}, func(r Record) error {
			want := ""
			if records++; records%2 == 1 {
				want = fmt.Sprintf("outcome %d", records)
			} else {
				want = strings.Repeat("x", int((records-1)%700))
			}
			if r.Sequence != records || string(r.Payload) != want {
				return fmt.Errorf("got sequence %d with %.40q, want %d with %.40q", r.Sequence, r.Payload, records, want)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if records < acknowledged || records > acknowledged+2 {
			t.Fatalf("round %d: got %d records, want the %d acknowledged and at most one commit of two more", round, records, acknowledged)
		}
		if r.CutSegment != "" {
			cut++
		}
	}
	t.Logf("%d rounds, %d records acknowledged, lost 0, stored twice 0, %d incomplete tails", rounds, total+acknowledged, cut)
}
