package rows

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// chunkBytes holds some seventy rows of 384 numbers: enough that handing a chunk over costs little, small beside a batch.
const chunkBytes = 256 << 10

// chunk is some whole lines of a stream.
type chunk struct {
	text    []byte
	first   int64 // number of its first line, from 1
	size    int64 // bytes of the stream that it stands for
	tooLong bool  // it stands for one line of more than the limit, and has no text
}

// lines calls each with the lines that are not blank, without their line breaks, until it returns false.
func (c *chunk) lines(each func(number int64, line []byte, cut bool) bool) {
	number := c.first
	for rest := c.text; len(rest) > 0; number++ {
		line, cut := rest, true
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			line, rest, cut = rest[:end], rest[end+1:], false
		} else {
			rest = nil
		}
		if !blank(line) && !each(number, line, cut) {
			return
		}
	}
}

// blank tells whether a line is to be ignored.
func blank(line []byte) bool {
	for _, c := range line {
		if !isSpace(c) {
			return false
		}
	}
	return true
}

// cutter cuts a stream into chunks at line breaks.
type cutter struct {
	src   io.Reader
	limit int    // bytes of a line, its line break not counted
	whole bool   // fill chunks, instead of taking what has arrived
	rest  []byte // what was read beyond the last chunk
	next  int64  // number of the first line of rest
	err   error  // of the source
}

func newCutter(src io.Reader, limit int, whole bool) *cutter {
	return &cutter{src: src, limit: limit, whole: whole, next: 1}
}

// fill puts the next lines into c, whose memory is used again. io.EOF ends.
func (l *cutter) fill(c *chunk) error {
	*c = chunk{text: append(slices.Grow(c.text[:0], chunkBytes), l.rest...), first: l.next}
	l.rest = l.rest[:0]
	for seen := 0; ; {
		if end := bytes.LastIndexByte(c.text[seen:], '\n') + 1; end > 0 {
			l.rest = append(l.rest, c.text[seen+end:]...)
			c.text = c.text[:seen+end]
			c.size = int64(len(c.text))
			l.next += int64(bytes.Count(c.text, []byte{'\n'}))
			return nil
		}
		seen = len(c.text)
		switch {
		case l.err != nil && (seen == 0 || !errors.Is(l.err, io.EOF)):
			return l.err
		case l.err != nil: // the last line, without a line break
			c.size = int64(seen)
			return nil
		case seen > l.limit:
			l.skipLine(c)
			return nil
		case seen == cap(c.text):
			c.text = slices.Grow(c.text, seen)
		}
		n := l.read(c.text[seen:cap(c.text)])
		c.text = c.text[:seen+n]
	}
}

// skipLine makes c stand for the line that it holds the beginning of.
func (l *cutter) skipLine(c *chunk) {
	c.tooLong, c.size = true, int64(len(c.text))
	l.next++
	buf := c.text[:chunkBytes]
	c.text = c.text[:0]
	for l.err == nil {
		part := buf[:l.read(buf)]
		if end := bytes.IndexByte(part, '\n') + 1; end > 0 {
			c.size += int64(end)
			l.rest = append(l.rest, part[end:]...)
			return
		}
		c.size += int64(len(part))
	}
}

func (l *cutter) read(buf []byte) (n int) {
	if !l.whole {
		n, l.err = l.src.Read(buf)
	} else if n, l.err = io.ReadFull(l.src, buf); errors.Is(l.err, io.ErrUnexpectedEOF) {
		l.err = io.EOF
	}
	if l.err != nil && !errors.Is(l.err, io.EOF) {
		l.err = fmt.Errorf("read: %w", l.err)
	}
	return n
}
