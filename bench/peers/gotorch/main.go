//go:build gotorch

// Command gotorch is a peer of fdqc bench: the validation of a batch as a user
// of gotorch writes it. It speaks the protocol of bench.Program; what goes wrong
// ends it with a word on standard error. `make gotorch` builds it.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	torch "github.com/wangkuiyi/gotorch"
)

// request is any of the protocol's.
type request struct {
	Op      string
	Threads int
	Device  string
	File    string
	N       int
	Tensors map[string][2]json.RawMessage // name → offset in numbers, shape
	Policy  policy
	Rows    int
	Size    int
	Count   int
}

type peer struct {
	validator *validator
	rows      []float32 // [len/width, width]
	width     int
	verdicts  []verdict
}

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve stays in the main goroutine, which gotorch locks to its thread:
// LibTorch's number of threads belongs to a thread.
func serve() error {
	p := &peer{}
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 {
			return nil // closed
		}
		var r request
		if err == nil {
			err = json.Unmarshal(line, &r)
		}
		if err != nil {
			return fmt.Errorf("request: %w", err)
		}
		answer, err := p.answer(&r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Op, err)
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
}

func (p *peer) answer(r *request) (any, error) {
	switch r.Op {
	case "hello":
		if r.Device != "cpu" {
			return nil, fmt.Errorf("device %s, expected cpu", r.Device)
		}
		return map[string]any{
			"kind": "gotorch", "device": "cpu", "name": "gotorch " + version() + " from Go, vectorised, on cpu",
			"max_patterns_a_side": 100_000, // a tile of distances to more does not fit
		}, nil
	case "setup":
		return struct{}{}, p.setup(r)
	case "answer":
		return struct{}{}, p.risks(r)
	case "run":
		return struct{}{}, p.run(r)
	case "memory":
		return map[string]int{"device_bytes": 0}, nil
	}
	return nil, fmt.Errorf("unknown, expected hello, setup, answer, run or memory")
}

// version is gotorch's, as this program was built with it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == "github.com/wangkuiyi/gotorch" {
				return dependency.Version
			}
		}
	}
	return "of an unknown version"
}

func (p *peer) setup(r *request) error {
	torch.SetNumThreads(int32(r.Threads))
	tensors, err := readTensors(r)
	if err != nil {
		return err
	}
	rows := tensors["rows"]
	p.rows, p.width = rows.numbers, rows.shape[1]
	if p.validator, err = newValidator(r.N, tensors, r.Policy); err != nil {
		return err
	}
	return p.validator.tune(p.rows[:min(len(p.rows), 4096*p.width)])
}

// judge keeps the verdicts of a batch in p.verdicts.
func (p *peer) judge(first, count int) ([]verdict, error) {
	if len(p.verdicts) < count {
		p.verdicts = make([]verdict, count)
	}
	out := p.verdicts[:count]
	return out, p.validator.judge(p.rows[first*p.width:(first+count)*p.width], out)
}

func (p *peer) risks(r *request) error {
	verdicts, err := p.judge(0, r.Rows)
	if err != nil {
		return err
	}
	risks := make([]float32, r.Rows)
	for i := range verdicts {
		risks[i] = verdicts[i].risk
	}
	return writeRaw(r.File, risks)
}

func (p *peer) run(r *request) error {
	whole := len(p.rows) / p.width / r.Size
	seconds := make([]float64, r.Count)
	for i := range seconds {
		start := time.Now()
		if _, err := p.judge(i%whole*r.Size, r.Size); err != nil {
			return err
		}
		seconds[i] = time.Since(start).Seconds()
	}
	return writeRaw(r.File, seconds)
}

// array is a float32 tensor of the workload, in Go's memory.
type array struct {
	numbers []float32
	shape   []int
}

func readTensors(r *request) (map[string]array, error) {
	data, err := os.ReadFile(r.File)
	if err != nil {
		return nil, err
	}
	all := make([]float32, len(data)/4)
	if _, err := binary.Decode(data, binary.LittleEndian, all); err != nil {
		return nil, err
	}
	tensors := map[string]array{}
	for name, place := range r.Tensors {
		var offset int
		var a array
		if err := json.Unmarshal(place[0], &offset); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		if err := json.Unmarshal(place[1], &a.shape); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		size := 1
		for _, s := range a.shape {
			size *= s
		}
		a.numbers = all[offset : offset+size]
		tensors[name] = a
	}
	return tensors, nil
}

func writeRaw(path string, numbers any) error {
	data, err := binary.Append(nil, binary.LittleEndian, numbers)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
