package checkpoints

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
)

// find walks a listing by keys.
func find(n *Node, keys ...string) *Node {
	for _, key := range keys {
		var next *Node
		for _, item := range n.Items {
			if item.Key == key {
				next = item.Value
			}
		}
		if n = next; n == nil {
			return nil
		}
	}
	return n
}

func TestListing(t *testing.T) {
	f, err := ReadFile(filepath.FromSlash(pythonPatterns))
	if err != nil {
		t.Fatal(err)
	}
	if f.Format != "zip" || f.Bytes != 146668 || f.Container.Version != 3 || len(f.Container.Records) != 9 || len(f.Warnings) != 0 {
		t.Errorf("got %s, %d bytes, container %+v, warnings %v", f.Format, f.Bytes, f.Container, f.Warnings)
	}
	for _, c := range []struct {
		keys []string
		want Node
	}{
		{[]string{"safe_patterns"}, Node{Kind: "tensor", DType: "float32", Shape: []int64{1000, 16}, Location: "cpu"}},
		{[]string{"save_time"}, Node{Kind: "float", Value: 1795393467.149594}},
		{[]string{"version"}, Node{Kind: "str", Value: "1.0", Length: 3}},
		{[]string{"metadata", "run"}, Node{Kind: "int", Value: int64(7)}},
		{[]string{"metadata", "nested", "none"}, Node{Kind: "none"}},
		{[]string{"metadata", "nested", "ok"}, Node{Kind: "bool", Value: true}},
	} {
		if got := find(f.Content, c.keys...); got == nil || !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%v: got %+v, want %+v", c.keys, got, c.want)
		}
	}
}

// TestListsEverything lists every readable fixture and turns it into JSON.
func TestListsEverything(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*/*.p*")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("testdata/checkpoints/*.p*")
	if err != nil {
		t.Fatal(err)
	}
	listed := 0
	for _, path := range append(files, more...) {
		if strings.Contains(path, "malformed") || strings.HasSuffix(path, "torch-1.13.0/dt_complex32.pt") { // the last was never finished
			continue
		}
		f, err := ReadFile(path)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if text, err := json.Marshal(f); err != nil || len(text) < 50 {
			t.Errorf("%s: JSON %.50s (%v)", path, text, err)
		}
		listed++
	}
	if listed < 125 {
		t.Errorf("listed %d files, want at least 125", listed)
	}
}

// TestListingMalformed says of each hostile file that it is malformed, or lists it if it may.
func TestListingMalformed(t *testing.T) {
	text, err := os.ReadFile("testdata/pt/malformed/expect.json")
	if err != nil {
		t.Fatal(err)
	}
	var expect map[string]string
	if err := json.Unmarshal(text, &expect); err != nil {
		t.Fatal(err)
	}
	for name, want := range expect {
		_, err := ReadFile(filepath.Join("testdata/pt/malformed", name))
		if want == "accept" && err != nil || want == "refuse" && err == nil {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
}

// TestListingIsBounded lists a pickle whose tree has 10^12 leaves.
func TestListingIsBounded(t *testing.T) {
	v := pickle.Value(pickle.Str("a"))
	for range 12 {
		l := &pickle.List{}
		for range 10 {
			l.Items = append(l.Items, v)
		}
		v = l
	}
	data, err := pickle.Encode(v, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("laughs.pkl", data)
	if err != nil || len(f.Warnings) == 0 {
		t.Fatalf("got %v (%v), want a warning that not all is listed", f, err)
	}
	text, err := json.Marshal(f)
	if err != nil || len(text) > 100*maxNodes {
		t.Errorf("got %d bytes of JSON (%v), want less than %d", len(text), err, 100*maxNodes)
	}
}

// TestListingIsShort lists pickles of 200 KB whose listings would be hundreds of megabytes long or, by the indentation of
// JSON, gigabytes.
func TestListingIsShort(t *testing.T) {
	repeat := strings.Repeat
	shared := func(c string) string { return "\x80\x02]X\x00\x10\x00\x00" + repeat(c, maxShown) + "q\x00a(" }
	module := "c" + repeat("m", 500) + "\n" + repeat("n", 500) + "\n"
	for name, data := range map[string]string{
		"a text at many places":    shared("a") + repeat("h\x00", 99_000) + "e.",
		"of control characters":    shared("\x01") + repeat("h\x00", 99_000) + "e.",
		"a key of many dicts":      shared("k") + repeat("}h\x00Ns", 16_000) + "e.",
		"a class of many objects":  "\x80\x02](" + module + "q\x00" + repeat("h\x00)R", 49_000) + "e.",
		"many values deep down":    "\x80\x02" + repeat("]", 990) + "(" + repeat("K\x01", 98_000) + "e" + repeat("a", 989) + ".",
		"shapes of many dimension": "\x80\x02](ctorch\nSize\nq\x00(" + repeat("K\x01", 64) + "tq\x01" + repeat("h\x00h\x01\x85R", 30_000) + "e.",
	} {
		f, err := Parse("a.pkl", []byte(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := json.MarshalIndent(f, "", "  ")
		if err != nil || len(text) > 3*maxListing {
			t.Errorf("%s: got %d bytes of JSON (%v), want at most %d", name, len(text), err, 3*maxListing)
		}
		if !strings.Contains(strings.Join(f.Warnings, "\n"), "only the first") {
			t.Errorf("%s: got warnings %q, want one that not all is listed", name, f.Warnings)
		}
	}
}

// TestListingOfNumbers keeps what JSON cannot hold as text.
func TestListingOfNumbers(t *testing.T) {
	data := "\x80\x02(G\x7f\xf8\x00\x00\x00\x00\x00\x00G\x7f\xf0\x00\x00\x00\x00\x00\x00\x8a\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01cos\nsystem\n)Rt."
	f, err := Parse("x.pkl", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(f.Content.Items)
	want := `[{"value":{"kind":"float","value":"NaN"}},{"value":{"kind":"float","value":"+Inf"}},{"value":{"kind":"int","value":"1208925819614629174706176"}},{"value":{"kind":"object","value":"os.system"}}]`
	if err != nil || string(text) != want {
		t.Errorf("got %s (%v), want %s", text, err, want)
	}
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "may run code") {
		t.Errorf("got warnings %v, want one about the unknown class", f.Warnings)
	}
}
