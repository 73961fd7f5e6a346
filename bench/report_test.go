package bench

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// sample is a report of all kinds of target, with a roof, and with a GPU that
// overtakes at B = 64.
func sample(t *testing.T) *Report {
	t.Helper()
	engine := newFake("engine", 10*time.Microsecond)
	engine.answer.Nearest, engine.answer.Distance = neighbours()
	targets := []Target{engine}
	for _, kind := range []string{"loop", "eager", "compile", "gotorch"} {
		targets = append(targets, newFake(kind, 20*time.Microsecond))
	}
	for _, kind := range []string{"faiss", "tree"} {
		targets = append(targets, newMatcher(kind, 5*time.Microsecond))
	}
	targets[2].(*fake).info.MaxPatterns = 100_000
	r := runOf(t, targets...)
	r.Targets = append(r.Targets, Info{ID: "engine/cuda:0", Kind: "engine", Name: "a <GPU>", Device: "cuda:0"})
	r.Missing = append(r.Missing, Missing{"a peer <that> is not there", "it & others were not installed"})
	for i := range r.Results {
		f := r.Results[i].Figures[0]
		f.Target, f.RowsPerSecond = "engine/cuda:0", f.RowsPerSecond*float64(r.Results[i].BatchSize)/50
		r.Results[i].Figures = append(r.Results[i].Figures, f)
	}
	r.Roofs = []Roof{{1, 1e10, 1e9}, {2, 2e10, 1.5e9}}
	r.Files = []FileRun{{fileNpy, 8, 1000, 0.5, 2000, 4000, "in-process"}}
	r.conclude()
	return r
}

func TestTableSaysEverything(t *testing.T) {
	var table bytes.Buffer
	if err := sample(t).WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"fdqc bench", "a fake loop", "eager     a fake eager; up to 100,000 patterns on a side\n", "missing   a peer <that> is not there: it & others", "roof      2 threads: 20.0 Gflop/s, 1.5 GB/s",
		"100,000", "640.0 µs", "3 MiB", "against the patterns on a side", "against threads", "exponent", "npy", "not met", "not measured",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
	// Twice as fast as each of these.
	if !regexp.MustCompile(`64 +2 +compile/cpu +50,000 .* 2 *\n`).MatchString(table.String()) {
		t.Errorf("the table does not say that the engine is twice as fast as compile:\n%s", &table)
	}
}

func TestJSONKeepsTheReport(t *testing.T) {
	r := sample(t)
	var raw bytes.Buffer
	if err := r.WriteJSON(&raw); err != nil {
		t.Fatal(err)
	}
	back, err := ReadJSON(bytes.NewReader(raw.Bytes()))
	if err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("JSON came back as %+v (%v), want %+v", back, err, r)
	}
	// The names that scripts read.
	var object struct {
		Schema  int `json:"schema"`
		Results []struct {
			D       int `json:"d"`
			Figures []map[string]any
		}
	}
	if err := json.Unmarshal(raw.Bytes(), &object); err != nil || object.Schema != 1 || object.Results[0].D != 8 {
		t.Fatalf("got schema %+v, %v, want 1 and d = 8", object, err)
	}
	for _, name := range []string{"target", "rows_per_second", "best_rows_per_second", "p50_seconds", "p99_seconds", "batches", "resident_bytes", "device_bytes", "roof_share"} {
		if _, ok := object.Results[0].Figures[0][name]; !ok {
			t.Errorf("a figure lacks %q: %v", name, object.Results[0].Figures[0])
		}
	}
}

