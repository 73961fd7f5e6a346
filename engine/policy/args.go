package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
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
	"dir": true, "dirs": true, "dirname": true, "directory": true, "directories": true, "folder": true, "folders": true,
	"cwd": true, "workdir": true,
}

// endNames are whole names of members that hold paths, in a tool that moves
// files, or something else: new_source may be a program.
var endNames = map[string]bool{"src": true, "dst": true, "source": true, "destination": true}

// words are those of a member's name, in snake_case, kebab-case or camelCase,
// without a number at its end.
func words(member string) (words []string) {
	runes := []rune(strings.TrimRight(member, "_-. 0123456789"))
	from := 0
	for i := 1; i <= len(runes); i++ {
		switch {
		case i == len(runes):
		case strings.ContainsRune("_-. ", runes[i]):
		case unicode.IsUpper(runes[i]) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])): // PDFPath
		default:
			continue
		}
		words = append(words, strings.ToLower(strings.Trim(string(runes[from:i]), "_-. ")))
		from = i
	}
	return words
}

// namesPath says whether a member is one that holds paths: the last word of its
// name decides, or the last two, as in file_name.
func namesPath(member string) bool {
	words := words(member)
	last := len(words) - 1
	return last >= 0 && pathNames[words[last]] || last >= 1 && pathNames[words[last-1]+words[last]]
}

// namesCommand says whether a member is one that holds what a shell is given.
func namesCommand(member string) bool {
	words := words(member)
	if len(words) == 0 {
		return false
	}
	switch words[len(words)-1] {
	case "command", "commands", "cmd", "cmds", "cmdline":
		return true
	}
	return false
}

// holdsPath says whether a text is a path because of the member that holds it.
// A text of several lines is none in a member that may hold something else.
func holdsPath(member, text string) bool {
	return namesPath(member) || endNames[strings.ToLower(member)] && !strings.Contains(strings.TrimSpace(text), "\n")
}

// checkArgs looks at every text in the arguments, names of members too. Those
// of a program, those that are one text, and those of a member that is named
// after commands, may reach a shell. Others are data: what no text holds is
// refused, and a path that is not allowed.
func (c *Checks) checkArgs(args jsontext.Value, process bool) error {
	all := process || args.Kind() == '"'
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
		text, member, isName := token.String(), *inner, false
		if kind, read := tokens.StackIndex(tokens.StackDepth()); kind == '{' && read%2 == 1 {
			member = members[len(members)-2] // the object's own
			*inner, isName = text, true
		}
		command := all || !isName && namesCommand(member)
		why := data(text)
		if why == "" && command {
			why = argument(text)
		}
		if why != "" {
			return refuse("args", "%.200q %s", text, why)
		}
		// One word is what an editor calls what it does, too.
		if words := strings.Fields(text); command && !all && len(words) > 1 {
			if err := c.checkProcess(words[0]); err != nil {
				return inArgs(err)
			}
		}
		for _, p := range mayBePaths(text, member, command, isName) {
			if looked++; looked > maxPaths {
				return refuse("args", "hold more than %d texts that may be paths", maxPaths)
			}
			if command {
				if p = c.pathIn(p); p == "" {
					continue
				}
			}
			if err := c.checkPath(p); err != nil {
				return inArgs(err)
			}
		}
	}
}

// inArgs says of a refusal that it is about the arguments.
func inArgs(err error) error {
	var refused *ActionError
	if errors.As(err, &refused) {
		return refuse("args", "%s", refused.Reason)
	}
	return err
}

// mayBePaths answers the parts of a text that are paths, as far as the text can
// tell. A URL is none, but for that of a file.
//
// Of a command every part may be one: those are that are absolute, or whose first
// folder or file there is. Of data it is what a member holds that is named after
// paths, and any other text that has the form of an absolute one, of a home, or
// of one that leads to the folder above. So it is for names of members: files may
// be an object of them.
func mayBePaths(text, member string, command, isName bool) []string {
	if command {
		return partsOf(text)
	}
	trimmed := strings.TrimSpace(text) // as a tool may
	switch {
	case isName && !(looksLikePath(trimmed) || namesPath(member) && strings.Contains(text, "/")):
		return nil
	case isURL(trimmed) && !(holdsPath(member, text) && leadsAbove(trimmed)):
		return nil
	case isName, holdsPath(member, text), looksLikePath(trimmed):
		return []string{text}
	}
	return nil
}

// partsOf are the parts of a command's text that are none of URLs.
func partsOf(text string) (parts []string) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("=, ", r) }) {
		if isURL(word) {
			continue
		}
		parts = append(parts, strings.FieldsFunc(word, func(r rune) bool { return strings.ContainsRune(":@", r) })...)
	}
	return parts
}

// pathIn is the path that a part of a command is, or that follows the letters of
// its options; "": there is none.
func (c *Checks) pathIn(part string) string {
	option := len(part) > 2 && part[0] == '-' && part[1] != '-'
	if option {
		part = part[2:] // -Ifolder
	}
	letters, _, found := strings.Cut(part, "/")
	switch {
	case strings.HasPrefix(part, "/"), c.begins(part):
		return part
	case option && found && !strings.ContainsFunc(letters, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }):
		return part[len(letters):] // -xzf/etc/x
	}
	return ""
}

// isURL says whether a text begins as a URL does that has an authority (RFC 3986,
// section 3), other than that of a file.
func isURL(text string) bool {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || len(scheme) < 2 || strings.EqualFold(scheme, "file") {
		return false
	}
	for i, r := range scheme {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		if !letter && (i == 0 || !(r >= '0' && r <= '9') && !strings.ContainsRune("+-.", r)) {
			return false
		}
	}
	return rest != "" && !strings.ContainsAny(rest[:1], "/\\.")
}

// leadsAbove says whether a component of a text is that of the folder above.
func leadsAbove(text string) bool {
	return strings.Contains("/"+strings.ReplaceAll(text, "\\", "/")+"/", "/../")
}

// begins says whether the first component of a relative path exists, or nobody
// can tell. That the folder itself does, ".", says nothing.
func (c *Checks) begins(p string) bool {
	first, _, _ := strings.Cut(path.Clean(p), "/")
	if first == "." || len(first) > maxComponent {
		return false
	}
	_, err := os.Lstat(filepath.Join(c.root, first))
	return !errors.Is(err, os.ErrNotExist)
}

// looksLikePath says whether a text without white space is an absolute path, one
// of a home, a file's URL, or leads to the folder above.
func looksLikePath(text string) bool {
	slashes := strings.ReplaceAll(text, "\\", "/")
	if len(text) > maxPath {
		slashes = path.Clean(slashes) // as a tool may, which makes /./…/./etc short
	}
	if len(slashes) > maxPath || strings.ContainsFunc(text, unicode.IsSpace) {
		return false
	}
	return strings.HasPrefix(slashes, "/") || strings.HasPrefix(slashes, "~") ||
		len(text) >= 5 && strings.EqualFold(text[:5], "file:") || leadsAbove(text)
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
