package rows

import (
	"strconv"
	"unicode/utf8"
)

// parquetResults writes one column a field.
type parquetResults struct {
	*table
	fields []Field
	id     *tableColumn // nil when it is not asked for
}

var _ Writer = (*parquetResults)(nil)

func newParquetWriter(out *Output, o WriterOptions) (*parquetResults, error) {
	w := &parquetResults{fields: o.Fields}
	var columns []*tableColumn
	for _, f := range o.Fields {
		var r Result
		c := &tableColumn{name: f.String()}
		if _, ok := f.number(&r); ok {
			c.kind, c.nulls = numberColumn, true
		} else if _, ok := f.flag(&r); ok {
			c.kind = flagColumn
		} else if _, ok := f.integer(&r); ok {
			c.kind, c.nulls = integerColumn, true
		} else if _, ok := f.text(&r); ok {
			c.kind, c.nulls = textColumn, f == FieldError
		} else if f == FieldViolations {
			c.kind = textsColumn
		} else {
			c.kind, c.nulls = integerColumn, true // until an id comes that is none
			w.id = c
		}
		columns = append(columns, c)
	}
	t, err := newTable(out, o.SpoolDir, columns...)
	w.table = t
	return w, err
}

func (w *parquetResults) Write(results []Result) error {
	for i := range results {
		r := &results[i]
		if _, integer := r.ID.Int64(); w.id != nil && w.id.kind == integerColumn && !integer && !r.ID.IsZero() {
			if err := w.retype(w.idToText); err != nil {
				return err
			}
		}
		weight := 0
		for j, f := range w.fields {
			weight += w.add(w.columns[j], f, r)
		}
		if err := w.row(weight); err != nil {
			return err
		}
	}
	return nil
}

// idToText makes the column of ids one of texts, and its integers decimals.
func (w *parquetResults) idToText() {
	w.id.kind = textColumn
	for _, n := range w.id.integers {
		w.id.addText(strconv.FormatInt(n, 10))
	}
	w.id.integers = w.id.integers[:0]
}

// add appends a field of a result and answers about how many bytes that is.
func (w *parquetResults) add(c *tableColumn, f Field, r *Result) int {
	switch c.kind {
	case numberColumn:
		if v, _ := f.number(r); !c.null(v != v) {
			c.numbers = append(c.numbers, v)
		}
		return 4
	case flagColumn:
		v, _ := f.flag(r)
		c.flags = append(c.flags, v)
		return 1
	case textsColumn:
		violations := r.violations()
		c.elements(len(violations))
		for _, text := range violations {
			c.addText(text)
		}
		return 64 * (1 + len(violations))
	case integerColumn:
		v, _ := f.integer(r)
		known := v >= 0
		if f == FieldID {
			v, known = r.ID.Int64()
		}
		if !c.null(!known) {
			c.integers = append(c.integers, v)
		}
		return 8
	}
	text, _ := f.text(r)
	if f == FieldID {
		text = r.ID.String()
	}
	if !c.null(f == FieldID && r.ID.IsZero() || f == FieldError && text == "") {
		c.addText(validText(text))
	}
	return 32 + len(text)
}

// validText makes what is not UTF-8 U+FFFD, as in .jsonl.
func validText(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
}

// parquetPatterns writes one column a field; vector is a list.
type parquetPatterns struct {
	*table
	width int
}

var _ PatternWriter = (*parquetPatterns)(nil)

func newParquetPatterns(out *Output, width int, spoolDir string) (*parquetPatterns, error) {
	t, err := newTable(out, spoolDir,
		&tableColumn{name: "pattern_id", kind: integerColumn}, &tableColumn{name: "side", kind: textColumn},
		&tableColumn{name: "sequence", kind: integerColumn}, &tableColumn{name: "timestamp", kind: integerColumn},
		&tableColumn{name: "importance", kind: numberColumn}, &tableColumn{name: "vector", kind: vectorColumn})
	return &parquetPatterns{t, width}, err
}

func (w *parquetPatterns) Write(patterns []Pattern) error {
	for i := range patterns {
		p := &patterns[i]
		if err := checkVector(p, w.width); err != nil {
			return err
		}
		w.columns[0].integers = append(w.columns[0].integers, p.PatternID)
		w.columns[1].addText(string(p.Side))
		w.columns[2].integers = append(w.columns[2].integers, p.Sequence)
		w.columns[3].integers = append(w.columns[3].integers, p.Timestamp)
		w.columns[4].numbers = append(w.columns[4].numbers, p.Importance)
		w.columns[5].elements(len(p.Vector))
		w.columns[5].numbers = append(w.columns[5].numbers, p.Vector...)
		if err := w.row(64 + 8*len(p.Vector)); err != nil {
			return err
		}
	}
	return nil
}
