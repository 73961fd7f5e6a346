package convert

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

const (
	metadataKey = "__metadata__"
	treeKey     = "fdqc.tree"
	// lone names a tensor that is the whole file.
	lone = "tensor"
)

// named is a tensor with the path that leads to it.
type named struct {
	key string
	*tensor.Tensor
}

// flat is what .safetensors and .npz hold: named arrays and texts.
type flat struct {
	tensors  []named
	metadata map[string]string
}

// flatten names the tensors of an object and writes the rest as metadata.
func flatten(target string, root pickle.Value) (flat, error) {
	if f, ok := plain(root); ok {
		return f, f.check(target)
	}
	return withTree(target, root)
}

func withTree(target string, root pickle.Value) (flat, error) {
	e := treeEncoder{target: target}
	if err := e.value("", root); err != nil {
		return flat{}, err
	}
	f := flat{tensors: e.tensors, metadata: map[string]string{treeKey: string(e.text)}}
	return f, f.check(target)
}

// plain takes a dict of tensors without flags, with texts under metadataKey perhaps.
func plain(root pickle.Value) (flat, bool) {
	dict, ok := root.(*pickle.Dict)
	if !ok || dict.Ordered || dict.Default != nil {
		return flat{}, false
	}
	var f flat
	for _, e := range dict.Entries() {
		key, ok := e.Key.(pickle.Str)
		if !ok {
			return flat{}, false
		}
		if texts, ok := e.Value.(*pickle.Dict); ok && key == metadataKey && !texts.Ordered && texts.Default == nil {
			f.metadata = map[string]string{}
			for _, text := range texts.Entries() {
				name, named := text.Key.(pickle.Str)
				value, ok := text.Value.(pickle.Str)
				if !named || !ok || name == treeKey {
					return flat{}, false
				}
				f.metadata[string(name)] = string(value)
			}
			continue
		}
		t, ok := e.Value.(*tensor.Tensor)
		if !ok || t.RequiresGrad || t.Parameter {
			return flat{}, false
		}
		f.tensors = append(f.tensors, named{string(key), t})
	}
	return f, true
}

// check refuses what no flat format holds.
func (f flat) check(target string) error {
	seen := map[string]bool{}
	for _, t := range f.tensors {
		reason := ""
		switch {
		case t.Quantizer != nil:
			reason = "it is a quantized tensor of " + t.DType.String()
		case t.Attrs != nil:
			reason = "it is a tensor with Python attributes"
		case t.key == metadataKey:
			reason = "the name is reserved"
		case !utf8.ValidString(t.key):
			reason = "the name is not UTF-8"
		case seen[t.key]:
			reason = "two tensors have this path"
		}
		if reason != "" {
			return &HoldError{target, t.key, reason}
		}
		seen[t.key] = true
	}
	return nil
}

// unflatten makes the object again.
func (f flat) unflatten() (pickle.Value, error) {
	if tree, ok := f.metadata[treeKey]; ok {
		if len(f.metadata) > 1 {
			return nil, fmt.Errorf("metadata %q stands beside others, expected it alone", treeKey)
		}
		return decodeTree(tree, f.tensors)
	}
	root := &pickle.Dict{}
	for _, t := range f.tensors {
		if err := root.Add(pickle.Str(t.key), t.Tensor); err != nil {
			return nil, err
		}
	}
	if f.metadata == nil {
		return root, nil
	}
	texts := &pickle.Dict{}
	for _, name := range sortedKeys(f.metadata) {
		if err := texts.Add(pickle.Str(name), pickle.Str(f.metadata[name])); err != nil {
			return nil, err
		}
	}
	return root, root.Add(pickle.Str(metadataKey), texts)
}

// tensorsOnly collects the tensors of dicts, lists and tuples; one within anything else cannot be named.
func tensorsOnly(root pickle.Value) (pickle.Value, error) {
	out := &pickle.Dict{}
	paths := 0
	var walk func(path string, v pickle.Value) error
	walk = func(path string, v pickle.Value) error {
		if paths += len(path); paths > maxPaths {
			return &HoldError{"dict", path, longPaths}
		}
		switch v := v.(type) {
		case *tensor.Tensor:
			if path == "" {
				path = lone
			}
			if err := out.Add(pickle.Str(path), v); err != nil {
				return &HoldError{"dict", path, err.Error()}
			}
			return nil
		case *pickle.Dict, *pickle.List, *pickle.Tuple:
			for _, e := range steps(v) {
				if err := walk(join(path, step(e.Key)), e.Value); err != nil {
					return err
				}
			}
			return nil
		case *tensor.Sparse:
			return &HoldError{"dict", path, "it is a sparse tensor"}
		}
		for _, child := range children(v) {
			if r, err := measure(child, 1<<62); err != nil || r.Tensors > 0 {
				return &HoldError{"dict", path, "a tensor lies within " + pickle.Describe(v)}
			}
		}
		return nil
	}
	return out, walk("", root)
}

// maxPaths bounds all paths of one object together, in bytes: a long key that is shared on many levels makes each of them
// longer than the file.
const (
	maxPaths  = 128 << 20
	longPaths = "the paths of the values up to it take more than 128 MiB"
)

// step names a key of a dict in a path.
func step(key pickle.Value) string {
	switch key := key.(type) {
	case pickle.Str:
		return string(key)
	case pickle.Int:
		return strconv.FormatInt(int64(key), 10)
	}
	return pickle.Describe(key)
}

func join(path, step string) string {
	if path == "" {
		return step
	}
	return path + "." + step
}
