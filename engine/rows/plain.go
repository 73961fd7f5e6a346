package rows

import (
	"encoding/binary"
	"math"

	"github.com/go-json-experiment/json/jsontext"
)

// plain decodes lines as programs write them: one object of texts, numbers, booleans and nulls, the embedding, and small
// values to be ignored. It
// takes a line only when jsontext would take it and nothing in it is refused; every other line, and every error, is left
// to jsontext, which reads the line again from its beginning. So it decides nothing but how fast a line is read.
type plain struct {
	line  []byte
	at    int
	seen  uint32   // known names met so far, a bit each
	other [][]byte // other names met so far
}

// maxOther is how many unknown names are kept to find duplicates among; lines with more are left to jsontext.
const maxOther = 8

// plain fills row from a plain line; false leaves the line, and a row that must be reset, to decodeStrictly.
func (d *decoder) plain(line []byte, row *Row) bool {
	p := &d.scan
	p.line, p.at, p.seen, p.other = line, 0, 0, p.other[:0]
	if p.space() != '{' {
		return false
	}
	p.at++
	for first := true; ; first = false {
		switch c := p.space(); {
		case c == '}' && !first:
			p.at++
			p.space()
			return p.at == len(line) && d.finish(row) == nil
		case c == ',' && !first:
			p.at++
			p.space()
		case !first:
			return false
		}
		key, ok := p.name()
		if !ok || p.space() != ':' {
			return false
		}
		p.at++
		if c := p.space(); c == '[' || c == '{' {
			switch {
			case key == "":
				ok = p.nested()
			case key == "embedding" && c == '[' && !d.noEmbedding:
				row.Embedding, ok = p.numbers(row.Embedding[:0])
			default:
				ok = false
			}
			if !ok {
				return false
			}
			continue
		}
		value, ok := p.value()
		if !ok {
			return false
		}
		if value.Kind() != 'n' && d.field(key, value, row) != nil {
			return false
		}
	}
}

// peek is the next byte, 0 at the end of the line; JSON has no use for a byte 0.
func (p *plain) peek() byte {
	if p.at < len(p.line) {
		return p.line[p.at]
	}
	return 0
}

// space skips blanks and peeks.
func (p *plain) space() byte {
	for p.at < len(p.line) && isSpace(p.line[p.at]) {
		p.at++
	}
	return p.peek()
}

// name takes a member's name: "" for one that is not known. One that is escaped, or was there before, is not taken.
func (p *plain) name() (string, bool) {
	raw, ok := p.text()
	if !ok {
		return "", false
	}
	raw = raw[1 : len(raw)-1]
	for i, known := range knownNames {
		if string(raw) == known {
			again := p.seen&(1<<i) != 0
			p.seen |= 1 << i
			return known, !again
		}
	}
	for _, other := range p.other {
		if string(raw) == string(other) {
			return "", false
		}
	}
	p.other = append(p.other, raw)
	return "", len(p.other) <= maxOther
}

// text takes a string of printable ASCII without escapes, with its quotes.
func (p *plain) text() ([]byte, bool) {
	if p.peek() != '"' {
		return nil, false
	}
	for end := p.at + 1; end < len(p.line); end++ {
		switch c := p.line[end]; {
		case c == '"':
			raw := p.line[p.at : end+1]
			p.at = end + 1
			return raw, true
		case c < ' ' || c == '\\' || c >= 0x80:
			return nil, false
		}
	}
	return nil, false
}

// value takes a text, a number, a boolean or null.
func (p *plain) value() (jsontext.Value, bool) {
	start := p.at
	switch c := p.peek(); c {
	case '"':
		return p.anyText()
	case 't', 'f', 'n':
		for _, word := range [...]string{"true", "false", "null"} {
			if len(p.line)-start >= len(word) && string(p.line[start:start+len(word)]) == word {
				p.at += len(word)
				return p.line[start:p.at], true
			}
		}
		return nil, false
	default:
		var n decimal
		ok := p.number(&n)
		return p.line[start:p.at], ok
	}
}

// anyText takes any string that jsontext finds valid.
func (p *plain) anyText() (jsontext.Value, bool) {
	if raw, ok := p.text(); ok {
		return raw, true
	}
	for end := p.at + 1; end < len(p.line); end++ {
		switch p.line[end] {
		case '\\':
			end++
		case '"':
			raw := jsontext.Value(p.line[p.at : end+1])
			p.at = end + 1
			return raw, raw.IsValid()
		}
	}
	return nil, false
}

// maxNested is the most bytes of an ignored array or object; what is so short is less deep than jsontext's limit.
const maxNested = 8 << 10

// nested takes an array or object that jsontext finds valid.
func (p *plain) nested() bool {
	depth, text := 0, false
	for end := p.at; end < min(len(p.line), p.at+maxNested); end++ {
		switch c := p.line[end]; {
		case text && c == '\\':
			end++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				raw := jsontext.Value(p.line[p.at : end+1])
				p.at = end + 1
				return raw.IsValid()
			}
		}
	}
	return false
}

