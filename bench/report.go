package bench

import (
	"encoding/json"
	"io"
	"slices"
)

// Schema is the version of the JSON that a Report is written as.
const Schema = 1

// Report is what Run measured, and on what.
type Report struct {
	Schema    int        `json:"schema"`
	Date      string     `json:"date"` // RFC 3339, when the run began
	Machine   Machine    `json:"machine"`
	Version   string     `json:"version"` // of fdqc
	Command   string     `json:"command"`
	Rounds    int        `json:"rounds"` // turns of each target in a case
	PerTurn   float64    `json:"turn_seconds"`
	Targets   []Info     `json:"targets"`
	Missing   []Missing  `json:"missing"` // targets without figures, and why
	Roofs     []Roof     `json:"roofs"`   // by threads, ascending
	Results   []Result   `json:"results"`
	Fits      []Fit      `json:"fits"`
	Files     []FileRun  `json:"files"`
	Overheads []Overhead `json:"overheads"`
	Goals     []Goal     `json:"goals"`
}

func newReport(o *Options) *Report {
	return &Report{
		Schema: Schema, Date: now(), Machine: thisMachine(), Version: o.Version, Command: o.Command,
		Rounds: o.Plan.Rounds, PerTurn: o.Plan.PerTurn.Seconds(), Missing: []Missing{}, Roofs: []Roof{}, Files: []FileRun{}, Overheads: []Overhead{},
	}
}

// conclude computes what follows from the figures.
func (r *Report) conclude() {
	for i := range r.Results {
		result := &r.Results[i]
		roof := r.roof(result.Threads)
		for j := range result.Figures {
			f := &result.Figures[j]
			if t := r.target(f.Target); roof != nil && t.Device == "cpu" && !t.Matching {
				f.RoofShare = roof.share(&result.Case, f.RowsPerSecond)
			}
		}
	}
	r.Fits = r.fits()
	r.Goals = r.goals()
}

// roof of a number of threads, nil when none was measured.
func (r *Report) roof(threads int) *Roof {
	i := slices.IndexFunc(r.Roofs, func(roof Roof) bool { return roof.Threads == threads })
	if i < 0 {
		return nil
	}
	return &r.Roofs[i]
}

// target of an ID.
func (r *Report) target(id string) *Info {
	i := slices.IndexFunc(r.Targets, func(t Info) bool { return t.ID == id })
	if i < 0 {
		return &Info{ID: id, Name: id}
	}
	return &r.Targets[i]
}

// WriteJSON writes the report as one indented object.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(reader io.Reader) (*Report, error) {
	r := &Report{}
	return r, json.NewDecoder(reader).Decode(r)
}
