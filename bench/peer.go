package bench

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // the peer's program
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/fdqc-cockpit/fdqc/engine"
)

//go:embed peers/vectorised.py
var vectorised []byte

// noPython is why there is no peer when no environment is named.
const noPython = "PyTorch: no Python environment is named (FDQC_PEERS_PYTHON); run: make bench"

// openTargets starts the engine's target and the peers that can be had.
func openTargets(ctx context.Context, o *Options) (targets []Target, missing []string, err error) {
	if o.Threads == 0 {
		o.Threads = runtime.NumCPU()
	}
	targets = append(targets, &engineTarget{device: o.Device, threads: o.Threads})
	if o.Python == "" {
		return targets, []string{noPython}, nil
	}
	peer, err := openPeer(ctx, o.Python, o.Threads)
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		return targets, []string{"PyTorch: " + err.Error()}, nil
	}
	return append(targets, peer), nil, nil
}

// pythonTarget is a Python program that answers one JSON line to each, and
// times itself. Its process ends with Close or with the context of openPeer.
type pythonTarget struct {
	name    string
	folder  string // of the raw files, removed by Close
	process *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	stderr  *bytes.Buffer
}

var _ Target = (*pythonTarget)(nil)

// openPeer starts the vectorised PyTorch program.
func openPeer(ctx context.Context, python string, threads int) (*pythonTarget, error) {
	folder, err := os.MkdirTemp("", "fdqc-bench-")
	if err != nil {
		return nil, err
	}
	p := &pythonTarget{folder: folder, stderr: &bytes.Buffer{}}
	if err := p.start(ctx, python, threads); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *pythonTarget) start(ctx context.Context, python string, threads int) error {
	program := filepath.Join(p.folder, "vectorised.py")
	if err := os.WriteFile(program, vectorised, 0o600); err != nil {
		return err
	}
	process := exec.CommandContext(ctx, python, program)
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
		return fmt.Errorf("start %s: %w", python, err)
	}
	p.process = process
	var hello struct {
		Name string `json:"name"`
	}
	if err := p.ask(map[string]any{"op": "hello", "threads": threads}, &hello); err != nil {
		return err
	}
	p.name = hello.Name
	return nil
}

// ask sends one request and reads its answer.
func (p *pythonTarget) ask(request map[string]any, answer any) error {
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

func (p *pythonTarget) Name() string { return p.name }

func (p *pythonTarget) Setup(_ context.Context, w *Workload) error {
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
	raw.add("rows", w.Rows, RowCount, d)

	path := filepath.Join(p.folder, "workload")
	if err := os.WriteFile(path, raw.bytes, 0o600); err != nil {
		return err
	}
	safety := engine.DefaultConfig().Safety
	return p.ask(map[string]any{
		"op": "setup", "file": path, "n": n, "tensors": raw.places,
		"policy": map[string]float64{
			"entropy_threshold":  safety.EntropyThreshold,
			"collapse_threshold": safety.CollapseThreshold,
			"block_threshold":    safety.BlockThreshold,
		},
	}, &struct{}{})
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

func (p *pythonTarget) Risk(_ context.Context, rows int) ([]float32, error) {
	path := filepath.Join(p.folder, "risks")
	if err := p.ask(map[string]any{"op": "risk", "rows": rows, "file": path}, &struct{}{}); err != nil {
		return nil, err
	}
	risks := make([]float32, rows)
	return risks, readRaw(path, risks)
}

func (p *pythonTarget) Run(_ context.Context, size, count int) ([]time.Duration, error) {
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

// readRaw reads a file of exactly as many little-endian numbers.
func readRaw(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if want := binary.Size(into); len(data) != want {
		return fmt.Errorf("%s: %d bytes, expected %d", path, len(data), want)
	}
	_, err = binary.Decode(data, binary.LittleEndian, into)
	return err
}

// Close ends the program and removes its files.
func (p *pythonTarget) Close() error {
	var errs []error
	if p.process != nil {
		errs = append(errs, p.stdin.Close(), p.process.Wait())
		p.process = nil
	}
	return errors.Join(append(errs, os.RemoveAll(p.folder))...)
}
