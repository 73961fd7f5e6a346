package checkpoints

import (
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
	"github.com/fdqc-cockpit/fdqc/checkpoints/safetensors"
)

// listSafetensors lists the arrays in the order of their data.
func (f *File) listSafetensors(data []byte) error {
	file, err := safetensors.Parse(data)
	if err != nil {
		return err
	}
	f.Metadata = file.Metadata
	f.Content = &Node{Kind: "dict", Length: len(file.Arrays)}
	for _, a := range file.Arrays {
		f.Content.Items = append(f.Content.Items, Item{Key: a.Name, Value: arrayNode(string(a.DType), a.Shape)})
	}
	return nil
}

// inflatedLimit is what compressed entries of an untrusted file may take in memory: less than 64 MiB beyond the file.
const inflatedLimit = 48 << 20

func (f *File) listArchive(data []byte) error {
	entries, err := npy.ListArrays(data, inflatedLimit)
	if err != nil {
		return err
	}
	f.Content, f.Container = &Node{Kind: "dict", Length: len(entries)}, &Container{}
	for _, e := range entries {
		listed := Record{Name: e.Name, Offset: e.Offset, Bytes: e.Bytes, CRC32: fmt.Sprintf("%08x", e.CRC)}
		if e.Deflated {
			listed.Packed = e.Packed
		}
		f.Container.Records = append(f.Container.Records, listed)
		f.Content.Items = append(f.Content.Items, Item{Key: e.Name, Value: arrayNode(e.DType.String(), e.Shape)})
	}
	return nil
}

func (f *File) listArray(data []byte) error {
	h, err := npy.CheckArray(data)
	if err != nil {
		return err
	}
	f.Content = arrayNode(h.DType.String(), h.Shape)
	return nil
}

func arrayNode(dtype string, shape []int64) *Node {
	return &Node{Kind: "tensor", DType: dtype, Shape: append([]int64{}, shape...)}
}
