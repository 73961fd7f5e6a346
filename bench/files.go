package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

// FileRun is the command judging a file from end to end: its start, reading,
// the engine, writing.
type FileRun struct {
	Name          string  `json:"name"` // npy or jsonl
	Width         int     `json:"d"`
	Rows          int     `json:"rows"`
	Seconds       float64 `json:"seconds"`
	RowsPerSecond float64 `json:"rows_per_second"`
	// Reference is what it is compared with, in rows per second; ReferenceName
	// says what that is.
	Reference     float64 `json:"reference_rows_per_second"`
	ReferenceName string  `json:"reference"`
}

// Names of file runs.
const (
	fileNpy   = "npy"
	fileLines = "jsonl"
)

// fileTurns is how often each file is judged; the best counts, of both sides.
const fileTurns = 2

// files measures the command on files of a temporary folder.
func (r *run) files(ctx context.Context) (runs []FileRun, err error) {
	runs = []FileRun{}
	if r.Fdqc == "" || r.Plan.FileRows == 0 && r.Plan.LineRows == 0 {
		return runs, nil
	}
	folder, err := os.MkdirTemp("", "fdqc-bench-files-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	f := &fileRuns{run: r, folder: folder}
	if err := f.record(ctx); err != nil {
		return nil, err
	}
	for _, each := range []struct {
		rows    int
		measure func(context.Context, int) (FileRun, error)
	}{{r.Plan.FileRows, f.npy}, {r.Plan.LineRows, f.lines}} {
		if each.rows == 0 {
			continue
		}
		made, err := each.measure(ctx, each.rows)
		if err != nil {
			return nil, err
		}
		runs = append(runs, made)
	}
	return runs, nil
}

type fileRuns struct {
	*run
	folder string
}

func (f *fileRuns) path(name string) string { return filepath.Join(f.folder, name) }

// command runs fdqc on a data directory and with keys of the folder.
func (f *fileRuns) command(ctx context.Context, args ...string) (time.Duration, error) {
	args = append(args, "--data-dir", f.path("data"), "--device", "cpu", "--threads", strconv.Itoa(f.Threads), "--quiet")
	c := exec.CommandContext(ctx, f.Fdqc, args...)
	c.Dir = f.folder
	c.Env = append(os.Environ(), "XDG_CONFIG_HOME="+f.path("config"))
	var words bytes.Buffer
	c.Stderr = &words
	start := time.Now()
	if err := c.Run(); err != nil {
		return 0, fmt.Errorf("fdqc %s: %w: %s", args[0], err, bytes.TrimSpace(words.Bytes()))
	}
	return time.Since(start), nil
}

// record makes a data directory with 1,000 + 1,000 patterns of 8 numbers.
func (f *fileRuns) record(ctx context.Context) error {
	w := NewWorkload(8, 8, goalPatterns, 0, seed)
	err := f.write("outcomes.jsonl", func(to io.Writer) error {
		encoder := json.NewEncoder(to)
		for side, rows := range [][]float32{w.Safe, w.Unsafe} {
			for i := range w.Patterns {
				err := encoder.Encode(map[string]any{"id": i, "embedding": rows[i*8 : i*8+8], "is_safe": side == 0})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		_, err = f.command(ctx, "record", "--input", f.path("outcomes.jsonl"), "--output", f.path("receipts.jsonl"))
	}
	return err
}

func (f *fileRuns) write(name string, content func(io.Writer) error) error {
	file, err := os.Create(f.path(name))
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(file, 1<<20)
	return errors.Join(content(buffered), buffered.Flush(), file.Close())
}

// npy is judged beside the engine's own rate in this run.
func (f *fileRuns) npy(ctx context.Context, rows int) (FileRun, error) {
	f.tell(fmt.Sprintf("a .npy file of %d rows", rows))
	w := NewWorkload(8, 8, 1, 0, seed)
	err := f.write("rows.npy", func(to io.Writer) error {
		raw := rawTensors{places: map[string]any{}}
		raw.add("rows", w.Rows)
		header := npy.Header{DType: npy.DType{Kind: npy.Float, Size: 4}, Shape: []int64{int64(rows), 8}}
		return npy.WriteArray(to, header, func(data io.Writer) (err error) {
			for left := rows; left > 0 && err == nil; left -= w.Count {
				_, err = data.Write(raw.bytes[:min(left, w.Count)*8*4])
			}
			return err
		})
	})
	if err != nil {
		return FileRun{}, err
	}
	best := time.Duration(0)
	for range fileTurns {
		took, err := f.command(ctx, "validate", "--input", f.path("rows.npy"), "--output", f.path("verdicts.npz"), "--fields", "risk_score,decision")
		if err != nil {
			return FileRun{}, err
		}
		if best == 0 || took < best {
			best = took
		}
	}
	made := newFileRun(fileNpy, 8, rows, best)
	made.ReferenceName = "in-process, best batch"
	made.Reference = f.report.best("engine", SweepBatch, func(c *Case) bool {
		return c.Width == 8 && c.Workspace == 8 && c.Patterns == goalPatterns
	})
	return made, os.Remove(f.path("rows.npy"))
}

// lines are judged beside Go's encoding/json that reads them and no more.
func (f *fileRuns) lines(ctx context.Context, rows int) (FileRun, error) {
	f.tell(fmt.Sprintf("a JSON Lines file of %d rows", rows))
	const width = 768
	random := rand.New(rand.NewPCG(seed, width))
	err := f.write("rows.jsonl", func(to io.Writer) error {
		encoder := json.NewEncoder(to)
		embedding := make([]float32, width)
		for i := range rows {
			for j := range embedding {
				embedding[j] = float32(random.NormFloat64() * 0.036) // of unit length
			}
			if err := encoder.Encode(map[string]any{"id": i, "embedding": embedding}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return FileRun{}, err
	}
	best, alone := time.Duration(0), time.Duration(0)
	for range fileTurns {
		took, err := f.command(ctx, "validate", "--input", f.path("rows.jsonl"), "--output", f.path("verdicts.npz"), "--fields", "risk_score,decision")
		if err != nil {
			return FileRun{}, err
		}
		reading, err := readLines(ctx, f.path("rows.jsonl"), rows)
		if err != nil {
			return FileRun{}, err
		}
		if best == 0 || took < best {
			best = took
		}
		if alone == 0 || reading < alone {
			alone = reading
		}
	}
	made := newFileRun(fileLines, width, rows, best)
	made.ReferenceName = "encoding/json, reading alone"
	made.Reference = float64(rows) / alone.Seconds()
	return made, os.Remove(f.path("rows.jsonl"))
}

func newFileRun(name string, width, rows int, took time.Duration) FileRun {
	return FileRun{Name: name, Width: width, Rows: rows, Seconds: took.Seconds(), RowsPerSecond: float64(rows) / took.Seconds()}
}

// readLines decodes a file by encoding/json and answers how long it took.
func readLines(ctx context.Context, path string, want int) (time.Duration, error) {
	start := time.Now()
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close() //nolint:errcheck // only read
	decoder := json.NewDecoder(bufio.NewReaderSize(file, 1<<20))
	rows := 0
	for ; ctx.Err() == nil; rows++ {
		var row struct {
			ID        any       `json:"id"`
			Embedding []float32 `json:"embedding"`
		}
		if err := decoder.Decode(&row); err == io.EOF {
			break
		} else if err != nil {
			return 0, err
		}
	}
	if rows != want {
		return 0, errors.Join(ctx.Err(), fmt.Errorf("%s: read %d rows, want %d", path, rows, want))
	}
	return time.Since(start), nil
}
