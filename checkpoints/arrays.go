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
	f.Content, f.Container = &Node{Kind: "dict"}, &Container{}
	return npy.EachArray(data, inflatedLimit, func(e npy.Entry) error {
		listed := Record{Name: e.Name, Offset: e.Offset, Bytes: e.Bytes, CRC32: fmt.Sprintf("%08x", e.CRC)}
		if e.Deflated {
			listed.Packed = e.Packed
		}
		f.Container.Records = append(f.Container.Records, listed)
		f.Content.Length++
		f.Content.Items = append(f.Content.Items, Item{Key: e.Name, Value: arrayNode(e.DType.String(), e.Shape)})
		return nil
	})
}

func (f *File) listArray(data []byte) error {
	a, err := npy.ReadArray(data)
	if err != nil {
		return err
	}
	f.Content = arrayNode(a.DType.String(), a.Shape)
	return nil
}

func arrayNode(dtype string, shape []int64) *Node {
	return &Node{Kind: "tensor", DType: dtype, Shape: append([]int64{}, shape...)}
}
