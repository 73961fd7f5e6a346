package rows

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRefusedLines(t *testing.T) {
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	wide := "[" + strings.Repeat("0,", MaxWidth) + "0]"
	long := strings.Repeat("x", MaxText+1)
	cases := []struct {
		name  string
		kind  Kind
		line  string
		want  error
		field string
		says  string
	}{
		{"not JSON", Validate, `hello`, ErrJSON, "", "byte 0"},
		{"a number", Validate, `17`, ErrJSON, "", "the line is a number, expected an object"},
		{"an array", Validate, `[1]`, ErrJSON, "", "expected an object"},
		{"null", Validate, `null`, ErrJSON, "", "expected an object"},
		{"truncated", Validate, `{"id":"a","embedding":[1,2`, ErrTruncated, "embedding", "truncated JSON"},
		{"truncated after the brace", Validate, `{`, ErrTruncated, "", "truncated JSON"},
		{"two objects", Validate, `{"embedding":[1,2]} {"embedding":[1,2]}`, ErrJSON, "", "more than one value"},
		{"rubbish after", Validate, `{"embedding":[1,2]} ]`, ErrJSON, "", "byte"},
		{"trailing comma", Validate, `{"embedding":[1,2,]}`, ErrJSON, "embedding", "byte"},
		{"key twice", Validate, `{"embedding":[1,2],"embedding":[1,2]}`, ErrJSON, "", "duplicate"},
		{"key twice, one escaped", Validate, `{"basic_checks":true,"embedding":[1,2],"basic\u005fchecks":false}`, ErrJSON, "", "duplicate"},
		{"unknown key twice", Validate, `{"x":1,"embedding":[1,2],"x":2}`, ErrJSON, "", "duplicate"},
		{"not UTF-8", Validate, "{\"action\":\"\xff\"}", ErrJSON, "action", "UTF-8"},
		{"half a surrogate", Validate, `{"action":"\ud800"}`, ErrJSON, "action", "surrogate"},
		{"too deep", Validate, `{"embedding":[1,2],"x":` + deep + `}`, ErrJSON, "", "depth"},
		{"nothing to judge", Validate, `{"id":"a"}`, ErrMissing, "", "embedding and action missing"},
		{"null embedding", Validate, `{"embedding":null}`, ErrMissing, "", "embedding and action"},
		{"empty action", Validate, `{"action":""}`, ErrMissing, "action", "empty text"},
		{"NaN", Validate, `{"embedding":[1,NaN]}`, ErrRange, "embedding", "NaN"},
		{"Infinity", Validate, `{"embedding":[Infinity,1]}`, ErrRange, "embedding", "Infinity"},
		{"-Infinity", Validate, `{"embedding":[1,-Infinity]}`, ErrRange, "embedding", "Infinity"},
		{"beyond float32", Validate, `{"embedding":[1,3.5e38]}`, ErrRange, "embedding", "element 1"},
		{"far beyond", Validate, `{"embedding":[-1e999,1]}`, ErrRange, "embedding", "element 0"},
		{"leading zero", Validate, `{"embedding":[01,1]}`, ErrJSON, "embedding", "byte"},
		{"leading plus", Validate, `{"embedding":[+1,1]}`, ErrJSON, "embedding", "byte"},
		{"hexadecimal", Validate, `{"embedding":[0x10,1]}`, ErrJSON, "embedding", "byte"},
		{"width 0", Validate, `{"embedding":[]}`, ErrWidth, "embedding", "0 elements"},
		{"width 0 beside an action", Validate, `{"action":"x","embedding":[ ]}`, ErrWidth, "embedding", "0 elements"},
		{"too wide", Validate, `{"embedding":` + wide + `}`, ErrWidth, "embedding", "more than 4096"},
		{"another width", Validate, `{"embedding":[1,2,3]}`, ErrWidth, "embedding", "3 elements, expected 2 as in line 1"},
		{"element a string", Validate, `{"embedding":[1,"2"]}`, ErrType, "embedding", "element 1: wrong type: a string"},
		{"element null", Validate, `{"embedding":[null,2]}`, ErrType, "embedding", "null"},
		{"element an array", Validate, `{"embedding":[[1,2]]}`, ErrType, "embedding", "an array"},
		{"embedding a string", Validate, `{"embedding":"1,2"}`, ErrType, "embedding", "a string, expected an array"},
		{"embedding a string beside an action", Validate, `{"embedding":"1,2","action":"x"}`, ErrType, "embedding", "a string"},
		{"action an array", Validate, `{"action":["x"]}`, ErrType, "action", "an array, expected a string or an object"},
		{"a member of an action twice", Validate, `{"action":{"path":"a","path":"b"}}`, ErrJSON, "action", "duplicate"},
		{"action a number", Validate, `{"action":1}`, ErrType, "action", "a number, expected a string"},
		{"id a boolean", Validate, `{"embedding":[1,2],"id":true}`, ErrType, "id", "a boolean"},
		{"id a fraction", Validate, `{"embedding":[1,2],"id":1.5}`, ErrType, "id", "a string or an integer"},
		{"id too long", Validate, `{"embedding":[1,2],"id":"` + long + `"}`, ErrTooLong, "id", "4097 bytes"},
		{"session too long", Validate, `{"embedding":[1,2],"session":"` + long + `"}`, ErrTooLong, "session", "4097 bytes"},
		{"session a number", Validate, `{"embedding":[1,2],"session":1}`, ErrType, "session", "expected a string"},
		{"source an object", Validate, `{"embedding":[1,2],"source":{}}`, ErrType, "source", "an object"},
		{"basic_checks a string", Validate, `{"embedding":[1,2],"basic_checks":"false"}`, ErrType, "basic_checks", "true or false"},
		{"is_safe a number", Validate, `{"embedding":[1,2],"is_safe":1}`, ErrType, "is_safe", "true or false"},
		{"label unknown", Validate, `{"embedding":[1,2],"label":"benign"}`, ErrType, "label", "safe, unsafe or risky"},
		{"disagreeing", Validate, `{"embedding":[1,2],"label":"risky","is_safe":true}`, ErrDisagree, "label", "is_safe says true"},
		{"importance negative", Record, `{"embedding":[1,2],"is_safe":true,"importance":-0.5}`, ErrRange, "importance", "from 0"},
		{"importance infinite", Record, `{"embedding":[1,2],"is_safe":true,"importance":1e39}`, ErrRange, "importance", "float32"},
		{"importance a string", Record, `{"embedding":[1,2],"is_safe":true,"importance":"1"}`, ErrType, "importance", "a number"},
		{"no outcome", Record, `{"embedding":[1,2]}`, ErrMissing, "", "is_safe and label"},
		{"no op", Replay, `{"embedding":[1,2]}`, ErrMissing, "op", "validate, record or importance"},
		{"op unknown", Replay, `{"op":"delete","embedding":[1,2]}`, ErrType, "op", `"delete"`},
		{"record without outcome", Replay, `{"op":"record","embedding":[1,2]}`, ErrMissing, "", "is_safe and label"},
		{"no side", Replay, `{"op":"importance","index":0,"value":1}`, ErrMissing, "side", "importance"},
		{"no index", Replay, `{"op":"importance","side":"safe","value":1}`, ErrMissing, "index", "importance"},
		{"no value", Replay, `{"op":"importance","side":"safe","index":0}`, ErrMissing, "value", "importance"},
		{"side risky", Replay, `{"op":"importance","side":"risky","index":0,"value":1}`, ErrType, "side", "safe or unsafe"},
		{"index negative", Replay, `{"op":"importance","side":"safe","index":-1,"value":1}`, ErrRange, "index", "from 0"},
		{"index a fraction", Replay, `{"op":"importance","side":"safe","index":1.0,"value":1}`, ErrRange, "index", "integer"},
		{"value negative", Replay, `{"op":"importance","side":"safe","index":1,"value":-1}`, ErrRange, "value", "from 0"},
	}
	const good = `{"op":"validate","id":"good","embedding":[1,2],"is_safe":true}`
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rows, refused, err := readText(t, good+"\n\n"+c.line+"\n"+good, c.kind)
			if err != nil || len(rows) != 2 || len(refused) != 1 {
				t.Fatalf("%.80s: got %d rows, refused %v, %v, want the good rows around one refusal", c.line, len(rows), refused, err)
			}
			got := refused[0]
			if !errors.Is(got, c.want) || got.Field != c.field || got.Number != 3 || !strings.Contains(got.Error(), c.says) {
				t.Errorf("%.80s: got %v (field %q), want %v in line 3, field %q, saying %q", c.line, got, got.Field, c.want, c.field, c.says)
			}
			if !strings.HasPrefix(got.Error(), "standard input, line 3") {
				t.Errorf("got %q, want it to begin with the place", got)
			}
		})
	}
}

