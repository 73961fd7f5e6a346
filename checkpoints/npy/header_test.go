package npy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// file builds a version 1.0 file around any dictionary.
func file(dictionary string, data ...byte) []byte {
	out := []byte(magic + "\x01\x00\x00\x00")
	binary.LittleEndian.PutUint16(out[8:], uint16(len(dictionary)))
	return append(append(out, dictionary...), data...)
}

func TestHeaderLiterals(t *testing.T) {
	const good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
	cases := []struct {
		name, dictionary string
		want             error // nil: accepted
		says             string
	}{
		{"as numpy writes it", good, nil, ""},
		{"other order, double quotes, no comma", `{"shape":(2,3),"fortran_order":False,"descr":"<f4"}  ` + "\n", nil, ""},
		{"vector", "{'descr': '|b1', 'fortran_order': False, 'shape': (5,)}", nil, ""},
		{"fortran vector is the same bytes", "{'descr': '|b1', 'fortran_order': True, 'shape': (5,)}", nil, ""},
		{"empty", "", ErrHeader, "'{'"},
		{"no dictionary", "[1]", ErrHeader, "'{'"},
		{"key twice", "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", ErrHeader, "twice"},
		{"key missing", "{'descr': '<f4', 'shape': (2,)}", ErrHeader, `"fortran_order" is missing`},
		{"unknown key", "{'evil': 1}", ErrHeader, "unknown key"},
		{"no end", "{'descr': '<f4'", ErrHeader, "it ends"},
		{"open quote", "{'descr: 1}", ErrHeader, "does not end"},
		{"escape", `{'de\x73cr': '<f4'}`, ErrHeader, "escape"},
		{"text after", good + "x", ErrHeader, "end of the header"},
		{"call", "{'descr': __import__('os'), }", ErrHeader, "quoted"},
		{"shape a list", "{'descr': '<f4', 'fortran_order': False, 'shape': [2, 3]}", ErrHeader, "'('"},
		{"shape a number", "{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", ErrHeader, "not a tuple"},
		{"negative dimension", "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", ErrHeader, "a dimension"},
		{"python 2 long", "{'descr': '<f4', 'fortran_order': False, 'shape': (2L,)}", ErrHeader, "','"},
		{"dimension overflow", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", ErrTooLarge, "64 bits"},
		{"product overflow", "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", ErrTooLarge, "63 bits"},
		{"product overflow beside a zero", "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296)}", ErrTooLarge, "63 bits"},
		{"row too large", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 16777217)}", ErrTooLarge, "a row of"},
		{"too many dimensions", "{'descr': '<f4', 'fortran_order': False, 'shape': (" + strings.Repeat("1,", 65) + ")}", ErrTooLarge, "dimensions"},
		{"rows of nothing", "{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000, 0)}", ErrUnsupported, "no bytes"},
		{"texts of nothing", "{'descr': '<U0', 'fortran_order': False, 'shape': (9000000000,)}", ErrUnsupported, "no bytes"},
		{"single value", "{'descr': '<f4', 'fortran_order': False, 'shape': ()}", ErrUnsupported, "single value"},
		{"text too wide", "{'descr': '<U99999999', 'fortran_order': False, 'shape': (1,)}", ErrUnsupported, "wider"},
		{"unsigned", "{'descr': '<u8', 'fortran_order': False, 'shape': (1,)}", ErrUnsupported, "uint64"},
		{"void", "{'descr': '|V8', 'fortran_order': False, 'shape': (1,)}", ErrUnsupported, "void"},
		{"big-endian text", "{'descr': '>U1', 'fortran_order': False, 'shape': (1,)}", ErrUnsupported, "big-endian text"},
		{"no such type", "{'descr': '<f+4', 'fortran_order': False, 'shape': (1,)}", ErrUnsupported, "no dtype"},
		{"empty type", "{'descr': '', 'fortran_order': False, 'shape': (1,)}", ErrUnsupported, "no dtype"},
		{"bad bool", "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", ErrHeader, "True or False"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewReader(bytes.NewReader(file(c.dictionary)))
			if c.want == nil {
				if err != nil {
					t.Errorf("%s: got %v, want it accepted", c.dictionary, err)
				}
				return
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got %v, want %v saying %q", c.dictionary, err, c.want, c.says)
			}
		})
	}
}

func TestHeaderFraming(t *testing.T) {
	long := []byte(magic + "\x02\x00\xff\xff\xff\xff")
	cases := []struct {
		name string
		data []byte
		want error
	}{
		{"not npy", []byte("PK\x03\x04 something else"), ErrHeader},
		{"version 4", []byte(magic + "\x04\x00\x00\x00\x00\x00"), ErrUnsupported},
		{"version 1.1", []byte(magic + "\x01\x01\x00\x00\x00\x00"), ErrUnsupported},
		{"header of 4 GiB", long, ErrTooLarge},
		{"nothing", nil, io.ErrUnexpectedEOF},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ReadHeader(bytes.NewReader(c.data)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestBadElements(t *testing.T) {
	cases := []struct {
		name, descr string
		data        []byte
	}{
		{"bool of two", "|b1", []byte{2}},
		{"surrogate", "<U1", []byte{0x00, 0xd8, 0, 0}},
		{"beyond Unicode", "<U1", []byte{0, 0, 0x11, 0}},
		{"not UTF-8", "|S2", []byte{0xff, 'a'}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(file("{'descr': '"+c.descr+"', 'fortran_order': False, 'shape': (1,)}", c.data...)))
			if err != nil {
				t.Fatal(err)
			}
			if rows, err := readAll(r); !errors.Is(err, ErrValue) {
				t.Errorf("% x as %s: got %v, %v, want ErrValue", c.data, c.descr, rows, err)
			}
		})
	}
}

// FuzzReader looks for panics, for rows beyond the shape and for sizes that do not add up.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"f4.npy", "f4_v2.npy", "f8.npy", "i8.npy", "b1.npy", "u.npy", "s.npy", "empty.npy", "refused_structured.npy"} {
		f.Add(golden(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			t.Skip("size cap")
		}
		r, err := NewReader(bytes.NewReader(data))
		if err != nil {
			return
		}
		rows, err := readAll(r)
		if err == nil && int64(len(rows)) != r.Header().Rows() {
			t.Errorf("got %d rows, want %d", len(rows), r.Header().Rows())
		}
		if int64(len(rows)) > r.Header().Rows() || int64(len(data)) < int64(len(rows))*r.Header().Width()*int64(r.Header().DType.Size) {
			t.Errorf("%d rows of %v %s from %d bytes", len(rows), r.Header().Shape, r.Header().DType, len(data))
		}
		if encoded, err := r.Header().encode(DType.supported); err != nil && len(r.Header().Shape) > 0 {
			t.Errorf("the header read cannot be written: %v", err)
		} else if again, err := ReadHeader(bytes.NewReader(encoded)); err != nil || again.DType != r.Header().DType {
			if r.Header().DType.Size != 0 || err != nil {
				t.Errorf("header written and read: got %v, %v, want %v", again, err, r.Header())
			}
		}
	})
}
