package safetensors

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Source is an array to be written.
type Source struct {
	Name  string
	DType DType
	Shape []int64
	// Write writes the elements, exactly as many as type and shape demand. It is called once, in the order of the file.
	Write func(io.Writer) error
}

// Source writes the array again.
func (a Array) Source() Source {
	return Source{a.Name, a.DType, a.Shape, func(w io.Writer) error {
		_, err := w.Write(a.Data)
		return err
	}}
}

// Order is the order in which Write writes arrays, for slices.SortFunc.
func Order(a, b Source) int {
	return cmp.Or(-cmp.Compare(a.DType.rank(), b.DType.rank()), strings.Compare(a.Name, b.Name))
}

// Write writes a file. Equal arrays and metadata give equal bytes, in whatever order they are given.
func Write(w io.Writer, sources []Source, metadata map[string]string) error {
	sources = slices.Clone(sources)
	slices.SortStableFunc(sources, Order)
	head, err := encodeHeader(sources, metadata)
	if err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("write safetensors: header: %w", err)
	}
	for _, s := range sources {
		size, _ := sizeOf(s.DType, s.Shape)
		out := &counter{w: w}
		if err := s.Write(out); err != nil {
			return fmt.Errorf("write safetensors: array %.80q: %w", s.Name, err)
		}
		if out.n != size {
			return fmt.Errorf("write safetensors: array %.80q has %d bytes, its type and shape demand %d", s.Name, out.n, size)
		}
	}
	return nil
}

// encodeHeader gives length, JSON and padding.
func encodeHeader(sources []Source, metadata map[string]string) ([]byte, error) {
	head := append(make([]byte, lengthBytes), '{')
	if metadata != nil {
		head = append(appendText(head, metadataKey), ":{"...)
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			if i > 0 {
				head = append(head, ',')
			}
			if !utf8.ValidString(key) || !utf8.ValidString(metadata[key]) {
				return nil, fmt.Errorf("metadata %.80q is not UTF-8", key)
			}
			head = appendText(append(appendText(head, key), ':'), metadata[key])
		}
		head = append(head, '}')
	}
	seen := map[string]bool{metadataKey: true}
	at := uint64(0)
	for _, s := range sources {
		size, ok := sizeOf(s.DType, s.Shape)
		switch {
		case s.DType.rank() < 0:
			return nil, fmt.Errorf("array %.80q: dtype %q is not one of the format", s.Name, s.DType)
		case !ok || size > 1<<62-at || len(s.Shape) > maxDims:
			return nil, fmt.Errorf("array %.80q: %s%v cannot be written", s.Name, s.DType, s.Shape)
		case seen[s.Name]:
			return nil, fmt.Errorf("name %.80q is reserved or comes twice", s.Name)
		case !utf8.ValidString(s.Name):
			return nil, fmt.Errorf("name %.80q is not UTF-8", s.Name)
		}
		seen[s.Name] = true
		if len(head) > lengthBytes+1 {
			head = append(head, ',')
		}
		head = appendText(head, s.Name)
		head = fmt.Appendf(head, `:{"dtype":%q,"shape":[%s],"data_offsets":[%d,%d]}`, s.DType, join(s.Shape), at, at+size)
		at += size
	}
	head = append(head, '}')
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	if len(head)-lengthBytes > maxHeader {
		return nil, errors.New("header is larger than the format's 100 MB")
	}
	binary.LittleEndian.PutUint64(head, uint64(len(head)-lengthBytes))
	return head, nil
}

// appendText quotes a text; characters that HTML knows stay as they are.
func appendText(head []byte, text string) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string in a strings.Builder never fails
	return append(head, strings.TrimSuffix(b.String(), "\n")...)
}

func join(shape []int64) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", ",")
}

// counter counts what passes through it.
type counter struct {
	w io.Writer
	n uint64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += uint64(n)
	return n, err
}
