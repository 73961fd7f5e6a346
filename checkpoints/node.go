package checkpoints

import (
	"fmt"
	"math"
	"strings"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

const (
	maxNodes = 100_000
	maxShown = 4096 // bytes of a string or of bytes
	// maxListing is about how many bytes a listing may take as indented JSON: texts that are shared by many places and deep
	// nesting make one of gigabytes out of a file of kilobytes.
	maxListing = 8 << 20
)

// Node is one value of a file.
type Node struct {
	// Kind is none, bool, int, float, complex, str, bytes, path, datetime, timedelta, timezone, list, tuple, deque, set,
	// frozenset, dict, ordered_dict, default_dict, tensor, parameter, sparse_tensor, storage, dtype, size, device,
	// layout, qscheme, record, global or object.
	Kind string `json:"kind"`
	// Value is that of a scalar: bool, int64, float64, or a string for texts, for numbers beyond int64, NaN and
	// infinities, for complex numbers, times and names. Of a record and an object it is the class, of a sparse tensor
	// the layout.
	Value any `json:"value,omitempty"`
	// Length is the number of items of a container, of characters' bytes of a text.
	Length int `json:"length,omitempty"`
	// DType, Shape and Location are those of a tensor; Shape is also that of a size. A scalar has an empty shape.
	DType    string  `json:"dtype,omitempty"`
	Shape    []int64 `json:"shape,omitzero"`
	Location string  `json:"location,omitempty"`
	// RequiresGrad is a tensor's flag.
	RequiresGrad bool `json:"requires_grad,omitempty"`
	// Quantizer describes a quantized tensor.
	Quantizer *Quantizer `json:"quantizer,omitempty"`
	// Items are what a container holds.
	Items []Item `json:"items,omitempty"`
	// State is what was set on an OrderedDict, a tensor or an object.
	State *Node `json:"state,omitempty"`
	// Truncated tells that not all items are listed.
	Truncated bool `json:"truncated,omitempty"`
}

// Quantizer tells what the integers of a quantized tensor stand for: by one scale, or by one a slice along Axis.
type Quantizer struct {
	Scheme    string `json:"scheme"`
	Scale     any    `json:"scale,omitempty"`
	ZeroPoint int64  `json:"zero_point,omitempty"`
	Channels  int64  `json:"channels,omitempty"`
	Axis      int64  `json:"axis,omitempty"`
}

// Item is a value within a container, with its key in a dict.
type Item struct {
	Key   any   `json:"key,omitempty"`
	Value *Node `json:"value"`
}

// lister walks a value. Values may share parts, so what it lists is counted.
type lister struct {
	listed int // nodes
	bytes  int // of their JSON
	depth  int
	opaque int
}

// full tells that no more is to be listed.
func (l *lister) full() bool { return l.listed >= maxNodes || l.bytes >= maxListing }

// lines charges lines of JSON at the present depth.
func (l *lister) lines(n int) { l.bytes += n * (8*l.depth + 16) }

func (l *lister) node(v pickle.Value) *Node {
	l.listed++
	l.depth++
	l.lines(3)
	n := l.describe(v)
	if text, ok := n.Value.(string); ok {
		l.bytes += jsonSize(text)
	}
	l.lines(len(n.Shape))
	l.depth--
	return n
}

// jsonSize is about the size of a text in JSON, where a control character takes six bytes.
func jsonSize(text string) int {
	size := len(text)
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			size += 5
		}
	}
	return size
}

func (l *lister) describe(v pickle.Value) *Node {
	switch v := v.(type) {
	case pickle.None:
		return &Node{Kind: "none"}
	case pickle.Bool:
		return &Node{Kind: "bool", Value: bool(v)}
	case pickle.Int:
		return &Node{Kind: "int", Value: int64(v)}
	case pickle.BigInt:
		return &Node{Kind: "int", Value: v.String()}
	case pickle.Float:
		return &Node{Kind: "float", Value: number(float64(v))}
	case pickle.Str:
		return &Node{Kind: "str", Value: shorten(string(v)), Length: len(v), Truncated: len(v) > maxShown}
	case pickle.Bytes:
		return &Node{Kind: "bytes", Value: fmt.Sprintf("%x", v[:min(len(v), 64)]), Length: len(v), Truncated: len(v) > 64}
	case pickle.Global:
		return &Node{Kind: "global", Value: v.String()}
	case tensor.DType:
		return &Node{Kind: "dtype", Value: v.String()}
	case tensor.Size:
		return &Node{Kind: "size", Shape: append([]int64{}, v...)}
	case tensor.Device:
		return &Node{Kind: "device", Value: string(v)}
	case *tensor.Storage:
		return &Node{Kind: "storage", DType: v.DType.String(), Shape: []int64{v.Numel}, Location: v.Location}
	case pickle.Complex:
		return &Node{Kind: "complex", Value: fmt.Sprint(complex128(v))}
	case pickle.Path:
		return &Node{Kind: "path", Value: shorten(v.Text), Length: len(v.Text), Truncated: len(v.Text) > maxShown}
	case pickle.DateTime:
		return &Node{Kind: "datetime", Value: v.String()}
	case pickle.TimeDelta:
		return &Node{Kind: "timedelta", Value: v.String()}
	case pickle.TimeZone:
		return &Node{Kind: "timezone", Value: shorten(strings.TrimSpace(v.Name + " " + v.Offset.String()))}
	case tensor.Layout:
		return &Node{Kind: "layout", Value: string(v)}
	case tensor.QScheme:
		return &Node{Kind: "qscheme", Value: string(v)}
	case *tensor.Tensor:
		return l.tensor(v)
	case *tensor.Sparse:
		n := &Node{Kind: "sparse_tensor", Value: string(v.Layout), DType: v.DType().String(), Shape: append([]int64{}, v.Shape...), Location: v.Values.Location()}
		for _, part := range []struct {
			name string
			t    *tensor.Tensor
		}{{"indices", v.Indices}, {"compressed", v.Compressed}, {"plain", v.Plain}, {"values", v.Values}} {
			if part.t != nil {
				n.Items = append(n.Items, Item{Key: part.name, Value: l.node(part.t)})
			}
		}
		return n
	case *pickle.Call:
		return l.object(v)
	}
	return l.container(v)
}

