package npy

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// readAll decodes every row by the array's kind.
func readAll(r *Reader) (rows []any, err error) {
	for {
		if err := r.Next(); errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return rows, err
		}
		var row any
		switch r.Header().DType.Kind {
		case Float:
			row = r.Float32s(nil)
		case Int:
			row = r.Int64()
		case Bool:
			row, err = r.Bool()
		default:
			row, err = r.Text()
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
}

// floatBits makes NaN comparable.
func floatBits(rows []any) []any {
	out := make([]any, len(rows))
	for i, row := range rows {
		out[i] = row
		if values, ok := row.([]float32); ok {
			bits := make([]uint32, len(values))
			for j, v := range values {
				bits[j] = math.Float32bits(v)
			}
			out[i] = bits
		}
	}
	return out
}

func TestReadsWhatNumPyWrote(t *testing.T) {
	inf, nan := float32(math.Inf(1)), math.Float32frombits(0x7fc00000)
	f4 := []any{[]float32{1.5, -2.25, 3e-40}, []float32{0.1, inf, nan}}
	cases := []struct {
		file, dtype string
		shape       []int64
		want        []any
	}{
		{"f4.npy", "<f4", []int64{2, 3}, f4},
		{"f4_v2.npy", "<f4", []int64{2, 3}, f4},
		{"f4_v3.npy", "<f4", []int64{2, 3}, f4},
		{"f8.npy", "<f8", []int64{2, 2}, []any{[]float32{0.1, inf}, []float32{-1, 2}}},
		{"i8.npy", "<i8", []int64{4}, []any{int64(0), int64(-1), int64(math.MaxInt64), int64(math.MinInt64)}},
		{"b1.npy", "|b1", []int64{3}, []any{true, false, true}},
		{"u.npy", "<U5", []int64{3}, []any{"safe", "", "日本😀"}},
		{"s.npy", "|S5", []int64{3}, []any{"safe", "risky", ""}},
		{"empty.npy", "<f4", []int64{0, 4}, nil},
	}
	for _, c := range cases {
		t.Run(c.file, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(golden(t, c.file)))
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Header(); got.DType.String() != c.dtype || !reflect.DeepEqual(got.Shape, c.shape) {
				t.Errorf("header: got %s %v, want %s %v", got.DType, got.Shape, c.dtype, c.shape)
			}
			got, err := readAll(r)
			if err != nil || !reflect.DeepEqual(floatBits(got), floatBits(c.want)) {
				t.Errorf("rows: got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestRefusesByName(t *testing.T) {
	cases := map[string]string{
		"big_endian": "big-endian float32", "float16": "float16", "int32": "int32", "fortran": "fortran_order is True",
		"structured": "structured dtype", "object": "object", "datetime": "date or time", "complex": "complex64",
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := NewReader(bytes.NewReader(golden(t, "refused_"+name+".npy")))
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "expected") {
				t.Errorf("got %v, want ErrUnsupported that says %q and what was expected", err, want)
			}
		})
	}
}

func TestTruncationAtEveryLength(t *testing.T) {
	for _, name := range []string{"f4.npy", "f4_v2.npy", "u.npy", "i8.npy"} {
		data := golden(t, name)
		for n := range data {
			r, err := NewReader(bytes.NewReader(data[:n]))
			if err == nil {
				_, err = readAll(r)
			}
			var cut *TruncatedError
			if !errors.As(err, &cut) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s cut at %d of %d: got %v, want a TruncatedError", name, n, len(data), err)
			}
			if cut.Got >= cut.Want || cut.Got < 0 {
				t.Fatalf("%s cut at %d: got %d bytes of %d, want fewer", name, n, cut.Got, cut.Want)
			}
			if cut.Part == "data" && (cut.Got != int64(n)-dataStart(data) || cut.Want != int64(len(data))-dataStart(data)) {
				t.Fatalf("%s cut at %d: got %+v, want %d of %d", name, n, cut, int64(n)-dataStart(data), int64(len(data))-dataStart(data))
			}
		}
	}
}

