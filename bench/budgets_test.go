package bench

import (
	"os/exec"
	"strings"
	"testing"
)

// TestBudgetsFindWhatTheyAreFor loads scripts/budgets and lets it judge counts
// beside budgets that were made up.
func TestBudgetsFindWhatTheyAreFor(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3; scripts/prerequisites names it")
	}
	const program = `
import importlib.machinery, importlib.util, sys
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("budgets", "../scripts/budgets")
budgets = importlib.util.module_from_spec(importlib.util.spec_from_loader("budgets", loader))
loader.exec_module(budgets)
for found in budgets.findings({"one": (1000, 3, 0)}, eval(sys.argv[1])):
    print(found)
`
	for _, c := range []struct{ name, counts, want string }{
		{"as it was", `{"one": (1000, 0)}`, ""},
		{"within the tolerance", `{"one": (1029, 0)}`, ""},
		{"somewhat better", `{"one": (910, 0)}`, ""},
		{"over the budget", `{"one": (1031, 0)}`, "one takes 1031 instructions a row, 3.1 % over its budget of 1000"},
		{"stale", `{"one": (890, 0)}`, "one takes 890 instructions a row: lower its budget of 1000"},
		{"an allocation", `{"one": (1000, 1)}`, "one allocates 1 times a batch, 0 are allowed"},
		{"a new case", `{"one": (1000, 0), "two": (5, 0)}`, "two has no budget: it takes 5 instructions a row"},
		{"a case that is gone", `{}`, "one has a budget and is not counted: drop it, or count it"},
	} {
		out, err := exec.CommandContext(t.Context(), python, "-c", program, c.counts).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}