// TestHTMLIsOneWellFormedPage reads the page as XML, and everything that a
// person is to see in it.
func TestHTMLIsOneWellFormedPage(t *testing.T) {
	r := sample(t)
	var page bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	decoder := xml.NewDecoder(strings.NewReader(page.String()))
	decoder.Entity = xml.HTMLEntity
	figures, curves := 0, map[string]int{}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range element.Attr {
			if a.Name.Local == "src" || a.Name.Local == "href" || strings.Contains(a.Value, "//") {
				t.Errorf("<%s %s=%q> loads something", element.Name.Local, a.Name.Local, a.Value)
			}
			if element.Name.Local == "g" {
				curves[a.Value]++
			}
			if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") || strings.Contains(a.Value, "ZgotmplZ") {
				t.Errorf("<%s %s=%q> is no coordinate", element.Name.Local, a.Name.Local, a.Value)
			}
		}
		if element.Name.Local == "figure" {
			figures++
		}
	}
	// Throughput and latency by batch, patterns, threads, the roofline.
	if figures != 5 {
		t.Errorf("got %d plots, want 5", figures)
	}
	// Of whole validations all are in four, matchers and the roof in one.
	for class, want := range map[string]int{"engine": 5, "engine-gpu": 4, "loop": 4, "eager": 4, "compile": 4, "gotorch": 4, "faiss": 1, "tree": 1, "roof": 1} {
		if curves[class] != want {
			t.Errorf("got %d curves of %s, want %d", curves[class], class, want)
		}
	}
	for _, forbidden := range []string{"http:", "https:", "<script", "@import", "url("} {
		if strings.Contains(page.String(), forbidden) {
			t.Errorf("the page contains %q", forbidden)
		}
	}
	for _, want := range []string{"GPU is faster from B = 64 on", "a peer &lt;that&gt; is not there: it &amp; others", "100,000", "p50 640 µs, p99 640 µs at 64"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestHTMLSaysThatNoGPUWasMeasured(t *testing.T) {
	r := runOf(t, newFake("engine", time.Microsecond))
	r.Missing = []Missing{{missingGPU, "there is no driver"}}
	var page bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	if want := "No GPU was measured: there is no driver."; !strings.Contains(page.String(), want) || strings.Contains(page.String(), "GPU is faster") {
		t.Errorf("the page lacks %q, or marks a crossover:\n%s", want, &page)
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		name         string
		x, y         []float64
		exponent, r2 float64
		ok           bool
	}{
		{"inverse", []float64{1, 10, 100}, []float64{500, 50, 5}, -1, 1, true},
		{"root", []float64{4, 16, 64, 256}, []float64{6, 12, 24, 48}, 0.5, 1, true},
		{"the same", []float64{1, 2, 4}, []float64{7, 7, 7}, 0, 1, true},
		// By hand, in decades: x 0 1 2, y 0 2 1.
		{"scattered", []float64{1, 10, 100}, []float64{1, 100, 10}, 0.5, 0.25, true},
		{"one x", []float64{8, 8}, []float64{1, 2}, 0, 0, false},
		{"one point", []float64{8}, []float64{1}, 0, 0, false},
	} {
		exponent, r2, ok := fit(c.x, c.y)
		if ok != c.ok || math.Abs(exponent-c.exponent) > 1e-9 || math.Abs(r2-c.r2) > 1e-9 {
			t.Errorf("%s: got exponent %v, R² %v, %v, want %v, %v, %v", c.name, exponent, r2, ok, c.exponent, c.r2, c.ok)
		}
	}
}

func TestRooflineArithmetic(t *testing.T) {
	c := Case{Width: 768, Workspace: 8, Patterns: 1000, BatchSize: 1024, Threads: 2}
	// Counted by hand from the table above Need.
	want := map[string]Need{
		"project":  {"project", 12288, 3072 + 4*8*769/1024.0},
		"scan":     {"scan", 32, 0},
		"score":    {"score", 352, 0},
		"detector": {"detector", 5184, 0},
		"match":    {"match", 36000, 4 * 9 * 2000 / 1024.0},
		"verdict":  {"verdict", 0, 64},
	}
	for _, stage := range needs(&c) {
		if stage != want[stage.Stage] {
			t.Errorf("got %+v, want %+v", stage, want[stage.Stage])
		}
	}
	c.Width = 8
	if got := needs(&c)[0]; got != (Need{"project", 0, 32}) {
		t.Errorf("d = n: got %+v, want no projection, and 32 bytes to read", got)
	}
	need := Need{Flops: 100, Bytes: 10}
	for _, r := range []struct {
		roof Roof
		want float64
	}{{Roof{1, 1000, 1000}, 10}, {Roof{1, 1000, 50}, 5}} {
		if got := r.roof.limit(need); got != r.want {
			t.Errorf("%+v: got %v rows/s at most, want %v", r.roof, got, r.want)
		}
	}
	roof := Roof{1, 2 * total(needs(&c)).Flops, 1e12}
	if got := roof.share(&c, 1); math.Abs(got-0.5) > 1e-12 {
		t.Errorf("one of two rows a second: got a share of %v, want 0.5", got)
	}
}

func TestGoals(t *testing.T) {
	r := &Report{}
	add := func(sweep string, c Case, rates map[string]float64) {
		result := Result{Sweep: sweep, Case: c}
		for id, rate := range rates {
			result.Figures = append(result.Figures, Figure{Target: id + "/cpu", RowsPerSecond: rate, P50: float64(c.BatchSize) / rate, RoofShare: rate / 1e7})
		}
		r.Results = append(r.Results, result)
	}
	add(SweepBatch, Case{8, 8, 1000, 1, 2}, map[string]float64{"engine": 4e5, "loop": 2e3, "eager": 4e3, "compile": 1e4})
	add(SweepBatch, Case{8, 8, 1000, 64, 2}, map[string]float64{"engine": 5e6, "loop": 2.5e3, "eager": 2e5, "compile": 5e5})
	add(SweepBatch, Case{8, 8, 1000, 1024, 2}, map[string]float64{"engine": 7e6, "eager": 1e6, "compile": 1.4e6})
	add(SweepBatch, Case{768, 8, 1000, 1024, 2}, map[string]float64{"engine": 5e6, "eager": 1e6})
	add(SweepPatterns, Case{8, 8, 1_000_000, 1024, 2}, map[string]float64{"engine": 3e5, "faiss": 2e4, "tree": 2e5})
	r.Overheads = []Overhead{{Of: ofMonitoring, Case: Case{8, 8, 1000, 1, 2}, Ratio: 0.9}, {Of: ofMonitoring, Case: Case{8, 8, 1000, 1024, 2}, Ratio: 0.98}}
	r.Files = []FileRun{{Name: fileNpy, RowsPerSecond: 3, Reference: 4}}
	want := []struct {
		measured float64
		verdict  string
	}{
		{2800, "met"},       // 7e6 by 2.5e3
		{5, "met"},          // 7e6 by 1.4e6
		{10, "met"},         // 5e6 by 5e5
		{0, "not measured"}, // compile might have been the best
		{0, "not measured"},
		{0.5, "not met"}, // 5e6 of 1e7
		{100, "met"},
		{15, "met"},
		{1.5, "not met"},
		{0.98, "met"},
		{0.75, "met"},
		{0, "not measured"},
	}
	goals := r.goals()
	if len(goals) != len(want) {
		t.Fatalf("got %d goals, want %d", len(goals), len(want))
	}
	for i, g := range goals {
		if math.Abs(g.Measured-want[i].measured) > 1e-9 || g.verdict() != want[i].verdict {
			t.Errorf("%s: got %v, %s, want %v, %s", g.Name, g.Measured, g.verdict(), want[i].measured, want[i].verdict)
		}
	}
}

func TestTicksAreRoundAndFew(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   []float64
	}{
		{[]float64{1, 2}, []float64{1, 2}},
		{[]float64{1, 65536}, []float64{1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000}},
		{[]float64{1e2, 1e6}, []float64{100, 300, 1000, 3000, 10000, 30000, 100000, 300000, 1e6}},
	} {
		got := newScale(c.values, 0, 100).ticks(12)
		if len(got) != len(c.want) {
			t.Errorf("%v: got ticks %v, want %v", c.values, got, c.want)
			continue
		}
		for i := range got {
			if math.Abs(got[i]/c.want[i]-1) > 1e-9 {
				t.Errorf("%v: got ticks %v, want %v", c.values, got, c.want)
			}
		}
	}
}
