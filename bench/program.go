package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// Program is a peer that is a program of its own, on the other end of two
// pipes. It reads one JSON object a line and answers one a line; what goes
// wrong it says on standard error, and ends. Numbers travel in raw
// little-endian files, whose paths the requests name.
//
//	{"op": "hello", "threads": T, "device": "cpu"}   → an Info without id
//	{"op": "setup", "threads": T, "file": F, "n": n, "tensors": {name: [offset, shape]}, "policy": {…}} → {}
//	{"op": "answer", "rows": K, "file": F}           → {}; F: float32 raw risks [K]; of a matching
//	                                                   peer int64 indices [2, K], float32 distances [2, K]
//	{"op": "run", "size": B, "count": C, "file": F}  → {}; F: float64 seconds of each batch [C]
//	{"op": "memory"}                                 → {"device_bytes": N}
//
// The file of a set-up holds float32 tensors at offsets that count numbers:
// state_real, state_imag [n]; weight0, bias0, weight3, bias3, weight5, bias5
// of the risk detector; projection_weight [n, d] and projection_bias [n] if
// d ≠ n; safe, unsafe [P, d]; rows [R, d]. Batch i of a run is the rows from
// (i mod (R div B))·B on. Standard input closed means: end.
type Program struct {
	info    Info
	folder  string // of the raw files, removed by Close
	process *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	stderr  *bytes.Buffer
}

var _ Target = (*Program)(nil)

// OpenProgram starts a peer, which ends with Close or with the context.
// command may name files in the folder that prepare fills.
func OpenProgram(ctx context.Context, threads int, device string, prepare func(folder string) error, command ...string) (*Program, error) {
	folder, err := os.MkdirTemp("", "fdqc-bench-")
	if err != nil {
		return nil, err
	}
	p := &Program{folder: folder, stderr: &bytes.Buffer{}}
	if prepare != nil {
		err = prepare(folder)
	}
	if err == nil {
		err = p.start(ctx, threads, device, command)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Program) start(ctx context.Context, threads int, device string, command []string) error {
	process := exec.CommandContext(ctx, command[0], command[1:]...)
	process.Dir = p.folder
	process.Env = append(os.Environ(), "OMP_NUM_THREADS="+strconv.Itoa(threads), "MKL_NUM_THREADS="+strconv.Itoa(threads))
	process.Stderr = p.stderr
	var err error
	if p.stdin, err = process.StdinPipe(); err != nil {
		return err
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		return err
	}
	p.stdout = bufio.NewReader(stdout)
	if err := process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", command[0], err)
	}
	p.process = process
	if err := p.ask(map[string]any{"op": "hello", "threads": threads, "device": device}, &p.info); err != nil {
		return err
	}
	if p.info.Kind == "" || p.info.Name == "" {
		return fmt.Errorf("the peer's hello is %+v, expected a kind and a name", p.info)
	}
	if p.info.Device == "" {
		p.info.Device = device
	}
	p.info.ID = p.info.Kind + "/" + p.info.Device
	return nil
}

// ask sends one request and reads its answer.
func (p *Program) ask(request map[string]any, answer any) error {
	if p.process == nil {
		return errors.New("the peer has ended")
	}
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	_, err = p.stdin.Write(append(line, '\n'))
	if err == nil {
		line, err = p.stdout.ReadBytes('\n')
	}
	if err != nil {
		// The program ended; its last words say why.
		waited := p.process.Wait()
		p.process = nil
		words := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
		return fmt.Errorf("the peer ended at %q: %w: %s", request["op"], errors.Join(err, waited), words[len(words)-1])
	}
	if err := json.Unmarshal(line, answer); err != nil {
		return fmt.Errorf("the peer's answer to %q: %w", request["op"], err)
	}
	return nil
}

// Info is what the program said of itself.
func (p *Program) Info() Info { return p.info }

