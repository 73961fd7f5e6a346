package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// configFile is the name of a configuration that is found and not named.
const configFile = "fdqc.toml"

// LoadOptions says where settings are looked for.
type LoadOptions struct {
	// ConfigFile is what --config names; empty: $FDQC_CONFIG, else
	// fdqc.toml in WorkDir, if there is one.
	ConfigFile string
	// Environ is the environment, as os.Environ gives it.
	Environ []string
	// Flags holds what flags set, by section.key.
	Flags map[string]string
	// WorkDir is the working directory.
	WorkDir string
}

// Origins says of each section.key where its value came from: a file and
// line, an environment variable, a flag, or default.
type Origins map[string]string

// LoadConfig finds the settings: flag, environment FDQC_<SECTION>_<KEY>, the
// file of --config (or $FDQC_CONFIG, or ./fdqc.toml), fdqc.toml in the data
// directory, default, in this order. An unknown key, a wrong type and a value
// out of range are *ConfigErrors that name where it was found.
//
// ./fdqc.toml, when it is found and not named, may have been put there by the
// agent that is judged: it is refused unless it belongs to this user alone,
// and may only make the other settings stricter.
func LoadConfig(o LoadOptions) (Config, Origins, error) {
	l := &loader{options: o, config: DefaultConfig(), origins: Origins{}}
	for key := range ConfigValues(&l.config) {
		l.origins[key] = "default"
	}
	if err := l.load(); err != nil {
		return Config{}, nil, err
	}
	return l.config, l.origins, nil
}

type loader struct {
	options LoadOptions
	config  Config
	origins Origins
}

func (l *loader) load() error {
	environment, named, err := l.environment()
	if err != nil {
		return err
	}
	if l.options.ConfigFile != "" {
		named = l.options.ConfigFile
	}
	found := ""
	if named == "" {
		path := filepath.Join(l.options.WorkDir, configFile)
		if _, err := os.Lstat(path); err == nil {
			found = path
		} else if !errors.Is(err, fs.ErrNotExist) {
			return &ConfigError{Where: path, Reason: err.Error()}
		}
	}

	// The data directory is itself a setting: it is found first, from
	// every layer above its own file.
	dir := *l
	dir.config = l.config.clone()
	dir.origins = maps.Clone(l.origins)
	if err := dir.above(named, environment); err != nil {
		return err
	}
	folder, err := physical(dir.config.Persistence.Dir)
	if err != nil {
		return &ConfigError{Key: "persistence.dir", Where: dir.origins["persistence.dir"], Reason: err.Error()}
	}
	own := filepath.Join(folder, configFile)
	if err := l.ownFile(own, dir.origins["persistence.dir"] != "default"); err != nil {
		return err
	}
	if err := l.above(named, environment); err != nil {
		return err
	}
	if err := l.validate(); err != nil {
		return err
	}
	if found == "" {
		return nil
	}
	if same, err := sameFile(found, own); err != nil || same {
		return err // the data directory is the working directory
	}
	return l.tighten(found)
}

// above applies the layers above the data directory's own file.
func (l *loader) above(named string, environment map[string]string) error {
	if named != "" {
		if err := l.file(named); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(environment)) {
		if err := l.set(key, environment[key], "environment "+variable(key)); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(l.options.Flags)) {
		_, name, _ := strings.Cut(key, ".")
		if err := l.set(key, l.options.Flags[key], "flag --"+flagName(name)); err != nil {
			return err
		}
	}
	return nil
}

// flagName is the flag of a key: persistence.dir is --data-dir, the log's
// keys begin with log-, the others are spelled as they are.
func flagName(key string) string {
	switch key {
	case "dir":
		return "data-dir"
	case "push_url":
		return "push"
	case "level", "format":
		return "log-" + key
	default:
		return strings.ReplaceAll(key, "_", "-")
	}
}

// variable is the environment variable of a section.key.
func variable(key string) string {
	return "FDQC_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// environment picks the settings out of the environment, and the file that
// $FDQC_CONFIG names. A variable that begins like a section's and names no
// key of it is a mistake.
func (l *loader) environment() (settings map[string]string, named string, err error) {
	known := map[string]string{}
	for key := range l.origins {
		known[variable(key)] = key
	}
	settings = map[string]string{}
	for _, entry := range l.options.Environ {
		name, value, _ := strings.Cut(entry, "=")
		if name == "FDQC_CONFIG" {
			named = value
			continue
		}
		if key, ok := known[name]; ok {
			settings[key] = value
			continue
		}
		for key := range l.origins {
			section, _, _ := strings.Cut(key, ".")
			if strings.HasPrefix(name, variable(section)+"_") {
				return nil, "", &ConfigError{Where: "environment " + name, Reason: fmt.Sprintf("unknown key of section [%s]", section)}
			}
		}
	}
	return settings, named, nil
}

// ownFile decodes the data directory's own file. It is trusted as the
// directory is, so it must be as private, and a directory that nobody named
// must not be a link to somewhere else.
func (l *loader) ownFile(path string, dirNamed bool) error {
	dir := filepath.Dir(path)
	if info, err := os.Lstat(dir); err == nil && info.Mode()&fs.ModeSymlink != 0 && !dirNamed {
		return &ConfigError{Where: dir, Key: "persistence.dir", Reason: "is a symbolic link, expected a directory; name it with --data-dir"}
	}
	data, err := readOwned(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := l.decode(path, data); err != nil {
		return err
	}
	if where := l.origins["persistence.dir"]; where != "default" {
		return &ConfigError{Where: where, Key: "persistence.dir", Reason: "a data directory cannot name another one"}
	}
	return nil
}

// file decodes a TOML file that was named.
func (l *loader) file(path string) error {
	file, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("configuration: %w", err)
		}
		return &ConfigError{Where: path, Reason: err.Error()}
	}
	defer file.Close()
	data, err := readBounded(file, path)
	if err != nil {
		return err
	}
	return l.decode(path, data)
}

