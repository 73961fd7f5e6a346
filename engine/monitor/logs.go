package monitor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/DeRuina/timberjack"
	"github.com/hashicorp/go-hclog"
)

// Components are the parts of the program that have a logger of their own.
func Components() []string {
	return []string{"engine", "memory", "checkpoints", "detect", "monitor", "policy", "audit", "control", "serve"}
}

// logLevels are the names of levels, most talkative first.
var logLevels = []string{"trace", "debug", "info", "warn", "error"}

// LogOptions say where logs go and how much is said.
type LogOptions struct {
	Name   string            // of the root logger
	Level  string            // trace, debug, info, warn or error
	Levels map[string]string // of components, where they differ
	JSON   bool
	Stream io.Writer
	// File is appended to beside the stream, mode 0600; "": none. When it
	// would grow beyond MaxSize MiB it is renamed; MaxBackups such files are
	// kept, for MaxAge days (0: no limit), Compress deflates them. One
	// process may write it.
	File       string
	MaxSize    int
	MaxBackups int
	MaxAge     int
	Compress   bool
}

// Logs gives every component a logger whose level is its own and can be
// changed while the program runs. Safe for concurrent use.
type Logs struct {
	o    LogOptions
	out  *tee
	root hclog.Logger

	mu         sync.Mutex
	components map[string]hclog.Logger
	levels     map[string]hclog.Level // of components, also of those without a logger yet
}

// OpenLogs prepares loggers. The file is made when something is logged.
func OpenLogs(o LogOptions) (*Logs, error) {
	l := &Logs{o: o, out: &tee{stream: o.Stream}, components: map[string]hclog.Logger{}, levels: map[string]hclog.Level{}}
	if o.File != "" {
		if err := ownLog(o.File); err != nil {
			return nil, err
		}
		l.out.file = &timberjack.Logger{
			Filename: o.File, MaxSize: o.MaxSize, MaxBackups: o.MaxBackups, MaxAge: o.MaxAge,
			FileMode: 0o600, Compression: compression(o.Compress),
		}
	}
	level, err := logLevel(o.Level)
	if err != nil {
		return nil, err
	}
	for component, name := range o.Levels {
		if l.levels[component], err = logLevel(name); err != nil {
			return nil, err
		}
	}
	l.root = hclog.New(l.options(o.Name, level, func(sub hclog.Logger) hclog.Logger { return l.component(sub) }))
	return l, nil
}

func compression(on bool) string {
	if on {
		return "gzip"
	}
	return "none"
}

func (l *Logs) options(name string, level hclog.Level, hook func(hclog.Logger) hclog.Logger) *hclog.LoggerOptions {
	return &hclog.LoggerOptions{Name: name, Level: level, Output: l.out, JSONFormat: l.o.JSON, SubloggerHook: hook}
}

// Logger is the root: its Named loggers are components.
func (l *Logs) Logger() hclog.Logger { return l.root }

// component replaces a logger that the root was asked for by the component's,
// which shares its level with all that come from it.
func (l *Logs) component(sub hclog.Logger) hclog.Logger {
	name := strings.TrimPrefix(sub.Name(), l.o.Name+".")
	if name == sub.Name() {
		return sub // the root with values
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	logger := l.components[name]
	if logger == nil {
		level, ok := l.levels[name]
		if !ok {
			level = l.root.GetLevel()
		}
		logger = hclog.New(l.options(sub.Name(), level, nil))
		l.components[name] = logger
	}
	if values := sub.ImpliedArgs(); len(values) > 0 {
		return logger.With(values...)
	}
	return logger
}

// SetLevel changes the level of a component from now on; "all" is every one,
// and what has no logger of its own.
func (l *Logs) SetLevel(component, level string) error {
	to, err := logLevel(level)
	if err != nil {
		return err
	}
	known := append(Components(), "all")
	if !slices.Contains(known, component) {
		return fmt.Errorf("component %q, expected one of %q", component, known)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if component != "all" {
		l.levels[component] = to
		if logger := l.components[component]; logger != nil {
			logger.SetLevel(to)
		}
		return nil
	}
	l.root.SetLevel(to)
	clear(l.levels)
	for _, logger := range l.components {
		logger.SetLevel(to)
	}
	return nil
}

// Levels are those in force, by component.
func (l *Logs) Levels() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	levels := map[string]string{}
	for _, component := range Components() {
		levels[component] = l.root.GetLevel().String()
	}
	for component, level := range l.levels {
		levels[component] = level.String()
	}
	return levels
}

// Close closes the file. What is logged afterwards goes to the stream alone.
func (l *Logs) Close() error { return l.out.close() }

func logLevel(name string) (hclog.Level, error) {
	if !slices.Contains(logLevels, name) {
		return 0, fmt.Errorf("log level %q, expected one of %q", name, logLevels)
	}
	return hclog.LevelFromString(name), nil
}

// ParseLevels reads "component=level" of each text.
func ParseLevels(texts []string) (map[string]string, error) {
	levels := map[string]string{}
	for _, text := range texts {
		component, level, _ := strings.Cut(text, "=")
		if !slices.Contains(Components(), component) || !slices.Contains(logLevels, level) {
			return nil, fmt.Errorf("%q, expected COMPONENT=LEVEL with one of %q and one of %q", text, Components(), logLevels)
		}
		if _, twice := levels[component]; twice {
			return nil, fmt.Errorf("%s is named twice", component)
		}
		levels[component] = level
	}
	return levels, nil
}

// ownLog refuses a log that is no plain file, and takes the permissions of
// others away from one that is there.
func ownLog(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("log: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("log %s is no regular file", path)
	case info.Mode().Perm()&0o077 == 0:
		return nil
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// tee writes to the stream and the file. Neither is kept from a line by an
// error of the other.
type tee struct {
	stream io.Writer

	mu     sync.Mutex
	file   *timberjack.Logger
	failed bool // the file, and the stream says so
}

// Write writes a whole line.
func (t *tee) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := t.stream.Write(line)
	if t.file == nil {
		return len(line), err
	}
	_, fileErr := t.file.Write(line)
	if fileErr != nil && !t.failed {
		fmt.Fprintf(t.stream, "the log file cannot be written, this is the only log: %v\n", fileErr)
	}
	t.failed = fileErr != nil
	return len(line), err
}

func (t *tee) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return nil
	}
	file := t.file
	t.file = nil
	return file.Close()
}
