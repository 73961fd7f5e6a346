package rows

import (
	"errors"
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

// spoolCheck is how many rows may go by before an error of the spool is noticed.
const spoolCheck = 1024

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

// kind is the element type of the field's array.
func (f Field) kind() npy.Kind {
	var r Result
	if _, ok := f.number(&r); ok {
		return npy.Float
	}
	if _, ok := f.flag(&r); ok {
		return npy.Bool
	}
	if _, ok := f.integer(&r); ok || f == FieldViolations {
		return npy.Int
	}
	return npy.Text
}

// idColumn holds ids as texts until it is known whether all are integers that fit an int64.
type idColumn struct {
	*npy.Column
	texts bool // some are not
}

func (c *idColumn) add(id ID) {
	if _, ok := id.Int64(); !ok {
		c.texts = true
	}
	c.AppendText(id.String())
}

func (c *idColumn) finish() {
	if !c.texts {
		c.TextAsInt64()
	}
}

// npzWriter writes one array a field, and violation_names.
type npzWriter struct {
	archiveSink
	fields  []Field
	columns []*npy.Column // beside fields
	id      *idColumn     // nil when id is not asked for
	rows    int64
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
		switch f {
		case FieldID:
			w.id = &idColumn{Column: c}
		case FieldViolations:
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
	for i := range results {
		for j, f := range w.fields {
			w.add(w.columns[j], f, &results[i])
		}
		w.rows++
		if w.rows%spoolCheck == 0 || i == len(results)-1 {
			if err := w.spoolError(); err != nil {
				return err
			}
		}
	}
	return nil
}

// spoolError tells early of a full disk.
func (w *npzWriter) spoolError() error {
	for _, c := range w.columns {
		if err := c.Err(); err != nil {
			return fmt.Errorf("write %s: %w", w.Name, err)
		}
	}
	return nil
}

func (w *npzWriter) add(c *npy.Column, f Field, r *Result) {
	if v, ok := f.number(r); ok {
		c.AppendFloat32(v)
	} else if v, ok := f.flag(r); ok {
		c.AppendBool(v)
	} else if v, ok := f.integer(r); ok {
		c.AppendInt64(v)
	} else if v, ok := f.text(r); ok {
		c.AppendText(v)
	} else if f == FieldID {
		w.id.add(r.ID)
	} else {
		c.AppendInt64(r.ViolationMask)
	}
}

// Commit settles the type of the ids and writes the archive.
func (w *npzWriter) Commit() error {
	if w.id != nil && !w.over {
		w.id.finish()
	}
	return w.archiveSink.Commit()
}
