package convert

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/safetensors"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// elements lists what the formats call an element type; empty where they lack it.
var elements = []struct {
	dtype tensor.DType
	safe  safetensors.DType
	npy   npy.DType
}{
	{tensor.Float64, "F64", npy.DType{Kind: npy.Float, Size: 8}},
	{tensor.Float32, "F32", npy.DType{Kind: npy.Float, Size: 4}},
	{tensor.Float16, "F16", npy.DType{Kind: npy.Float, Size: 2}},
	{tensor.BFloat16, "BF16", npy.DType{}},
	{tensor.Int64, "I64", npy.DType{Kind: npy.Int, Size: 8}},
	{tensor.Int32, "I32", npy.DType{Kind: npy.Int, Size: 4}},
	{tensor.Int16, "I16", npy.DType{Kind: npy.Int, Size: 2}},
	{tensor.Int8, "I8", npy.DType{Kind: npy.Int, Size: 1}},
	{tensor.Uint8, "U8", npy.DType{Kind: npy.Uint, Size: 1}},
	{tensor.Uint16, "U16", npy.DType{Kind: npy.Uint, Size: 2}},
	{tensor.Uint32, "U32", npy.DType{Kind: npy.Uint, Size: 4}},
	{tensor.Uint64, "U64", npy.DType{Kind: npy.Uint, Size: 8}},
	{tensor.Bool, "BOOL", npy.DType{Kind: npy.Bool, Size: 1}},
	{tensor.Complex128, "", npy.DType{Kind: npy.Complex, Size: 16}},
	{tensor.Complex64, "C64", npy.DType{Kind: npy.Complex, Size: 8}},
	{tensor.Float8E4M3FN, "F8_E4M3", npy.DType{}},
	{tensor.Float8E5M2, "F8_E5M2", npy.DType{}},
	{tensor.Float8E4M3FNUZ, "F8_E4M3FNUZ", npy.DType{}},
	{tensor.Float8E5M2FNUZ, "F8_E5M2FNUZ", npy.DType{}},
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

func readSafetensors(data []byte, _ Options) (pickle.Value, error) {
	file, err := safetensors.Parse(data)
	if err != nil {
		return nil, err
	}
	f := flat{metadata: file.Metadata}
	for _, a := range file.Arrays {
		dtype := tensor.Invalid
		for _, e := range elements {
			if e.safe == a.DType {
				dtype = e.dtype
			}
		}
		if dtype == tensor.Invalid {
			return nil, fmt.Errorf("key %.200q: elements of %s have no counterpart in PyTorch", a.Name, a.DType)
		}
		f.tensors = append(f.tensors, named{a.Name, tensor.New(dtype, a.Shape, a.Data)})
	}
	return f.unflatten()
}

func writeSafetensors(w io.Writer, _ string, root pickle.Value) error {
	f, err := flatten(safeTarget, root)
	if err != nil {
		return err
	}
	sources, err := f.sources()
	if err != nil {
		return err
	}
	if f.metadata[treeKey] == "" && !slices.IsSortedFunc(sources, safetensors.Order) {
		// The format has an order of its own; only the tree keeps that of the dict.
		if f, err = withTree(safeTarget, root); err != nil {
			return err
		}
		if sources, err = f.sources(); err != nil {
			return err
		}
	}
	return safetensors.Write(w, sources, f.metadata)
}

const safeTarget = ".safetensors"

func (f flat) sources() ([]safetensors.Source, error) {
	var sources []safetensors.Source
	for _, t := range f.tensors {
		dtype := safetensors.DType("")
		for _, e := range elements {
			if e.dtype == t.DType {
				dtype = e.safe
			}
		}
		if dtype == "" {
			return nil, &HoldError{safeTarget, t.key, "the format has no elements of " + t.DType.String()}
		}
		sources = append(sources, safetensors.Source{Name: t.key, DType: dtype, Shape: t.Shape, Write: writer(t)})
	}
	return sources, nil
}

// writer writes a tensor out; views take memory only meanwhile.
func writer(t named) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(t.Bytes())
		return err
	}
}

func readArchive(data []byte, o Options) (pickle.Value, error) {
	entries, err := npy.ReadArrays(data, o.Expanded)
	if err != nil {
		return nil, err
	}
	var f flat
	for _, e := range entries {
		if e.Name == metadataKey {
			text, err := e.Text()
			if err == nil {
				err = json.Unmarshal([]byte(text), &f.metadata)
			}
			if err != nil {
				return nil, fmt.Errorf("key %q: expected one text, a JSON object of texts: %w", metadataKey, err)
			}
			continue
		}
		dtype := tensor.Invalid
		for _, known := range elements {
			if known.npy == e.DType {
				dtype = known.dtype
			}
		}
		if dtype == tensor.Invalid {
			return nil, fmt.Errorf("key %.200q: elements of %s have no counterpart in PyTorch", e.Name, e.DType)
		}
		f.tensors = append(f.tensors, named{e.Name, tensor.New(dtype, e.Shape, e.Data)})
	}
	return f.unflatten()
}

func writeArchive(w io.Writer, _ string, root pickle.Value) error {
	const target = ".npz"
	f, err := flatten(target, root)
	if err != nil {
		return err
	}
	out := npy.NewSaver(w)
	for _, t := range f.tensors {
		dtype := npy.DType{}
		for _, e := range elements {
			if e.dtype == t.DType {
				dtype = e.npy
			}
		}
		if dtype.Size == 0 {
			return &HoldError{target, t.key, "the format has no elements of " + t.DType.String()}
		}
		if err := out.Add(t.key, npy.Header{DType: dtype, Shape: t.Shape}, writer(t)); err != nil {
			return err
		}
	}
	if f.metadata != nil {
		text, err := json.Marshal(f.metadata)
		if err != nil {
			return err
		}
		h, data, err := npy.NewText(string(text))
		if err != nil {
			return err
		}
		if err := out.Add(metadataKey, h, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
			return err
		}
	}
	return out.Close()
}
