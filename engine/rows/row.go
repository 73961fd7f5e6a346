package rows

import "fmt"

const (
	// MaxWidth is the largest number of elements of an embedding.
	MaxWidth = 4096
	// MaxText is the most bytes of an id, a session or a source. They become fixed-width columns of .npz files and keys
	// of maps, where one long text would cost every row.
	MaxText = 4096
	// MaxLine is the most bytes of a line of JSON, its line break not counted.
	MaxLine = 64 << 20
)

// Kind says what the rows of an input are for, and so what each must have.
type Kind uint8

// Kinds of input.
const (
	Validate Kind = iota // embedding or action
	Record               // embedding or action, and an outcome
	Replay               // an op each
)

// Op is what a row of a replay asks for. Rows of the other kinds of input have the op that goes with the kind.
type Op uint8

// Operations.
const (
	OpValidate Op = iota
	OpRecord
	OpImportance
)

// String is the op as a replay spells it.
func (o Op) String() string { return [...]string{"validate", "record", "importance"}[o] }

// Side is one of the two sides of the pattern memory, as rows spell it.
type Side string

// Sides.
const (
	Safe   Side = "safe"
	Unsafe Side = "unsafe"
)

// Row is one row of input. Of a refused one, Number, Op and ID hold what could be read of it.
type Row struct {
	Number int64 // line (from 1) in .jsonl, row (from 0) in other formats
	Op     Op
	ID     ID

	Embedding []float32 // 1 to MaxWidth finite numbers, or empty; valid until the batch's Release
	// Action is kept beside an embedding too. Structured says that it is the
	// text of an object, in the canonical form of RFC 8785.
	Action     string
	HasAction  bool
	Structured bool

	Session, Source string
	BasicChecks     bool // true unless the row says otherwise

	Importance    float32 // finite, not negative
	HasImportance bool
	IsSafe        bool // from is_safe or label
	HasOutcome    bool

	// Of OpImportance: the pattern's row on its side, and its new importance.
	Side  Side
	Index int64
	Value float32
}

// reset empties the row and keeps the embedding's memory.
func (r *Row) reset(number int64, op Op) {
	*r = Row{Number: number, Op: op, BasicChecks: true, Embedding: r.Embedding[:0]}
}

// kindOp is the op of rows that name none.
func kindOp(kind Kind) Op {
	if kind == Record {
		return OpRecord
	}
	return OpValidate
}

// outcome joins what label and is_safe say.
type outcome struct {
	label, isSafe       bool
	hasLabel, hasIsSafe bool
}

// setLabel takes a label's text.
func (o *outcome) setLabel(label string) error {
	switch label {
	case "safe", "unsafe", "risky":
		o.label, o.hasLabel = label == "safe", true
		return nil
	}
	return fmt.Errorf("%w: %.32q, expected safe, unsafe or risky", ErrType, label)
}

func (o *outcome) apply(row *Row) *fieldError {
	if o.hasLabel && o.hasIsSafe && o.label != o.isSafe {
		return &fieldError{"label", fmt.Errorf("%w: label says safe is %t, is_safe says %t", ErrDisagree, o.label, o.isSafe)}
	}
	row.HasOutcome = o.hasLabel || o.hasIsSafe
	row.IsSafe = o.hasLabel && o.label || o.hasIsSafe && o.isSafe
	return nil
}

// complete checks that the row, with an embedding of width numbers, has what its op needs.
func complete(row *Row, width int) *fieldError {
	if row.Op == OpImportance {
		return nil // the decoder has checked its three fields
	}
	if width == 0 && row.Action == "" {
		if row.HasAction {
			return &fieldError{"action", fmt.Errorf("%w: an empty text, expected an action or an embedding", ErrMissing)}
		}
		return &fieldError{"", fmt.Errorf("embedding and action %w, expected one of them", ErrMissing)}
	}
	if row.Op == OpRecord && !row.HasOutcome {
		return &fieldError{"", fmt.Errorf("is_safe and label %w, expected one of them to record an outcome", ErrMissing)}
	}
	return nil
}

// widthGuard holds an input to the width of its first good row.
type widthGuard struct {
	mixed  bool // a replay: every op has its own width
	width  int
	number int64
}

func (g *widthGuard) check(row *Row, width int, unit string) *fieldError {
	if g.mixed || width == 0 {
		return nil
	}
	if g.width == 0 {
		g.width, g.number = width, row.Number
	}
	if width != g.width {
		return &fieldError{"embedding", fmt.Errorf("%w: %d elements, expected %d as in %s %d", ErrWidth, width, g.width, unit, g.number)}
	}
	return nil
}
