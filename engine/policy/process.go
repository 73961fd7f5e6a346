package policy

import (
	"fmt"
	"path"
	"strings"
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
