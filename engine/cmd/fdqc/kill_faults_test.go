package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// killed is a data directory that writers are killed over, and the receipts
// that they gave.
type killed struct {
	config   engine.Config
	file     string // of the configuration
	receipts string
}

// number is the outcome of a pattern; outcome is the line of a number, safe
// when it is even. Both halves of a number are exact in float32.
func number(row []float32) int64 { return int64(row[0])<<12 | int64(row[1]) }

func outcome(n int64) string {
	return fmt.Sprintf(`{"id": %d, "embedding": [%d, %d, 1, 1, 1, 1, 1, 1], "is_safe": %v}`+"\n", n, n>>12, n&0xfff, n%2 == 0)
}

// acknowledged are the numbers of the receipts that are complete lines.
func (k *killed) acknowledged(t *testing.T) []int64 {
	t.Helper()
	text, err := os.ReadFile(k.receipts)
	if err != nil {
		t.Fatal(err)
	}
	var all []int64
	for _, line := range bytes.SplitAfter(text, []byte("\n")) {
		var r struct {
			ID, Sequence, PatternID int64
			Result                  string
			Durable                 bool
		}
		if !bytes.HasSuffix(line, []byte("}\n")) || json.Unmarshal(line, &r) != nil {
			continue // torn: nobody was told
		}
		if r.Result != "stored" || !r.Durable || r.Sequence != r.ID+1 {
			t.Fatalf("receipt %q: want stored, durable and the sequence after the id", line)
		}
		all = append(all, r.ID)
	}
	return all
}

// stored are the numbers in the memory, sorted, and its counter.
func (k *killed) stored(t *testing.T) ([]int64, int64) {
	t.Helper()
	d, err := engine.OpenDirectory(k.config, engine.ReadOnly())
	if err != nil {
		t.Fatal(err)
	}
	snapshot := d.Patterns()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var all []int64
	for side := range snapshot.Sides {
		for i := range snapshot.Sides[side].IDs {
			n := number(snapshot.Sides[side].Rows[i*snapshot.Width:])
			if (n%2 == 0) != (memory.Side(side) == memory.Safe) {
				t.Errorf("outcome %d is on side %v", n, memory.Side(side))
			}
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, snapshot.Counter
}

// checkpointed is the sequence of the newest checkpoint.
func (k *killed) checkpointed(t *testing.T) int64 {
	t.Helper()
	s, err := engine.OpenStore(k.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil || len(list) == 0 || list[0].Manifest == nil {
		t.Fatalf("checkpoints: got %v, %v", list, err)
	}
	return list[0].Manifest.Sequence
}

// burst is how many outcomes a writer is given as fast as it takes them; then
// they come slower, so that long rounds do not grow the memory without end.
const burst = 3000

// round runs a writer that records from a number on until when says so, and
// kills it.
func (k *killed) round(t *testing.T, from int64, when func(running func() bool)) {
	t.Helper()
	c := process(t.Context(), "record", "--config", k.file, "--input", "-", "--output", k.receipts,
		"--batch-size", "32", "--device", "cpu", "--quiet")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var message strings.Builder
	c.Stderr = &message
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		for n := from; ; {
			var several strings.Builder
			for range 1 + rand.IntN(40) {
				several.WriteString(outcome(n))
				n++
			}
			if _, err := io.WriteString(stdin, several.String()); err != nil {
				return // it is dead
			}
			if n > from+burst {
				time.Sleep(5 * time.Millisecond)
			}
		}
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = c.Wait()
	}()
	when(func() bool {
		select {
		case <-ended:
			return false
		default:
			return true
		}
	})
	if killing := c.Process.Kill(); killing != nil {
		<-ended
		t.Fatalf("the writer ended by itself: %v, %v, %s", killing, err, message.String())
	}
	<-ended
	<-fed
	if c.ProcessState.ExitCode() != -1 { // killed by a signal
		t.Fatalf("the writer ended by itself: %v, %s", err, message.String())
	}
}

// wait polls until something happened to files that another process writes.
func wait(t *testing.T, running func() bool, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !happened(); time.Sleep(time.Millisecond) {
		if !running() || time.Now().After(deadline) {
			return // round tells which
		}
	}
}

func TestKilledWriters(t *testing.T) {
	needLibTorch(t)
	rounds := 20
	if os.Getenv("FDQC_SOAK") != "" {
		rounds = 200
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	dir := t.TempDir()
	t.Chdir(dir)
	k := &killed{config: engine.DefaultConfig(), file: filepath.Join(dir, "config.toml"), receipts: filepath.Join(dir, "receipts.jsonl")}
	k.config.Persistence.Dir = filepath.Join(dir, "data")
	k.config.Memory.Capacity = 1_000_000 // none is evicted
	settings := fmt.Sprintf("[persistence]\ndir = %q\nauto_save_interval = \"1s\"\nmax_checkpoints = 2\n[memory]\ncapacity = %d\n", k.config.Persistence.Dir, k.config.Memory.Capacity)
	if err := os.WriteFile(k.file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fdqc(t, outcome(0), "record", "--config", k.file, "--input", "-", "--output", k.receipts); got.code != exitDone {
		t.Fatalf("the first record: exit %d, %s", got.code, got.errors)
	}
	size := func() int64 {
		info, err := os.Stat(k.receipts)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	var lost, doubled int
	counter, unacknowledged := int64(1), int64(0)
	for round := range rounds {
		before, saved := size(), k.checkpointed(t)
		k.round(t, counter, func(running func() bool) {
			switch round % 5 {
			case 0: // while it opens, or shortly after
				time.Sleep(rand.N(300 * time.Millisecond))
			case 4: // around a checkpoint and its pruning
				next := filepath.Join(k.config.Persistence.Dir, "patterns_*.pt*")
				names, _ := filepath.Glob(next)
				wait(t, running, func() bool {
					now, _ := filepath.Glob(next)
					return !slices.Equal(names, now)
				})
				time.Sleep(rand.N(20 * time.Millisecond))
			default:
				more := 1 + rand.Int64N(100_000)
				wait(t, running, func() bool { return size() >= before+more })
			}
		})
		stored, count := k.stored(t)
		has := map[int64]int{}
		for _, n := range stored {
			has[n]++
			if has[n] == 2 {
				doubled++
			}
		}
		receipts := k.acknowledged(t)
		for _, n := range receipts {
			if has[n] == 0 {
				lost++
			}
		}
		if count != int64(len(stored)) || stored[len(stored)-1] != count-1 {
			t.Errorf("round %d: %d patterns up to %d, counter %d, want all from 0 to the counter", round, len(stored), stored[len(stored)-1], count)
		}
		if lost > 0 || doubled > 0 {
			t.Fatalf("round %d: %d acknowledged outcomes lost, %d stored twice", round, lost, doubled)
		}
		if now := k.checkpointed(t); now < saved {
			t.Errorf("round %d: newest checkpoint %d, before %d", round, now, saved)
		}
		// What was stored and never acknowledged is not sent again: the
		// driver goes on after the memory's counter.
		counter, unacknowledged = count, count-int64(len(receipts))
	}
	checkpoints := k.checkpointed(t)
	t.Logf("%d writers killed: %d outcomes stored, %d acknowledged, %d lost, %d stored twice, %d stored and not acknowledged, %d checkpoints",
		rounds, counter, counter-unacknowledged, lost, doubled, unacknowledged, checkpoints)
	if checkpoints < 3 {
		t.Errorf("%d checkpoints, want some to be made while writers are killed", checkpoints)
	}
}
