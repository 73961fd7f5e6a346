package convert

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/mapped"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// ErrPath is matched when the names of source and target make no conversion: an unknown ending, or the same file.
var ErrPath = errors.New("cannot convert")

// HoldError says that the target's format cannot hold a value of the source.
type HoldError struct {
	// Target is the ending of the format, Key the path of the value with dots.
	Target, Key string
	// Reason is one clause.
	Reason string
}

// Error names the key.
func (e *HoldError) Error() string {
	return fmt.Sprintf("key %.200q: a %s file cannot hold it: %s", e.Key, e.Target, e.Reason)
}

// Options change a conversion.
type Options struct {
	// DropMetadata writes the tensors only, in a plain dict by their paths.
	DropMetadata bool
	// Expanded is how many bytes views and compressed records may grow to beyond the size of the source, 1 GiB by
	// default.
	Expanded int64
}

// Report tells what was written.
type Report struct {
	// Tensors is their number, Bytes the size of their elements.
	Tensors int
	Bytes   int64
}

// format is one of the kinds of files.
type format struct {
	read  func(data []byte, o Options) (pickle.Value, error)
	write func(w io.Writer, path string, root pickle.Value) error
}

func formatOf(path string) (format, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".pt", ".pth":
		return format{readPickled, func(w io.Writer, path string, root pickle.Value) error {
			return blame(ext, root, func(w io.Writer, v pickle.Value) error { return tensor.Save(w, container.Root(path), v) }, w)
		}}, nil
	case ".pkl":
		return format{readPickled, func(w io.Writer, _ string, root pickle.Value) error { return blame(ext, root, tensor.Dump, w) }}, nil
	case ".safetensors":
		return format{readSafetensors, writeSafetensors}, nil
	case ".npz":
		return format{readArchive, writeArchive}, nil
	}
	return format{}, fmt.Errorf("%w %s: expected a name that ends in .pt, .pth, .pkl, .safetensors or .npz", ErrPath, path)
}

// blame saves an object; when a value in it does not fit, the error names the path of that value.
func blame(target string, root pickle.Value, save func(io.Writer, pickle.Value) error, w io.Writer) error {
	err := save(w, root)
	if err == nil || save(io.Discard, root) == nil {
		return err // or the writing itself failed
	}
	path := ""
descend:
	for range maxBlame {
		for _, child := range steps(root) {
			if childErr := save(io.Discard, child.Value); childErr != nil {
				path, root, err = join(path, step(child.Key)), child.Value, childErr
				continue descend
			}
		}
		break
	}
	return &HoldError{Target: target, Key: path, Reason: err.Error()}
}

// maxBlame is how deep the value that does not fit is looked for.
const maxBlame = 16

// steps lists what lists, tuples and dicts hold, with keys.
func steps(v pickle.Value) []pickle.Entry {
	if dict, ok := v.(*pickle.Dict); ok {
		return dict.Entries()
	}
	var all []pickle.Entry
	switch v.(type) {
	case *pickle.List, *pickle.Tuple:
		for i, item := range children(v) {
			all = append(all, pickle.Entry{Key: pickle.Int(i), Value: item})
		}
	}
	return all
}

// Convert reads one file and writes the other; an existing target is replaced when the new one is complete.
func Convert(from, to string, o Options) (Report, error) {
	if o.Expanded <= 0 {
		o.Expanded = 1 << 30
	}
	source, err := formatOf(from)
	if err != nil {
		return Report{}, err
	}
	target, err := formatOf(to)
	if err != nil {
		return Report{}, err
	}
	m, err := mapped.Open(from)
	if err != nil {
		return Report{}, err
	}
	report, err := convert(m, from, to, source, target, o)
	return report, errors.Join(err, m.Close())
}

func convert(m *mapped.File, from, to string, source, target format, o Options) (Report, error) {
	if info, err := os.Stat(to); err == nil && os.SameFile(info, m.Info()) {
		return Report{}, fmt.Errorf("%w %s: %s is the same file", ErrPath, from, to)
	}
	// The target gets its name only after the view has seen that the source is still what it was.
	out, err := checkpoints.Create(to, 0o644)
	if err != nil {
		return Report{}, err
	}
	var report Report
	err = m.View(func(data []byte) error {
		root, err := source.read(data, o)
		if err != nil {
			return &checkpoints.FileError{File: from, Err: err}
		}
		if report, err = measure(root, int64(len(data))+o.Expanded); err != nil {
			return &checkpoints.FileError{File: from, Err: err}
		}
		if o.DropMetadata {
			if root, err = tensorsOnly(root); err != nil {
				return err
			}
		}
		return target.write(out, to, root)
	})
	if err != nil {
		if errors.Is(err, mapped.ErrChanged) {
			err = &checkpoints.FileError{File: from, Err: err}
		}
		return Report{}, errors.Join(err, out.Abort())
	}
	return report, out.Commit()
}

func readPickled(data []byte, o Options) (pickle.Value, error) {
	f, err := tensor.Load(data, tensor.Options{Expanded: o.Expanded, Container: container.Limits{Inflated: o.Expanded}})
	if err != nil {
		return nil, err
	}
	return f.Root, nil
}

// maxValues bounds the walk over values that share parts.
const maxValues = 1 << 20

// measure counts the tensors and what they take when each is written out.
func measure(root pickle.Value, limit int64) (Report, error) {
	var r Report
	values := 0
	var walk func(v pickle.Value) error
	walk = func(v pickle.Value) error {
		if values++; values > maxValues {
			return fmt.Errorf("more than %d values", maxValues)
		}
		if t, ok := v.(*tensor.Tensor); ok {
			r.Tensors++
			size := int64(t.DType.Size())
			if n := t.Numel(); n > limit/size || r.Bytes > limit-n*size {
				return fmt.Errorf("tensors take more than %d bytes when views are written out", limit)
			}
			r.Bytes += t.Numel() * size
		}
		for _, child := range children(v) {
			if err := walk(child); err != nil {
				return err
			}
		}
		return nil
	}
	return r, walk(root)
}

func children(v pickle.Value) []pickle.Value {
	switch v := v.(type) {
	case *pickle.List:
		return v.Items
	case *pickle.Tuple:
		return v.Items
	case *pickle.Set:
		return v.Items
	case *pickle.Deque:
		return v.Items
	case *pickle.Dict:
		all := make([]pickle.Value, 0, v.Len()+1)
		for _, e := range v.Entries() {
			all = append(all, e.Value)
		}
		if v.State != nil {
			all = append(all, v.State)
		}
		return all
	case *pickle.Record:
		if v.Fields == nil {
			return nil
		}
		return children(v.Fields)
	case pickle.Parent:
		return v.Children()
	}
	return nil
}
