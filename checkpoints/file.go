package checkpoints

import (
	"fmt"

	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// File lists what a checkpoint holds, for people and, as JSON, for programs.
type File struct {
	// Name is the name that the caller gave.
	Name string `json:"name"`
	// Format is "zip", "legacy" or "pickle".
	Format string `json:"format"`
	// Bytes is the size of the file.
	Bytes int64 `json:"bytes"`
	// Container tells about the archive of a zip file.
	Container *Container `json:"container,omitempty"`
	// Content is the saved object.
	Content *Node `json:"content"`
	// Warnings are oddities that do not stop a reader.
	Warnings []string `json:"warnings,omitempty"`
}

// Container is what a zip archive says about itself.
type Container struct {
	Root          string   `json:"root"`
	Version       int      `json:"version"`
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
}

// ReadFile lists a file. See Parse.
func ReadFile(path string) (*File, error) {
	data, err := readAll(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse lists the content of a file that the caller has read; name is for messages. Objects of unknown classes are
// listed by class, arguments and state; none is made. At most 100,000 nodes are listed, then containers are marked
// as truncated.
func Parse(name string, data []byte) (*File, error) {
	loaded, err := tensor.Load(data, tensor.Options{Opaque: true})
	if err != nil {
		return nil, &FileError{File: name, Err: err}
	}
	l := lister{left: maxNodes}
	f := &File{Name: name, Format: string(loaded.Format), Bytes: int64(len(data)), Content: l.node(loaded.Root)}
	if l.left <= 0 {
		f.Warnings = append(f.Warnings, fmt.Sprintf("only the first %d values are listed", maxNodes))
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
		for _, r := range a.Records {
			f.Container.Records = append(f.Container.Records, Record{Name: r.Name, Offset: r.Offset, Bytes: int64(len(r.Data)), CRC32: fmt.Sprintf("%08x", r.CRC)})
		}
	}
	return f, nil
}