func TestRefusedRowKeepsItsID(t *testing.T) {
	r, err := Open("-", Options{Kind: Replay, Stdin: strings.NewReader(`{"op":"record","embedding":["x"],"is_safe":true,"id":7}`)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := new(RowBatch)
	if err := r.Append(b, 1); err != nil || b.Len() != 1 {
		t.Fatalf("got %d rows, %v, want the refused one", b.Len(), err)
	}
	row, err := b.Entries[0].Row, b.Entries[0].Err
	if !errors.Is(err, ErrType) || row.ID != IntID(7) || row.Op != OpRecord || row.Number != 1 {
		t.Errorf("got %v, id %v, op %v, number %d, want ErrType with id 7, record, line 1", err, row.ID, row.Op, row.Number)
	}
}

func TestGoodLines(t *testing.T) {
	base := func(change func(*Row)) Row {
		row := Row{Number: 1, BasicChecks: true, Embedding: []float32{1, 2}}
		change(&row)
		return row
	}
	cases := []struct {
		name, line string
		kind       Kind
		want       Row
	}{
		{"bare", `{"embedding":[1,2]}`, Validate, base(func(*Row) {})},
		{"carriage return", "{\"embedding\":[1,2]}\r\n", Validate, base(func(*Row) {})},
		{"spaces", " { \"embedding\" : [ 1 , \t2 ] } ", Validate, base(func(*Row) {})},
		{"everything", `{"id":"é\n","embedding":[1,2],"action":"rm","session":"s","source":"t","basic_checks":false,` +
			`"importance":2.5,"is_safe":false,"label":"risky","part":{"a":[1,{"b":null}]},"":0}`, Record,
			base(func(r *Row) {
				r.Op, r.ID, r.Action, r.HasAction, r.Session, r.Source = OpRecord, TextID("é\n"), "rm", true, "s", "t"
				r.BasicChecks, r.Importance, r.HasImportance, r.HasOutcome = false, 2.5, true, true
			})},
		{"nulls are absent", `{"id":null,"embedding":[1,2],"action":null,"session":null,"is_safe":null,"label":null}`, Validate, base(func(*Row) {})},
		{"label safe", `{"embedding":[1,2],"label":"safe"}`, Validate, base(func(r *Row) { r.IsSafe, r.HasOutcome = true, true })},
		{"label unsafe", `{"embedding":[1,2],"label":"unsafe","is_safe":false}`, Validate, base(func(r *Row) { r.HasOutcome = true })},
		{"a structured action", `{"id":1,"action":{"tool":"a","path":"b\u002e","args":[1.0,{"b":1,"a":"é"}]}}`, Validate, Row{
			Number: 1, ID: IntID(1), BasicChecks: true, Action: `{"args":[1,{"a":"é","b":1}],"path":"b.","tool":"a"}`, HasAction: true, Structured: true}},
		{"text only", `{"id":-3,"action":"ls"}`, Validate, Row{Number: 1, ID: IntID(-3), BasicChecks: true, Action: "ls", HasAction: true}},
		{"escaped key", `{"\u0065mbedding":[1,2],"basic\u005fchecks":false}`, Validate, base(func(r *Row) { r.BasicChecks = false })},
		{"importance op", `{"op":"importance","side":"unsafe","index":7,"value":2.0}`, Replay,
			Row{Number: 1, Op: OpImportance, BasicChecks: true, Side: Unsafe, Index: 7, Value: 2}},
		{"op is another field here", `{"embedding":[1,2],"op":17,"side":1}`, Validate, base(func(*Row) {})},
		{"tiny becomes zero", `{"embedding":[1e-999,-0]}`, Validate,
			base(func(r *Row) { r.Embedding = []float32{0, float32(math.Copysign(0, -1))} })},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rows, refused, err := readText(t, c.line, c.kind)
			if err != nil || len(refused) != 0 || len(rows) != 1 {
				t.Fatalf("%s: got %v, refused %v, %v, want one row", c.line, rows, refused, err)
			}
			if len(c.want.Embedding) == 0 {
				rows[0].Embedding = nil
			}
			if !reflect.DeepEqual(rows[0], c.want) {
				t.Errorf("%s:\n got %+v\nwant %+v", c.line, rows[0], c.want)
			}
		})
	}
}

