package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
)

// Result says what became of a file, a tensor or a setting.
type Result string

// Results.
const (
	Taken   Result = "taken"   // as it is, bit for bit
	Changed Result = "changed" // with a change that How names
	Refused Result = "refused" // not taken; How says why
	Unknown Result = "unknown" // left where it is: nobody here knows it
)

// Report says what became of everything in a source.
type Report struct {
	From string `json:"from"`
	To   string `json:"to"`
	// DryRun: nothing was to be written. Made: the data directory is there.
	DryRun bool `json:"dry_run"`
	Made   bool `json:"made"`
	// Counts of files by result.
	Counts   map[Result]int `json:"counts"`
	Files    []File         `json:"files"`
	Settings []Setting      `json:"settings"`
	// Warnings are what an operator must know, such as safety that the
	// policy loosens.
	Warnings []string `json:"warnings"`
}

// File is one entry of the source folder.
type File struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind,omitempty"`
	// Current: the one of its kind that the engine is to work with.
	Current bool   `json:"current"`
	Result  Result `json:"result"`
	// How says what was done, or why not.
	How string `json:"how,omitempty"`
	// To is its name in the data directory.
	To     string `json:"to,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"` // of the source's bytes
	Items  []Item `json:"items,omitempty"`

	err error // why it was refused
}

// Item is a tensor of a file, or another value of those that are rewritten.
type Item struct {
	Key    string  `json:"key"`
	DType  string  `json:"dtype,omitempty"`
	Shape  []int64 `json:"shape,omitzero"`
	Result Result  `json:"result"`
	How    string  `json:"how,omitempty"`
}

// Setting is a key of the policy, or one that the files determine.
type Setting struct {
	// Policy is the key's path in the policy and its line, empty for what
	// comes from the files.
	Policy string `json:"policy,omitempty"`
	Line   int    `json:"line,omitempty"`
	// Setting is section.key of fdqc.toml, Value its value as TOML.
	Setting string `json:"setting,omitempty"`
	Value   string `json:"value,omitempty"`
	Result  Result `json:"result"`
	How     string `json:"how,omitempty"`
	// Loosens: less strict than the default.
	Loosens bool `json:"loosens,omitempty"`
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

func (r *Report) warnf(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// count fills in Counts and answers the files that were refused.
func (r *Report) count() (refused []*File) {
	r.Counts = map[Result]int{Taken: 0, Changed: 0, Refused: 0, Unknown: 0}
	for i := range r.Files {
		f := &r.Files[i]
		r.Counts[f.Result]++
		if f.Result == Refused {
			refused = append(refused, f)
		}
	}
	return refused
}

// refuse gives up on a file.
func (f *File) refuse(err error) {
	f.Result, f.How, f.err = Refused, err.Error(), err
	f.To, f.Items = "", nil
}

// RefusedError says that known files were not taken.
type RefusedError struct {
	Files []string
	// Made: the data directory was made without them.
	Made bool

	errs []error
}

func refusedError(files []*File, made bool) *RefusedError {
	e := &RefusedError{Made: made}
	for _, f := range files {
		e.Files = append(e.Files, f.Name)
		e.errs = append(e.errs, f.err)
	}
	return e
}

// Error names the first file, its reason and how many more there are.
func (e *RefusedError) Error() string {
	what, made := "refused "+e.Files[0], "nothing was made"
	if n := len(e.Files) - 1; n > 0 {
		what = fmt.Sprintf("%s and %d more files", what, n)
	}
	if e.Made {
		made = "the data directory was made without"
	}
	return fmt.Sprintf("migrate: %s, %s: %v", what, made, e.errs[0])
}

// Unwrap gives the reasons.
func (e *RefusedError) Unwrap() []error { return e.errs }

// Corrupt says whether a file failed its verification, rather than to be
// read.
func (e *RefusedError) Corrupt() bool {
	return errors.Is(errors.Join(e.errs...), checkpoints.ErrMalformed)
}
