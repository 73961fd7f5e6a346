package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// TestAuditNamesSources: how many patterns each source brought is on record,
// also when a crash came before it was written.
func TestAuditNamesSources(t *testing.T) {
	config := small(t)
	e := open(t, config)
	long := strings.Repeat("é", 100)
	named := func(seed uint64, count int, source func(i int) string) []engine.Outcome {
		all := outcomes(normal(seed, count, 8), 8)
		for i := range all {
			all[i].Source = source(i)
		}
		return all
	}
	broken := named(2, 3, func(int) string { return "b" })
	broken[1].Embedding = nil // refused
	for _, all := range [][]engine.Outcome{
		named(1, 6, func(i int) string { return []string{"", "a"}[i%2] }),
		broken,
		named(3, 1, func(int) string { return long }),
		named(4, 100, func(i int) string { return fmt.Sprintf("many%03d", i) }),
		named(5, 2, func(int) string { return "" }), // nobody is named
	} {
		record(t, e, all)
	}
	crashed := config
	crashed.Persistence.Dir = copyTree(t, config.Persistence.Dir)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	cutAudit(t, crashed.Persistence.Dir, 3)
	if err := directory(t, crashed).Close(); err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]engine.Config{"closed": config, "crashed": crashed} {
		counts := map[string]float64{}
		entries := ofEvent(t, audited(t, config), "patterns")
		for _, data := range entries {
			sources, _ := data["sources"].(map[string]any)
			for source, count := range sources {
				counts[source] += count.(float64)
			}
		}
		cut := strings.Repeat("é", 64) + "…"
		var many float64
		for source, count := range counts {
			if strings.HasPrefix(source, "many") {
				many += count
			}
		}
		if counts["a"] != 3 || counts["b"] != 2 || counts[cut] != 1 || many+counts[""] != 100 || many < 1 {
			t.Errorf("%s: got %v, of the 100 %v by name", name, counts, many)
		}
		if most := 65 * len(entries); len(counts) > most {
			t.Errorf("%s: %d names in %d entries, want at most %d", name, len(counts), len(entries), most)
		}
	}
}

// A source's name may be any bytes.
func TestSourceThatIsNoText(t *testing.T) {
	e := open(t, small(t))
	all := outcomes(normal(1, 3, 8), 8)
	all[0].Source, all[1].Source, all[2].Source = strings.Repeat("\x80", 200), "a\x80", "a\x81"
	for _, got := range record(t, e, all) {
		if got.Result != engine.Stored {
			t.Errorf("got %+v, want it stored", got)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	sources, _ := ofEvent(t, audited(t, e.Config()), "patterns")[0]["sources"].(map[string]any)
	if sources["\ufffd"] != 1.0 || sources["a\ufffd"] != 2.0 {
		t.Errorf("got %v", sources)
	}
}
