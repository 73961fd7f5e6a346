package main

import (
	"github.com/fdqc-cockpit/fdqc/engine/rows"
)

// behind writes results on a goroutine of its own, so that a batch is judged
// while the one before it is written.
type behind struct {
	writer     rows.Writer
	free, full chan *answers
	failed     chan struct{} // closed after the first error
	done       chan struct{} // closed when the goroutine has ended
	err        error
}

// newBehind starts the goroutine, which finish ends.
func newBehind(writer rows.Writer) *behind {
	b := &behind{
		writer: writer, free: make(chan *answers, 2), full: make(chan *answers, 2),
		failed: make(chan struct{}), done: make(chan struct{}),
	}
	b.free <- new(answers)
	b.free <- new(answers)
	go b.run()
	return b
}

func (b *behind) run() {
	defer close(b.done)
	for a := range b.full {
		if b.err == nil {
			if b.err = b.writer.Write(a.results); b.err != nil {
				close(b.failed)
			}
		}
		b.free <- a
	}
}

// next gives answers to fill, which write takes; it waits while both are
// still to be written. Its error is of a write before.
func (b *behind) next() (*answers, error) {
	select {
	case a := <-b.free:
		select {
		case <-b.failed:
			return nil, b.err
		default:
			return a, nil
		}
	case <-b.failed:
		return nil, b.err
	}
}

// write hands answers over.
func (b *behind) write(a *answers) { b.full <- a }

// finish waits until all is written and answers the first error. It may be
// called again.
func (b *behind) finish() error {
	select {
	case <-b.done:
	default:
		close(b.full)
		<-b.done
	}
	return b.err
}
