package pickle

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDigits bounds a number in text: as many bits as the binary opcodes may have, and a sign.
const maxDigits = 80

// old executes the opcodes of protocols 0 and 1, whose arguments are lines of text.
func (m *machine) old() error {
	switch m.op {
	case opInt, opLong, opFloat:
		return m.numberText()
	case opUnicode, opString:
		return m.stringText()
	case opList:
		items, err := m.popMark()
		if err != nil {
			return err
		}
		own, err := m.appendItems(nil, items)
		if err != nil {
			return err
		}
		return m.pushNew(&List{Items: own}, costObject)
	case opDict:
		items, err := m.popMark()
		if err != nil {
			return err
		}
		d := &Dict{}
		if err := m.setItems(d, items); err != nil {
			return err
		}
		return m.pushNew(d, costDict)
	case opPut:
		return m.remember()
	}
	return m.recall()
}

// line is the text up to the next newline.
func (m *machine) line(limit int) ([]byte, error) {
	rest := m.data[m.at:min(len(m.data), m.at+limit+1)]
	end := bytes.IndexByte(rest, '\n')
	if end < 0 {
		return nil, fmt.Errorf("text without newline within %d bytes", min(limit, len(m.data)-m.at))
	}
	m.at += end + 1
	return rest[:end], nil
}

func (m *machine) numberText() error {
	b, err := m.line(maxDigits)
	if err != nil {
		return err
	}
	text := string(b)
	switch {
	case m.op == opInt && (text == "00" || text == "01"): // how the old protocols write a bool
		return m.push(Bool(text == "01"))
	case m.op == opFloat && (text == "nan" || text == "inf" || text == "-inf"), m.op == opFloat && strings.Trim(text, "0123456789.eE+-") == "":
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("float %q is no number", text)
		}
		return m.push(Float(f))
	case m.op == opLong:
		text = strings.TrimSuffix(text, "L")
	}
	n, ok := new(big.Int).SetString(text, 10)
	if m.op == opFloat || !ok || strings.Trim(text, "0123456789-") != "" {
		return fmt.Errorf("%q is no number", text)
	}
	if n.IsInt64() {
		return m.push(Int(n.Int64()))
	}
	if n.BitLen() > 255 {
		return fmt.Errorf("int of %d bits, at most 255 are read", n.BitLen())
	}
	return m.pushNew(BigInt{n}, costObject)
}

func (m *machine) stringText() error {
	b, err := m.line(len(m.data))
	if err != nil {
		return err
	}
	m.budget.Found(int64(len(b)))
	// A byte of Latin-1 may take two bytes.
	if err := m.budget.Take(costScalar + 2*int64(len(b))); err != nil {
		return err
	}
	var s string
	if m.op == opUnicode {
		s, err = rawUnicode(b)
	} else {
		s, err = quoted(b)
	}
	if err != nil {
		return err
	}
	return m.push(Str(s))
}

// rawUnicode decodes Python's raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX.
func rawUnicode(b []byte) (string, error) {
	size := len(b)
	for _, c := range b {
		if c >= utf8.RuneSelf {
			size++
		}
	}
	var out strings.Builder
	out.Grow(size)
	for len(b) > 0 {
		width := 0
		if len(b) > 1 && b[0] == '\\' {
			switch b[1] {
			case 'u':
				width = 4
			case 'U':
				width = 8
			}
		}
		if width == 0 {
			out.WriteRune(rune(b[0]))
			b = b[1:]
			continue
		}
		if len(b) < 2+width {
			return "", errors.New("string ends within an escape")
		}
		n, err := strconv.ParseUint(string(b[2:2+width]), 16, 32)
		if err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
			return "", fmt.Errorf("string with the escape %q, which is no character", b[:2+width])
		}
		out.WriteRune(rune(n))
		b = b[2+width:]
	}
	return out.String(), nil
}

// quoted decodes a string literal of Python 2, which is ASCII.
func quoted(b []byte) (string, error) {
	if len(b) < 2 || b[0] != b[len(b)-1] || b[0] != '\'' && b[0] != '"' {
		return "", errors.New("string is not in quotes")
	}
	var out strings.Builder
	out.Grow(len(b))
	for b = b[1 : len(b)-1]; len(b) > 0; b = b[1:] {
		c := b[0]
		if c == '\\' {
			if len(b) < 2 {
				return "", errors.New("string ends within an escape")
			}
			b = b[1:]
			switch c = b[0]; c {
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'x':
				if len(b) < 3 {
					return "", errors.New("string ends within an escape")
				}
				n, err := strconv.ParseUint(string(b[1:3]), 16, 8)
				if err != nil {
					return "", fmt.Errorf("string with the escape %q, expected hexadecimal digits", b[:3])
				}
				c, b = byte(n), b[2:]
			case '\\', '\'', '"':
			default:
				return "", fmt.Errorf("string with the escape \\%c, which Python does not write", c)
			}
		}
		if c >= utf8.RuneSelf {
			return "", errors.New("string is not ASCII")
		}
		out.WriteByte(c)
	}
	return out.String(), nil
}
