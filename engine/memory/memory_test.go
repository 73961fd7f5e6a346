package memory

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"sync"
	"testing"
)

// TestEvictionConformance replays numbers taken from the Python reference: the
// bytes of the rows ([capacity, width], zeros beyond the count), timestamps and
// importances after 1,750 outcomes.
func TestEvictionConformance(t *testing.T) {
	raw, err := os.ReadFile("testdata/eviction.json")
	if err != nil {
		t.Fatal(err)
	}
	var kit struct {
		Ops []struct {
			State         []float64 `json:"state"`
			IsSafe        bool      `json:"is_safe"`
			SetImportance []float32 `json:"set_safe_importance"`
		} `json:"ops"`
		Final struct {
			Counts           []float64 `json:"pattern_counts"`
			SafeTimestamps   []float64 `json:"safe_timestamps"`
			UnsafeTimestamps []float64 `json:"unsafe_timestamps"`
			SafeImportance   []float32 `json:"safe_importance"`
			UnsafeImportance []float32 `json:"unsafe_importance"`
			Counter          int64     `json:"counter"`
			SafeSHA256       string    `json:"safe_patterns_sha256"`
			UnsafeSHA256     string    `json:"unsafe_patterns_sha256"`
		} `json:"final"`
	}
	if err := json.Unmarshal(raw, &kit); err != nil {
		t.Fatal(err)
	}
	const n, capacity = 8, 1000
	m := mustNew(t, 2*n, capacity)
	tx := m.Begin()
	defer tx.Rollback()
	for i, op := range kit.Ops {
		if op.SetImportance != nil {
			for row := range tx.Stats().Patterns[Safe] {
				if err := tx.SetImportance(Safe, row, op.SetImportance[row]); err != nil {
					t.Fatalf("op %d: set importance: %v", i, err)
				}
			}
			continue
		}
		z := make([]float32, n)
		for k, v := range op.State {
			z[k] = float32(v)
		}
		side := Unsafe
		if op.IsSafe {
			side = Safe
		}
		if _, err := tx.Record(side, z, 1); err != nil {
			t.Fatalf("op %d: record: %v", i, err)
		}
	}
	tx.Commit()

	got, want := m.Snapshot(), kit.Final
	if got.Counter != want.Counter {
		t.Errorf("counter: got %d, want %d", got.Counter, want.Counter)
	}
	checkKitSide(t, Safe, got, want.Counts[0], want.SafeTimestamps, want.SafeImportance, want.SafeSHA256, capacity)
	checkKitSide(t, Unsafe, got, want.Counts[1], want.UnsafeTimestamps, want.UnsafeImportance, want.UnsafeSHA256, capacity)
}

func checkKitSide(t *testing.T, side Side, all Snapshot, count float64, timestamps []float64, importance []float32, sum string, capacity int) {
	t.Helper()
	got := all.Sides[side]
	if len(got.IDs) != int(count) {
		t.Fatalf("%s patterns: got %d, want %v", side, len(got.IDs), count)
	}
	for row := range got.IDs {
		if float64(got.Timestamps[row]) != timestamps[row] || got.Importance[row] != importance[row] {
			t.Fatalf("%s row %d: got timestamp %d, importance %v, want %v, %v", side, row,
				got.Timestamps[row], got.Importance[row], timestamps[row], importance[row])
		}
	}
	rows := make([]float32, capacity*all.Width)
	copy(rows, got.Rows)
	var raw bytes.Buffer
	if err := binary.Write(&raw, binary.LittleEndian, rows); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(raw.Bytes())
	if hex.EncodeToString(hash[:]) != sum {
		t.Errorf("%s rows: got sha256 %x, want %s", side, hash, sum)
	}
}

