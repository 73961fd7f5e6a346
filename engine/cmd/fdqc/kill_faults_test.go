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

	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
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

// number is the outcome of a pattern; outcome is the line of a number below
// 1<<24, safe when it is even. Both halves of a number are exact in float32, and
// numbers are scattered, or the detector would hold nearly all for their drift.
func number(row []float32) int64 {
	m := int64(row[0])<<12 | int64(row[1])
	for range 2 {
		m ^= m >> 12
		m = m * gather & 0xffffff
	}
	return m
}

func outcome(n int64) string {
	m := n
	for range 2 {
		m = m * scatter & 0xffffff
		m ^= m >> 12
	}
	return fmt.Sprintf(`{"id": %d, "embedding": [%d, %d, 1, 1, 1, 1, 1, 1], "is_safe": %v}`+"\n", n, m>>12, m&0xfff, n%2 == 0)
}

// scatter by gather is 1, of 24 bits.
const scatter, gather = 0x3779b1, 0x8b2f51

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
		if r.Result != "stored" && r.Result != "quarantined" || !r.Durable {
			t.Fatalf("receipt %q: want stored or quarantined, and durable", line)
		}
		all = append(all, r.ID)
	}
	return all
}

// kept are the numbers in the memory and in the quarantine, sorted, and how
// many are in the latter.
func (k *killed) kept(t *testing.T) (all []int64, held int64) {
	t.Helper()
	d, err := engine.OpenDirectory(k.config, engine.ReadOnly())
	if err != nil {
		t.Fatal(err)
	}
	snapshot, quarantine := d.Patterns(), d.Quarantine()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for side := range snapshot.Sides {
		for i := range snapshot.Sides[side].IDs {
			n := number(snapshot.Sides[side].Rows[i*snapshot.Width:])
			if (n%2 == 0) != (memory.Side(side) == memory.Safe) {
				t.Errorf("outcome %d is on side %v", n, memory.Side(side))
			}
			all = append(all, n)
		}
	}
	if snapshot.Counter != int64(len(all)) {
		t.Errorf("%d patterns, counter %d, want as many", len(all), snapshot.Counter)
	}
	for i := range quarantine {
		all = append(all, number(quarantine[i].Workspace))
	}
	slices.Sort(all)
	return all, int64(len(quarantine))
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

// audited wants each outcome on record once, when a last writer has completed
// the audit log.
func (k *killed) audited(t *testing.T, stored, quarantined int64) {
	t.Helper()
	d, err := engine.OpenDirectory(k.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := engine.VerifyAudit(k.config, nil)
	if err != nil || report.JournalBehind != 0 || report.CheckpointsBehind != 0 || !report.Closed {
		t.Errorf("audit log: got %+v, %v, want all in it and closed", report, err)
	}
	last, held, recovered := int64(0), int64(0), int64(0)
	if _, err := engine.ReadAudit(k.config, nil, func(e *audit.Entry) error {
		switch e.Event {
		case "held":
			held++
			return nil
		case "patterns":
		default:
			return nil
		}
		var data struct {
			Safe, Unsafe int64
			First        int64 `json:"first_sequence"`
			Last         int64 `json:"last_sequence"`
			Recovered    bool
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return err
		}
		if data.First != last+1 || data.Last-data.First+1 != data.Safe+data.Unsafe {
			return fmt.Errorf("entry %d has %+v, want the outcomes after number %d", e.Sequence, data, last)
		}
		last = data.Last
		if data.Recovered {
			recovered += data.Safe + data.Unsafe
		}
		return nil
	}); err != nil || last != stored || held != quarantined {
		t.Errorf("audit log: got outcomes up to %d and %d in quarantine, %v, want %d and %d", last, held, err, stored, quarantined)
	}
	t.Logf("audit log: %d lines, every outcome once, %d of %d stored ones put down by the next writer", report.Entries, recovered, stored)
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
	if testing.Short() { // under the race detector
		rounds = 10
	}
	if os.Getenv("FDQC_SOAK") != "" {
		rounds = 200
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	dir := t.TempDir()
	t.Chdir(dir)
	k := &killed{config: engine.DefaultConfig(), file: filepath.Join(dir, "config.toml"), receipts: filepath.Join(dir, "receipts.jsonl")}
	k.config.Persistence.Dir = filepath.Join(dir, "data")
	k.config.Memory.Capacity = 1_000_000 // none is evicted
	settings := fmt.Sprintf("[persistence]\ndir = %q\nauto_save_interval = \"1s\"\nmax_checkpoints = 2\n[detector]\nquarantine_capacity = 100000\n[memory]\ncapacity = %d\n", k.config.Persistence.Dir, k.config.Memory.Capacity)
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
	counter, unacknowledged, quarantined := int64(1), int64(0), int64(0)
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
		kept, held := k.kept(t)
		count := int64(len(kept))
		has := map[int64]int{}
		for _, n := range kept {
			has[n]++
			if has[n] == 2 {
				doubled++
			}
		}
		if _, err := engine.VerifyAudit(k.config, nil); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		receipts := k.acknowledged(t)
		for _, n := range receipts {
			if has[n] == 0 {
				lost++
			}
		}
		if last := kept[count-1]; last != count-1 {
			t.Errorf("round %d: %d outcomes up to %d, want all from 0 on", round, count, last)
		}
		if lost > 0 || doubled > 0 {
			t.Fatalf("round %d: %d acknowledged outcomes lost, %d kept twice", round, lost, doubled)
		}
		if now := k.checkpointed(t); now < saved {
			t.Errorf("round %d: newest checkpoint %d, before %d", round, now, saved)
		}
		// What was kept and never acknowledged is not sent again: the
		// driver goes on after it.
		counter, unacknowledged, quarantined = count, count-int64(len(receipts)), held
	}
	k.audited(t, counter-quarantined, quarantined)
	checkpoints := k.checkpointed(t)
	t.Logf("%d writers killed: %d outcomes kept, %d of them in quarantine, %d acknowledged, %d lost, %d kept twice, %d kept and not acknowledged, %d checkpoints",
		rounds, counter, quarantined, counter-unacknowledged, lost, doubled, unacknowledged, checkpoints)
	if quarantined == 0 || quarantined == counter {
		t.Errorf("%d of %d outcomes are in quarantine, want some and not all", quarantined, counter)
	}
	if checkpoints < 3 {
		t.Errorf("%d checkpoints, want some to be made while writers are killed", checkpoints)
	}
}
