package rows

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// maxInterned bounds the texts kept so that rows of one session share one string.
const maxInterned = 10_000

// knownNames are the fields of a row.
var knownNames = [...]string{
	"id", "embedding", "action", "session", "source", "basic_checks", "importance", "is_safe", "label",
	"op", "side", "index", "value",
}

// decoder takes one line of JSON into a Row. Syntax, UTF-8 and duplicate keys are jsontext's to check; numbers of the
// embedding are read from the value's bytes, correctly rounded to float32.
type decoder struct {
	json         *jsontext.Decoder
	src          bytes.Buffer
	kind         Kind
	noEmbedding  bool // lines of a labels file: an embedding there is another field to be ignored
	interned     map[string]string
	scratch      []byte
	outcome      outcome
	hasOp        bool
	hasSide      bool
	hasIndex     bool
	hasValue     bool
	firstRefusal *fieldError
	row          Row // for the caller to decode into
	scan         plain
}

func newDecoder(kind Kind) *decoder {
	d := &decoder{kind: kind, interned: make(map[string]string)}
	d.json = jsontext.NewDecoder(&d.src)
	return d
}

// decode fills row, which the caller has reset. On an error row has what could be read: fields after one that is merely
// refused are read on, so that the row's id is known wherever it stands.
func (d *decoder) decode(line []byte, row *Row) *fieldError {
	d.reset()
	if d.plain(line, row) {
		return nil
	}
	row.reset(row.Number, kindOp(d.kind))
	return d.decodeStrictly(line, row)
}

// reset forgets the line before.
func (d *decoder) reset() {
	d.outcome = outcome{}
	d.hasOp, d.hasSide, d.hasIndex, d.hasValue = false, false, false, false
	d.firstRefusal = nil
}