func TestRestoreRefuses(t *testing.T) {
	good := func() Snapshot {
		return Snapshot{Width: 4, Counter: 9, NextID: 4, Sides: [2]SideSnapshot{
			{Rows: make([]float32, 8), Timestamps: []int64{3, 9}, IDs: []int64{1, 3}, Importance: []float32{1, 0}},
			{Rows: make([]float32, 4), Timestamps: []int64{0}, IDs: []int64{2}, Importance: []float32{5}},
		}}
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		damage   func(s *Snapshot)
		capacity int
	}{
		"odd width":            {func(s *Snapshot) { s.Width = 3 }, 9},
		"no width":             {func(s *Snapshot) { s.Width = 0 }, 9},
		"no capacity":          {func(*Snapshot) {}, 0},
		"huge capacity":        {func(*Snapshot) {}, MaxCapacity + 1},
		"negative counter":     {func(s *Snapshot) { s.Counter = -1 }, 9},
		"huge counter":         {func(s *Snapshot) { s.Counter = MaxCounter + 1 }, 9},
		"negative next id":     {func(s *Snapshot) { s.NextID = -1 }, 9},
		"huge next id":         {func(s *Snapshot) { s.NextID = math.MaxInt64 }, 9},
		"negative evictions":   {func(s *Snapshot) { s.Evictions = -1 }, 9},
		"short rows":           {func(s *Snapshot) { s.Sides[0].Rows = s.Sides[0].Rows[:7] }, 9},
		"short importance":     {func(s *Snapshot) { s.Sides[0].Importance = s.Sides[0].Importance[:1] }, 9},
		"short ids":            {func(s *Snapshot) { s.Sides[0].IDs = s.Sides[0].IDs[:1] }, 9},
		"NaN row":              {func(s *Snapshot) { s.Sides[0].Rows[5] = nan }, 9},
		"infinite row":         {func(s *Snapshot) { s.Sides[1].Rows[3] = -inf }, 9},
		"future timestamp":     {func(s *Snapshot) { s.Sides[0].Timestamps[0] = 10 }, 9},
		"negative timestamp":   {func(s *Snapshot) { s.Sides[0].Timestamps[0] = -1 }, 9},
		"id 0":                 {func(s *Snapshot) { s.Sides[0].IDs[0] = 0 }, 9},
		"id not below next":    {func(s *Snapshot) { s.Sides[0].IDs[0] = 4 }, 9},
		"id on both sides":     {func(s *Snapshot) { s.Sides[1].IDs[0] = 3 }, 9},
		"negative importance":  {func(s *Snapshot) { s.Sides[0].Importance[0] = -1 }, 9},
		"NaN importance":       {func(s *Snapshot) { s.Sides[0].Importance[0] = nan }, 9},
		"infinite importance":  {func(s *Snapshot) { s.Sides[0].Importance[0] = inf }, 9},
		"ids without next id":  {func(s *Snapshot) { s.NextID = 0 }, 9},
		"rows without a stamp": {func(s *Snapshot) { s.Sides[1] = SideSnapshot{Rows: make([]float32, 4)} }, 9},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			c.damage(&s)
			if _, err := Restore(s, c.capacity); !errors.Is(err, ErrInvalid) {
				t.Errorf("restore of %+v: got %v, want an error wrapping %v", s, err, ErrInvalid)
			}
		})
	}
	if _, err := Restore(good(), 2); err != nil {
		t.Errorf("restore of the undamaged snapshot: got %v, want no error", err)
	}
	_, err := Restore(good(), 1)
	var over *CapacityError
	if !errors.As(err, &over) || *over != (CapacityError{Safe, 2, 1}) {
		t.Errorf("restore of 2 safe patterns with capacity 1: got %v, want a *CapacityError with both", err)
	}
}

