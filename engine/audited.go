package engine

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/audit"
	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/engine/memory"
)

// Events of the audit log. AUDIT.md lists the data of each.
const (
	eventOpened   = "opened"   // a writer opened the directory
	eventClosed   = "closed"   // and closed it in order
	eventRestart  = "restart"  // an operator gave up a damaged log
	eventSettings = "settings" // the configuration or the key is not what the writer before had
	eventPatterns = "patterns" // outcomes became patterns, importances changed
	eventCapacity = "capacity" // the memory's capacity changed
	eventLevers   = "levers"   // an operator pulled a lever, or an alarm did
	eventReplaced = "replaced" // the memory became that of a checkpoint
	eventSaved    = "saved"    // a checkpoint was saved
	eventPruning  = "pruning"  // checkpoints are about to be dropped
	eventPruned   = "pruned"   // they were
	eventHeld     = "held"     // an outcome went into the quarantine
	eventReleased = "released" // an operator let it into the memory, or dropped it
	eventAsked    = "asked"    // an action waits for a person's approval
	eventDecided  = "decided"  // somebody decided on it, or nobody in time
	eventCarried  = "carried"  // the journal says again what stands beside the memory, or the detector's part of it
	eventRecord   = "record"   // a journal record of another kind
)

// step is what one change wrote into the journal, and what it evicted.
type step struct {
	entries []journal.Entry
	evicted []int64
}

// patternsData is the data of eventPatterns: of the commits of at most a
// second.
type patternsData struct {
	Since     time.Time `json:"since"` // of the first commit
	Commits   int       `json:"commits"`
	Recovered bool      `json:"recovered,omitempty"` // derived from the journal by a later writer
	Safe      int       `json:"safe"`
	Unsafe    int       `json:"unsafe"`
	// The pattern ids and the memory's counter, from the first outcome to
	// the last.
	FirstID       int64 `json:"first_pattern_id,omitempty"`
	LastID        int64 `json:"last_pattern_id,omitempty"`
	FirstSequence int64 `json:"first_sequence,omitempty"`
	LastSequence  int64 `json:"last_sequence,omitempty"`
	Importances   int   `json:"importances,omitempty"`
	// Sources has how many of them came from each source that was named.
	Sources sourceCounts `json:"sources,omitempty"`
	Evicted *idRuns      `json:"evicted,omitempty"`

	who string    // recorded them; "" when it is not known any more
	at  time.Time // of the last commit
	// journal is the last record: what follows it is not in the entry.
	journal int64
}

type capacityData struct {
	Capacity  int     `json:"capacity"`
	Evicted   *idRuns `json:"evicted,omitempty"`
	Recovered bool    `json:"recovered,omitempty"`
}

type leversData struct {
	Old       Levers `json:"old"`
	New       Levers `json:"new"`
	Recovered bool   `json:"recovered,omitempty"`
}

type replacedData struct {
	Checkpoint int64 `json:"checkpoint"`         // that holds the memory from here on
	Source     int64 `json:"source,omitempty"`   // the one that it was taken from; 0: from outside
	Position   int64 `json:"position,omitempty"` // of Source in the journal
	Recovered  bool  `json:"recovered,omitempty"`
}

type heldData struct {
	ID        int64    `json:"quarantine_id"`
	Outcome   string   `json:"outcome,omitempty"`
	Source    string   `json:"source,omitempty"`
	Side      string   `json:"side"`
	Rules     []string `json:"rules"`
	Recovered bool     `json:"recovered,omitempty"`
}

type releasedData struct {
	IDs       string `json:"quarantine_ids"`
	Accepted  bool   `json:"accepted"` // their patterns follow
	Recovered bool   `json:"recovered,omitempty"`
}

type askedData struct {
	ID        int64     `json:"approval_id"`
	Row       string    `json:"row,omitempty"`
	Source    string    `json:"source,omitempty"`
	RawRisk   float32   `json:"raw_risk"`
	Expires   time.Time `json:"expires"`
	Instead   int64     `json:"supersedes,omitempty"` // the approval that did not cover it
	Recovered bool      `json:"recovered,omitempty"`
}

type decidedData struct {
	IDs       string        `json:"approval_ids"`
	State     ApprovalState `json:"state"`
	PatternID int64         `json:"pattern_id,omitempty"` // that the first was recorded as; the others follow
	Recovered bool          `json:"recovered,omitempty"`
}

type recordData struct {
	Type      journal.Type `json:"type"`
	Bytes     int          `json:"bytes"`
	Recovered bool         `json:"recovered,omitempty"`
}

// derivation makes audit entries of the journal's records. It is the only
// place that does, so that what a crash took comes back the same.
type derivation struct {
	journal  int64 // the last record that was seen
	levers   Levers
	entries  []audit.Entry // complete, in order
	patterns *patternsData // the entry after them, which grows

	at      time.Time // of the commit at hand
	counted bool      // it is among the commits of patterns
	carried *standing // the records before this one say again what stands; nil: they do not
}

// commit takes the records of a commit, or of a part of one, that ends with
// the record last. Records up to audited have their entries already. who is
// the user of the process, "" of one that has ended.
func (d *derivation) commit(last, audited int64, at time.Time, who string, recovered bool, steps []step) {
	if !recovered || !at.Equal(d.at) { // recovered records come one by one
		d.at, d.counted = at, false
	}
	record := last
	for i := range steps {
		record -= int64(len(steps[i].entries))
	}
	for i := range steps {
		evicted := steps[i].evicted // goes with the first record of the step
		for _, e := range steps[i].entries {
			record++
			d.record(record, audited, at, who, recovered, e, evicted)
			evicted = nil
		}
	}
}

