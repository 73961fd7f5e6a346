package npy

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// writeAll writes golden file name's content again with a Writer.
func writeAll(w io.Writer, header Header, rows []any) error {
	out, err := NewWriter(w, header)
	if err != nil {
		return err
	}
	for _, row := range rows {
		switch row := row.(type) {
		case []float32:
			out.Float32s(row...)
		case int64:
			out.Int64s(row)
		case bool:
			out.Bools(row)
		case string:
			out.Text(row)
		}
	}
	return out.Close()
}

func TestWritesNumPysBytes(t *testing.T) {
	for _, name := range []string{"f4.npy", "i8.npy", "b1.npy", "u.npy", "empty.npy"} {
		t.Run(name, func(t *testing.T) {
			want := golden(t, name)
			r, err := NewReader(bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			rows, err := readAll(r)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := writeAll(&got, r.Header(), rows); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got\n%q\nwant\n%q", got.Bytes(), want)
			}
		})
	}
}

func TestWriterCounts(t *testing.T) {
	header := Header{DType: DType{Float, 4}, Shape: []int64{1, 2}}
	cases := []struct {
		name string
		rows []any
		want error
	}{
		{"short", []any{[]float32{1}}, ErrCount},
		{"long", []any{[]float32{1, 2, 3}}, ErrCount},
		{"another kind", []any{int64(1)}, ErrValue},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := writeAll(io.Discard, header, c.rows); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if err := writeAll(io.Discard, Header{DType: DType{Text, 8}, Shape: []int64{1}}, []any{"abc"}); !errors.Is(err, ErrValue) {
		t.Errorf("text too wide: got %v, want ErrValue", err)
	}
}

// fill adds n rows of every kind.
func fill(t *testing.T, a *ArchiveWriter, n int) {
	t.Helper()
	column := func(name string, dtype DType, width int) *Column {
		c, err := a.Column(name, dtype, width)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	vector, number := column("vector", DType{Float, 4}, 3), column("number", DType{Float, 8}, 0)
	count, flag := column("count", DType{Int, 8}, 0), column("flag", DType{Bool, 1}, 0)
	text, id := column("text", DType{Kind: Text}, 0), column("id", DType{Int, 8}, 0)
	for i := range n {
		vector.AppendFloat32(float32(i), 0.1, float32(math.NaN()))
		number.AppendFloat64(float64(i) / 3)
		count.AppendInt64(int64(-i))
		flag.AppendBool(i%2 == 0)
		text.AppendText(strings.Repeat("日", i%5))
		if i == n-1 {
			id.ToText()
			id.AppendText("last")
		} else {
			id.AppendInt64([]int64{math.MinInt64, 42}[i%2])
		}
	}
}

func TestArchiveRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 1000} {
		dir := t.TempDir()
		a := NewArchiveWriter(dir)
		fill(t, a, n)
		var out bytes.Buffer
		if err := a.Finish(&out); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%d rows: got %v left in the spool folder, want nothing", n, left)
		}
		back, err := OpenArchive(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"vector": "<f4", "number": "<f8", "count": "<i8", "flag": "|b1", "text": "<U4", "id": "<U20"}
		if n < 5 {
			want["text"], want["id"] = "<U1", map[int]string{0: "<i8", 1: "<U4"}[n]
		}
		for name, dtype := range want {
			r, err := back.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := readAll(r)
			if err != nil || len(rows) != n || r.Header().DType.String() != dtype {
				t.Errorf("%s: got %d rows of %s, %v, want %d of %s", name, len(rows), r.Header().DType, err, n, dtype)
			}
			if name == "text" && n == 1000 && !reflect.DeepEqual(rows[8:10], []any{"日日日", "日日日日"}) {
				t.Errorf("text: got %v", rows[8:10])
			}
			if name == "id" && n == 1000 && !reflect.DeepEqual(rows[997:], []any{"42", "-9223372036854775808", "last"}) {
				t.Errorf("id: got %v", rows[997:])
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestArchiveMistakes(t *testing.T) {
	cases := []struct {
		name string
		do   func(*ArchiveWriter) error
		want error
	}{
		{"name twice", func(a *ArchiveWriter) error {
			_, first := a.Column("a", DType{Int, 8}, 0)
			_, err := a.Column("a", DType{Int, 8}, 0)
			return errors.Join(first, err)
		}, ErrValue},
		{"float16", func(a *ArchiveWriter) error { _, err := a.Column("a", DType{Float, 2}, 0); return err }, ErrUnsupported},
		{"ragged rows", func(a *ArchiveWriter) error {
			c, _ := a.Column("a", DType{Float, 4}, 2)
			c.AppendFloat32(1, 2, 3)
			return a.Finish(io.Discard)
		}, ErrCount},
		{"texts made texts", func(a *ArchiveWriter) error {
			c, _ := a.Column("a", DType{Kind: Text}, 0)
			c.ToText()
			return a.Finish(io.Discard)
		}, ErrValue},
		{"not UTF-8", func(a *ArchiveWriter) error {
			c, _ := a.Column("a", DType{Kind: Text}, 0)
			c.AppendText("\xff")
			return a.Finish(io.Discard)
		}, ErrValue},
		{"another kind", func(a *ArchiveWriter) error {
			c, _ := a.Column("a", DType{Kind: Text}, 0)
			c.AppendBool(true)
			return a.Finish(io.Discard)
		}, ErrValue},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := NewArchiveWriter(t.TempDir())
			defer a.Close()
			if err := c.do(a); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestNumPyLoadsWhatWasWritten and its script compare values in NumPy itself.
func TestNumPyLoadsWhatWasWritten(t *testing.T) {
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("FDQC_PEERS_PYTHON is not set; run make peers")
	}
	path := filepath.Join(t.TempDir(), "out.npz")
	var out bytes.Buffer
	a := NewArchiveWriter("")
	defer a.Close()
	fill(t, a, 1000)
	if err := a.Finish(&out); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	const script = `
import sys, numpy as np
a = np.load(sys.argv[1], allow_pickle=False)
n = 1000
i = np.arange(n)
assert a["vector"].dtype == "<f4" and a["vector"].shape == (n, 3)
assert (a["vector"][:, 0] == i).all() and (a["vector"][:, 1] == np.float32(0.1)).all() and np.isnan(a["vector"][:, 2]).all()
assert a["number"].dtype == "<f8" and (a["number"] == i / 3).all()
assert (a["count"] == -i).all() and (a["flag"] == (i % 2 == 0)).all()
assert a["text"].dtype == "<U4" and a["text"].tolist() == ["日" * (k % 5) for k in i]
assert a["id"].dtype == "<U20" and a["id"].tolist() == [[str(-2**63), "42"][k % 2] for k in i[:-1]] + ["last"]
print("ok")`
	got, err := exec.CommandContext(t.Context(), python, "-c", script, path).CombinedOutput()
	if err != nil || strings.TrimSpace(string(got)) != "ok" {
		t.Errorf("numpy.load: got %s, %v, want ok", got, err)
	}
}

// TestGoldenFilesAreNumPys makes the golden files anew and compares.
func TestGoldenFilesAreNumPys(t *testing.T) {
	python := os.Getenv("FDQC_PEERS_PYTHON")
	if python == "" {
		t.Skip("FDQC_PEERS_PYTHON is not set; run make peers")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "make.py"), dir).CombinedOutput(); err != nil {
		t.Fatalf("make.py: %v: %s", err, out)
	}
	made, err := filepath.Glob(filepath.Join(dir, "*.npy"))
	if err != nil || len(made) == 0 {
		t.Fatalf("make.py wrote %v, %v, want files", made, err)
	}
	for _, path := range made {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := golden(t, filepath.Base(path)); !bytes.Equal(got, want) {
			t.Errorf("%s: this NumPy writes %q, committed is %q", filepath.Base(path), got, want)
		}
	}
}
