package rows

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// lineBuffer holds some twenty rows of 384 numbers; longer lines are gathered beside it.
const lineBuffer = 256 << 10

// lineReader cuts a stream into lines of at most max bytes.
type lineReader struct {
	src    *bufio.Reader
	max    int
	long   []byte // a line that does not fit the buffer
	number int64  // of the line returned last, from 1
	done   atomic.Int64
	cut    bool // the line returned last has no line break
}

func newLineReader(src io.Reader, limit int) *lineReader {
	return &lineReader{src: bufio.NewReaderSize(src, lineBuffer), max: limit}
}

// next returns the next line without its line break, blank lines skipped but counted. It is valid until the next call.
// io.EOF ends; ErrTooLong is about this line only, the rest of which is skipped.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.read()
		if err != nil && !errors.Is(err, ErrTooLong) {
			return nil, err
		}
		l.number++
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimLeft(line, " \t\r")) > 0 {
			return line, nil
		}
	}
}

func (l *lineReader) read() ([]byte, error) {
	l.long = l.long[:0]
	tooLong := false
	for {
		part, err := l.src.ReadSlice('\n')
		l.done.Add(int64(len(part)))
		full := errors.Is(err, bufio.ErrBufferFull)
		atEnd := errors.Is(err, io.EOF)
		if err != nil && !full && !atEnd {
			return nil, fmt.Errorf("read: %w", err)
		}
		if atEnd && len(part) == 0 && len(l.long) == 0 && !tooLong {
			return nil, io.EOF
		}
		l.cut = atEnd
		if !full && !atEnd {
			part = part[:len(part)-1]
		}
		if len(l.long)+len(part) > l.max {
			tooLong = true
			l.long = l.long[:0]
		}
		switch {
		case tooLong && full:
			continue
		case tooLong:
			return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrTooLong, l.max)
		case full:
			l.long = append(l.long, part...)
		case len(l.long) == 0:
			return part, nil
		default:
			l.long = append(l.long, part...)
			return l.long, nil
		}
	}
}

// buffered tells whether a whole line that is not blank has arrived, so that next need not read.
func (l *lineReader) buffered() bool {
	rest, _ := l.src.Peek(l.src.Buffered())
	for {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return false
		}
		if len(bytes.TrimLeft(rest[:end], " \t\r")) > 0 {
			return true
		}
		rest = rest[end+1:]
	}
}
