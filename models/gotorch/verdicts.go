//go:build gotorch

package gotorch

/*
#include "native/tensors.h"
*/
import "C"

import (
	"context"
	"fmt"
	"runtime"
	"unsafe"

	torch "github.com/wangkuiyi/gotorch"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// Verdicts are the answers to a batch, in memory that tensors show. They do
// not change once they are made. Their tensors fail only where LibTorch finds
// no memory for one's few words.
type Verdicts struct {
	memory torch.Tensor     // bytes: count verdicts
	rows   []engine.Verdict // the same
}

// ScoreColumns are the columns of [Verdicts.Scores]: RiskScore, RawRisk,
// BaseRisk, Entropy, Coherence, Novelty, SafeSimilarity, UnsafeSimilarity,
// SafeDistance and UnsafeDistance of an [engine.Verdict].
const ScoreColumns = 10

const verdictSize = unsafe.Sizeof(engine.Verdict{})

// Tensors show members of a verdict: these lines compile only if the scores
// and the nearest patterns lie side by side.
var (
	_ = [1]struct{}{}[unsafe.Offsetof(engine.Verdict{}.UnsafeDistance)-unsafe.Offsetof(engine.Verdict{}.RiskScore)-4*(ScoreColumns-1)]
	_ = [1]struct{}{}[unsafe.Offsetof(engine.Verdict{}.NearestUnsafe)-unsafe.Offsetof(engine.Verdict{}.NearestSafe)-8]
	_ = [1]struct{}{}[verdictSize%8]
)

// Validate judges the rows of a tensor, [count, width]. b says everything else
// of the batch (sessions, basic checks); its Embeddings and Width are the
// tensor's. Errors are those of [Rows] and of [engine.Engine.ValidateInto].
func Validate(ctx context.Context, e *engine.Engine, rows torch.Tensor, b engine.Batch) (*Verdicts, error) {
	var v *Verdicts
	err := Rows(rows, func(embeddings []float32, width int) (err error) {
		if v, err = newVerdicts(len(embeddings) / width); err != nil {
			return err
		}
		b.Embeddings, b.Width, b.Widths = embeddings, width, nil
		return e.ValidateInto(ctx, b, v.rows)
	})
	if err != nil {
		return nil, fmt.Errorf("gotorch: %w", err)
	}
	return v, nil
}

func newVerdicts(count int) (*Verdicts, error) {
	var (
		tensor, data unsafe.Pointer
		wrong        problem
	)
	if err := wrong.err(C.fdqc_gotorch_memory(C.int64_t(count)*C.int64_t(verdictSize), &tensor, &data, &wrong[0])); err != nil {
		return nil, fmt.Errorf("memory of %d verdicts: %w", count, err)
	}
	// A verdict holds no Go pointer, so it may lie in memory of C.
	return &Verdicts{adopt(tensor), unsafe.Slice((*engine.Verdict)(data), count)}, nil
}

// adopt makes a gotorch tensor of a C++ one, which its finalizer frees.
func adopt(tensor unsafe.Pointer) torch.Tensor {
	cell := new(unsafe.Pointer)
	*cell = tensor
	torch.SetTensorFinalizer(cell)
	return torch.Tensor{T: cell}
}

// Len is the number of rows.
func (v *Verdicts) Len() int { return len(v.rows) }

// Row is a copy of the verdict of row i, for its texts and its status; i is
// 0 to Len()-1.
func (v *Verdicts) Row(i int) engine.Verdict {
	defer runtime.KeepAlive(v)
	return v.rows[i]
}

// Scores is [count, ScoreColumns] float32; NaN for a row that was not judged.
func (v *Verdicts) Scores() (torch.Tensor, error) {
	return v.view(torch.Float, ScoreColumns, unsafe.Offsetof(engine.Verdict{}.RiskScore))
}

// Nearest is [count, 2] int64: the ids of the nearest safe and the nearest
// unsafe pattern, -1 with none.
func (v *Verdicts) Nearest() (torch.Tensor, error) {
	return v.view(torch.Long, 2, unsafe.Offsetof(engine.Verdict{}.NearestSafe))
}

// Decisions is [count] uint8: [engine.Allow], [engine.Review] or
// [engine.Block].
func (v *Verdicts) Decisions() (torch.Tensor, error) {
	return v.view(torch.Byte, 0, unsafe.Offsetof(engine.Verdict{}.Decision))
}

// Approved is [count] bool: approved by the tier alone.
func (v *Verdicts) Approved() (torch.Tensor, error) {
	return v.view(torch.Bool, 0, unsafe.Offsetof(engine.Verdict{}.Approved))
}

// view is a tensor over a member of all verdicts; columns 0: one dimension.
func (v *Verdicts) view(dtype int8, columns int, offset uintptr) (torch.Tensor, error) {
	defer runtime.KeepAlive(v.memory.T)
	var (
		tensor unsafe.Pointer
		wrong  problem
	)
	err := wrong.err(C.fdqc_gotorch_view(*v.memory.T, C.int8_t(dtype), C.int64_t(len(v.rows)), C.int64_t(columns),
		C.int64_t(offset), C.int64_t(verdictSize), &tensor, &wrong[0]))
	if err != nil {
		return torch.Tensor{}, fmt.Errorf("gotorch: view of verdicts: %w", err)
	}
	return adopt(tensor), nil
}