func TestRestoreGivesIDs(t *testing.T) {
	m, err := Restore(Snapshot{Width: 2, Counter: 7, NextID: 5, Sides: [2]SideSnapshot{
		{Rows: make([]float32, 4), Timestamps: []int64{7, 7}, Importance: []float32{1, 1}},
		{Rows: make([]float32, 2), Timestamps: []int64{2}, Importance: []float32{1}},
	}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	s := m.Snapshot()
	if got, want := [][]int64{s.Sides[0].IDs, s.Sides[1].IDs}, [][]int64{{5, 6}, {7}}; !reflect.DeepEqual(got, want) || s.NextID != 8 {
		t.Errorf("ids given from 5 on: got %v and next %d, want %v and 8", got, s.NextID, want)
	}
}

func TestTxRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for name, c := range map[string]struct {
		call func(tx *Tx) error
		want error
	}{
		"narrow workspace":       {func(tx *Tx) error { _, err := tx.Record(Safe, []float32{1}, 1); return err }, ErrInvalid},
		"full row as workspace":  {func(tx *Tx) error { _, err := tx.Record(Safe, make([]float32, 4), 1); return err }, ErrInvalid},
		"NaN workspace":          {func(tx *Tx) error { _, err := tx.Record(Safe, []float32{0, nan}, 1); return err }, ErrInvalid},
		"infinite workspace":     {func(tx *Tx) error { _, err := tx.Record(Safe, []float32{inf, 0}, 1); return err }, ErrInvalid},
		"negative importance":    {func(tx *Tx) error { _, err := tx.Record(Safe, []float32{1, 1}, -1e-9); return err }, ErrInvalid},
		"NaN importance":         {func(tx *Tx) error { _, err := tx.Record(Safe, []float32{1, 1}, nan); return err }, ErrInvalid},
		"infinite importance":    {func(tx *Tx) error { _, err := tx.Record(Safe, []float32{1, 1}, -inf); return err }, ErrInvalid},
		"unknown side":           {func(tx *Tx) error { _, err := tx.Record(2, []float32{1, 1}, 1); return err }, ErrInvalid},
		"set on unknown side":    {func(tx *Tx) error { return tx.SetImportance(7, 0, 1) }, ErrInvalid},
		"set row beyond":         {func(tx *Tx) error { return tx.SetImportance(Safe, 1, 1) }, ErrInvalid},
		"set negative row":       {func(tx *Tx) error { return tx.SetImportance(Safe, -1, 1) }, ErrInvalid},
		"set NaN":                {func(tx *Tx) error { return tx.SetImportance(Safe, 0, nan) }, ErrInvalid},
		"resize to 0":            {func(tx *Tx) error { _, err := tx.Resize(0); return err }, ErrInvalid},
		"resize too far":         {func(tx *Tx) error { _, err := tx.Resize(MaxCapacity + 1); return err }, ErrInvalid},
		"record after the end":   {func(tx *Tx) error { tx.Commit(); _, err := tx.Record(Safe, []float32{1, 1}, 1); return err }, ErrTxDone},
		"set after the end":      {func(tx *Tx) error { tx.Commit(); return tx.SetImportance(Safe, 0, 1) }, ErrTxDone},
		"resize after the end":   {func(tx *Tx) error { tx.Rollback(); _, err := tx.Resize(3); return err }, ErrTxDone},
		"counter at its limit":   {func(tx *Tx) error { _, err := tx.Record(Safe, []float32{1, 1}, 1); return err }, ErrCounterLimit},
		"limit on the full side": {func(tx *Tx) error { _, err := tx.Record(Unsafe, []float32{1, 1}, 1); return err }, ErrCounterLimit},
	} {
		t.Run(name, func(t *testing.T) {
			start := Snapshot{Width: 4, Counter: 1, NextID: 2, Sides: [2]SideSnapshot{
				{Rows: make([]float32, 4), Timestamps: []int64{1}, IDs: []int64{1}, Importance: []float32{1}},
			}}
			if errors.Is(c.want, ErrCounterLimit) {
				start.Counter = MaxCounter
			}
			m, err := Restore(start, 2)
			if err != nil {
				t.Fatal(err)
			}
			before := m.Snapshot()
			tx := m.Begin()
			defer tx.Rollback()
			if err := c.call(tx); !errors.Is(err, c.want) {
				t.Errorf("got %v, want an error wrapping %v", err, c.want)
			}
			tx.Commit()
			if got := m.Snapshot(); !reflect.DeepEqual(got, before) {
				t.Errorf("a refused call changed the memory: got %+v, want %+v", got, before)
			}
			if s, c := tx.Snapshot(), tx.Changes(); s.Width != 0 || c != nil || tx.Stats() != (Stats{}) {
				t.Errorf("after the end: got snapshot %+v, changes %v, stats %+v, want nothing", s, c, tx.Stats())
			}
		})
	}
}

func TestStatsAndPatterns(t *testing.T) {
	m := mustNew(t, 2, 4)
	tx := m.Begin()
	for i := range 6 {
		if _, err := tx.Record(Safe, []float32{float32(i)}, 2); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Record(Unsafe, []float32{9}, 1); err != nil {
		t.Fatal(err)
	}
	if got, want := m.Stats(), (Stats{Capacity: 4, NextID: 1}); got != want {
		t.Errorf("stats before commit: got %+v, want %+v", got, want)
	}
	tx.Commit()
	want := Stats{Patterns: [2]int{4, 1}, Capacity: 4, Evictions: 2, Counter: 7, NextID: 8, Utilization: 1}
	if got := m.Stats(); got != want {
		t.Errorf("stats: got %+v, want %+v", got, want)
	}
	var ids []int64
	for p := range m.Patterns(Safe) {
		if p.Vector[1] != 0 || float32(p.ID-1) != p.Vector[0] || p.Importance != 2 || p.Timestamp != p.ID {
			t.Errorf("pattern: got %+v, want the outcome that its id names", p)
		}
		if ids = append(ids, p.ID); len(ids) == 3 {
			break
		}
	}
	if want := []int64{5, 6, 3}; !reflect.DeepEqual(ids, want) {
		t.Errorf("ids in the first rows: got %v, want %v", ids, want)
	}
	for p := range m.Patterns(9) {
		t.Errorf("side 9: got %+v, want no pattern", p)
	}
}

// TestReadersSeeNoHalf has writers that keep an invariant from commit to commit
// (as many safe as unsafe outcomes, equal values in a row and on both sides) and
// readers that must never see it broken. Run it with -race.
func TestReadersSeeNoHalf(t *testing.T) {
	const capacity, writers, rounds = 32, 4, 200
	m := mustNew(t, 8, capacity)
	stop := make(chan struct{})
	var write, read sync.WaitGroup
	for w := range writers {
		write.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for range rounds {
				tx := m.Begin()
				for range 1 + r.IntN(4) {
					v := r.Float32()
					for _, side := range Sides() {
						if _, err := tx.Record(side, []float32{v, v, v, v}, 1); err != nil {
							t.Errorf("record: %v", err)
						}
					}
				}
				if r.IntN(3) == 0 {
					if _, err := tx.Record(Safe, []float32{7, 7, 7, 7}, 1); err != nil {
						t.Errorf("record: %v", err)
					}
					tx.Rollback()
				}
				tx.Commit()
			}
		})
	}
	for range 3 {
		read.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if s := m.Stats(); s.Patterns[0] != s.Patterns[1] || s.Counter != s.NextID-1 || s.Counter%2 != 0 {
					t.Errorf("stats: got %+v, want a committed state", s)
				}
				s := m.Snapshot()
				for i := range len(s.Sides[0].Rows) {
					if s.Sides[0].Rows[i] != s.Sides[1].Rows[i] || s.Sides[0].Rows[i] == 7 {
						t.Errorf("snapshot value %d: got %v safe and %v unsafe, want equal", i, s.Sides[0].Rows[i], s.Sides[1].Rows[i])
						return
					}
				}
				for p := range m.Patterns(Unsafe) {
					if p.Vector[0] != p.Vector[3] || p.Vector[4] != 0 {
						t.Errorf("row %d: got %v, want four equal values and zeros", p.Row, p.Vector)
					}
				}
			}
		})
	}
	write.Wait()
	close(stop)
	read.Wait()
}

func mustNew(t testing.TB, width, capacity int) *Memory {
	t.Helper()
	m, err := New(width, capacity)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
