package rows

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
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

// Wait implements Reader.
func (r *npyReader) Wait() {
	if r.Streaming() {
		r.array.Wait()
		if r.labels != nil {
			r.labels.lines.Wait()
		}
	}
}

// Append implements Reader.
func (r *npyReader) Append(b *RowBatch, limit int) error {
	if r.err != nil {
		return r.err
	}
	switch {
	case r.labels != nil && r.labels.lines.Streaming():
		limit = 1 // its next line may have to be waited for
	case !r.in.regular:
		limit = min(limit, max(1, int(r.array.Ready())))
	}
	start := len(b.numbers)
	n, err := readMatrix(b, r.array, limit)
	if err != nil {
		return r.end(err)
	}
	b.numbers = b.numbers[:start]
	if r.labels == nil {
		appendMatrix(b, r.in.name, r.next, r.kind, n, int(r.array.Header().Width()), nil)
	} else {
		var failed error
		n = appendMatrix(b, r.in.name, r.next, r.kind, n, int(r.array.Header().Width()), func(row *Row) (*RowError, bool) {
			refusal, err := r.labels.next(row)
			failed = err
			return refusal, err == nil
		})
		r.err = failed
	}
	r.next += int64(n)
	r.done.Store(r.next)
	return r.err
}

// readMatrix reads at most limit rows behind the numbers of b, which the caller then takes or cuts off.
func readMatrix(b *RowBatch, array *npy.Reader, limit int) (int, error) {
	width := int(array.Header().Width())
	limit = max(1, min(limit, batchNumbers/width))
	start := len(b.numbers)
	b.numbers = slices.Grow(b.numbers, limit*width)[:start+limit*width]
	n, err := array.Rows(b.numbers[start:])
	b.numbers = b.numbers[:start+n*width]
	return n, err
}

// appendMatrix appends count rows of an array, which lie behind the numbers of b. Nil fields means bare rows; otherwise
// fields completes each row, refuses it, or ends the rows before it; how many there were is answered.
func appendMatrix(b *RowBatch, name string, first int64, kind Kind, count, width int, fields func(*Row) (*RowError, bool)) int {
	start := len(b.numbers)
	matrix := b.numbers[start : start+count*width]
	if fields == nil && len(b.Entries) == 0 && allFinite(matrix) {
		b.numbers = b.numbers[:start+len(matrix)]
		b.addBare(first, count, width)
		return count
	}
	b.spell(kindOp(kind))
	var row Row
	for i := range count {
		row.reset(first+int64(i), kindOp(kind))
		var refusal *RowError
		if fields != nil {
			var ok bool
			if refusal, ok = fields(&row); !ok {
				return i
			}
		}
		if row.ID.IsZero() {
			row.ID = IntID(row.Number)
		}
		embedding := matrix[i*width : (i+1)*width]
		if refusal == nil {
			problem := finite(embedding)
			if problem == nil {
				problem = complete(&row, width)
			}
			if problem != nil {
				refusal = problem.at(name, "row", row.Number)
			}
		}
		start := len(b.numbers)
		if refusal == nil {
			b.numbers = append(b.numbers, embedding...) // in place unless a row before it was refused
		}
		b.add(&row, start, refusal)
	}
	return count
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
	if allFinite(embedding) {
		return nil
	}
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
	return r.err == nil && (r.in.regular && r.next < r.Size() || r.array.Ready() > 0) &&
		(r.labels == nil || !r.labels.lines.Streaming() || r.labels.lines.Buffered())
}

// Close implements Reader.
func (r *npyReader) Close() error {
	err := r.in.Close()
	if r.labels != nil {
		err = errors.Join(err, r.labels.lines.Close())
	}
	return err
}
