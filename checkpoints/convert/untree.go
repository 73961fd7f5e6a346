package convert

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// maxDepth is that of the pickle machine.
const maxDepth = 1000

// treeDecoder makes an object of the JSON that a treeEncoder wrote. Every tensor must be named once.
type treeDecoder struct {
	json    *json.Decoder
	tensors map[string]*tensor.Tensor
	values  int
	depth   int
}

func decodeTree(text string, tensors []named) (pickle.Value, error) {
	d := treeDecoder{json: json.NewDecoder(strings.NewReader(text)), tensors: map[string]*tensor.Tensor{}}
	d.json.UseNumber()
	for _, t := range tensors {
		d.tensors[t.key] = t.Tensor
	}
	root, err := d.value()
	if err == nil {
		if _, more := d.json.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("metadata %q, byte %d: %w", treeKey, d.json.InputOffset(), err)
	}
	for _, t := range tensors {
		if d.tensors[t.key] != nil {
			return nil, fmt.Errorf("metadata %q: tensor %.80q is not in it", treeKey, t.key)
		}
	}
	return root, nil
}

func (d *treeDecoder) value() (pickle.Value, error) {
	token, err := d.json.Token()
	if err != nil {
		return nil, err
	}
	if d.values++; d.values > maxValues || d.depth > maxDepth {
		return nil, fmt.Errorf("more than %d values or deeper than %d", maxValues, maxDepth)
	}
	switch token := token.(type) {
	case nil:
		return pickle.None{}, nil
	case bool:
		return pickle.Bool(token), nil
	case string:
		return pickle.Str(token), nil
	case json.Number:
		return number(token.String())
	case json.Delim:
		d.depth++
		defer func() { d.depth-- }()
		if token == '[' {
			items, err := d.items()
			return &pickle.List{Items: items}, err
		}
		return d.object()
	}
	return nil, fmt.Errorf("unexpected %v", token)
}

func number(text string) (pickle.Value, error) {
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64)
		return pickle.Float(f), err
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return pickle.Int(n), nil
	}
	if len(text) > 10_000 {
		return nil, fmt.Errorf("number of %d digits", len(text))
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return nil, fmt.Errorf("number %.40q", text)
	}
	return pickle.BigInt{Int: n}, nil
}

// items reads up to the closing bracket.
func (d *treeDecoder) items() ([]pickle.Value, error) {
	var items []pickle.Value
	for d.json.More() {
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	_, err := d.json.Token()
	return items, err
}

// object reads a dict of text keys, or what a tag says.
func (d *treeDecoder) object() (pickle.Value, error) {
	dict := &pickle.Dict{}
	tag := ""
	for d.json.More() {
		token, err := d.json.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		if dict.Len() == 0 {
			tag, _ = strings.CutPrefix(key, "$")
			if tag == key {
				tag = ""
			}
		}
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		if err := dict.Add(pickle.Str(key), v); err != nil {
			return nil, err
		}
	}
	if _, err := d.json.Token(); err != nil {
		return nil, err
	}
	if tag == "" {
		return dict, nil
	}
	v, err := d.tagged(tag, dict)
	if err != nil {
		return nil, fmt.Errorf("$%.20s: %w", tag, err)
	}
	return v, nil
}

var errTag = errors.New("is not what was expected under this name")

func (d *treeDecoder) tagged(tag string, fields *pickle.Dict) (pickle.Value, error) {
	v, _ := fields.Get("$" + tag)
	list, isList := v.(*pickle.List)
	text, isText := v.(pickle.Str)
	if tag == "tensor" && isText {
		return d.tensor(string(text), fields)
	}
	if isList && (tag == "dict" || tag == "ordered_dict") {
		return pairs(list.Items, tag == "ordered_dict", fields)
	}
	if fields.Len() != 1 {
		return nil, fmt.Errorf("%d names, expected one", fields.Len())
	}
	switch {
	case tag == "float" && isText:
		f, err := strconv.ParseFloat(string(text), 64)
		return pickle.Float(f), err
	case tag == "bytes" && isText:
		b, err := base64.StdEncoding.DecodeString(string(text))
		return pickle.Bytes(bytes.Clone(b)), err
	case tag == "dtype" && isText:
		for t := tensor.Invalid + 1; t.String() != tensor.Invalid.String(); t++ {
			if t.String() == string(text) {
				return t, nil
			}
		}
	case tag == "device" && isText:
		return tensor.Device(text), nil
	case tag == "tuple" && isList:
		return &pickle.Tuple{Items: list.Items}, nil
	case (tag == "set" || tag == "frozenset") && isList:
		return &pickle.Set{Items: list.Items, Frozen: tag == "frozenset"}, nil
	case tag == "size" && isList:
		size := tensor.Size{}
		for _, item := range list.Items {
			n, ok := item.(pickle.Int)
			if !ok {
				return nil, errTag
			}
			size = append(size, int64(n))
		}
		return size, nil
	case tag == "complex" && isList && len(list.Items) == 2:
		var parts [2]float64
		for i, item := range list.Items {
			text, _ := item.(pickle.Str)
			var err error
			if parts[i], err = strconv.ParseFloat(string(text), 64); err != nil {
				return nil, err
			}
		}
		return pickle.Complex(complex(parts[0], parts[1])), nil
	}
	return nil, errTag
}

func (d *treeDecoder) tensor(key string, fields *pickle.Dict) (pickle.Value, error) {
	t := d.tensors[key]
	if t == nil {
		return nil, fmt.Errorf("no tensor %.80q is there, or it comes twice", key)
	}
	d.tensors[key] = nil
	for _, e := range fields.Entries()[1:] {
		flag, ok := e.Value.(pickle.Bool)
		switch {
		case ok && e.Key == pickle.Str("requires_grad"):
			t.RequiresGrad = bool(flag)
		case ok && e.Key == pickle.Str("parameter"):
			t.Parameter = bool(flag)
		default:
			return nil, errTag
		}
	}
	return t, nil
}

func pairs(items []pickle.Value, ordered bool, fields *pickle.Dict) (pickle.Value, error) {
	dict := &pickle.Dict{Ordered: ordered}
	for _, item := range items {
		pair, ok := item.(*pickle.List)
		if !ok || len(pair.Items) != 2 {
			return nil, errTag
		}
		if err := dict.Add(pair.Items[0], pair.Items[1]); err != nil {
			return nil, err
		}
	}
	if fields.Len() == 1 {
		return dict, nil
	}
	state, ok := fields.Get("state")
	if !ok || fields.Len() != 2 {
		return nil, errTag
	}
	return dict, dict.Build(state)
}
