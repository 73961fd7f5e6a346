package rows

import (
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// appendNumbers appends the numbers of a JSON array that the decoder has found valid. It stops at what is not a number,
// is outside float32, or is one too many; the error then names the element.
func appendNumbers(dst []float32, value jsontext.Value) ([]float32, error) {
	if err := wantKind(value, '['); err != nil {
		return dst, err
	}
	element := 0
	for at := 1; ; element++ {
		for isSpace(value[at]) || value[at] == ',' {
			at++
		}
		if value[at] == ']' {
			break
		}
		if element == MaxWidth {
			return dst[:0], fmt.Errorf("%w: more than %d elements, expected 1 to %d", ErrWidth, MaxWidth, MaxWidth)
		}
		if kind := jsontext.Kind(value[at]); kind != '-' && (kind < '0' || kind > '9') {
			return dst[:0], fmt.Errorf("element %d: %w: %s, expected a number", element, ErrType, kindName(kind))
		}
		end := at + 1
		for value[end] != ',' && value[end] != ']' && !isSpace(value[end]) {
			end++
		}
		number, err := float(value[at:end])
		if err != nil {
			return dst[:0], fmt.Errorf("element %d: %w", element, err)
		}
		dst = append(dst, number)
		at = end
	}
	if element == 0 {
		return dst, fmt.Errorf("%w: 0 elements, expected 1 to %d", ErrWidth, MaxWidth)
	}
	return dst, nil
}

// float reads a JSON number, rounded once to the nearest float32. Beyond float32 is an error, not an infinity; what is
// too small becomes a denormal or zero.
func float(raw []byte) (float32, error) {
	number, err := strconv.ParseFloat(string(raw), 32)
	if err != nil {
		return 0, fmt.Errorf("%w: %.32s, expected a number that fits float32", ErrRange, raw)
	}
	return float32(number), nil
}

func importance(value jsontext.Value) (float32, error) {
	if err := wantKind(value, '0'); err != nil {
		return 0, err
	}
	number, err := float(value)
	if err == nil && number < 0 {
		return 0, fmt.Errorf("%w: %.32s, expected a finite number from 0", ErrRange, value)
	}
	return number, err
}

func boolean(value jsontext.Value) (bool, error) {
	switch value.Kind() {
	case 't', 'f':
		return value.Kind() == 't', nil
	}
	return false, fmt.Errorf("%w: %s, expected true or false", ErrType, kindName(value.Kind()))
}

func wantKind(value jsontext.Value, want jsontext.Kind) error {
	if got := value.Kind(); got != want {
		return fmt.Errorf("%w: %s, expected %s", ErrType, kindName(got), kindName(want))
	}
	return nil
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case '"':
		return "a string"
	case '{', '}':
		return "an object"
	case '[', ']':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
