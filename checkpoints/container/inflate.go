package container

import (
	"compress/flate"
	"errors"
	"fmt"
	"io"
)

// checkInflated compares what the directory says that deflated records take with the limits, before any memory is taken.
func checkInflated(entries []entry, limits Limits) error {
	var total int64
	for _, e := range entries {
		if e.method != methodDeflate {
			continue
		}
		if e.size > freeInflated && e.size/limits.Ratio > e.packed {
			return refuse(e.at, "record %q inflates from %d to %d bytes, at most %d times as many are accepted", e.name, e.packed, e.size, limits.Ratio)
		}
		if total += e.size; e.size > limits.Inflated || total > limits.Inflated {
			return refuse(e.at, "record %q and those before it inflate to %d bytes, at most %d are accepted", e.name, total, limits.Inflated)
		}
	}
	return nil
}

// inflate reads a raw deflate stream of exactly size bytes that fills packed.
func inflate(packed []byte, size int64) ([]byte, error) {
	out := make([]byte, size)
	in := &stream{data: packed}
	r := flate.NewReader(in)
	for in.out < len(out) {
		n, err := r.Read(out[in.out:])
		in.out += n
		if errors.Is(err, io.EOF) && in.out < len(out) {
			return nil, fmt.Errorf("deflated data ends after %d of %d bytes", in.out, size)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("inflate byte %d of %d: %w", in.out, size, err)
		}
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("deflated data does not end after %d bytes", size)
	}
	if in.at != len(packed) {
		return nil, fmt.Errorf("%d bytes follow the deflated data", len(packed)-in.at)
	}
	return out, nil
}

// stream gives a deflate stream byte by byte, so that none is read beyond its end. A stream that is much longer than what
// comes out of it is made of empty blocks, each of which costs time.
type stream struct {
	data []byte
	at   int
	out  int // bytes that came out so far
}

func (s *stream) ReadByte() (byte, error) {
	if s.at >= len(s.data) {
		return 0, io.ErrUnexpectedEOF
	}
	// What came out lags by the window of 32 KiB.
	if s.at > s.out+s.out/8+1<<17 {
		return 0, errors.New("deflated data is longer than what it holds")
	}
	s.at++
	return s.data[s.at-1], nil
}

// Read makes a stream an io.Reader; stored blocks are read by it.
func (s *stream) Read(b []byte) (int, error) {
	if s.at >= len(s.data) {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(b, s.data[s.at:])
	s.at += n
	return n, nil
}
