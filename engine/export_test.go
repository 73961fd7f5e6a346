package engine

import (
	"context"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
	"github.com/fdqc-cockpit/fdqc/models"
)

// Weights are those that the directory was opened with.
func (d *Directory) Weights() *models.Weights { return d.weights }

// Hold puts an outcome into the quarantine, as a rule of the detector would.
func (d *Directory) Hold(ctx context.Context, h Held) (id int64, err error) {
	err = d.change(ctx, &change{apply: func(tx *transaction) ([]journal.Entry, error) {
		var entry journal.Entry
		id, entry, err = tx.quarantine.hold(h, d.config.Detector.QuarantineCapacity)
		return []journal.Entry{entry}, err
	}})
	return id, err
}

// Numbers are those that rules decide on.
func (v *Verdict) Numbers(noAllow bool) policy.Numbers { return numbersOf(v, noAllow) }

// Owe has the levers as they are be written with whatever is written next, as
// after an alarm, or a replacement, that could not be.
func (d *Directory) Owe() error {
	entry, err := encodeJSON(opLevers, d.Levers())
	d.owed = append(d.owed, entry)
	return err
}

// DetectorState is what the journal said last of the detector's state.
func (d *Directory) DetectorState() string { return string(d.detectorState) }

// HoldAll puts outcomes into the quarantine, together.
func (d *Directory) HoldAll(ctx context.Context, all []Held) (ids []int64, err error) {
	err = d.change(ctx, &change{apply: func(tx *transaction) ([]journal.Entry, error) {
		ids = nil
		var entries []journal.Entry
		for _, h := range all {
			id, entry, err := tx.quarantine.hold(h, d.config.Detector.QuarantineCapacity)
			if err != nil {
				return nil, err
			}
			ids, entries = append(ids, id), append(entries, entry)
		}
		return entries, nil
	}})
	return ids, err
}

// Say applies a record about what waits, as a replay would, and writes it.
func (d *Directory) Say(ctx context.Context, kind int, payload string) error {
	entry := journal.Entry{Type: journal.Type(kind), Payload: []byte(payload)}
	return d.change(ctx, &change{apply: func(tx *transaction) ([]journal.Entry, error) {
		record := journal.Record{Type: entry.Type, Payload: entry.Payload}
		if entry.Type == opReleased {
			return []journal.Entry{entry}, tx.quarantine.replayHeld(d.config.Safety.WorkspaceDim, record)
		}
		return []journal.Entry{entry}, tx.approvals.replayApproval(d.config.Safety.WorkspaceDim, record)
	}})
}