func (d *derivation) record(record, audited int64, at time.Time, who string, recovered bool, e journal.Entry, evicted []int64) {
	again := d.carried.carries(e.Type, e.Payload)
	if !again {
		d.carried = nil
	}
	if e.Type == opStanding {
		d.carried = &standing{}
		_ = json.Unmarshal(e.Payload, d.carried) // a replay refuses what is none
	}
	old := d.levers
	var by, reason string
	if e.Type == opLevers {
		if pulled, err := parseLevers(e.Payload); err == nil {
			d.levers = pulled
			by, reason = pulled.By, pulled.Reason
		}
	}
	if record <= audited {
		return
	}
	d.journal = record
	if again { // it said so when it came
		if n := len(d.entries); n > 0 && d.entries[n-1].Event == eventCarried {
			d.entries[n-1].Journal = record
		}
		return
	}
	switch e.Type {
	case opOutcome, opImportance:
		p := d.growing(at, who, recovered)
		p.count(e)
		if len(evicted) > 0 {
			if p.Evicted == nil {
				p.Evicted = &idRuns{}
			}
			p.Evicted.add(evicted)
		}
	case opSources:
		counts, _ := parseSources(e.Payload) // a replay refuses what is none
		p := d.growing(at, who, recovered)
		for _, source := range slices.Sorted(maps.Keys(counts)) {
			p.Sources.add(source, counts[source], mostNamed)
		}
	case opCapacity:
		data := capacityData{Evicted: runsOf(evicted), Recovered: recovered}
		if len(e.Payload) == 4 {
			data.Capacity = int(binary.LittleEndian.Uint32(e.Payload))
		}
		d.add(eventCapacity, at, who, "", data)
	case opLevers:
		d.add(eventLevers, at, by, reason, leversData{bare(old), bare(d.levers), recovered})
	case opReplaced:
		var said replacement
		_ = json.Unmarshal(e.Payload, &said) // a replay refuses what is none
		d.add(eventReplaced, at, said.By, said.Reason, replacedData{said.Sequence, said.Source, said.Position, recovered})
	case opHeld:
		var h Held
		_ = json.Unmarshal(e.Payload, &h)
		data := heldData{ID: h.ID, Outcome: h.Outcome, Source: h.Source, Side: h.Side, Rules: []string{}, Recovered: recovered}
		for _, f := range h.Findings {
			data.Rules = append(data.Rules, f.Rule)
		}
		d.add(eventHeld, at, who, "", data)
	case opReleased:
		var said release
		_ = json.Unmarshal(e.Payload, &said)
		d.add(eventReleased, at, said.By, said.Reason, releasedData{said.ids(), said.Accepted, recovered})
	case opAsked:
		var x Approval
		_ = json.Unmarshal(e.Payload, &x)
		d.add(eventAsked, at, x.AskedBy, "", askedData{x.ID, x.Row, x.Source, x.RawRisk, x.Expires, x.Supersedes, recovered})
	case opDecided:
		var said decision
		_ = json.Unmarshal(e.Payload, &said)
		d.add(eventDecided, at, said.By, said.Reason, decidedData{said.ids(), said.State, said.PatternID, recovered})
	case opStanding, opDetector:
		d.add(eventCarried, at, who, "", nil)
	default:
		d.add(eventRecord, at, who, "", recordData{e.Type, len(e.Payload), recovered})
	}
}

// bare leaves out who and why, which have members of their own.
func bare(l Levers) Levers {
	l.At, l.By, l.Reason = time.Time{}, "", ""
	return l
}

// growing is the entry that takes further patterns.
func (d *derivation) growing(at time.Time, who string, recovered bool) *patternsData {
	if d.patterns != nil && (d.patterns.Recovered != recovered || d.patterns.who != who) {
		d.finish()
	}
	if d.patterns == nil {
		d.patterns = &patternsData{Since: at.UTC(), Recovered: recovered, who: who}
	}
	if !d.counted {
		d.patterns.Commits++
		d.counted = true
	}
	d.patterns.at, d.patterns.journal = at, d.journal
	return d.patterns
}

func (p *patternsData) count(e journal.Entry) {
	if e.Type == opImportance {
		p.Importances++
		return
	}
	if len(e.Payload) < outcomeHead {
		return
	}
	if memory.Side(e.Payload[0]) == memory.Safe {
		p.Safe++
	} else {
		p.Unsafe++
	}
	p.LastSequence = int64(binary.LittleEndian.Uint64(e.Payload[5:]))
	p.LastID = int64(binary.LittleEndian.Uint64(e.Payload[13:]))
	if p.FirstID == 0 {
		p.FirstSequence, p.FirstID = p.LastSequence, p.LastID
	}
}

// add is an entry of something rare. It ends the one that grows.
func (d *derivation) add(event string, at time.Time, who, why string, data any) {
	d.finish()
	d.entries = append(d.entries, audit.Entry{Time: at, Event: event, Who: who, Why: why, Journal: d.journal, Data: auditData(data)})
}

// finish completes the entry that grows.
func (d *derivation) finish() {
	p := d.patterns
	if p == nil {
		return
	}
	d.patterns, d.counted = nil, false
	if p.Evicted != nil {
		p.Evicted.done()
	}
	d.entries = append(d.entries, audit.Entry{Time: p.at, Event: eventPatterns, Who: p.who, Journal: p.journal, Data: auditData(p)})
}

// take answers the entries that are complete, and forgets them.
func (d *derivation) take() []audit.Entry {
	d.finish()
	entries := d.entries
	d.entries = nil
	return entries
}

// auditData is JSON of something of this package, which has no values that
// cannot be written.
func auditData(value any) []byte {
	if value == nil {
		return nil
	}
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Appendf(nil, `{"error":%q}`, err)
	}
	return b
}
