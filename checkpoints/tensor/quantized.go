package tensor

import (
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
)

// QScheme is how the integers of a quantized tensor stand for numbers, such as "per_tensor_affine".
type QScheme string

// The schemes that are read.
const (
	PerTensorAffine             QScheme = "per_tensor_affine"
	PerChannelAffine            QScheme = "per_channel_affine"
	PerChannelAffineFloatParams QScheme = "per_channel_affine_float_qparams"
)

// Quantizer tells what the integers of a quantized tensor stand for: (integer - zero point) × scale.
type Quantizer struct {
	Scheme QScheme
	// Scale and ZeroPoint are those of PerTensorAffine.
	Scale     float64
	ZeroPoint int64
	// Scales and ZeroPoints have one element for each index along Axis in the other schemes.
	Scales, ZeroPoints *Tensor
	Axis               int64
}

// quantized is torch._utils._rebuild_qtensor(storage, offset, size, stride, quantizer, requires_grad, hooks).
func (r *rebuilder) quantized(args []pickle.Value) (pickle.Value, error) {
	if len(args) != 7 {
		return nil, fmt.Errorf("_rebuild_qtensor with %d arguments, expected 7", len(args))
	}
	t, err := r.view(args, Invalid)
	if err != nil {
		return nil, err
	}
	if !t.DType.quantized() {
		return nil, fmt.Errorf("quantized tensor of %s, expected qint8, quint8 or qint32", t.DType)
	}
	params, ok := args[4].(*pickle.Tuple)
	if !ok || len(params.Items) == 0 {
		return nil, fmt.Errorf("quantizer is %s, expected a tuple", pickle.Describe(args[4]))
	}
	if t.Quantizer, err = quantizer(t, params.Items); err != nil {
		return nil, err
	}
	return t, t.finish(args[5], args[6], nil)
}

func quantizer(t *Tensor, params []pickle.Value) (*Quantizer, error) {
	scheme, _ := params[0].(QScheme)
	q := &Quantizer{Scheme: scheme}
	switch {
	case scheme == PerTensorAffine && len(params) == 3:
		scale, ok := params[1].(pickle.Float)
		zero, also := params[2].(pickle.Int)
		if ok && also && scale > 0 {
			q.Scale, q.ZeroPoint = float64(scale), int64(zero)
			return q, nil
		}
	case (scheme == PerChannelAffine || scheme == PerChannelAffineFloatParams) && len(params) == 4:
		var ok, also, axis bool
		q.Scales, ok = params[1].(*Tensor)
		q.ZeroPoints, also = params[2].(*Tensor)
		var at pickle.Int
		at, axis = params[3].(pickle.Int)
		if !ok || !also || !axis || at < 0 || int(at) >= len(t.Shape) {
			break
		}
		scales, zeros := Float64, Int64
		// PyTorch writes the name of the other scheme for this one as well, and goes by the types.
		if scheme == PerChannelAffineFloatParams || q.ZeroPoints.DType == Float32 {
			q.Scheme, scales, zeros = PerChannelAffineFloatParams, Float32, Float32
		}
		if q.Scales.DType == scales && q.ZeroPoints.DType == zeros && q.Scales.isVector(t.Shape[at]) && q.ZeroPoints.isVector(t.Shape[at]) {
			q.Axis = int64(at)
			return q, nil
		}
	}
	return nil, fmt.Errorf("quantizer of %s with %d parts, expected scale and zero point, or one of each for every channel and their axis", pickle.Describe(params[0]), len(params))
}

func (t *Tensor) isVector(length int64) bool { return len(t.Shape) == 1 && t.Shape[0] == length }
