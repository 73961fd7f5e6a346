package rows

import (
	"errors"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

// archiveSink spools columns and writes them to the output as one .npz at Commit.
type archiveSink struct {
	*Output
	archive *npy.ArchiveWriter
	over    bool
}

// column adds an array; width 0 makes a vector.
func (s *archiveSink) column(name string, dtype npy.DType, width int) (*npy.Column, error) {
	return s.archive.Column(name, dtype, width)
}

// Commit assembles the archive and finishes the sink.
func (s *archiveSink) Commit() error {
	if s.over {
		return errors.New("commit output: it is finished already")
	}
	if err := s.archive.Finish(s.Sink); err != nil {
		return fmt.Errorf("write %s: %w", s.Name, err)
	}
	s.over = true
	if err := errors.Join(s.Sink.Commit(), s.archive.Close()); err != nil {
		return fmt.Errorf("finish %s: %w", s.Name, err)
	}
	return nil
}

// Abort gives the sink and the spooled columns up.
func (s *archiveSink) Abort() error {
	if s.over {
		return nil
	}
	s.over = true
	return errors.Join(s.Sink.Abort(), s.archive.Close())
}

func dtypeOf(kind npy.Kind) npy.DType {
	switch kind {
	case npy.Float:
		return npy.DType{Kind: npy.Float, Size: 4}
	case npy.Int:
		return npy.DType{Kind: npy.Int, Size: 8}
	case npy.Bool:
		return npy.DType{Kind: npy.Bool, Size: 1}
	}
	return npy.DType{Kind: npy.Text}
}

// kind is the element type of the field's array. Ids are integers until one comes that is none.
func (f Field) kind() npy.Kind {
	var r Result
	if _, ok := f.number(&r); ok {
		return npy.Float
	}
	if _, ok := f.flag(&r); ok {
		return npy.Bool
	}
	if _, ok := f.text(&r); ok {
		return npy.Text
	}
	return npy.Int
}

// npzWriter writes one array a field, and violation_names.
type npzWriter struct {
	archiveSink
	fields  []Field
	columns []*npy.Column // beside fields
	texts   bool          // ids are texts

	// Of one column of the results in hand, used again.
	numbers  []float32
	flags    []bool
	integers []int64
}

var _ Writer = (*npzWriter)(nil)

func newNPZWriter(out *Output, o WriterOptions) (*npzWriter, error) {
	w := &npzWriter{archiveSink: archiveSink{Output: out, archive: npy.NewArchiveWriter(o.SpoolDir)}, fields: o.Fields}
	if err := w.open(o); err != nil {
		return nil, errors.Join(fmt.Errorf("create output %s: %w", out.Name, err), w.Abort())
	}
	return w, nil
}

func (w *npzWriter) open(o WriterOptions) error {
	for _, f := range w.fields {
		c, err := w.column(f.String(), dtypeOf(f.kind()), 0)
		if err != nil {
			return err
		}
		w.columns = append(w.columns, c)
		if f == FieldViolations {
			names, err := w.column("violation_names", dtypeOf(npy.Text), 0)
			if err != nil {
				return err
			}
			for _, name := range o.ViolationNames {
				names.AppendText(name)
			}
		}
	}
	return nil
}

func (w *npzWriter) Write(results []Result) error {
	for i, f := range w.fields {
		c := w.columns[i]
		switch f.kind() {
		case npy.Float:
			w.numbers = w.numbers[:0]
			for j := range results {
				v, _ := f.number(&results[j])
				w.numbers = append(w.numbers, v)
			}
			c.AppendFloat32(w.numbers...)
		case npy.Bool:
			w.flags = w.flags[:0]
			for j := range results {
				v, _ := f.flag(&results[j])
				w.flags = append(w.flags, v)
			}
			c.AppendBool(w.flags...)
		case npy.Text:
			for j := range results {
				text, _ := f.text(&results[j])
				c.AppendText(text)
			}
		default:
			w.writeIntegers(c, f, results)
		}
		// A full disk is told of early.
		if err := c.Err(); err != nil {
			return fmt.Errorf("write %s: %w", w.Name, err)
		}
	}
	return nil
}

// writeIntegers writes pattern ids, violations, or ids for as long as all are integers.
func (w *npzWriter) writeIntegers(c *npy.Column, f Field, results []Result) {
	w.integers = w.integers[:0]
	for i := range results {
		r := &results[i]
		v, known := f.integer(r)
		switch {
		case known:
		case f == FieldViolations:
			v = r.ViolationMask
		default:
			if v, known = r.ID.Int64(); !known && !w.texts {
				c.AppendInt64(w.integers...)
				c.ToText()
				w.texts = true
			}
			if w.texts {
				c.AppendText(r.ID.String())
				continue
			}
		}
		w.integers = append(w.integers, v)
	}
	if len(w.integers) > 0 && !(f == FieldID && w.texts) {
		c.AppendInt64(w.integers...)
	}
}