// numbers takes an array of 1 to MaxWidth numbers that fit float32.
func (p *plain) numbers(dst []float32) ([]float32, bool) {
	p.at++ // the bracket
	for {
		p.space()
		start := p.at
		var n decimal
		if !p.number(&n) || len(dst) == MaxWidth {
			return dst, false
		}
		value, ok := n.float32()
		if !ok {
			var err error
			if value, err = float(p.line[start:p.at]); err != nil {
				return dst, false
			}
		}
		dst = append(dst, value)
		switch p.space() {
		case ',':
			p.at++
		case ']':
			p.at++
			return dst, true
		default:
			return dst, false
		}
	}
}

// decimal is a number as it is written: ±digits · 10^exponent.
type decimal struct {
	digits   uint64
	count    int // digits that count; when there are more than 19, digits is worthless
	exponent int
	negative bool
}

// number takes a number by the grammar of RFC 8259, section 6.
func (p *plain) number(n *decimal) bool {
	line, at := p.line, p.at
	if at < len(line) && line[at] == '-' {
		n.negative = true
		at++
	}
	first := at
	for at < len(line) && line[at]-'0' < 10 {
		n.digits = 10*n.digits + uint64(line[at]-'0')
		at++
	}
	whole := at - first
	if whole == 0 || whole > 1 && line[first] == '0' {
		return false
	}
	n.count = whole
	if line[first] == '0' {
		n.count = 0
	}
	if at < len(line) && line[at] == '.' {
		at++
		point := at
		if n.count == 0 {
			for at < len(line) && line[at] == '0' {
				at++
			}
		}
		digits := at
		for len(line)-at >= 8 {
			eight, ok := eightDigits(binary.LittleEndian.Uint64(line[at:]))
			if !ok {
				break
			}
			n.digits = 1e8*n.digits + eight
			at += 8
		}
		for at < len(line) && line[at]-'0' < 10 {
			n.digits = 10*n.digits + uint64(line[at]-'0')
			at++
		}
		if at == point {
			return false
		}
		n.count += at - digits
		n.exponent = point - at
	}
	if at < len(line) && line[at]|0x20 == 'e' {
		at++
		sign := 1
		if at < len(line) && (line[at] == '+' || line[at] == '-') {
			if line[at] == '-' {
				sign = -1
			}
			at++
		}
		begin, power := at, 0
		for at < len(line) && line[at]-'0' < 10 {
			power = min(10*power+int(line[at]-'0'), 1e6)
			at++
		}
		if at == begin {
			return false
		}
		n.exponent += sign * power
	}
	p.at = at
	return true
}

// eightDigits reads eight bytes of ASCII digits, the first lowest, by multiplying neighbours together: pairs, fours,
// eight. (D. Lemire, "Number parsing at a gigabyte per second", Software: Practice and Experience 51, 2021, section 4.)
func eightDigits(b uint64) (uint64, bool) {
	const sixes, zeros, highs = 0x0606060606060606, 0x3030303030303030, 0xf0f0f0f0f0f0f0f0
	if b&highs != zeros || (b+sixes)&highs != zeros {
		return 0, false
	}
	b -= zeros
	b = b*10 + b>>8
	return (b&0x000000ff_000000ff*(100+1000000<<32) + b>>16&0x000000ff_000000ff*(1+10000<<32)) >> 32, true
}

// float32 rounds to the nearest float32, when one product in float64 is near enough to tell which that is.
//
// Digits, power of ten and product are each rounded by at most half a unit in the last place, a relative error of 2^-53
// each, together less than 4 units of the product. All numbers between two neighbouring midpoints of float32, which are
// float64 with the bit below a float32's last set and none after it, round to the same float32; so a product further than
// 4 units from every midpoint rounds as the exact number does.
func (n *decimal) float32() (float32, bool) {
	const (
		below    = 52 - 23 // bits of a float64 below a float32's last
		midpoint = 1 << (below - 1)
		margin   = 4
	)
	if n.count > 19 || n.exponent < -maxPower || n.exponent > maxPower {
		return 0, false
	}
	var value float64
	if n.digits != 0 {
		value = float64(n.digits) * powers[n.exponent+maxPower]
		rest := math.Float64bits(value) & (1<<below - 1)
		// Denormals round elsewhere, and the largest numbers to infinity.
		if value < 0x1p-126 || value > 0x1.fffffep127 || rest-(midpoint-margin) <= 2*margin {
			return 0, false
		}
	}
	if n.negative {
		value = -value
	}
	return float32(value), true
}

// maxPower is the largest power of ten in powers: embeddings keep well within.
const maxPower = 30

// powers are the powers of ten from -maxPower on, correctly rounded.
var powers = [2*maxPower + 1]float64{
	1e-30, 1e-29, 1e-28, 1e-27, 1e-26, 1e-25, 1e-24, 1e-23, 1e-22, 1e-21,
	1e-20, 1e-19, 1e-18, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11,
	1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1,
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
	1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29,
	1e30,
}
