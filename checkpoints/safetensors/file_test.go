package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// file puts a length before a header and data behind it.
func file(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// TestReference reads files of the reference implementation, and writes them again byte for byte.
func TestReference(t *testing.T) {
	for name, arrays := range map[string]int{"types": 21, "plain": 1, "none": 0} {
		t.Run(name, func(t *testing.T) {
			data := fixture(t, name)
			f, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Arrays) != arrays {
				t.Errorf("got %d arrays, want %d", len(f.Arrays), arrays)
			}
			var sources []Source
			for i := range f.Arrays {
				sources = append(sources, f.Arrays[len(f.Arrays)-1-i].Source())
			}
			var out bytes.Buffer
			if err := Write(&out, sources, f.Metadata); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), data) {
				t.Errorf("written again:\n%q\nwant\n%q", out.Bytes(), data)
			}
		})
	}
}

func TestValues(t *testing.T) {
	f, err := Parse(fixture(t, "types"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Metadata["format"] != "pt <&>" || len(f.Metadata) != 1 {
		t.Errorf("metadata %v, want format", f.Metadata)
	}
	found := map[string]Array{}
	for _, a := range f.Arrays {
		found[a.Name] = a
	}
	for _, want := range []Array{
		{"a.int16", "I16", []int64{2, 3}, []byte{3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0}},
		{"bf16", "BF16", []int64{3}, []byte("\x80\x3f\x00\x40\x40\x40")},
		{"fp8", "F8_E4M3", []int64{3}, []byte{1, 2, 3}},
		{"empty", "F32", []int64{0, 5}, []byte{}},
		{"scalar", "F64", []int64{}, []byte{0, 0, 0, 0, 0, 0, 4, 0x40}},
		{"schöner \"name\"\n", "F32", []int64{1}, []byte{0, 0, 0xe0, 0x40}},
	} {
		if got := found[want.Name]; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v", want.Name, got, want)
		}
	}
}

func TestRefuses(t *testing.T) {
	one := func(fields string, data ...byte) []byte { return file(`{"a":{`+fields+`}}`, data...) }
	for _, c := range []struct {
		name string
		data []byte
		want string // in the message; empty: accepted
	}{
		{"good", one(`"dtype":"U8","shape":[1],"data_offsets":[0,1]`, 1), ""},
		{"spaces", file(" {}"), "brace"},
		{"spaces within", file("{ \"a\" :\n{\"dtype\":\"U8\",\"shape\":[ ],\"data_offsets\":[0, 1] } } \t", 1), ""},
		{"six bits", one(`"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]`, 1, 2, 3), ""},
		{"empty file", nil, "0 bytes"},
		{"short", []byte("1234567"), "7 bytes"},
		{"length", file("{}")[:9], "header of 2 bytes"},
		{"huge length", append(bytes.Repeat([]byte{0xff}, 8), "{}"...), "header of 18446744073709551615"},
		{"no header", file(""), "brace"},
		{"list", file("[]"), "brace"},
		{"not closed", file("{"), "header ends"},
		{"two objects", file("{}{}"), "goes on"},
		{"comma", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},}`, 1), `'"'`},
		{"name twice", file(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`), "twice"},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`), "twice"},
		{"text twice", file(`{"__metadata__":{"a":"1","a":"2"}}`), "twice"},
		{"metadata of numbers", file(`{"__metadata__":{"a":1}}`), `'"'`},
		{"field twice", one(`"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]`, 1), "twice"},
		{"unknown field", one(`"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1`, 1), "field \"x\""},
		{"no shape", one(`"dtype":"U8","data_offsets":[0,1]`, 1), "lacks"},
		{"dtype", one(`"dtype":"Q8","shape":[1],"data_offsets":[0,1]`, 1), "Q8"},
		{"negative", one(`"dtype":"U8","shape":[-1],"data_offsets":[0,1]`, 1), "number"},
		{"fraction", one(`"dtype":"U8","shape":[1.0],"data_offsets":[0,1]`, 1), "','"},
		{"leading zero", one(`"dtype":"U8","shape":[01],"data_offsets":[0,1]`, 1), "leading zero"},
		{"beyond int64", one(`"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]`, 1), "larger"},
		{"overflow", one(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]`), "too large"},
		{"overflow behind zero", one(`"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]`), "too large"},
		{"part of a byte", one(`"dtype":"F4","shape":[1],"data_offsets":[0,1]`, 1), "whole number"},
		{"size", one(`"dtype":"F32","shape":[1],"data_offsets":[0,1]`, 1), "takes 4 bytes"},
		{"reversed", one(`"dtype":"U8","shape":[1],"data_offsets":[1,0]`, 1), "offsets"},
		{"three offsets", one(`"dtype":"U8","shape":[1],"data_offsets":[0,1,2]`, 1), "more than 2"},
		{"one offset", one(`"dtype":"U8","shape":[1],"data_offsets":[0]`, 1), "1 data offsets"},
		{"beyond the end", one(`"dtype":"U8","shape":[2],"data_offsets":[0,2]`, 1), "only 1 bytes"},
		{"bytes behind", one(`"dtype":"U8","shape":[1],"data_offsets":[0,1]`, 1, 2), "belong to no array"},
		{"hole", one(`"dtype":"U8","shape":[1],"data_offsets":[1,2]`, 1, 2), "holes"},
		{"overlap", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 1, 2, 3), "overlaps"},
		{"control character", file("{\"a\nb\":{}}"), "control"},
		{"not UTF-8", file("{\"a\xff\":{}}"), "UTF-8"},
		{"bad escape", file(`{"\x":{}}`), "escape"},
		{"half a pair", file(`{"\ud800":{}}`), "surrogate"},
		{"text without end", file(`{"a`), "within a text"},
		{"escape without end", file(`{"a\`), "within a text"},
		{"dimensions", one(`"dtype":"U8","shape":[` + strings.Repeat("1,", 64) + `1],"data_offsets":[0,1]`), "more than 64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.data)
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want none", err)
				}
				return
			}
			var where *FormatError
			if !errors.Is(err, ErrFormat) || !errors.As(err, &where) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a FormatError that says %q", err, c.want)
			}
		})
	}
}

// TestHostileHeaders stay within 64 MiB beyond the file.
func TestHostileHeaders(t *testing.T) {
	repeat := func(n int, format string) []byte {
		var b bytes.Buffer
		b.WriteByte('{')
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, format, i)
		}
		b.WriteByte('}')
		return file(b.String())
	}
	nested := strings.Repeat("[", 20<<20)
	for name, data := range map[string][]byte{
		"many arrays": repeat(300_000, `"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`),
		"many shapes": repeat(60_000, `"%d":{"dtype":"U8","shape":[0`+strings.Repeat(",1", 63)+`],"data_offsets":[0,0]}`),
		"long texts":  repeat(30_000, `"%d`+strings.Repeat("x", 1000)+`":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`),
		"long text":   file(`{"` + strings.Repeat("x", 40<<20) + `":{}}`),
		"metadata":    file(`{"__metadata__":{"a":"` + strings.Repeat("\\n", 20<<20) + `"}}`),
		"nesting":     file(`{"a":{"shape":` + nested),
		"spaces":      file("{" + strings.Repeat(" ", 60<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse(data)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrFormat) {
				t.Errorf("got %v, want ErrFormat", err)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
				t.Errorf("%d bytes were allocated, want at most 64 MiB", took)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	nothing := func(int) Source {
		return Array{Name: "a", DType: "U8", Shape: []int64{1}, Data: []byte{1}}.Source()
	}
	for name, c := range map[string]struct {
		change   func(s *Source)
		metadata map[string]string
		want     string
	}{
		"dtype":     {func(s *Source) { s.DType = "X" }, nil, "dtype"},
		"size":      {func(s *Source) { s.Shape = []int64{2} }, nil, "has 1 bytes"},
		"shape":     {func(s *Source) { s.Shape = []int64{-1} }, nil, "cannot be written"},
		"name":      {func(s *Source) { s.Name = metadataKey }, nil, "reserved"},
		"utf-8":     {func(s *Source) { s.Name = "\xff" }, nil, "UTF-8"},
		"twice":     {func(s *Source) { s.Name = "b" }, nil, "twice"},
		"metadata":  {func(*Source) {}, map[string]string{"\xff": ""}, "UTF-8"},
		"metadata2": {func(*Source) {}, map[string]string{"": "\xff"}, "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			s := nothing(0)
			c.change(&s)
			err := Write(&bytes.Buffer{}, []Source{s, {Name: "b", DType: "U8", Shape: []int64{0}, Write: nothing(0).Write}}, c.metadata)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that says %q", err, c.want)
			}
		})
	}
}

// FuzzParse demands that whatever is accepted is written again as an equal file.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"types", "plain", "none"} {
		f.Add(fixture(f, name))
	}
	f.Add(file(`{"__metadata__":{"\ud83d\ude00":"\\"},"a":{"dtype":"F6_E2M3","shape":[2,2],"data_offsets":[0,3]}}`, 1, 2, 3))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		first, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("got %v, want ErrFormat", err)
			}
			return
		}
		var sources []Source
		for _, a := range first.Arrays {
			sources = append(sources, a.Source())
		}
		var out bytes.Buffer
		if err := Write(&out, sources, first.Metadata); err != nil {
			t.Fatalf("write what was read: %v", err)
		}
		second, err := Parse(out.Bytes())
		if err != nil {
			t.Fatalf("read what was written: %v", err)
		}
		if len(first.Arrays) != len(second.Arrays) || !reflect.DeepEqual(first.Metadata, second.Metadata) {
			t.Fatalf("got %d arrays and %v, want %d and %v", len(second.Arrays), second.Metadata, len(first.Arrays), first.Metadata)
		}
		byName := map[string]Array{}
		for _, a := range second.Arrays {
			byName[a.Name] = a
		}
		for _, a := range first.Arrays {
			if got := byName[a.Name]; got.DType != a.DType || !bytes.Equal(got.Data, a.Data) || fmt.Sprint(got.Shape) != fmt.Sprint(a.Shape) {
				t.Fatalf("%q: got %v, want %v", a.Name, got, a)
			}
		}
	})
}
