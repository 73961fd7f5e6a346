package arrows

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/fdqc-cockpit/fdqc"

// layer names the room that a package of the module is in: where it stands
// in the order of imports. Empty: outside the module.
func layer(pkg string) string {
	path, ok := strings.CutPrefix(pkg, module+"/")
	if !ok {
		return ""
	}
	under := func(folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }
	switch {
	case under("models/gotorch"), under("bench/peers/gotorch"):
		return "edge"
	case under("cgo"):
		return "cgo"
	case under("checkpoints"):
		return "checkpoints"
	case under("models"):
		return "models"
	case under("engine/cmd"):
		return "command"
	case under("engine/serve"), under("engine/control"), under("engine/migrate"):
		return "serve"
	case under("bench"):
		return "bench"
	case path == "engine":
		return "engine"
	case under("engine"):
		return "leaf"
	case under("scripts"):
		return "scripts"
	}
	return "unknown"
}

// mayImport lists, for each layer, the layers below it.
var mayImport = map[string][]string{
	"cgo":         {},
	"checkpoints": {},
	"models":      {"cgo", "checkpoints"},
	"leaf":        {"cgo", "checkpoints", "models"},
	"engine":      {"cgo", "checkpoints", "models", "leaf"},
	"serve":       {"cgo", "checkpoints", "models", "leaf", "engine"},
	"bench":       {"cgo", "checkpoints", "models", "leaf", "engine"},
	"command":     {"cgo", "checkpoints", "models", "leaf", "engine", "serve", "bench"},
	"edge":        {"cgo", "checkpoints", "models", "leaf", "engine"}, // of gotorch; nothing imports it
	"scripts":     {},
}

// leafOf is the folder directly under engine that a leaf package is in.
func leafOf(pkg string) string {
	rest := strings.TrimPrefix(pkg, module+"/engine/")
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// wrong says why package from must not depend on package to; "" when it may.
func wrong(from, to string) string {
	a, b := layer(from), layer(to)
	switch {
	case a == "" || b == "":
		return ""
	case a == "unknown":
		return from + " is in no room of the architecture; add its folder to CONTRIBUTING.md and here"
	case a == "leaf" && b == "leaf":
		if leafOf(from) != leafOf(to) {
			return from + " imports " + to + ": leaves under engine/ do not import each other"
		}
		return ""
	case a == b:
		return ""
	}
	for _, allowed := range mayImport[a] {
		if b == allowed {
			return ""
		}
	}
	return from + " imports " + to + ": imports go one way, and " + a + " may not import " + b
}

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath   string
	Deps         []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	CgoFiles     []string
}

func list(t *testing.T) []listed {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-tags", "gotorch", "-deps", "-json=ImportPath,Deps,Imports,TestImports,XTestImports,CgoFiles", module+"/...")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}

func TestArrows(t *testing.T) {
	ours := 0
	for _, p := range list(t) {
		if layer(p.ImportPath) == "" {
			continue
		}
		ours++
		if text := wrong(p.ImportPath, p.ImportPath); text != "" {
			t.Error(text)
		}
		for _, deps := range [][]string{p.Deps, p.TestImports, p.XTestImports} {
			for _, to := range deps {
				if text := wrong(p.ImportPath, to); text != "" {
					t.Error(text)
				}
			}
		}
		if len(p.CgoFiles) > 0 && p.ImportPath != module+"/cgo/torch" && p.ImportPath != module+"/models/gotorch" {
			t.Errorf("%s uses cgo (%v): cgo/torch is the only package that knows C, models/gotorch apart", p.ImportPath, p.CgoFiles)
		}
	}
	if ours < 5 {
		t.Errorf("go list named %d packages of %s, want the whole module", ours, module)
	}
}

func TestWrong(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to string
		wrong    bool
	}{
		{"down", "models", "cgo/torch", false},
		{"up", "models", "engine", true},
		{"files need no LibTorch", "checkpoints/tensor", "cgo/torch", true},
		{"within a room", "checkpoints", "checkpoints/pickle", false},
		{"leaf to leaf", "engine/memory", "engine/rows", true},
		{"leaf to its own part", "engine/rows", "engine/rows/parquet", false},
		{"leaf to engine", "engine/memory", "engine", true},
		{"engine to leaf", "engine", "engine/memory", false},
		{"engine to serve", "engine", "engine/serve", true},
		{"engine to command", "engine", "engine/cmd/fdqc", true},
		{"serve to bench", "engine/serve", "bench", true},
		{"command to bench", "engine/cmd/fdqc", "bench", false},
		{"bench to command", "bench", "engine/cmd/fdqc", true},
		{"gotorch to engine", "models/gotorch", "engine", false},
		{"engine to gotorch", "engine", "models/gotorch", true},
		{"a new folder", "utilities", "models", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := wrong(module+"/"+c.from, module+"/"+c.to)
			if (got != "") != c.wrong {
				t.Errorf("%s → %s: got %q, want wrong = %v", c.from, c.to, got, c.wrong)
			}
		})
	}
}
