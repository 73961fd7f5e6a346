package safetensors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"
)

// placed is an array with its offsets, before they are checked.
type placed struct {
	Array
	at         int64 // in the file, for messages
	begin, end uint64
}

// header reads the JSON of a header. It is not a JSON parser: only the objects, texts and lists of numbers that the
// format knows are read, so that nothing can nest and every cost is counted.
type header struct {
	text     []byte // from the beginning of the file
	at       int
	texts    int // bytes of names and metadata so far
	numbers  int
	seen     map[string]bool
	arrays   []placed
	metadata map[string]string
}

func (p *header) fail(format string, args ...any) error {
	return &FormatError{int64(p.at), fmt.Sprintf(format, args...)}
}

func (p *header) space() {
	for p.at < len(p.text) && bytes.IndexByte([]byte(" \t\r\n"), p.text[p.at]) >= 0 {
		p.at++
	}
}

// accept skips a punctuation mark if it is next.
func (p *header) accept(mark byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == mark {
		p.at++
		return true
	}
	return false
}

func (p *header) expect(mark byte) error {
	if p.accept(mark) {
		return nil
	}
	if p.at >= len(p.text) {
		return p.fail("header ends, expected %q", mark)
	}
	return p.fail("found %q, expected %q", p.text[p.at], mark)
}

// object reads an object; member reads the value of each key.
func (p *header) object(member func(key string) error) error {
	if err := p.expect('{'); err != nil {
		return err
	}
	if p.accept('}') {
		return nil
	}
	for {
		key, err := p.string()
		if err != nil {
			return err
		}
		if err := p.expect(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if p.accept('}') {
			return nil
		}
		if err := p.expect(','); err != nil {
			return err
		}
	}
}

// member reads one entry of the header itself.
func (p *header) member(key string) error {
	if p.seen[key] {
		return p.fail("name %.80q comes twice", key)
	}
	p.seen[key] = true
	if key == metadataKey {
		p.metadata = map[string]string{}
		return p.object(p.note)
	}
	if len(p.arrays) >= maxArrays {
		return p.fail("more than %d arrays", maxArrays)
	}
	a := placed{Array: Array{Name: key}, at: int64(p.at)}
	fields := 0
	err := p.object(func(field string) (err error) {
		bit := 0
		switch field {
		case "dtype":
			bit = 1
			a.DType, err = p.dtype()
		case "shape":
			bit = 2
			a.Shape, err = p.list(maxDims)
		case "data_offsets":
			bit = 4
			var offsets []int64
			if offsets, err = p.list(2); err == nil && len(offsets) != 2 {
				return p.fail("array %.80q: %d data offsets, expected two", key, len(offsets))
			} else if err == nil {
				a.begin, a.end = uint64(offsets[0]), uint64(offsets[1])
			}
		default:
			return p.fail("array %.80q: field %.80q, expected dtype, shape and data_offsets", key, field)
		}
		if fields&bit != 0 {
			return p.fail("array %.80q: field %q comes twice", key, field)
		}
		fields |= bit
		return err
	})
	if err == nil && fields != 7 {
		err = p.fail("array %.80q lacks dtype, shape or data_offsets", key)
	}
	p.arrays = append(p.arrays, a)
	return err
}

// note reads one text of the metadata.
func (p *header) note(key string) error {
	if _, twice := p.metadata[key]; twice {
		return p.fail("metadata %.80q comes twice", key)
	}
	if len(p.metadata) >= maxArrays {
		return p.fail("more than %d texts of metadata", maxArrays)
	}
	value, err := p.string()
	p.metadata[key] = value
	return err
}

func (p *header) dtype() (DType, error) {
	name, err := p.string()
	if err != nil {
		return "", err
	}
	// The constant, not the copy of the text.
	if i := DType(name).rank(); i >= 0 {
		return dtypes[i].name, nil
	}
	return "", p.fail("dtype %.80q is not one of the format", name)
}

// string reads a text. It is counted before it is copied.
func (p *header) string() (string, error) {
	if err := p.expect('"'); err != nil {
		return "", err
	}
	begin, escaped := p.at, false
	for ; ; p.at++ {
		if p.at >= len(p.text) {
			return "", p.fail("header ends within a text")
		}
		c := p.text[p.at]
		if c == '"' {
			break
		}
		if c < ' ' {
			return "", p.fail("control character %#x in a text", c)
		}
		if c == '\\' {
			escaped = true
			p.at++
		}
	}
	raw := p.text[begin:p.at]
	if p.texts += len(raw); p.texts > maxTexts {
		return "", p.fail("names and metadata have more than %d bytes", maxTexts)
	}
	if !utf8.Valid(raw) {
		return "", p.fail("text %.80q is not UTF-8", raw)
	}
	p.at++
	if !escaped {
		return string(raw), nil
	}
	var text string
	if err := json.Unmarshal(p.text[begin-1:p.at], &text); err != nil {
		return "", p.fail("text %.80q has a bad escape", raw)
	}
	// Half a surrogate pair has become the replacement character.
	if bytes.Count([]byte(text), []byte("\uFFFD")) != bytes.Count(raw, []byte("\uFFFD"))+bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`)) {
		return "", p.fail("text %.80q has half a surrogate pair", raw)
	}
	return text, nil
}

// list reads a list of at most limit numbers from 0 to 2^63-1.
func (p *header) list(limit int) ([]int64, error) {
	if err := p.expect('['); err != nil {
		return nil, err
	}
	list := []int64{}
	if p.accept(']') {
		return list, nil
	}
	for {
		n, err := p.number()
		if err != nil {
			return nil, err
		}
		if p.numbers++; len(list) >= limit || p.numbers > maxNumbers {
			return nil, p.fail("list of more than %d numbers, or more than %d in all lists", limit, maxNumbers)
		}
		list = append(list, n)
		if p.accept(']') {
			return list, nil
		}
		if err := p.expect(','); err != nil {
			return nil, err
		}
	}
}

func (p *header) number() (int64, error) {
	p.space()
	begin, n := p.at, int64(0)
	for ; p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9'; p.at++ {
		digit := int64(p.text[p.at] - '0')
		if n > (math.MaxInt64-digit)/10 {
			return 0, p.fail("number is larger than %d", int64(math.MaxInt64))
		}
		n = 10*n + digit
	}
	if p.at == begin || p.at-begin > 1 && p.text[begin] == '0' {
		return 0, p.fail("expected a number without sign, fraction or leading zero")
	}
	return n, nil
}