func TestOrderDuplicatesAndBlankLines(t *testing.T) {
	rows, refused, err := readText(t, "\n{\"id\":1,\"action\":\"a\"}\n  \n{\"id\":1,\"action\":\"b\"}\n{\"id\":\"1\",\"action\":\"c\"}\n\n", Validate)
	if err != nil || len(refused) != 0 {
		t.Fatal(refused, err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprintf("%d:%s:%s", r.Number, r.ID.AppendJSON(nil), r.Action))
	}
	if want := []string{"2:1:a", "4:1:b", `5:"1":c`}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestIDsGoOutAsTheyCame(t *testing.T) {
	for _, id := range []string{`"a"`, `""`, `"7"`, `7`, `-7`, `0`, `-0`, `9223372036854775807`, `-9223372036854775808`,
		`9223372036854775808`, `123456789012345678901234567890`, `"日本 \"\\ \u0001"`} {
		rows, refused, err := readText(t, `{"action":"x","id":`+id+`}`, Validate)
		if err != nil || len(refused) > 0 {
			t.Fatal(id, refused, err)
		}
		if got := string(rows[0].ID.AppendJSON(nil)); got != id {
			t.Errorf("got %s, want %s", got, id)
		}
	}
}

// TestRounding compares with the nearest float32 of the exact decimal, by big arithmetic.
func TestRounding(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	products := 0
	for range 20000 {
		text := fmt.Sprintf("%d.%0*de%d", random.IntN(10), 1+random.IntN(20), random.Uint64()>>random.IntN(64), random.IntN(80)-45)
		switch random.IntN(3) {
		case 0: // near the middle between two float32
			v := math.Float32frombits(random.Uint32() & 0x7f7fffff)
			text = fmt.Sprintf("%.25e", (float64(v)+float64(math.Nextafter32(v, 1)))/2)
		case 1: // as programs write float32 and float64
			text = strconv.FormatFloat(random.NormFloat64(), "fge"[random.IntN(3)], []int{-1, 6, 9, 17}[random.IntN(4)], 32<<random.IntN(2))
		}
		exact, _, err := big.ParseFloat(text, 10, 400, big.ToNearestEven)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := exact.Float32()
		var n decimal
		p := plain{line: []byte(text)}
		if !p.number(&n) || p.at != len(text) {
			t.Fatalf("%s: not taken as a number", text)
		}
		if got, ok := n.float32(); ok && got != want {
			t.Fatalf("%s: got %v by the product, want %v", text, got, want)
		} else if ok {
			products++
		}
		got, err := float([]byte(text))
		if math.IsInf(float64(want), 0) {
			if !errors.Is(err, ErrRange) {
				t.Fatalf("%s: got %v, %v, want ErrRange", text, got, err)
			}
		} else if err != nil || got != want {
			t.Fatalf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	if products < 3000 {
		t.Errorf("got %d of 20000 by the product, want more to compare", products)
	}
}

func TestTruncationOfLinesAtEveryLength(t *testing.T) {
	const text = "{\"id\":\"a\",\"embedding\":[1.5,-2e1]}\n{\"id\":2,\"action\":\"x \\u00e9\",\"x\":{\"y\":[true]}}\n"
	first := strings.IndexByte(text, '\n')
	for n := 1; n < len(text); n++ {
		rows, refused, err := readText(t, text[:n], Validate)
		whole := n == first || n == first+1 || n == len(text)-1
		if whole && (err != nil || len(refused) != 0) {
			t.Errorf("cut at %d, after a whole row: got %v, %v, want the rows", n, refused, err)
		}
		if !whole && (!errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), "truncated JSON")) {
			t.Errorf("cut at %d: got %d rows, %v, %v, want a final ErrTruncated", n, len(rows), refused, err)
		}
	}
}

func TestLongLines(t *testing.T) {
	row := `{"action":"` + strings.Repeat("x", 3*chunkBytes) + `"}`
	text := row + "\nshort\n\n" + strings.Repeat("y", 5*chunkBytes) + "\n" + strings.Repeat("z", len(row)+1) + "\nlast"
	want := []string{"1:" + fmt.Sprint(len(row)), "2:5", "4:too long", "5:too long", "6:4, cut"}
	for name, src := range map[string]io.Reader{"at once": strings.NewReader(text), "in parts": iotest.HalfReader(strings.NewReader(text))} {
		for _, whole := range []bool{true, false} {
			lines := newCutter(src, len(row), whole)
			var got []string
			size := int64(0)
			c := new(chunk)
			err := lines.fill(c)
			for ; err == nil; err = lines.fill(c) {
				size += c.size
				if c.tooLong {
					got = append(got, fmt.Sprintf("%d:too long", c.first))
				}
				c.lines(func(number int64, line []byte, cut bool) bool {
					says := fmt.Sprintf("%d:%d", number, len(line))
					if len(line) > len(row) {
						says = fmt.Sprintf("%d:too long", number)
					}
					if cut {
						says += ", cut"
					}
					got = append(got, says)
					return true
				})
			}
			if !errors.Is(err, io.EOF) || !reflect.DeepEqual(got, want) || size != int64(len(text)) {
				t.Errorf("%s, whole %t: got %v, %v, %d bytes, want %v and %d bytes", name, whole, got, err, size, want, len(text))
			}
			src = strings.NewReader(text)
		}
	}
}

func TestFileThatShrinks(t *testing.T) {
	line := `{"action":"` + strings.Repeat("x", 1000) + `"}` + "\n"
	path := writeFile(t, "rows.jsonl", []byte(strings.Repeat(line, 2000)))
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Append(new(RowBatch), 1); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(1000*len(line))); err != nil {
		t.Fatal(err)
	}
	if rows, _, err := read(t, r); !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), "expected") {
		t.Errorf("got %d more rows, %v, want ErrTruncated with both sizes", len(rows), err)
	}
}