// dataStart is where the golden file's data begins: NumPy ends the header with a line break.
func dataStart(data []byte) int64 { return int64(bytes.IndexByte(data, '\n')) + 1 }

func TestTrailingBytes(t *testing.T) {
	r, err := NewReader(bytes.NewReader(append(golden(t, "f4.npy"), 0)))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := readAll(r)
	if !errors.Is(err, ErrTrailing) || len(rows) != 2 {
		t.Errorf("got %d rows, %v, want 2 and ErrTrailing", len(rows), err)
	}
	if again := r.Next(); !errors.Is(again, ErrTrailing) {
		t.Errorf("Next after the error: got %v, want the same", again)
	}
}

func TestArchivesOfNumPy(t *testing.T) {
	for _, name := range []string{"rows.npz", "rows_compressed.npz"} {
		t.Run(name, func(t *testing.T) {
			data := golden(t, name)
			a, err := OpenArchive(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := a.Names(), []string{"embedding", "id"}; !reflect.DeepEqual(got, want) {
				t.Errorf("names: got %v, want %v", got, want)
			}
			r, err := a.Open("id")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if rows, err := readAll(r); err != nil || !reflect.DeepEqual(rows, []any{int64(7), int64(8)}) {
				t.Errorf("id: got %v, %v, want [7 8]", rows, err)
			}
			if _, err := a.Open("label"); err == nil || !strings.Contains(err.Error(), "embedding, id") {
				t.Errorf("absent array: got %v, want an error that lists what is there", err)
			}
		})
	}
}

func TestArchiveDamage(t *testing.T) {
	data := golden(t, "rows.npz")
	t.Run("cut", func(t *testing.T) {
		for n := range data {
			if _, err := OpenArchive(bytes.NewReader(data[:n]), int64(n)); err == nil {
				t.Fatalf("cut at %d of %d: got no error", n, len(data))
			}
		}
	})
	t.Run("flipped byte", func(t *testing.T) {
		damaged := bytes.Clone(data)
		damaged[bytes.Index(damaged, []byte{0x00, 0x00, 0xc0, 0x3f})+1] ^= 1 // the element 1.5
		a, err := OpenArchive(bytes.NewReader(damaged), int64(len(damaged)))
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Open("embedding")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := readAll(r); err == nil || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("got %v, want a checksum error", err)
		}
	})
}

// TestRowsAtOnce compares whole blocks of rows with rows one by one, for blocks of every size and files cut anywhere.
func TestRowsAtOnce(t *testing.T) {
	for _, size := range []int{4, 8} {
		const rows, width = 7, 3
		var file bytes.Buffer
		w, err := NewWriter(&file, Header{DType: DType{Float, size}, Shape: []int64{rows, width}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows * width {
			w.Float32s(float32(i) / 3)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for _, end := range []int{file.Len(), file.Len() - 1, file.Len() - 2*width*size, 128 + 2*size} {
			one, err := NewReader(bytes.NewReader(file.Bytes()[:end]))
			if err != nil {
				t.Fatal(err)
			}
			var want []float32
			for err = one.Next(); err == nil; err = one.Next() {
				want = one.Float32s(want)
			}
			for block := 1; block <= rows+1; block++ {
				many, gotErr := NewReader(bytes.NewReader(file.Bytes()[:end]))
				if gotErr != nil {
					t.Fatal(gotErr)
				}
				var got []float32
				buf := make([]float32, block*width+1) // a part of a row is not touched
				for gotErr == nil {
					var n int
					if n, gotErr = many.Rows(buf); gotErr != nil && n != 0 {
						t.Fatalf("got %d rows with an error, want none", n)
					}
					got = append(got, buf[:n*width]...)
				}
				if !reflect.DeepEqual(got, want) || gotErr.Error() != err.Error() {
					t.Errorf("float%d, %d bytes, blocks of %d: got %v, %v, want %v, %v", 8*size, end, block, got, gotErr, want, err)
				}
			}
		}
	}
}
