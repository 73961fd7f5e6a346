package engine

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// fields are pointers to every setting by section.key.
func fields(c *Config) map[string]any {
	all := map[string]any{}
	sections := reflect.ValueOf(c).Elem()
	for i := range sections.NumField() {
		section := sections.Field(i)
		name := sections.Type().Field(i).Tag.Get("toml")
		for j := range section.NumField() {
			all[name+"."+section.Type().Field(j).Tag.Get("toml")] = section.Field(j).Addr().Interface()
		}
	}
	return all
}

// clone shares no list with c.
func (c Config) clone() Config {
	for _, field := range fields(&c) {
		if list, ok := field.(*[]string); ok {
			*list = slices.Clone(*list)
		}
	}
	return c
}

// ConfigValues writes every setting by section.key as TOML would.
func ConfigValues(c *Config) map[string]string {
	values := map[string]string{}
	for key, field := range fields(c) {
		value := reflect.ValueOf(field).Elem().Interface()
		switch value := value.(type) {
		case string, Duration:
			values[key] = fmt.Sprintf("%q", value)
		case []string:
			quoted := make([]string, len(value))
			for i, text := range value {
				quoted[i] = fmt.Sprintf("%q", text)
			}
			values[key] = "[" + strings.Join(quoted, ", ") + "]"
		default:
			values[key] = fmt.Sprint(value)
		}
	}
	return values
}
