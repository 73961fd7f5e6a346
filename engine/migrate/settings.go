package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/fdqc-cockpit/fdqc/engine"
)

const settingsHeader = `# Written by fdqc migrate: what the files of the Python installation were made
# with, and what its policy said. A flag, the environment and a named
# configuration file come before it.
`

// settings decides what goes into fdqc.toml and reports where each value came
// from. A policy that contradicts the files is an *InputError.
func (m *migration) settings(c *engine.Contents) error {
	values := map[string]any{
		// A 1-D embedding moves every element of the reference's state by
		// its first one (validator specification, section 2, step 2).
		"safety.state_update": engine.StateUpdateFirstElement,
		// Widths that projections.pt lacks are drawn: the seed is part of
		// what the verdicts depend on.
		"safety.projection_seed": int64(0),
	}
	from := map[string]string{
		"safety.state_update":    "as the Python system computes",
		"safety.projection_seed": "for widths that no file covers",
	}
	put := func(setting string, value int, file string) {
		values[setting], from[setting] = int64(value), "from "+file
	}
	switch memory := m.usable(Patterns); {
	case memory != nil:
		put("safety.workspace_dim", c.Patterns.Width/2, memory.file.Name)
		put("memory.capacity", c.Patterns.Capacity, memory.file.Name)
	case c.State != nil && m.current[Patterns] == nil:
		put("memory.capacity", c.State.Patterns.Capacity, m.current[Validator].file.Name)
	}
	switch {
	case c.State != nil:
		put("safety.workspace_dim", c.State.Dim, m.current[Validator].file.Name)
	case c.Patterns == nil && c.Projections != nil && c.Projections.Dim != 0:
		put("safety.workspace_dim", c.Projections.Dim, m.current[Projections].file.Name)
	}
	if m.current[Validator] == nil && len(m.read) > 0 {
		m.report.warnf("there is no validator state (*validator*.pt): weights will be drawn from safety.seed, so risks are not those of the Python installation")
	}
	if err := m.addPolicy(values, from); err != nil {
		return err
	}
	for _, setting := range slices.Sorted(maps.Keys(from)) {
		m.report.Settings = append(m.report.Settings, Setting{Setting: setting, Value: literal(values[setting]), Result: Taken, How: from[setting]})
	}
	text, err := tomlOf(values)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	c.Settings = []byte(settingsHeader + text)
	return nil
}

// addPolicy adds what the policy says to the settings, and reports each of
// its keys.
func (m *migration) addPolicy(values map[string]any, from map[string]string) error {
	if m.policy == nil {
		return nil
	}
	defaults := defaultValues()
	unknown := 0
	for _, key := range m.policy.keys {
		s := Setting{Policy: key.path, Line: key.node.Line, Setting: key.setting, Result: Taken, Value: literal(key.value)}
		switch {
		case key.setting == "":
			unknown++
			s.Result, s.How, s.Value = Unknown, "no setting here, not in force", ""
		case key.value == nil:
			s.Result, s.How, s.Value = Changed, "another key of the policy is stricter or says the same", ""
		case from[key.setting] != "" && literal(values[key.setting]) != literal(key.value):
			return inputf("--policy %w", m.policy.fail(key.node, key.path, "is %s, but %s is %s %s",
				literal(key.value), key.setting, literal(values[key.setting]), from[key.setting]))
		default:
			if fmt.Sprint(key.value) != key.node.Value && key.setting == "safety.tier" {
				s.Result, s.How = Changed, "the tier's name here"
			}
			if s.Loosens = looser(key.setting, key.value, defaults[key.setting]); s.Loosens {
				m.report.warnf("the policy loosens safety: %s = %s, the default is %s", key.setting, s.Value, literal(defaults[key.setting]))
			}
			values[key.setting] = key.value
		}
		m.report.Settings = append(m.report.Settings, s)
	}
	if unknown > 0 {
		m.report.warnf("%d keys of the policy are unknown here and not in force; some may be restrictions", unknown)
	}
	return nil
}

// defaultValues are the default settings as a policy's values: bool, int64,
// float64, string or []string.
func defaultValues() map[string]any {
	config := engine.DefaultConfig()
	all := map[string]any{}
	for key, text := range engine.ConfigValues(&config) {
		var one struct{ Value any }
		if _, err := toml.Decode("Value = "+text, &one); err == nil {
			all[key] = one.Value
		}
	}
	return all
}

// tomlOf writes settings by section.key as TOML, sections and keys in order.
func tomlOf(values map[string]any) (string, error) {
	var text strings.Builder
	last := ""
	for _, setting := range slices.Sorted(maps.Keys(values)) {
		section, key, _ := strings.Cut(setting, ".")
		if section != last {
			fmt.Fprintf(&text, "\n[%s]\n", section)
			last = section
		}
		line, err := toml.Marshal(map[string]any{key: values[setting]})
		if err != nil {
			return "", fmt.Errorf("setting %s: %w", setting, err)
		}
		text.Write(line)
	}
	return text.String(), nil
}

// literal is a value as TOML writes it, for messages.
func literal(v any) string {
	if v == nil {
		return ""
	}
	line, err := toml.Marshal(map[string]any{"v": v})
	if err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(line), "v = "))
}

// config is the configuration that the target is made under: the user's, with
// the settings that go into it.
func (m *migration) config(c *engine.Contents) (engine.Config, error) {
	config := m.options.Config
	if _, err := toml.Decode(string(c.Settings), &config); err != nil {
		return config, fmt.Errorf("migrate: settings of the data directory: %w", err)
	}
	config.Persistence.Dir = m.report.To
	return config, config.Validate()
}
