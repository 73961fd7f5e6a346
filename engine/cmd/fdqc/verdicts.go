package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/rows"
)

// verdictsByID are what actions were judged as, by the ids of their rows.
type verdictsByID struct {
	at   time.Time // when the file was written
	rows map[rows.ID]*verdictOfID
}

type verdictOfID struct {
	approved bool
	judged   bool // not refused
	used     bool // by an outcome
}

// readVerdicts reads the JSON Lines that validate writes, whole. Two verdicts
// of one id are an error: which of them was acted on is not known.
func readVerdicts(path string) (*verdictsByID, error) {
	if ext := strings.ToLower(filepath.Ext(path)); ext != ".jsonl" && ext != ".ndjson" {
		return nil, fmt.Errorf("verdicts %s: extension %q, expected .jsonl", path, ext)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("verdicts: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("verdicts: %w", err)
	}
	v := &verdictsByID{at: info.ModTime(), rows: map[rows.ID]*verdictOfID{}}
	lines := bufio.NewReader(file)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return v, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("verdicts: %w", err)
		}
		if err := v.add(line); err != nil {
			return nil, fmt.Errorf("verdicts %s, line %d: %w", path, number, err)
		}
	}
}

func (v *verdictsByID) add(line []byte) error {
	var fields struct {
		ID       jsontext.Value `json:"id"`
		Approved *bool          `json:"approved"`
		Error    string         `json:"error"`
	}
	if err := json.Unmarshal(line, &fields); err != nil {
		return err
	}
	if fields.Approved == nil || len(fields.ID) == 0 {
		return errors.New("expected an object with id and approved, as validate writes it")
	}
	id, err := rows.ParseID(fields.ID)
	switch {
	case err != nil:
		return err
	case id.IsZero():
		return nil // a row without an id, which no outcome can name
	case v.rows[id] != nil:
		return fmt.Errorf("id %s is there twice, and which verdict was acted on is not known", fields.ID)
	}
	v.rows[id] = &verdictOfID{approved: *fields.Approved, judged: fields.Error == ""}
	return nil
}

// of answers what an outcome's action was judged as; nil: not known, or not at
// all. A second outcome of one id is an error.
func (v *verdictsByID) of(id rows.ID) (*engine.JudgedAs, error) {
	if v == nil || id.IsZero() {
		return nil, nil
	}
	found := v.rows[id]
	if found == nil || !found.judged {
		return nil, nil
	}
	if found.used {
		return nil, fmt.Errorf("id %s is there twice, and which outcome is that of the verdict is not known", id.AppendJSON(nil))
	}
	found.used = true
	return &engine.JudgedAs{Approved: found.approved, At: v.at}, nil
}
