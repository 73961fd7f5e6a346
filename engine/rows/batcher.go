package rows

import (
	"context"
	"sync"
	"time"
)

const (
	// batchNumbers and batchTexts end a batch, whatever its size in rows: 64 MiB each.
	batchNumbers = 16 << 20
	batchTexts   = 64 << 20
	// maxBatches are alive at once: two with the caller, one waiting, one being filled.
	maxBatches = 4
	// eagerWait is how long a row may wait for others that have arrived with it. Answers are due within 10 ms.
	eagerWait = 4 * time.Millisecond
)

// BatchOptions say how a Batcher cuts rows into batches.
type BatchOptions struct {
	// Size is the most rows of a batch, at least 1.
	Size int
	// Eager hands over what has arrived instead of waiting for Size rows: for inputs that are Streaming.
	Eager bool
	// StopAtRefused ends the rows at the first refused one: Next returns it as a *RowError, after all rows before it.
	// Otherwise refused rows are entries with an Err, in their place.
	StopAtRefused bool
}

// Batcher reads a Reader on a goroutine of its own, one batch ahead. Its memory is bounded by four batches.
type Batcher struct {
	reader Reader
	opts   BatchOptions

	mu      sync.Mutex
	current *RowBatch   // gathers rows
	filling bool        // the goroutine adds to current
	ready   bool        // current may be handed over as it is
	full    []*RowBatch // in order, before current
	free    []*RowBatch
	made    int
	end     error // final; delivered after the rows

	more, room chan struct{} // one token: look again
	closed     chan struct{}
	closeOnce  sync.Once
	closeErr   error
	finished   chan struct{}
}

// NewBatcher starts reading. It owns r; Close must be called.
func NewBatcher(r Reader, o BatchOptions) *Batcher {
	o.Size = max(o.Size, 1)
	b := &Batcher{
		reader: r, opts: o,
		more: make(chan struct{}, 1), room: make(chan struct{}, 1),
		closed: make(chan struct{}), finished: make(chan struct{}),
	}
	go b.fill()
	return b
}

// Next returns the next rows, at least one. After the last it returns io.EOF, the *RowError that rows stop at, or the
// reader's final error, each time. It waits for rows until ctx ends, then returns its error; rows are not lost by that.
// The caller may hold two batches; while it holds more, Next waits for a Release.
func (b *Batcher) Next(ctx context.Context) (*RowBatch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if batch, err := b.take(); batch != nil || err != nil {
			return batch, err
		}
		select {
		case <-ctx.Done():
		case <-b.more:
		}
	}
}

// take is Next without waiting; nil, nil when there is nothing yet.
func (b *Batcher) take() (*RowBatch, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch *RowBatch
	switch {
	case len(b.full) > 0:
		batch = b.full[0]
		b.full = append(b.full[:0], b.full[1:]...)
	case b.current != nil && !b.filling && (b.ready || b.end != nil):
		batch = b.current
		b.current, b.ready = nil, false
	case b.current != nil:
		return nil, nil
	default:
		return nil, b.end
	}
	batch.seal()
	return batch, nil
}

// Close stops reading and closes the reader. It waits for the goroutine unless the input is Streaming: a read that the
// system cannot wake (a terminal) then ends with its next byte, and its rows are dropped. It may be called again.
func (b *Batcher) Close() error {
	b.closeOnce.Do(func() {
		close(b.closed)
		if !b.reader.Streaming() {
			<-b.finished
		}
		b.closeErr = b.reader.Close()
	})
	return b.closeErr
}

// fill is the goroutine.
func (b *Batcher) fill() {
	defer close(b.finished)
	var first time.Time // when the oldest row of current came
	for {
		b.reader.Wait() // without current, which Next may take meanwhile
		batch := b.acquire()
		if batch == nil {
			return
		}
		if b.opts.Eager && batch.Len() == 0 {
			first = time.Now()
		}
		err := b.reader.Append(batch, b.opts.Size-batch.Len())
		if b.opts.StopAtRefused && batch.refused > 0 {
			err = batch.cut()
		}
		hurry := b.opts.Eager && (!b.reader.Buffered() || time.Since(first) >= eagerWait)
		if b.put(batch, hurry, err) {
			return
		}
	}
}

// acquire gives the batch to add to, waiting for a Release when too many are out; nil once the Batcher is closed. Until
// put, nobody else takes it.
func (b *Batcher) acquire() *RowBatch {
	for {
		select {
		case <-b.closed:
			return nil
		default:
		}
		b.mu.Lock()
		switch {
		case b.current != nil:
		case len(b.free) > 0:
			b.current = b.free[len(b.free)-1]
			b.free = b.free[:len(b.free)-1]
		case b.made < maxBatches:
			b.current = &RowBatch{owner: b}
			b.made++
		}
		batch := b.current
		b.filling = batch != nil
		b.mu.Unlock()
		if batch != nil {
			return batch
		}
		select {
		case <-b.room:
		case <-b.closed:
			return nil
		}
	}
}

// put makes current available: as a full batch, as one in a hurry, or as the last, after which err is all there is.
func (b *Batcher) put(batch *RowBatch, hurry bool, err error) (ended bool) {
	b.mu.Lock()
	b.filling, b.end = false, err
	switch {
	case batch.Len() == 0:
		b.free = append(b.free, batch)
		b.current, b.ready = nil, false
	case batch.Len() >= b.opts.Size || len(batch.numbers) >= batchNumbers || batch.texts >= batchTexts:
		b.full = append(b.full, batch)
		b.current, b.ready = nil, false
	default:
		b.ready = b.ready || hurry
	}
	tell := len(b.full) > 0 || b.ready || err != nil
	b.mu.Unlock()
	if tell {
		wake(b.more)
	}
	return err != nil
}

func (b *Batcher) release(batch *RowBatch) {
	batch.reset()
	b.mu.Lock()
	b.free = append(b.free, batch)
	b.mu.Unlock()
	wake(b.room)
}

func wake(signal chan struct{}) {
	select {
	case signal <- struct{}{}:
	default: // a token is there already
	}
}
