package convert

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// maxTree bounds the JSON of an object, in bytes; the reader of safetensors accepts no longer text.
const maxTree = 15 << 20

// treeEncoder writes an object as JSON and collects its tensors.
type treeEncoder struct {
	target  string
	text    []byte
	paths   int // bytes of all paths so far
	tensors []named
}

func (e *treeEncoder) refuse(path, reason string) error { return &HoldError{e.target, path, reason} }

func (e *treeEncoder) value(path string, v pickle.Value) error {
	if len(e.text) > maxTree {
		return e.refuse(path, fmt.Sprintf("what is beside the tensors has more than %d bytes as JSON", maxTree))
	}
	if e.paths += len(path); e.paths > maxPaths {
		return e.refuse(path, longPaths)
	}
	switch v := v.(type) {
	case pickle.None:
		e.text = append(e.text, "null"...)
	case pickle.Bool:
		e.text = strconv.AppendBool(e.text, bool(v))
	case pickle.Int:
		e.text = strconv.AppendInt(e.text, int64(v), 10)
	case pickle.BigInt:
		e.text = append(e.text, v.String()...)
	case pickle.Float:
		e.float(float64(v))
	case pickle.Complex:
		e.tag("complex")
		e.json([]string{floatText(real(complex128(v))), floatText(imag(complex128(v)))})
		e.end()
	case pickle.Str:
		return e.string(path, string(v))
	case pickle.Bytes:
		e.tag("bytes")
		e.json(base64.StdEncoding.EncodeToString(v))
		e.end()
	case tensor.Size:
		e.tag("size")
		e.json([]int64(append(tensor.Size{}, v...)))
		e.end()
	case tensor.DType:
		e.tag("dtype")
		e.json(v.String())
		e.end()
	case tensor.Device:
		e.tag("device")
		e.json(string(v))
		e.end()
	case *tensor.Tensor:
		return e.tensor(path, v)
	case *pickle.List:
		return e.list(path, v.Items)
	case *pickle.Tuple:
		return e.tagged(path, "tuple", v.Items)
	case *pickle.Set:
		name := "set"
		if v.Frozen {
			name = "frozenset"
		}
		return e.tagged(path, name, v.Items)
	case *pickle.Dict:
		return e.dict(path, v)
	case *tensor.Sparse:
		return e.refuse(path, "it is a sparse tensor ("+string(v.Layout)+")")
	case *tensor.Storage:
		return e.refuse(path, "it is a storage without a tensor")
	default:
		return e.refuse(path, "it is "+pickle.Describe(v))
	}
	return nil
}

func (e *treeEncoder) json(v any) {
	text, _ := json.Marshal(v) // strings and numbers
	e.text = append(e.text, text...)
}

func (e *treeEncoder) tag(name string) { e.text = append(e.text, `{"$`+name+`":`...) }
func (e *treeEncoder) end()            { e.text = append(e.text, '}') }

func (e *treeEncoder) string(path, s string) error {
	if !utf8.ValidString(s) {
		return e.refuse(path, "it is a text that is not UTF-8")
	}
	e.json(s)
	return nil
}

// floatText keeps every bit of a number, and that it is a float. A NaN is just that.
func floatText(f float64) string {
	text := strings.ToLower(strconv.FormatFloat(f, 'g', -1, 64))
	if !strings.ContainsAny(text, ".en") {
		text += ".0"
	}
	return text
}

func (e *treeEncoder) float(f float64) {
	if !math.IsNaN(f) && !math.IsInf(f, 0) {
		e.text = append(e.text, floatText(f)...)
		return
	}
	e.tag("float")
	e.json(floatText(f))
	e.end()
}

func (e *treeEncoder) tensor(path string, t *tensor.Tensor) error {
	if path == "" {
		path = lone
	}
	e.tensors = append(e.tensors, named{path, t})
	e.tag("tensor")
	if err := e.string(path, path); err != nil {
		return err
	}
	if t.RequiresGrad {
		e.text = append(e.text, `,"requires_grad":true`...)
	}
	if t.Parameter {
		e.text = append(e.text, `,"parameter":true`...)
	}
	e.end()
	return nil
}

func (e *treeEncoder) list(path string, items []pickle.Value) error {
	e.text = append(e.text, '[')
	for i, item := range items {
		if i > 0 {
			e.text = append(e.text, ',')
		}
		if err := e.value(join(path, strconv.Itoa(i)), item); err != nil {
			return err
		}
	}
	e.text = append(e.text, ']')
	return nil
}

func (e *treeEncoder) tagged(path, name string, items []pickle.Value) error {
	e.tag(name)
	err := e.list(path, items)
	e.end()
	return err
}

// dict writes an object if the keys allow, else pairs.
func (e *treeEncoder) dict(path string, d *pickle.Dict) error {
	if d.Default != nil {
		return e.refuse(path, "it is a dict with a default")
	}
	object := !d.Ordered
	for _, entry := range d.Entries() {
		key, text := entry.Key.(pickle.Str)
		object = object && text && !strings.HasPrefix(string(key), "$")
	}
	mark := "[]"
	switch {
	case object:
		mark = "{}"
	case d.Ordered:
		e.tag("ordered_dict")
	default:
		e.tag("dict")
	}
	e.text = append(e.text, mark[0])
	for i, entry := range d.Entries() {
		if i > 0 {
			e.text = append(e.text, ',')
		}
		at := join(path, step(entry.Key))
		if !object {
			e.text = append(e.text, '[')
		}
		if err := e.value(at, entry.Key); err != nil {
			return err
		}
		if object {
			e.text = append(e.text, ':')
		} else {
			e.text = append(e.text, ',')
		}
		if err := e.value(at, entry.Value); err != nil {
			return err
		}
		if !object {
			e.text = append(e.text, ']')
		}
	}
	e.text = append(e.text, mark[1])
	if object {
		return nil
	}
	if d.State != nil {
		e.text = append(e.text, `,"state":`...)
		if err := e.value(join(path, "state"), d.State); err != nil {
			return err
		}
	}
	e.end()
	return nil
}
