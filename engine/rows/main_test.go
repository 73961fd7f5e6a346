package rows

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// writeFile makes a file in a fresh folder.
func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// read returns all good rows, the refusals, and the error that ended reading (nil for io.EOF).
func read(t testing.TB, r Reader) (rows []Row, refused []*RowError, err error) {
	t.Helper()
	b := new(RowBatch)
	for err == nil {
		before := b.Len()
		r.Wait()
		if err = r.Append(b, 1000); err == nil && b.Len() == before {
			t.Fatal("Append added no row and no error")
		}
	}
	if again := r.Append(b, 1); again == nil || again.Error() != err.Error() {
		t.Errorf("Append after the final error %v: got %v, want the same", err, again)
	}
	for _, e := range entries(b) {
		if e.Err != nil {
			refused = append(refused, e.Err)
		} else {
			rows = append(rows, e.Row)
		}
	}
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return rows, refused, nil
	}
	return rows, refused, err
}

// entries are the rows of a batch, spelled out if they are bare.
func entries(b *RowBatch) []Entry {
	b.spell(OpValidate)
	b.seal()
	return b.Entries
}

// readText reads JSON Lines as standard input.
func readText(t testing.TB, text string, kind Kind) ([]Row, []*RowError, error) {
	t.Helper()
	r, err := Open("-", Options{Kind: kind, Stdin: strings.NewReader(text)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return read(t, r)
}

// arrayBytes makes a .npy.
func arrayBytes(t testing.TB, shape []int64, values ...float32) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := npy.NewWriter(&out, npy.Header{DType: npy.DType{Kind: npy.Float, Size: 4}, Shape: shape})
	if err != nil {
		t.Fatal(err)
	}
	w.Float32s(values...)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// archiveFile makes a .npz from []int64, []bool, []string and [][]float32 arrays.
func archiveFile(t testing.TB, arrays map[string]any) string {
	t.Helper()
	a := npy.NewArchiveWriter("")
	defer a.Close()
	add := func(name string, kind npy.Kind, width int) *npy.Column {
		c, err := a.Column(name, dtypeOf(kind), width)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for name, values := range arrays {
		switch values := values.(type) {
		case [][]float32:
			c := add(name, npy.Float, len(values[0]))
			for _, v := range values {
				c.AppendFloat32(v...)
			}
		case []float32:
			add(name, npy.Float, 0).AppendFloat32(values...)
		case []int64:
			c := add(name, npy.Int, 0)
			for _, v := range values {
				c.AppendInt64(v)
			}
		case []bool:
			c := add(name, npy.Bool, 0)
			for _, v := range values {
				c.AppendBool(v)
			}
		case []string:
			c := add(name, npy.Text, 0)
			for _, v := range values {
				c.AppendText(v)
			}
		default:
			t.Fatalf("array %q of %T", name, values)
		}
	}
	var out bytes.Buffer
	if err := a.Finish(&out); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "rows.npz", out.Bytes())
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