// decodeStrictly is decode of any line by jsontext.
func (d *decoder) decodeStrictly(line []byte, row *Row) *fieldError {
	d.reset()
	d.src = *bytes.NewBuffer(line)
	d.json.Reset(&d.src)
	switch kind := d.json.PeekKind(); kind {
	case '[', '"', '0', 't', 'f', 'n':
		return &fieldError{"", fmt.Errorf("%w: the line is %s, expected an object", ErrJSON, kindName(kind))}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return &fieldError{"", d.syntax(line, err)}
	}
	for d.json.PeekKind() != '}' {
		key, err := d.key()
		if err != nil {
			return &fieldError{"", d.syntax(line, err)}
		}
		value, err := d.json.ReadValue()
		if err != nil {
			return &fieldError{key, d.syntax(line, err)}
		}
		if value.Kind() == 'n' {
			continue
		}
		if err := d.field(key, value, row); err != nil && d.firstRefusal == nil {
			d.firstRefusal = &fieldError{key, err}
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return &fieldError{"", d.syntax(line, err)}
	}
	if _, err := d.json.ReadToken(); err == nil {
		return &fieldError{"", fmt.Errorf("%w: more than one value on the line", ErrJSON)}
	} else if !errors.Is(err, io.EOF) {
		return &fieldError{"", d.syntax(line, err)}
	}
	if d.firstRefusal != nil {
		return d.firstRefusal
	}
	return d.finish(row)
}

// finish checks what only the whole line tells.
func (d *decoder) finish(row *Row) *fieldError {
	if err := d.outcome.apply(row); err != nil {
		return err
	}
	if d.kind == Replay && !d.hasOp {
		return &fieldError{"op", fmt.Errorf("%w, expected validate, record or importance", ErrMissing)}
	}
	if row.Op == OpImportance {
		for _, need := range [...]struct {
			field string
			has   bool
		}{{"side", d.hasSide}, {"index", d.hasIndex}, {"value", d.hasValue}} {
			if !need.has {
				return &fieldError{need.field, fmt.Errorf("%w, expected it in an importance operation", ErrMissing)}
			}
		}
	}
	return nil
}

// key returns the next member's name. The names that matter are constants, so that no string is made for them.
func (d *decoder) key() (string, error) {
	raw, err := d.json.ReadValue()
	if err != nil {
		return "", err
	}
	name := d.unquote(raw)
	for _, known := range knownNames {
		if string(name) == known {
			return known, nil
		}
	}
	return "", nil // a field that is ignored
}

func (d *decoder) field(key string, value jsontext.Value, row *Row) (err error) {
	switch key {
	case "id":
		row.ID, err = d.id(value)
	case "embedding":
		if !d.noEmbedding {
			row.Embedding, err = appendNumbers(row.Embedding[:0], value)
		}
	case "action":
		row.Action, row.Structured, err = d.action(value)
		row.HasAction = err == nil
	case "session":
		row.Session, err = d.short(value)
	case "source":
		row.Source, err = d.short(value)
	case "basic_checks":
		row.BasicChecks, err = boolean(value)
	case "importance":
		row.Importance, err = importance(value)
		row.HasImportance = err == nil
	case "is_safe":
		d.outcome.isSafe, err = boolean(value)
		d.outcome.hasIsSafe = err == nil
	case "label":
		if err = wantKind(value, '"'); err == nil {
			err = d.outcome.setLabel(string(d.unquote(value)))
		}
	default:
		if d.kind == Replay {
			return d.operand(key, value, row)
		}
	}
	return err
}

// operand reads the fields that only a replay has.
func (d *decoder) operand(key string, value jsontext.Value, row *Row) (err error) {
	switch key {
	case "op":
		if err = wantKind(value, '"'); err != nil {
			return err
		}
		name := string(d.unquote(value))
		for op := OpValidate; op <= OpImportance; op++ {
			if name == op.String() {
				row.Op, d.hasOp = op, true
				return nil
			}
		}
		return fmt.Errorf("%w: %.32q, expected validate, record or importance", ErrType, name)
	case "side":
		if err = wantKind(value, '"'); err != nil {
			return err
		}
		row.Side = Side(d.unquote(value))
		if row.Side != Safe && row.Side != Unsafe {
			return fmt.Errorf("%w: %.32q, expected safe or unsafe", ErrType, string(row.Side))
		}
		d.hasSide = true
	case "index":
		if err = wantKind(value, '0'); err != nil {
			return err
		}
		row.Index, err = strconv.ParseInt(string(value), 10, 64)
		if err != nil || row.Index < 0 {
			return fmt.Errorf("%w: %.32s, expected an integer from 0", ErrRange, value)
		}
		d.hasIndex = true
	case "value":
		row.Value, err = importance(value)
		d.hasValue = err == nil
	}
	return err
}

func (d *decoder) id(value jsontext.Value) (ID, error) {
	if value.Kind() == '"' {
		text, err := d.text(value)
		return TextID(text), err
	}
	if value.Kind() != '0' || bytes.ContainsAny(value, ".eE") {
		return ID{}, fmt.Errorf("%w: %s, expected a string or an integer", ErrType, kindName(value.Kind()))
	}
	if len(value) > MaxText {
		return ID{}, fmt.Errorf("%w: %d digits, expected at most %d", ErrTooLong, len(value), MaxText)
	}
	return integerID(value), nil
}

// action returns an action's text, or an object's in its canonical form.
func (d *decoder) action(value jsontext.Value) (text string, structured bool, err error) {
	if value.Kind() == '{' {
		object := value.Clone()
		if err := object.Canonicalize(); err != nil {
			return "", false, fmt.Errorf("%w: %w", ErrJSON, err)
		}
		return string(object), true, nil
	}
	if value.Kind() != '"' {
		return "", false, fmt.Errorf("%w: %s, expected a string or an object", ErrType, kindName(value.Kind()))
	}
	return string(d.unquote(value)), false, nil
}

// text returns a string of at most MaxText bytes.
func (d *decoder) text(value jsontext.Value) (string, error) {
	if err := wantKind(value, '"'); err != nil {
		return "", err
	}
	text := d.unquote(value)
	if len(text) > MaxText {
		return "", fmt.Errorf("%w: %d bytes, expected at most %d", ErrTooLong, len(text), MaxText)
	}
	return string(text), nil
}

// short is text for what repeats from row to row.
func (d *decoder) short(value jsontext.Value) (string, error) {
	if value.Kind() == '"' {
		if known, ok := d.interned[string(d.unquote(value))]; ok {
			return known, nil
		}
	}
	text, err := d.text(value)
	if err == nil && len(d.interned) < maxInterned {
		d.interned[text] = text
	}
	return text, err
}

// unquote returns the text of a JSON string that the decoder has found valid, until the next call.
func (d *decoder) unquote(value jsontext.Value) []byte {
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}
	d.scratch, _ = jsontext.AppendUnquote(d.scratch[:0], value) // valid, so no error
	return d.scratch
}

// syntax turns jsontext's errors into ours.
func (d *decoder) syntax(line []byte, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("truncated JSON: %w after %d bytes", ErrTruncated, len(line))
	}
	var syntactic *jsontext.SyntacticError
	if !errors.As(err, &syntactic) {
		return fmt.Errorf("%w: %w", ErrJSON, err)
	}
	if at := syntactic.ByteOffset; at >= 0 && at < int64(len(line)) {
		for _, word := range [...]string{"NaN", "Infinity", "-Infinity", "inf", "nan"} {
			if bytes.HasPrefix(line[at:], []byte(word)) || (at > 0 && bytes.HasPrefix(line[at-1:], []byte(word))) {
				return fmt.Errorf("%w: %s at byte %d, expected a finite number", ErrRange, word, at)
			}
		}
	}
	return fmt.Errorf("%w: %w at byte %d", ErrJSON, syntactic.Err, syntactic.ByteOffset)
}
