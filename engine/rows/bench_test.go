package rows

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

// BenchmarkRead reads whole files of 16 MiB of numbers in batches of 4,096 rows.
func BenchmarkRead(b *testing.B) {
	for _, width := range []int{8, 384, 768} {
		rows := 4 << 20 / width
		random := rand.New(rand.NewPCG(1, 2))
		numbers := make([]float32, rows*width)
		for i := range numbers {
			numbers[i] = float32(random.NormFloat64())
		}
		for format, path := range map[string]func() string{
			"npy": func() string {
				return writeFile(b, "a.npy", arrayBytes(b, []int64{int64(rows), int64(width)}, numbers...))
			},
			"npz":     func() string { return benchArchive(b, numbers, width) },
			"parquet": func() string { return benchTable(b, numbers, width) },
			"jsonl":   func() string { return benchLines(b, numbers, width) },
		} {
			b.Run(fmt.Sprintf("%s/%d", format, width), func(b *testing.B) { benchmarkFile(b, path(), rows) })
		}
	}
}

func benchmarkFile(b *testing.B, path string, rows int) {
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		r, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		batches := NewBatcher(r, BatchOptions{Size: 4096, StopAtRefused: true})
		got := 0
		for {
			batch, err := batches.Next(b.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			got += batch.Len()
			batch.Release()
		}
		if err := batches.Close(); err != nil || got != rows {
			b.Fatalf("got %d rows, %v, want %d", got, err, rows)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func benchArchive(b *testing.B, numbers []float32, width int) string {
	a := npy.NewArchiveWriter("")
	defer a.Close()
	c, err := a.Column("embedding", dtypeOf(npy.Float), width)
	if err != nil {
		b.Fatal(err)
	}
	c.AppendFloat32(numbers...)
	path := writeFile(b, "a.npz", nil)
	file, err := os.Create(path)
	if err == nil {
		err = errors.Join(a.Finish(file), file.Close())
	}
	if err != nil {
		b.Fatal(err)
	}
	return path
}

func benchTable(b *testing.B, numbers []float32, width int) string {
	embedding := &tableColumn{name: "embedding", kind: vectorColumn}
	for range len(numbers) / width {
		embedding.elements(width)
	}
	embedding.numbers = numbers
	return tableFile(b, len(numbers)/width, embedding)
}

func benchLines(b *testing.B, numbers []float32, width int) string {
	var text []byte
	for i := range len(numbers) / width {
		text = append(fmt.Appendf(text, `{"id":%d,"embedding":`, i), '[')
		for j, v := range numbers[i*width : (i+1)*width] {
			if j > 0 {
				text = append(text, ',')
			}
			text = appendNumber(text, v)
		}
		text = append(text, "]}\n"...)
	}
	return writeFile(b, "a.jsonl", text)
}

// BenchmarkLine decodes one line, as it is written by a program and with a field that only jsontext reads.
func BenchmarkLine(b *testing.B) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, layout := range []string{"%.9g", "%.17g"} {
		line := []byte(`{"id":"a","embedding":[`)
		for i := range 384 {
			if i > 0 {
				line = append(line, ", "...)
			}
			line = fmt.Appendf(line, layout, random.NormFloat64()/20)
		}
		plain := append(line, `],"session":"s"}`...)
		strict := append(append([]byte{}, line...), `],"session":"s","label":null,"\u0078":{}}`...)
		for name, line := range map[string][]byte{"plain": plain, "strict": strict} {
			b.Run(name+"/"+layout[1:], func(b *testing.B) {
				d := newDecoder(Validate)
				b.SetBytes(int64(len(line)))
				b.ReportAllocs()
				for b.Loop() {
					d.row.reset(1, OpValidate)
					if err := d.decode(line, &d.row); err != nil {
						b.Fatal(err.err)
					}
				}
			})
		}
	}
}
