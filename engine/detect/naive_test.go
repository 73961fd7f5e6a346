package detect

import (
	"context"
	"math"
	"slices"
)

// naive is the arithmetic written down plainly.
type naive struct {
	// explicit fits anew without each row, instead of by Sherman and Morrison.
	explicit bool
}

func (c naive) DetectorFit(_ context.Context, n int, rows, others []float32, location, factor, left, same, other []float64) (float64, float64, error) {
	x, y := matrix(rows, n), matrix(others, n)
	count := len(x)
	center := make([]float64, n)
	for j := range n {
		column := make([]float64, count)
		for i := range x {
			column[i] = x[i][j]
		}
		slices.Sort(column)
		center[j] = column[(count-1)/2]
	}
	far := make([]float64, count)
	for i := range x {
		far[i] = square(x[i], center)
	}
	sorted := slices.Sorted(slices.Values(far))
	limit := sorted[max(2, (3*count+3)/4)-1]
	var kept [][]float64
	for i := range x {
		if far[i] <= limit {
			kept = append(kept, x[i])
		}
	}
	mean, s := moments(kept)
	copy(location, mean)
	var trace, squares float64
	for j := range n {
		trace += s[j][j]
		for k := range n {
			squares += s[j][k] * s[j][k]
		}
	}
	h, p := float64(len(kept)), float64(n)
	variance, rho := 1.0, 1.0
	if trace > 0 {
		variance = trace / p
	}
	if below := (h + 1 - 2/p) * (squares - trace*trace/p); below > 0 {
		rho = min(1, ((1-2/p)*squares+trace*trace)/below)
	}
	shrink := func(s [][]float64, more float64) [][]float64 {
		out := make([][]float64, n)
		for j := range n {
			out[j] = make([]float64, n)
			for k := range n {
				out[j][k] = s[j][k] * (1 - rho) * more
			}
			out[j][j] += rho * variance
		}
		return out
	}
	covariance := shrink(s, 1)
	var squareTrace float64
	for j := range n {
		for k := range n {
			squareTrace += covariance[j][k] * covariance[j][k]
		}
	}
	inverse := inverseFactor(covariance)
	for j := range n {
		copy(factor[j*n:], inverse[j])
	}
	without := inverseFactor(shrink(s, h/(h-1)))
	g := (1 - rho) * h / (h - 1) / (h - 1)
	for i := range x {
		if far[i] > limit {
			left[i] = length(inverse, x[i], mean)
			continue
		}
		if c.explicit {
			var rest [][]float64
			for k := range x {
				if k != i && far[k] <= limit {
					rest = append(rest, x[k])
				}
			}
			m, s := moments(rest)
			left[i] = length(inverseFactor(shrink(s, 1)), x[i], m)
			continue
		}
		q := length(without, x[i], mean)
		left[i] = h / (h - 1) * q / math.Sqrt(1-g*q*q)
	}
	for i := range same {
		same[i], other[i] = math.Inf(1), math.Inf(1)
		for k := range x {
			if k != i {
				same[i] = min(same[i], math.Sqrt(square(x[i], x[k])))
			}
		}
		for k := range y {
			other[i] = min(other[i], math.Sqrt(square(x[i], y[k])))
		}
	}
	return trace, squareTrace, nil
}

func (naive) DetectorDistances(_ context.Context, n int, location, factor []float64, rows []float32, out []float64) error {
	f := make([][]float64, n)
	for j := range n {
		f[j] = factor[j*n : (j+1)*n]
	}
	for i, row := range matrix(rows, n) {
		out[i] = length(f, row, location)
	}
	return nil
}

func (naive) DetectorNearest(_ context.Context, n int, rows, others []float32, out []float64) error {
	for i, row := range matrix(rows, n) {
		out[i] = math.Inf(1)
		for _, other := range matrix(others, n) {
			out[i] = min(out[i], math.Sqrt(square(row, other)))
		}
	}
	return nil
}

func matrix(flat []float32, n int) [][]float64 {
	out := make([][]float64, len(flat)/n)
	for i := range out {
		out[i] = make([]float64, n)
		for j := range n {
			out[i][j] = float64(flat[i*n+j])
		}
	}
	return out
}

func square(a, b []float64) (sum float64) {
	for j := range a {
		sum += (a[j] - b[j]) * (a[j] - b[j])
	}
	return sum
}

// moments are the mean and the covariance divided by the number of rows.
func moments(rows [][]float64) ([]float64, [][]float64) {
	n := len(rows[0])
	mean := make([]float64, n)
	for _, r := range rows {
		for j := range r {
			mean[j] += r[j] / float64(len(rows))
		}
	}
	s := make([][]float64, n)
	for j := range s {
		s[j] = make([]float64, n)
		for _, r := range rows {
			for k := range r {
				s[j][k] += (r[j] - mean[j]) * (r[k] - mean[k]) / float64(len(rows))
			}
		}
	}
	return mean, s
}

// inverseFactor is the inverse of the lower Cholesky factor.
func inverseFactor(a [][]float64) [][]float64 {
	n := len(a)
	l, out := make([][]float64, n), make([][]float64, n)
	for i := range n {
		l[i], out[i] = make([]float64, n), make([]float64, n)
		for j := 0; j <= i; j++ {
			sum := a[i][j]
			for k := range j {
				sum -= l[i][k] * l[j][k]
			}
			if i == j {
				l[i][i] = math.Sqrt(sum)
			} else {
				l[i][j] = sum / l[j][j]
			}
		}
		for j := 0; j <= i; j++ {
			sum := 0.0
			if i == j {
				sum = 1
			}
			for k := j; k < i; k++ {
				sum -= l[i][k] * out[k][j]
			}
			out[i][j] = sum / l[i][i]
		}
	}
	return out
}

// length is that of factor * (row - center).
func length(factor [][]float64, row, center []float64) float64 {
	var sum float64
	for j := range factor {
		var v float64
		for k := 0; k <= j; k++ {
			v += factor[j][k] * (row[k] - center[k])
		}
		sum += v * v
	}
	return math.Sqrt(sum)
}
