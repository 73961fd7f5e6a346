package migrate

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
)

// maxUnknownRows bounds the unknown keys of a policy that a table lists; the
// JSON has them all.
const maxUnknownRows = 40

// WriteTable writes the report for a person: a line a file, below it what of
// it was not taken as it is, then the settings and the warnings.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "RESULT\tFILE\tKIND\tIN THE DATA DIRECTORY\tWHAT")
	for i := range r.Files {
		f := &r.Files[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", f.Result, plain(f.Name), orDash(string(f.Kind)), orDash(f.To), plain(f.How))
		taken := 0
		for _, item := range f.Items {
			if item.Result == Taken {
				taken++
				continue
			}
			fmt.Fprintf(t, "%s\t  %s\t%s\t\t%s\n", item.Result, plain(item.Key), item.shape(), plain(item.How))
		}
		if taken > 0 {
			fmt.Fprintf(t, "%s\t  %d tensors and values\t\t\tbit for bit\n", Taken, taken)
		}
	}
	r.settingRows(t)
	if err := t.Flush(); err != nil {
		return err
	}
	for _, warning := range r.Warnings {
		if _, err := fmt.Fprintf(w, "WARNING: %s\n", plain(warning)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d taken, %d changed, %d refused, %d unknown; %s\n",
		r.Counts[Taken], r.Counts[Changed], r.Counts[Refused], r.Counts[Unknown], r.outcome())
	return err
}

func (r *Report) settingRows(w io.Writer) {
	if len(r.Settings) == 0 {
		return
	}
	fmt.Fprintln(w, "\t\t\t\t")
	fmt.Fprintln(w, "RESULT\tSETTING\tPOLICY\tVALUE\tWHAT")
	unknown := 0
	for _, s := range r.Settings {
		if s.Result == Unknown {
			if unknown++; unknown > maxUnknownRows {
				continue
			}
		}
		how := s.How
		if s.Loosens {
			how = strings.TrimSuffix("LOOSENS SAFETY; "+how, "; ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Result, orDash(s.Setting), orDash(plain(s.Policy)), orDash(plain(s.Value)), plain(how))
	}
	if more := unknown - maxUnknownRows; more > 0 {
		fmt.Fprintf(w, "%s\t-\t%d more keys\t\t--report lists them\n", Unknown, more)
	}
}

// outcome says in a few words what there is now.
func (r *Report) outcome() string {
	switch {
	case r.Made:
		return "made " + r.To
	case r.DryRun:
		return "dry run, nothing was written"
	default:
		return "nothing was made"
	}
}

func (i *Item) shape() string {
	if i.DType == "" {
		return ""
	}
	return fmt.Sprintf("%s %v", i.DType, i.Shape)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// plain keeps what a file or a folder says from moving the cursor of a
// terminal, the columns of the table or the direction of the text.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