func (l *lister) tensor(t *tensor.Tensor) *Node {
	n := &Node{Kind: "tensor", DType: t.DType.String(), Shape: append([]int64{}, t.Shape...), Location: t.Location(), RequiresGrad: t.RequiresGrad}
	if t.Parameter {
		n.Kind = "parameter"
	}
	if q := t.Quantizer; q != nil {
		n.Quantizer = &Quantizer{Scheme: string(q.Scheme), ZeroPoint: q.ZeroPoint, Axis: q.Axis}
		if q.Scales != nil {
			n.Quantizer.Channels = q.Scales.Numel()
		} else {
			n.Quantizer.Scale = number(q.Scale)
		}
	}
	if t.Attrs != nil && !l.full() {
		n.State = l.node(t.Attrs)
	}
	return n
}

func (l *lister) object(c *pickle.Call) *Node {
	l.opaque++
	n := &Node{Kind: "object", Value: c.Func.String(), Length: len(c.Args.Items)}
	l.items(n, c.Args.Items)
	l.items(n, c.Items)
	l.entries(n, c.Pairs)
	if c.State != nil && !l.full() {
		n.State = l.node(c.State)
	}
	return n
}

func (l *lister) container(v pickle.Value) *Node {
	n := &Node{}
	switch v := v.(type) {
	case *pickle.List:
		n.Kind, n.Length = "list", len(v.Items)
		l.items(n, v.Items)
	case *pickle.Tuple:
		n.Kind, n.Length = "tuple", len(v.Items)
		l.items(n, v.Items)
	case *pickle.Set:
		n.Kind, n.Length = "set", len(v.Items)
		if v.Frozen {
			n.Kind = "frozenset"
		}
		l.items(n, v.Items)
	case *pickle.Deque:
		n.Kind, n.Length = "deque", len(v.Items)
		l.items(n, v.Items)
	case *pickle.Record:
		n.Kind, n.Value = "record", shorten(v.Class.String())
		if v.Fields != nil {
			n.Length = v.Fields.Len()
			l.entries(n, v.Fields.Entries())
		}
	case *pickle.Dict:
		n.Kind, n.Length = "dict", v.Len()
		if v.Ordered {
			n.Kind = "ordered_dict"
		} else if v.Default != nil {
			n.Kind = "default_dict"
		}
		l.entries(n, v.Entries())
		if v.State != nil && !l.full() {
			n.State = l.node(v.State)
		}
	default:
		n.Kind, n.Value = "object", pickle.Describe(v)
	}
	return n
}

func (l *lister) items(n *Node, items []pickle.Value) {
	for _, item := range items {
		if l.full() {
			n.Truncated = true
			return
		}
		n.Items = append(n.Items, Item{Value: l.node(item)})
	}
}

func (l *lister) entries(n *Node, entries []pickle.Entry) {
	for _, e := range entries {
		if l.full() {
			n.Truncated = true
			return
		}
		key := keyOf(e.Key)
		if text, ok := key.(string); ok {
			l.bytes += jsonSize(text)
		}
		n.Items = append(n.Items, Item{Key: key, Value: l.node(e.Value)})
	}
}

// keyOf shows a key: text and integers as they are, the rest in words.
func keyOf(v pickle.Value) any {
	switch v := v.(type) {
	case pickle.Str:
		return shorten(string(v))
	case pickle.Int:
		return int64(v)
	}
	return pickle.Describe(v)
}

// number keeps what JSON has no number for as text.
func number(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Sprint(f)
	}
	return f
}

func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	cut := maxShown
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut]
}