func FuzzLine(f *testing.F) {
	f.Add(`{"op":"validate","id":"a","embedding":[1,-2.5e3],"session":"s"}`, uint8(2))
	f.Add(`{"op":"importance","side":"safe","index":7,"value":2.0}`, uint8(2))
	f.Add(`{"id":1,"action":"\u00e9","label":"risky","is_safe":false,"importance":1}`, uint8(1))
	f.Add("{\"embedding\":[NaN]}\n\n{", uint8(0))
	f.Fuzz(func(t *testing.T, text string, kind uint8) {
		if len(text) > 1<<16 {
			t.Skip("size cap")
		}
		rows, _, _ := readText(t, text, Kind(kind%3))
		for _, row := range rows {
			if problem := finite(row.Embedding); problem != nil || len(row.Embedding) > MaxWidth {
				t.Errorf("%q: got the embedding %v", text, row.Embedding)
			}
			if problem := complete(&row, len(row.Embedding)); problem != nil {
				t.Errorf("%q: got an incomplete row: %v", text, problem.err)
			}
		}
	})
}

// FuzzPlain compares the fast decoder, where it takes a line, with jsontext: it must be taken there too, and to the same bits.
func FuzzPlain(f *testing.F) {
	for _, line := range []string{
		`{"op":"validate","id":"a","embedding":[1,-2.5e3],"session":"s"}`,
		`{"op":"importance","side":"safe","index":7,"value":2.0}`,
		`{"id":1,"action":"\u00e9","label":"risky","is_safe":false,"importance":1}`,
		`{"embedding":[NaN]}`,
		` { "embedding" : [ 0.1 , 1e-5,-0 , 123456789.123456789012, 1.17549435e-38,3.4028235677973366e38 ] , "x" : null , "y":"z" } `,
		`{"embedding":[0.00000000000000000000000000000000000001,16777217,33554431.0000000001],"importance":0.30000001192092896}`,
		`{"x":{"a":[1,"}\\\"]"],"b":{}},"embedding":[1,2],"y":[]}`, `{"x":{"a":1,"a":2},"action":"z"}`, `{"x":[}],"action":"z"}`,
		`{"x":1,"embedding":[1,2],"x":2}`, `{"embedding":[1,2],"embedding":[1,2]}`, `{"embedding":[01,1.,.5,1e,-]}`,
		`{"id":-0,"action":"é\\","a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9}`, `{"action":"\ud800"}`, "{\"action\":\"\xff\"}",
	} {
		for kind := range uint8(3) {
			f.Add([]byte(line), kind)
		}
	}
	f.Fuzz(func(t *testing.T, line []byte, kind uint8) {
		if len(line) > 1<<16 {
			t.Skip("size cap")
		}
		d := newDecoder(Kind(kind % 3))
		var fast, strict Row
		fast.reset(1, kindOp(d.kind))
		strict.reset(1, kindOp(d.kind))
		d.reset()
		taken := d.plain(line, &fast)
		refusal := d.decodeStrictly(line, &strict)
		if !taken {
			return
		}
		if refusal != nil {
			t.Fatalf("%q: taken, want refused: %v", line, refusal.err)
		}
		a, b := fast, strict
		same := slices.EqualFunc(a.Embedding, b.Embedding, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
		if !same {
			t.Fatalf("%q: got %v, want %v", line, a.Embedding, b.Embedding)
		}
		a.Embedding, b.Embedding = nil, nil
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%q: got %+v, want %+v", line, a, b)
		}
	})
}
