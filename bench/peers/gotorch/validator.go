//go:build gotorch

package main

import (
	"math"
	"runtime"
	"slices"
	"time"
	"unsafe"

	torch "github.com/wangkuiyi/gotorch"
	"github.com/wangkuiyi/gotorch/nn/functional"

	"github.com/fdqc-cockpit/fdqc/models/gotorch"
)

type policy struct {
	Entropy  float64 `json:"entropy_threshold"`
	Collapse float64 `json:"collapse_threshold"`
	Block    float64 `json:"block_threshold"`
}

// verdict is what a row is answered with, less the nearest patterns' ids.
type verdict struct {
	risk, baseRisk, entropy, coherence, novelty float32
	safeSimilarity, unsafeSimilarity            float32
	matchedSafe, matchedUnsafe, violated        bool
	approved, block                             bool
}

// validator is the whole validation, in what gotorch has of PyTorch's
// operators: projection, distances and risk detector are its matrix products,
// the nearest pattern is its topk. It has no square root, logarithm or
// comparison, so the rest is Go. Formulas: validator specification, sections 2
// and 3, tier GAMMA.
type validator struct {
	n, width int
	policy   policy
	project  layer           // to [z, 1], so that a distance is one product
	sides    [2]torch.Tensor // [n+1, patterns]: z·P·(-2) + |P|²
	layers   [3]layer        // of the risk detector, on state_real
	real     []float32       // [n], the state
	imag     []float32       // [n], squared

	tile    int // rows of a tile of distances
	made    int // numbers of tensors since the collector ran
	z       []float32
	states  []float32
	squares [2][]float32
	base    []float32
}

// layer is a Linear: weight [out, in], bias [out].
type layer struct{ weight, bias torch.Tensor }

// apply: gotorch keeps x alive here, and v keeps the layer.
func (l layer) apply(x torch.Tensor) torch.Tensor { return functional.Linear(x, l.weight, l.bias) }

// tensor copies numbers of Go into a tensor.
func tensor(numbers []float32, shape ...int64) torch.Tensor {
	defer runtime.KeepAlive(numbers)
	return torch.FromBlob(unsafe.Pointer(unsafe.SliceData(numbers)), torch.Float, shape)
}

// read appends the numbers of a tensor [rows, width].
func read(t torch.Tensor, to []float32) ([]float32, error) {
	err := gotorch.Rows(t, func(rows []float32, _ int) error {
		to = append(to, rows...)
		return nil
	})
	return to, err
}

func newValidator(n int, tensors map[string]array, p policy) (*validator, error) {
	v := &validator{n: n, width: tensors["rows"].shape[1], policy: p, tile: 256}
	v.real = append(v.real, tensors["state_real"].numbers...)
	for _, x := range tensors["state_imag"].numbers {
		v.imag = append(v.imag, x*x)
	}

	// The identity where there is no projection, and a last row that gives 1.
	weight, bias := make([]float32, (n+1)*v.width), make([]float32, n+1)
	if projection, ok := tensors["projection_weight"]; ok {
		copy(weight, projection.numbers)
		copy(bias, tensors["projection_bias"].numbers)
	} else {
		for k := range n {
			weight[k*v.width+k] = 1
		}
	}
	bias[n] = 1
	v.project = layer{tensor(weight, int64(n+1), int64(v.width)), tensor(bias, int64(n+1))}

	// state_imag never moves: its part of the first layer is a constant.
	first, constant := tensors["weight0"], slices.Clone(tensors["bias0"].numbers)
	var onReal []float32
	for i := range constant {
		row := first.numbers[i*2*n : (i+1)*2*n]
		onReal = append(onReal, row[:n]...)
		for k, x := range tensors["state_imag"].numbers {
			constant[i] += row[n+k] * x
		}
	}
	v.layers[0] = layer{tensor(onReal, int64(len(constant)), int64(n)), tensor(constant, int64(len(constant)))}
	for i, name := range []string{"3", "5"} {
		w, b := tensors["weight"+name], tensors["bias"+name]
		v.layers[i+1] = layer{tensor(w.numbers, int64(w.shape[0]), int64(w.shape[1])), tensor(b.numbers, int64(b.shape[0]))}
	}

	for side, name := range []string{"safe", "unsafe"} {
		patterns := tensors[name]
		count := patterns.shape[0]
		z, err := read(v.project.apply(tensor(patterns.numbers, int64(count), int64(v.width))), nil)
		if err != nil {
			return nil, err
		}
		factors := make([]float32, (n+1)*count)
		for i := range count {
			for k := range n {
				x := z[i*(n+1)+k]
				factors[k*count+i] = -2 * x
				factors[n*count+i] += x * x
			}
		}
		v.sides[side] = tensor(factors, int64(n+1), int64(count))
	}
	return v, nil
}

// tune tries out how many rows of distances stay in the cache.
func (v *validator) tune(rows []float32) error {
	fastest := time.Duration(math.MaxInt64)
	best := v.tile
	for _, tile := range []int{64, 128, 256, 512, 1024, 2048} {
		v.tile = tile
		for range 2 {
			start := time.Now()
			if err := v.match(rows); err != nil {
				return err
			}
			if took := time.Since(start); took < fastest {
				fastest, best = took, tile
			}
		}
	}
	v.tile = best
	return nil
}

