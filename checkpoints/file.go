package checkpoints

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/fdqc-cockpit/fdqc/checkpoints/mapped"
	"github.com/fdqc-cockpit/fdqc/checkpoints/npy"
	"github.com/fdqc-cockpit/fdqc/checkpoints/safetensors"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// File lists what a checkpoint holds, for people and, as JSON, for programs.
type File struct {
	// Name is the name that the caller gave.
	Name string `json:"name"`
	// Format is "zip", "legacy", "pickle", "safetensors", "npz" or "npy".
	Format string `json:"format"`
	// Bytes is the size of the file.
	Bytes int64 `json:"bytes"`
	// Container tells about the archive of a zip file.
	Container *Container `json:"container,omitempty"`
	// Metadata are the texts of a safetensors file.
	Metadata map[string]string `json:"metadata,omitempty"`
	// Content is the saved object; of safetensors and npz files a dict of their arrays.
	Content *Node `json:"content"`
	// Warnings are oddities that do not stop a reader.
	Warnings []string `json:"warnings,omitempty"`
}

// Container is what a zip archive says about itself. A .npz has records only.
type Container struct {
	Root          string   `json:"root,omitempty"`
	Version       int      `json:"version,omitempty"`
	FormatVersion string   `json:"format_version,omitempty"`
	Alignment     string   `json:"storage_alignment,omitempty"`
	Records       []Record `json:"records"`
}

// Record is one record of an archive.
type Record struct {
	Name   string `json:"name"`
	Offset int64  `json:"offset"`
	Bytes  int64  `json:"bytes"`
	CRC32  string `json:"crc32"`
	// Packed is the number of bytes in the file when the record is deflated.
	Packed int64 `json:"packed_bytes,omitempty"`
}

// ReadFile lists a file, which it maps into memory: of an archive only its checksums need the payload. A file that is
// cut or written to meanwhile is a FileError that matches mapped.ErrChanged. See Parse.
func ReadFile(path string) (*File, error) {
	m, err := mapped.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	var f *File
	err = m.View(func(data []byte) (err error) {
		f, err = Parse(path, data)
		return err
	})
	if errors.Is(err, mapped.ErrChanged) {
		err = &FileError{File: path, Err: err}
	}
	if err = errors.Join(err, m.Close()); err != nil {
		return nil, err
	}
	return f, nil
}

// FormatOf tells what a file is: by its name if that ends in .safetensors, .npz or .npy, else by how it begins. All that is
// neither is taken for a checkpoint of PyTorch.
func FormatOf(name string, data []byte) string {
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".safetensors", ".npz", ".npy":
		return ext[1:]
	}
	switch {
	case safetensors.Is(data):
		return "safetensors"
	case npy.IsArchive(data):
		return "npz"
	case npy.IsArray(data):
		return "npy"
	}
	return "pt"
}

// Parse lists the content of a file that the caller has in memory; name is for messages, and its ending for the format.
// It keeps nothing of data. Objects of unknown classes are listed by class, arguments and state; none is made. At most
// 100,000 nodes are listed, and no more than take about 8 MiB as JSON; then containers are marked as truncated.
func Parse(name string, data []byte) (*File, error) {
	f := &File{Name: name, Format: FormatOf(name, data), Bytes: int64(len(data))}
	var err error
	switch f.Format {
	case "safetensors":
		err = f.listSafetensors(data)
	case "npz":
		err = f.listArchive(data)
	case "npy":
		err = f.listArray(data)
	default:
		err = f.listCheckpoint(data)
	}
	if err != nil {
		return nil, &FileError{File: name, Err: err}
	}
	return f, nil
}

func (f *File) listCheckpoint(data []byte) error {
	loaded, err := tensor.Load(data, tensor.Options{Opaque: true})
	if err != nil {
		return err
	}
	l := lister{}
	f.Format, f.Content = string(loaded.Format), l.node(loaded.Root)
	if l.full() {
		f.Warnings = append(f.Warnings, fmt.Sprintf("only the first %d values are listed", l.listed))
	}
	if l.opaque > 0 {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%d objects of classes that are not known here; loading them in Python may run code", l.opaque))
	}
	for _, key := range loaded.Unused {
		f.Warnings = append(f.Warnings, fmt.Sprintf("storage %.40q is not used by any tensor", key))
		if len(f.Warnings) >= 20 {
			break
		}
	}
	if a := loaded.Archive; a != nil {
		f.Container = &Container{Root: a.Root, Version: a.Version, FormatVersion: a.FormatVersion, Alignment: a.Alignment}
		size := 0
		for i, r := range a.Records {
			if size += 128 + len(r.Name); size > maxListing {
				f.Warnings = append(f.Warnings, fmt.Sprintf("only the first %d records are listed", i))
				break
			}
			listed := Record{Name: r.Name, Offset: r.Offset, Bytes: int64(len(r.Data)), CRC32: fmt.Sprintf("%08x", r.CRC)}
			if r.Deflated {
				listed.Packed = r.Packed
			}
			f.Container.Records = append(f.Container.Records, listed)
		}
	}
	return nil
}