// Setup sends a workload.
func (p *Program) Setup(_ context.Context, w *Workload, threads int) error {
	raw := &rawTensors{places: map[string]any{}}
	n, d := w.Workspace, w.Width
	raw.add("state_real", w.Weights.StateReal, n)
	raw.add("state_imag", w.Weights.StateImag, n)
	risk := &w.Weights.Risk
	for _, layer := range []struct {
		name         string
		weight, bias []float32
	}{{"0", risk.Weight0, risk.Bias0}, {"3", risk.Weight3, risk.Bias3}, {"5", risk.Weight5, risk.Bias5}} {
		raw.add("weight"+layer.name, layer.weight, len(layer.bias), len(layer.weight)/len(layer.bias))
		raw.add("bias"+layer.name, layer.bias, len(layer.bias))
	}
	if w.Projection != nil {
		raw.add("projection_weight", w.Projection.Weight, n, d)
		raw.add("projection_bias", w.Projection.Bias, n)
	}
	raw.add("safe", w.Safe, w.Patterns, d)
	raw.add("unsafe", w.Unsafe, w.Patterns, d)
	raw.add("rows", w.Rows, w.Count, d)

	path := filepath.Join(p.folder, "workload")
	if err := os.WriteFile(path, raw.bytes, 0o600); err != nil {
		return err
	}
	safety := engine.DefaultConfig().Safety
	err := p.ask(map[string]any{
		"op": "setup", "threads": threads, "file": path, "n": n, "tensors": raw.places,
		"policy": map[string]float64{
			"entropy_threshold":  safety.EntropyThreshold,
			"collapse_threshold": safety.CollapseThreshold,
			"block_threshold":    safety.BlockThreshold,
		},
	}, &struct{}{})
	return errors.Join(err, os.Remove(path))
}

// rawTensors lays float32 tensors one after another.
type rawTensors struct {
	bytes  []byte
	places map[string]any // name → [offset in numbers, shape]
}

func (r *rawTensors) add(name string, values []float32, shape ...int) {
	r.places[name] = []any{len(r.bytes) / 4, shape}
	for _, v := range values {
		r.bytes = binary.LittleEndian.AppendUint32(r.bytes, math.Float32bits(v))
	}
}

// Answer reads the risks, or of a matching program the nearest patterns.
func (p *Program) Answer(_ context.Context, rows int) (*Answer, error) {
	path := filepath.Join(p.folder, "answer")
	if err := p.ask(map[string]any{"op": "answer", "rows": rows, "file": path}, &struct{}{}); err != nil {
		return nil, err
	}
	if !p.info.Matching {
		risks := make([]float32, rows)
		return &Answer{Risks: risks}, readRaw(path, risks)
	}
	a := &Answer{}
	for side := range a.Nearest {
		a.Nearest[side], a.Distance[side] = make([]int64, rows), make([]float32, rows)
	}
	return a, readRaw(path, a.Nearest[0], a.Nearest[1], a.Distance[0], a.Distance[1])
}

// Run lets the program time itself.
func (p *Program) Run(_ context.Context, size, count int) ([]time.Duration, error) {
	path := filepath.Join(p.folder, "times")
	if err := p.ask(map[string]any{"op": "run", "size": size, "count": count, "file": path}, &struct{}{}); err != nil {
		return nil, err
	}
	seconds := make([]float64, count)
	if err := readRaw(path, seconds); err != nil {
		return nil, err
	}
	times := make([]time.Duration, count)
	for i, s := range seconds {
		times[i] = time.Duration(s * float64(time.Second))
	}
	return times, nil
}

// Memory is that of the program's process, and what it says of the device.
func (p *Program) Memory(context.Context) (m Memory, err error) {
	err = p.ask(map[string]any{"op": "memory"}, &m)
	if p.process != nil {
		m.Resident = resident(p.process.Process.Pid)
	}
	return m, err
}

// readRaw reads a file of exactly as many little-endian numbers.
func readRaw(path string, into ...any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	want := 0
	for _, part := range into {
		want += binary.Size(part)
	}
	if len(data) != want {
		return fmt.Errorf("%s: %d bytes, expected %d", path, len(data), want)
	}
	for _, part := range into {
		used, err := binary.Decode(data, binary.LittleEndian, part)
		if err != nil {
			return err
		}
		data = data[used:]
	}
	return nil
}

// Close ends the program and removes its files.
func (p *Program) Close() error {
	var errs []error
	if p.process != nil {
		errs = append(errs, p.stdin.Close(), p.process.Wait())
		p.process = nil
	}
	return errors.Join(append(errs, os.RemoveAll(p.folder))...)
}
