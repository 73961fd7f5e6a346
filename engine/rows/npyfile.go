package rows

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

// npyReader reads the rows of a [N, d] array, with the lines of a labels file beside them if there is one.
type npyReader struct {
	in     *input
	array  *npy.Reader
	labels *labels // nil for none
	kind   Kind
	next   int64
	done   atomic.Int64
	err    error // final
}

var _ Reader = (*npyReader)(nil)

func newNPY(in *input, o Options) (*npyReader, error) {
	array, err := npy.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.name, err)
	}
	header := array.Header()
	if err := checkEmbedding(in.name, header); err != nil {
		return nil, err
	}
	if in.size >= 0 {
		// The same as reading would find, but before any row is judged.
		if start := in.size - header.DataBytes(); start < int64(npyMinHeader) {
			return nil, fmt.Errorf("%s: %w: expected %d bytes of rows and a header, got a file of %d bytes", in.name, ErrTruncated, header.DataBytes(), in.size)
		}
	}
	r := &npyReader{in: in, array: array, kind: o.Kind}
	if o.Labels == "" {
		if o.Kind == Record {
			return nil, fmt.Errorf("%s: is_safe and label %w: a .npy holds none, expected --labels FILE.jsonl", in.name, ErrMissing)
		}
		return r, nil
	}
	if r.labels, err = openLabels(o.Labels, in.name, header.Rows()); err != nil {
		return nil, err
	}
	return r, nil
}

// npyMinHeader is the least a header can take: magic, version, length and a dictionary.
const npyMinHeader = 10 + len("{'descr':'<f4','fortran_order':False,'shape':(1,1)}")

func checkEmbedding(name string, header npy.Header) error {
	if header.DType.Kind != npy.Float {
		return fmt.Errorf("%s: embedding: %w: dtype %s, expected '<f4' or '<f8'", name, ErrType, header.DType)
	}
	if len(header.Shape) != 2 {
		return fmt.Errorf("%s: embedding: %w: shape %v, expected [rows, width]", name, ErrWidth, header.Shape)
	}
	if header.Rows() == 0 {
		return fmt.Errorf("%s %w: shape %v", name, ErrNoRows, header.Shape)
	}
	if w := header.Width(); w < 1 || w > MaxWidth {
		return fmt.Errorf("%s: embedding: %w: %d elements a row, expected 1 to %d", name, ErrWidth, w, MaxWidth)
	}
	return nil
}

// Next implements Reader.
func (r *npyReader) Next(row *Row) error {
	if r.err != nil {
		return r.err
	}
	row.reset(r.next, kindOp(r.kind))
	if err := r.array.Next(); err != nil {
		return r.end(err)
	}
	r.next++
	r.done.Store(r.next)
	var refusal error
	if r.labels != nil {
		if refusal = r.labels.next(row); refusal != nil {
			var bad *RowError
			if !errors.As(refusal, &bad) {
				r.err = refusal
				return r.err
			}
		}
	}
	if row.ID.IsZero() {
		row.ID = IntID(row.Number)
	}
	row.Embedding = r.array.Float32s(row.Embedding[:0])
	if refusal != nil {
		return refusal
	}
	problem := finite(row.Embedding)
	if problem == nil {
		problem = complete(row)
	}
	if problem != nil {
		return problem.at(r.in.name, "row", row.Number)
	}
	return nil
}

func (r *npyReader) end(err error) error {
	r.err = fmt.Errorf("%s: %w", r.in.name, err)
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		r.err = io.EOF
		if r.labels != nil {
			if err := r.labels.end(); err != nil {
				r.err = err
			}
		}
	}
	return r.err
}

// finite finds the first number that is none.
func finite(embedding []float32) *fieldError {
	for i, v := range embedding {
		if v-v != 0 { // NaN for NaN and infinities
			what := "NaN"
			if !math.IsNaN(float64(v)) {
				what = "infinity, or outside float32"
			}
			return &fieldError{"embedding", fmt.Errorf("element %d: %w: %s, expected a finite number", i, ErrRange, what)}
		}
	}
	return nil
}

// Size implements Reader.
func (r *npyReader) Size() int64 { return r.array.Header().Rows() }

// Done implements Reader.
func (r *npyReader) Done() int64 { return r.done.Load() }

// Streaming implements Reader.
func (r *npyReader) Streaming() bool {
	return !r.in.regular || r.labels != nil && r.labels.lines.Streaming()
}

// Buffered implements Reader.
func (r *npyReader) Buffered() bool {
	return r.err == nil && r.array.Buffered() && (r.labels == nil || !r.labels.lines.Streaming() || r.labels.lines.Buffered())
}

// Close implements Reader.
func (r *npyReader) Close() error {
	err := r.in.Close()
	if r.labels != nil {
		err = errors.Join(err, r.labels.lines.Close())
	}
	return err
}
