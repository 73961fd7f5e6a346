package pickle

import (
	"fmt"
	"strings"
)

// Path is a path of Python's pathlib. It is text: nothing is ever looked up.
type Path struct {
	// Class is PosixPath, WindowsPath, PurePosixPath, PureWindowsPath or Path.
	Class string
	// Text is the path, with the separators of its class.
	Text string
}

// String is the path as str() gives it.
func (p Path) String() string { return p.Text }

var pathClasses = []string{"PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath"}

// pathMaker joins the parts of a path: up to Python 3.12 it is pickled in parts, later in one piece.
func pathMaker(class string) Maker {
	separator, roots := "/", "/"
	if strings.Contains(class, "Windows") {
		separator, roots = `\`, `/\:`
	}
	return func(args []Value) (Value, error) {
		var text strings.Builder
		for i, arg := range args {
			part, ok := arg.(Str)
			if !ok || strings.ContainsRune(string(part), 0) {
				return nil, fmt.Errorf("pathlib.%s of %s, expected strings", class, Describe(arg))
			}
			if i > 0 && part == "" {
				continue
			}
			// A part that begins at a root would replace those before it; Python writes none.
			if i > 0 && (strings.ContainsRune(roots, rune(part[0])) || len(part) > 1 && strings.ContainsRune(roots, ':') && part[1] == ':') {
				return nil, fmt.Errorf("pathlib.%s with %s behind another part, expected a relative one", class, Describe(arg))
			}
			if before := text.String(); before != "" && !strings.HasSuffix(before, separator) && !strings.HasSuffix(before, "/") {
				text.WriteString(separator)
			}
			text.WriteString(string(part))
		}
		if text.Len() == 0 {
			return Path{class, "."}, nil
		}
		return Path{class, text.String()}, nil
	}
}
