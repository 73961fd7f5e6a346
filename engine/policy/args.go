package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// maxPaths is how many texts of an action's arguments may be paths: the disk is
// asked about each.
const maxPaths = 1024

// pathNames are the last words of names of members that hold paths, as tools
// for files call them.
var pathNames = map[string]bool{
	"path": true, "paths": true, "pathname": true, "pathnames": true, "filepath": true, "filepaths": true,
	"file": true, "files": true, "filename": true, "filenames": true,
	"dir": true, "dirs": true, "directory": true, "directories": true, "folder": true, "folders": true,
	"cwd": true, "workdir": true, "src": true, "dst": true, "source": true, "destination": true,
}

// namesPath says whether a member is one that holds paths: its name's last word
// decides, in snake_case, kebab-case or camelCase.
func namesPath(member string) bool {
	runes := []rune(strings.TrimRight(member, "_-. 0123456789"))
	last := 0
	for i := 1; i < len(runes); i++ {
		switch {
		case strings.ContainsRune("_-. ", runes[i]):
			last = i + 1
		case unicode.IsUpper(runes[i]) && unicode.IsLower(runes[i-1]):
			last = i
		}
	}
	return pathNames[strings.ToLower(string(runes[last:]))]
}

// checkArgs looks at every text in the arguments, names of members too. Those
// of a program, and those that are one text, may reach a shell. Others are
// data: what no text holds is refused, and a path that is not allowed.
func (c *Checks) checkArgs(args jsontext.Value, process bool) error {
	command := process || args.Kind() == '"'
	tokens := jsontext.NewDecoder(bytes.NewReader(args))
	// The member that a value belongs to, of each object and list around it.
	members := []string{""}
	looked := 0
	for {
		token, err := tokens.ReadToken()
		inner := &members[len(members)-1]
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return refuse("args", "%v", err)
		case token.Kind() == '{' || token.Kind() == '[':
			members = append(members, *inner)
			continue
		case token.Kind() == '}' || token.Kind() == ']':
			members = members[:len(members)-1]
			continue
		case token.Kind() != '"':
			continue
		}
		text, isName := token.String(), false
		if kind, read := tokens.StackIndex(tokens.StackDepth()); kind == '{' && read%2 == 1 {
			*inner, isName = text, true
		}
		why := data(text)
		if why == "" && command {
			why = argument(text)
		}
		if why != "" {
			return refuse("args", "%.200q %s", text, why)
		}
		for _, p := range mayBePaths(text, *inner, command, isName) {
			if looked++; looked > maxPaths {
				return refuse("args", "hold more than %d texts that may be paths", maxPaths)
			}
			if command && !strings.HasPrefix(p, "/") && !c.begins(p) {
				continue
			}
			if err := c.checkPath(p); err != nil {
				var refused *ActionError
				if errors.As(err, &refused) {
					return refuse("args", "%s", refused.Reason)
				}
				return err
			}
		}
	}
}

// mayBePaths answers the parts of a text that are paths, as far as the text can
// tell. A URL is none, but for that of a file.
//
// Of a command every part may be one: those are that are absolute, or whose first
// folder or file there is. Of data it is what a member holds that is named after
// paths, and any other text that has the form of an absolute one, of a home, or
// of one that leads to the folder above.
func mayBePaths(text, member string, command, isName bool) []string {
	if command {
		parts := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("=:, @", r) })
		for i, part := range parts {
			if len(part) > 2 && part[0] == '-' && part[1] != '-' {
				parts[i] = part[2:] // -Ifolder
			}
		}
		return parts
	}
	scheme, _, isURL := strings.Cut(text, "://")
	switch {
	case isName, isURL && !strings.EqualFold(scheme, "file"):
		return nil
	case namesPath(member), looksLikePath(text):
		return []string{text}
	}
	return nil
}

// begins says whether the first component of a relative path exists, or nobody
// can tell. That the folder itself does, ".", says nothing.
func (c *Checks) begins(p string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(p, "./"), "/")
	if first == "" || first == "." || len(first) > maxComponent {
		return false
	}
	_, err := os.Lstat(filepath.Join(c.root, first))
	return !errors.Is(err, os.ErrNotExist)
}

// looksLikePath says whether a text without white space is an absolute path, one
// of a home, a file's URL, or leads to the folder above.
func looksLikePath(text string) bool {
	if len(text) > maxPath || strings.ContainsFunc(text, unicode.IsSpace) {
		return false
	}
	slashes := strings.ReplaceAll(text, "\\", "/")
	return strings.HasPrefix(slashes, "/") || strings.HasPrefix(slashes, "~") ||
		len(text) >= 5 && strings.EqualFold(text[:5], "file:") || strings.Contains("/"+slashes+"/", "/../")
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