// decode puts the values of a file over the settings. They have to be valid
// whether or not a higher layer replaces them.
func (l *loader) decode(path string, data []byte) error {
	lines := keyLines(string(data))
	meta, err := toml.Decode(string(data), &l.config)
	if err != nil {
		return decodeError(path, err)
	}
	for _, key := range meta.Keys() {
		// The decoder takes any case of a name; here a name is exact.
		name := key.String()
		if _, known := l.origins[name]; !known && (len(key) != 1 || !l.isSection(name)) {
			return &ConfigError{Where: at(path, lines[name]), Key: name, Reason: "unknown key"}
		}
		if len(key) > 1 {
			l.origins[name] = at(path, lines[name])
		}
	}
	alone := &loader{config: DefaultConfig(), origins: l.origins}
	if _, err := toml.Decode(string(data), &alone.config); err != nil {
		return decodeError(path, err)
	}
	return alone.validate()
}

func (l *loader) isSection(name string) bool {
	for key := range l.origins {
		if section, _, _ := strings.Cut(key, "."); section == name {
			return true
		}
	}
	return false
}

// typeMismatch is how the decoder words a value of a wrong type; only syntax
// errors come with their position as a field.
var typeMismatch = regexp.MustCompile(`^toml: line (\d+) \(last key "([^"]*)"\): (.*)$`)

func decodeError(path string, err error) error {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		return &ConfigError{Where: at(path, parse.Position.Line), Key: parse.LastKey, Reason: parse.Message}
	}
	if m := typeMismatch.FindStringSubmatch(err.Error()); m != nil {
		return &ConfigError{Where: path + ", line " + m[1], Key: m[2], Reason: m[3]}
	}
	return &ConfigError{Where: path, Reason: strings.TrimPrefix(err.Error(), "toml: ")}
}

func at(path string, line int) string {
	if line == 0 {
		return path
	}
	return fmt.Sprintf("%s, line %d", path, line)
}

// keyLines finds the line of each section.key, for messages; the decoder
// tells positions of errors only. Keys that are written in an unusual way
// (quoted, dotted over sections) are not found.
func keyLines(text string) map[string]int {
	lines, section := map[string]int{}, ""
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(strings.SplitN(line, "]", 2)[0], "[ ") + "."
			lines[strings.TrimSuffix(section, ".")] = i + 1
			continue
		}
		if key, _, found := strings.Cut(line, "="); found && !strings.HasPrefix(line, "#") {
			lines[section+strings.TrimSpace(key)] = i + 1
		}
	}
	return lines
}

// set gives a key the value of a text from the environment or a flag.
func (l *loader) set(key, text, where string) error {
	refuse := func(want string) error {
		return &ConfigError{Where: where, Key: key, Reason: fmt.Sprintf("%q, expected %s", text, want)}
	}
	field, known := fields(&l.config)[key]
	if !known {
		return &ConfigError{Where: where, Key: key, Reason: "unknown key"}
	}
	switch target := field.(type) {
	case *string:
		*target = text
	case *bool:
		if text != "true" && text != "false" {
			return refuse("true or false")
		}
		*target = text == "true"
	case *int:
		value, err := strconv.Atoi(text)
		if err != nil {
			return refuse("a whole number")
		}
		*target = value
	case *int64:
		value, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return refuse("a whole number")
		}
		*target = value
	case *float64:
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return refuse("a number")
		}
		*target = value
	case *Duration:
		if err := target.UnmarshalText([]byte(text)); err != nil {
			return refuse("a duration such as 90s or 5m")
		}
	case *[]string: // commas are in none of the values
		*target = strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
	default:
		return fmt.Errorf("%s: a setting of type %T cannot be set from text", key, field)
	}
	l.origins[key] = where
	return nil
}

// validate adds to each error where the value came from.
func (l *loader) validate() error {
	err := l.config.Validate()
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			var setting *ConfigError
			if errors.As(err, &setting) {
				setting.Where = l.origins[setting.Key]
			}
		}
	}
	return err
}

// sameFile says whether two names are of one file.
func sameFile(a, b string) (bool, error) {
	first, err := os.Stat(a)
	if err != nil {
		return false, &ConfigError{Where: a, Reason: err.Error()}
	}
	second, err := os.Stat(b)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &ConfigError{Where: b, Reason: err.Error()}
	}
	return os.SameFile(first, second), nil
}
