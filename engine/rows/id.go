package rows

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

type idKind uint8

const (
	noID idKind = iota
	intID
	bigID // an integer whose text is not that of an int64
	textID
)

// ID is a row's identifier, a text or an integer, as it came in; it goes out as it came. The zero ID is that of a row
// that has none; it goes out as null. IDs are comparable with ==.
type ID struct {
	kind idKind
	n    int64
	text string
}

// IntID makes an integer ID.
func IntID(n int64) ID { return ID{kind: intID, n: n} }

// TextID makes a text ID.
func TextID(text string) ID { return ID{kind: textID, text: text} }

// ParseID takes a JSON value as a row's id: an integer or a text; null is the zero ID.
func ParseID(value jsontext.Value) (ID, error) {
	switch kind := value.Kind(); {
	case kind == 'n':
		return ID{}, nil
	case kind == '"':
		text, err := jsontext.AppendUnquote(nil, value)
		return TextID(string(text)), err
	case kind == '0' && !bytes.ContainsAny(value, ".eE"):
		return integerID(value), nil
	default:
		return ID{}, fmt.Errorf("id %s, expected a text or an integer", value)
	}
}

// IsZero tells whether the row has no ID.
func (id ID) IsZero() bool { return id.kind == noID }

// Int64 is the ID as an integer, if it is one that fits.
func (id ID) Int64() (int64, bool) { return id.n, id.kind == intID }

// String is the ID without quotes, "" for none.
func (id ID) String() string {
	if id.kind == intID {
		return strconv.FormatInt(id.n, 10)
	}
	return id.text
}

// AppendJSON appends the ID as a JSON value.
func (id ID) AppendJSON(dst []byte) []byte {
	switch id.kind {
	case noID:
		return append(dst, "null"...)
	case intID:
		return strconv.AppendInt(dst, id.n, 10)
	case bigID:
		return append(dst, id.text...)
	}
	return appendText(dst, id.text)
}

// integerID takes the text of a JSON integer. What strconv would spell otherwise (-0, more than 64 bits) is kept as text.
func integerID(raw []byte) ID {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || string(raw) == "-0" {
		return ID{kind: bigID, text: string(raw)}
	}
	return IntID(n)
}

// appendText appends a JSON string; what is not UTF-8 becomes U+FFFD.
func appendText(dst []byte, text string) []byte {
	// The only error AppendQuote has is about invalid UTF-8, which it has replaced by then.
	dst, _ = jsontext.AppendQuote(dst, text)
	return dst
}
