package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxName = 256 // bytes of a tool's or a program's name
	// What a POSIX shell acts on unless it is quoted (IEEE 1003.1-2017, XCU
	// 2.2), spaces apart, with braces and history beside it.
	shellCharacters = "|&;<>()$`\\\"'*?[]{}!"
)

// checkProcess refuses a program that is not named plainly or not allowed.
func (c *Checks) checkProcess(name string) error {
	why := ""
	switch {
	case name == "" || len(name) > maxName:
		why = fmt.Sprintf("has %d bytes, expected 1 to %d", len(name), maxName)
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		why = "holds a character other than printable ASCII, or a space"
	case strings.ContainsAny(name, shellCharacters+"~#%:=^,"):
		why = "holds a character that a shell acts on"
	case strings.HasPrefix(name, "-"):
		why = "begins with -, as an option does"
	case strings.Contains(name, "/") && (name[0] != '/' || path.Clean(name) != name || plainPath(name) != ""):
		why = "is a path, expected a plain name or a clean absolute path"
	case name == "." || name == "..":
		why = "is no program"
	case c.configured && !c.processes[name]:
		why = "is not an allowed process"
	}
	if why != "" {
		return refuse("process", "%.200q %s", name, why)
	}
	return nil
}

// checkTool refuses a tool whose name is none.
func checkTool(name string) error {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.:/-", r)
	}
	if len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return refuse("tool", "%.200q, expected at most %d letters, digits and _ . : / -", name, maxName)
	}
	return nil
}

// checkArgs looks at every text in the arguments, names of members too. Those
// of a program, and those that are one text, may reach a shell. Others are
// data: only what no text holds is refused.
func checkArgs(args jsontext.Value, process bool) error {
	command := process || args.Kind() == '"'
	tokens := jsontext.NewDecoder(bytes.NewReader(args))
	for {
		token, err := tokens.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return refuse("args", "%v", err)
		case token.Kind() != '"':
			continue
		}
		text := token.String()
		why := data(text)
		if command && why == "" {
			why = argument(text)
		}
		if why != "" {
			return refuse("args", "%.200q %s", text, why)
		}
	}
}

// data says what is wrong with a text that no shell sees.
func data(text string) string {
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\n\r\f", r) || r == 0x7f }); i >= 0 {
		return fmt.Sprintf("holds the control character %U", text[i])
	}
	return ""
}

// argument says what is wrong with an argument of a program.
func argument(text string) string {
	if why := strange(text); why != "" {
		return why
	}
	if i := strings.IndexAny(text, shellCharacters); i >= 0 {
		return fmt.Sprintf("holds %q, which a shell acts on", text[i])
	}
	if strings.HasPrefix(text, "~") || strings.HasPrefix(text, "#") {
		return "begins with a character that a shell acts on"
	}
	if encoded(text) {
		return "holds an escape, expected characters as they are"
	}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("/=:, @", r) }) {
		if part == ".." || strings.HasPrefix(part, "-") && strings.HasSuffix(part, "..") {
			return "leads to the folder above"
		}
	}
	return ""
}