// collect frees tensors: their memory is not Go's, so that Go's collector does
// not know when it is due. As often as it costs little beside what made them.
func (v *validator) collect(numbers int) {
	if v.made += numbers; v.made > 32<<20 {
		runtime.GC()
		v.made = 0
	}
}

// match fills z ([rows, n+1]) and the least squared distance to each side.
func (v *validator) match(rows []float32) (err error) {
	v.z, v.squares = v.z[:0], [2][]float32{v.squares[0][:0], v.squares[1][:0]}
	for len(rows) > 0 {
		part := rows[:min(len(rows), v.tile*v.width)]
		rows = rows[len(part):]
		count := len(part) / v.width
		z := v.project.apply(tensor(part, int64(count), int64(v.width)))
		if v.z, err = read(z, v.z); err != nil {
			return err
		}
		for side := range v.sides {
			products := torch.MM(z, v.sides[side])
			least, _ := torch.TopK(products, 1, 1, false, false)
			runtime.KeepAlive(products.T)
			if v.squares[side], err = read(least, v.squares[side]); err != nil {
				return err
			}
			v.collect(count * int(v.sides[side].Shape()[1]))
		}
		runtime.KeepAlive(z.T)
		v.collect(len(part))
	}
	return nil
}

// judge answers the rows [len(out), width] and moves the state.
func (v *validator) judge(rows []float32, out []verdict) error {
	if err := v.match(rows); err != nil {
		return err
	}
	n := v.n
	v.states = v.states[:0]
	for i := range out {
		z := v.z[i*(n+1) : i*(n+1)+n]
		for k, x := range z {
			v.real[k] = 0.9*v.real[k] + 0.1*x
		}
		v.states = append(v.states, v.real...)
	}
	hidden := v.layers[0].apply(tensor(v.states, int64(len(out)), int64(n)))
	hidden = v.layers[1].apply(functional.Relu(hidden, true))
	logit := v.layers[2].apply(functional.Relu(hidden, true))
	risk := logit.Sigmoid()
	runtime.KeepAlive(logit.T)
	var err error
	if v.base, err = read(risk, v.base[:0]); err != nil {
		return err
	}
	v.collect(len(out) * (n + 2*64))
	for i := range out {
		v.score(i, &out[i])
	}
	return nil
}

// score is the part of the specification that is no product (steps 3 to 16).
func (v *validator) score(i int, out *verdict) {
	n := v.n
	var sum, squares float64
	amplitude := v.states[i*n : (i+1)*n] // from here on
	for k, x := range amplitude {
		a := float32(math.Sqrt(float64(x*x + v.imag[k])))
		amplitude[k] = a
		sum += float64(a)
		squares += float64(a) * float64(a)
	}
	scale := 1 / (sum + 1e-8)
	sum, squares = sum*scale, squares*scale*scale
	entropy := 0.0
	for _, a := range amplitude {
		m := float64(a) * scale
		p := m * m / (squares + 1e-8)
		entropy -= p * math.Log(p+1e-8)
	}
	out.entropy = float32(entropy / math.Log(float64(n)))
	out.coherence = float32((sum*sum - squares) / float64(n*(n-1)))

	norm := float32(0)
	for _, x := range v.z[i*(n+1) : i*(n+1)+n] {
		norm += x * x
	}
	var distance, similarity [2]float32
	for side := range distance {
		distance[side] = float32(math.Sqrt(float64(max(v.squares[side][i]+norm, 0))))
		similarity[side] = 1 / (1 + distance[side])
	}
	safe, unsafe := similarity[0], similarity[1]
	out.safeSimilarity, out.unsafeSimilarity = safe, unsafe
	out.matchedSafe, out.matchedUnsafe = safe > 0.5, unsafe > 0.5
	adjustment := float32(1)
	switch {
	case out.matchedSafe && !out.matchedUnsafe:
		adjustment = 0.3
	case out.matchedUnsafe && !out.matchedSafe:
		adjustment = 1.5
	case safe > unsafe:
		adjustment = 0.5
	case unsafe > safe:
		adjustment = 1.2
	}
	out.baseRisk = v.base[i]
	out.novelty = min(distance[0]/2, 1)

	highest, lowest := float32(v.policy.Entropy), float32(v.policy.Collapse)
	floors := [3]float32{0.8, 0.7, 0.6}
	switch {
	case out.matchedSafe:
		highest, lowest, floors = 1.1, 0, [3]float32{0.3, 0.3, 0}
	case safe > 0.3:
		highest, lowest = 0.98, 0.1
	}
	risk := out.baseRisk * adjustment
	out.violated = false
	for k, broken := range []bool{out.entropy > highest, out.coherence < lowest, out.novelty > 0.9 && !out.matchedSafe} {
		if broken {
			risk = max(risk, floors[k])
			out.violated = true
		}
	}
	if out.matchedSafe && risk < 0.5 {
		out.violated = false
	}
	out.risk = risk
	out.approved = risk <= 0.5 && !out.violated
	out.block = !out.approved && risk > float32(v.policy.Block)
}
