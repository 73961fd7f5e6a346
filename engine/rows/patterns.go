package rows

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
)

// Pattern is one pattern of the memory as it is exported.
type Pattern struct {
	PatternID  int64
	Side       Side
	Sequence   int64
	Timestamp  int64
	Importance float32
	Vector     []float32 // 2·workspace_dim numbers, the same for all patterns of a file
}

// PatternWriter takes patterns in order. After an error only Abort is of use.
type PatternWriter interface {
	// Write takes some patterns.
	Write(patterns []Pattern) error
	// Commit finishes the output: a regular file now appears under its name.
	Commit() error
	// Abort gives up: a regular file never appears. After Commit it does nothing.
	Abort() error
}

// NewPatternWriter writes patterns of width numbers in the format of out's name. It owns out.
func NewPatternWriter(out *Output, width int, spoolDir string) (PatternWriter, error) {
	switch out.format {
	case jsonl:
		return &jsonlPatterns{out: lineSink{Output: out}, width: width}, nil
	case parquetTable:
		return newParquetPatterns(out, width, spoolDir)
	}
	w := &npzPatterns{archiveSink: archiveSink{Output: out, archive: npy.NewArchiveWriter(spoolDir)}, width: width}
	for _, c := range []struct {
		column **npy.Column
		name   string
		kind   npy.Kind
		width  int
	}{
		{&w.id, "pattern_id", npy.Int, 0}, {&w.side, "side", npy.Text, 0}, {&w.sequence, "sequence", npy.Int, 0},
		{&w.timestamp, "timestamp", npy.Int, 0}, {&w.importance, "importance", npy.Float, 0}, {&w.vector, "vector", npy.Float, width},
	} {
		var err error
		if *c.column, err = w.column(c.name, dtypeOf(c.kind), c.width); err != nil {
			return nil, errors.Join(fmt.Errorf("create output %s: %w", out.Name, err), w.Abort())
		}
	}
	return w, nil
}

func checkVector(p *Pattern, width int) error {
	if len(p.Vector) != width {
		return fmt.Errorf("export pattern %d: %w: %d numbers, expected %d", p.PatternID, ErrWidth, len(p.Vector), width)
	}
	return nil
}

// jsonlPatterns writes one object a line.
type jsonlPatterns struct {
	out   lineSink
	width int
}

func (w *jsonlPatterns) Write(patterns []Pattern) error {
	for i := range patterns {
		p := &patterns[i]
		if err := checkVector(p, w.width); err != nil {
			return err
		}
		w.out.buf = appendPattern(w.out.buf, p)
		if err := w.out.flush(lineBytes); err != nil {
			return err
		}
	}
	return w.out.flush(0)
}

func (w *jsonlPatterns) Commit() error { return w.out.Commit() }

func (w *jsonlPatterns) Abort() error { return w.out.Abort() }

func appendPattern(dst []byte, p *Pattern) []byte {
	dst = strconv.AppendInt(appendKey(append(dst, '{'), "pattern_id"), p.PatternID, 10)
	dst = appendText(appendKey(dst, "side"), string(p.Side))
	dst = strconv.AppendInt(appendKey(dst, "sequence"), p.Sequence, 10)
	dst = strconv.AppendInt(appendKey(dst, "timestamp"), p.Timestamp, 10)
	dst = appendNumber(appendKey(dst, "importance"), p.Importance)
	dst = append(appendKey(dst, "vector"), '[')
	for i, v := range p.Vector {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendNumber(dst, v)
	}
	return append(dst, "]}\n"...)
}

// npzPatterns writes one array a field; vector is [patterns, width].
type npzPatterns struct {
	archiveSink
	width                                             int
	id, side, sequence, timestamp, importance, vector *npy.Column
}

func (w *npzPatterns) Write(patterns []Pattern) error {
	for i := range patterns {
		p := &patterns[i]
		if err := checkVector(p, w.width); err != nil {
			return err
		}
		w.id.AppendInt64(p.PatternID)
		w.side.AppendText(string(p.Side))
		w.sequence.AppendInt64(p.Sequence)
		w.timestamp.AppendInt64(p.Timestamp)
		w.importance.AppendFloat32(p.Importance)
		w.vector.AppendFloat32(p.Vector...)
		// Its rows are the widest: a full disk shows here first, and at Commit at the latest.
		if err := w.vector.Err(); err != nil {
			return fmt.Errorf("write %s: %w", w.Name, err)
		}
	}
	return nil
}

var (
	_ PatternWriter = (*jsonlPatterns)(nil)
	_ PatternWriter = (*npzPatterns)(nil)
)
