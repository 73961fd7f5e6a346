package npy

import (
	"fmt"
	"math"
	"strings"
)

// maxDims is NumPy's own bound on the dimensions of an array.
const maxDims = 64

// fields is what the dictionary of a header says.
type fields struct {
	descr        string
	fortranOrder bool
	shape        []int64
}

// literal reads the Python dictionary of a header: exactly the keys descr, fortran_order and shape, each once, in any
// order. It is not a Python parser: what NumPy never writes (escapes, nested values, other keys) is refused.
type literal struct {
	text string
	at   int
}

func parseFields(text string) (fields, error) {
	p := &literal{text: text}
	var out fields
	seen := make(map[string]bool, 3)
	if err := p.expect('{'); err != nil {
		return out, err
	}
	for !p.accept('}') {
		key, err := p.quoted()
		if err != nil {
			return out, err
		}
		if seen[key] {
			return out, fmt.Errorf("%w: key %q twice", ErrHeader, key)
		}
		seen[key] = true
		if err := p.expect(':'); err != nil {
			return out, err
		}
		if err := p.value(key, &out); err != nil {
			return out, err
		}
		if p.accept(',') {
			continue
		}
		if err := p.expect('}'); err != nil {
			return out, err
		}
		break
	}
	p.space()
	if p.at != len(p.text) {
		return out, p.unexpected("the end of the header")
	}
	for _, key := range [...]string{"descr", "fortran_order", "shape"} {
		if !seen[key] {
			return out, fmt.Errorf("%w: key %q is missing", ErrHeader, key)
		}
	}
	return out, nil
}

func (p *literal) value(key string, out *fields) (err error) {
	switch key {
	case "descr":
		p.space()
		if p.at < len(p.text) && (p.text[p.at] == '[' || p.text[p.at] == '(') {
			return fmt.Errorf("%w: a structured dtype, expected one plain type such as '<f4'", ErrUnsupported)
		}
		out.descr, err = p.quoted()
	case "fortran_order":
		out.fortranOrder, err = p.boolean()
	case "shape":
		out.shape, err = p.tuple()
	default:
		err = fmt.Errorf("%w: unknown key %q, expected descr, fortran_order and shape", ErrHeader, key)
	}
	return err
}

func (p *literal) quoted() (string, error) {
	p.space()
	if p.at >= len(p.text) || (p.text[p.at] != '\'' && p.text[p.at] != '"') {
		return "", p.unexpected("a quoted text")
	}
	quote := p.text[p.at]
	end := strings.IndexByte(p.text[p.at+1:], quote)
	if end < 0 {
		return "", fmt.Errorf("%w: a quoted text does not end", ErrHeader)
	}
	body := p.text[p.at+1 : p.at+1+end]
	if strings.ContainsAny(body, "\\\n") {
		return "", fmt.Errorf("%w: an escape or a line break in %q", ErrHeader, body)
	}
	p.at += end + 2
	return body, nil
}

func (p *literal) boolean() (bool, error) {
	p.space()
	for word, value := range map[string]bool{"True": true, "False": false} {
		if strings.HasPrefix(p.text[p.at:], word) {
			p.at += len(word)
			return value, nil
		}
	}
	return false, p.unexpected("True or False")
}

// tuple reads (), (n,) or (n, m, …); as in Python (n) is a number, not a tuple, and is refused.
func (p *literal) tuple() ([]int64, error) {
	if err := p.expect('('); err != nil {
		return nil, err
	}
	dims := []int64{}
	comma := true
	for !p.accept(')') {
		if !comma {
			return nil, p.unexpected("',' or ')'")
		}
		if len(dims) == maxDims {
			return nil, fmt.Errorf("%w: more than %d dimensions", ErrTooLarge, maxDims)
		}
		n, err := p.integer()
		if err != nil {
			return nil, err
		}
		dims = append(dims, n)
		comma = p.accept(',')
	}
	if len(dims) == 1 && !comma {
		return nil, fmt.Errorf("%w: shape (%d) is not a tuple, expected (%d,)", ErrHeader, dims[0], dims[0])
	}
	return dims, nil
}

func (p *literal) integer() (int64, error) {
	p.space()
	start := p.at
	var n int64
	for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		digit := int64(p.text[p.at] - '0')
		if n > (math.MaxInt64-digit)/10 {
			return 0, fmt.Errorf("%w: a dimension does not fit in 64 bits", ErrTooLarge)
		}
		n = n*10 + digit
		p.at++
	}
	if p.at == start {
		return 0, p.unexpected("a dimension")
	}
	return n, nil
}

func (p *literal) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *literal) accept(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *literal) expect(c byte) error {
	if !p.accept(c) {
		return p.unexpected(fmt.Sprintf("%q", c))
	}
	return nil
}

func (p *literal) unexpected(want string) error {
	if p.at >= len(p.text) {
		return fmt.Errorf("%w: it ends where %s was expected", ErrHeader, want)
	}
	return fmt.Errorf("%w: %q at byte %d of the dictionary, expected %s", ErrHeader, p.text[p.at], p.at, want)
}
