package rows

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// jsonlReader reads one JSON object a line: one goroutine cuts the input into chunks of lines, several parse them, and
// their rows come out in order.
type jsonlReader struct {
	in       *input
	kind     Kind
	isLabels bool // rows need neither embedding nor outcome, and an embedding is another field to be ignored
	width    widthGuard
	rows     int64
	done     atomic.Int64
	current  *parsed // whose rows come next
	err      error   // final

	begin     sync.Once
	queue     chan *parsed // in order
	free      chan *parsed
	closed    chan struct{}
	closeOnce sync.Once
	closeErr  error
	running   sync.WaitGroup
}

// parsed is a chunk and the rows in it.
type parsed struct {
	chunk
	rows  RowBatch
	at    int           // row that comes next
	err   error         // final, after the rows
	ready chan struct{} // one token: rows and err are there
}

var _ Reader = (*jsonlReader)(nil)

func newJSONL(in *input, kind Kind) *jsonlReader {
	return &jsonlReader{in: in, kind: kind, width: widthGuard{mixed: kind == Replay}, closed: make(chan struct{})}
}

// start makes as many parsers as there are CPUs, and chunks for each to work on, one to be cut and one to be taken from.
func (r *jsonlReader) start() {
	parsers := runtime.GOMAXPROCS(0)
	chunks := parsers + 2
	r.queue, r.free = make(chan *parsed, chunks), make(chan *parsed, chunks)
	work := make(chan *parsed, chunks)
	for range chunks {
		r.free <- &parsed{ready: make(chan struct{}, 1)}
	}
	r.running.Go(func() { r.cut(work) })
	for range parsers {
		r.running.Go(func() {
			d := newDecoder(r.kind)
			d.noEmbedding = r.isLabels
			for p := range work {
				r.parse(d, p)
				p.ready <- struct{}{}
			}
		})
	}
}

// cut hands chunks to the parsers and, in order, to Wait.
func (r *jsonlReader) cut(work chan<- *parsed) {
	defer close(work)
	lines := newCutter(r.in, MaxLine, r.in.regular)
	for {
		var p *parsed
		select {
		case p = <-r.free:
		case <-r.closed:
			return
		}
		p.rows.reset()
		p.at, p.err = 0, lines.fill(&p.chunk)
		for p.err == nil && !p.tooLong && blank(p.text) {
			r.done.Add(p.size) // nothing that a row would have to wait for
			p.err = lines.fill(&p.chunk)
		}
		r.queue <- p
		if p.err != nil {
			p.ready <- struct{}{}
			return
		}
		work <- p
	}
}

// parse turns lines into rows.
func (r *jsonlReader) parse(d *decoder, p *parsed) {
	refuse := func(row *Row, why *fieldError) {
		p.rows.add(row, len(p.rows.numbers), why.at(r.in.name, "line", row.Number))
	}
	row := &d.row
	if p.tooLong {
		row.reset(p.first, kindOp(r.kind))
		refuse(row, errTooLong())
		return
	}
	p.lines(func(number int64, line []byte, cut bool) bool {
		row.reset(number, kindOp(r.kind))
		if len(line) > MaxLine {
			refuse(row, errTooLong())
			return true
		}
		refusal := d.decode(line, row)
		if refusal != nil && cut && errors.Is(refusal.err, ErrTruncated) {
			// No line break either: the file ends here, in the middle of a row. That is about the file, not the row.
			p.err = fmt.Errorf("%s, line %d: %w", r.in.name, number, refusal.err)
			return false
		}
		if refusal == nil && !r.isLabels {
			refusal = complete(row, len(row.Embedding))
		}
		if refusal != nil {
			refuse(row, refusal)
			return true
		}
		start := len(p.rows.numbers)
		p.rows.numbers = append(p.rows.numbers, row.Embedding...)
		p.rows.add(row, start, nil)
		return true
	})
}

func errTooLong() *fieldError {
	return &fieldError{"", fmt.Errorf("%w: a line of more than %d bytes", ErrTooLong, MaxLine)}
}

// Wait implements Reader.
func (r *jsonlReader) Wait() {
	r.begin.Do(r.start)
	for r.err == nil && (r.current == nil || r.current.at == len(r.current.rows.Entries)) {
		if p := r.current; p != nil {
			r.leave(p)
			continue
		}
		select {
		case p := <-r.queue:
			<-p.ready // its parser is at work on it
			r.current = p
		case <-r.closed:
			r.err = fmt.Errorf("%s: read: %w", r.in.name, os.ErrClosed)
		}
	}
}

// leave is done with a chunk whose rows have all been taken.
func (r *jsonlReader) leave(p *parsed) {
	r.done.Add(p.size)
	switch {
	case errors.Is(p.err, ErrTruncated):
		r.err = p.err
	case errors.Is(p.err, io.EOF):
		r.err = r.end()
	case p.err != nil:
		r.err = fmt.Errorf("%s: %w", r.in.name, p.err)
	}
	r.current = nil
	if cap(p.text) > 2*chunkBytes {
		p.text = nil // not kept for one long line
	}
	r.free <- p
}

// next is the next row, and its embedding. It is valid until the next call.
func (r *jsonlReader) next() (*Entry, []float32, error) {
	r.Wait()
	if r.err != nil {
		return nil, nil, r.err
	}
	p := r.current
	e, embedding := &p.rows.Entries[p.at], p.rows.embedding(p.at)
	p.at++
	r.rows++
	return e, embedding, nil
}

// Append implements Reader.
func (r *jsonlReader) Append(b *RowBatch, limit int) error {
	for range limit {
		e, embedding, err := r.next()
		if err != nil {
			return err
		}
		refusal, start := e.Err, len(b.numbers)
		if refusal == nil {
			if why := r.width.check(&e.Row, len(embedding), "line"); why != nil {
				refusal = why.at(r.in.name, "line", e.Number)
			} else {
				b.numbers = append(b.numbers, embedding...)
			}
		}
		b.add(&e.Row, start, refusal)
		if r.current.at == len(r.current.rows.Entries) {
			return nil // what comes next may have to be waited for, or be much
		}
	}
	return nil
}

// end tells a finished file from one that became shorter while it was read.
func (r *jsonlReader) end() error {
	if got := r.done.Load(); got < r.in.size {
		return fmt.Errorf("%s: %w: expected %d bytes, got %d", r.in.name, ErrTruncated, r.in.size, got)
	}
	if r.rows == 0 {
		return fmt.Errorf("%s %w", r.in.name, ErrNoRows)
	}
	return io.EOF
}

// Size implements Reader.
func (r *jsonlReader) Size() int64 { return r.in.size }

// Done implements Reader.
func (r *jsonlReader) Done() int64 { return r.done.Load() }

// Streaming implements Reader.
func (r *jsonlReader) Streaming() bool { return !r.in.regular }

// Buffered implements Reader. Every chunk has a row, a refusal or an end.
func (r *jsonlReader) Buffered() bool {
	return r.err == nil && (r.current != nil && r.current.at < len(r.current.rows.Entries) || len(r.queue) > 0)
}

// Close implements Reader.
func (r *jsonlReader) Close() error {
	r.closeOnce.Do(func() {
		close(r.closed)
		r.closeErr = r.in.Close()
		if r.in.regular {
			r.running.Wait()
		}
	})
	return r.closeErr
}
