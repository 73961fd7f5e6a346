package engine

import (
	"fmt"
	"reflect"
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

// ConfigValues writes every setting by section.key as TOML would.
func ConfigValues(c *Config) map[string]string {
	values := map[string]string{}
	for key, field := range fields(c) {
		value := reflect.ValueOf(field).Elem().Interface()
		if text, ok := value.(string); ok {
			values[key] = fmt.Sprintf("%q", text)
			continue
		}
		values[key] = fmt.Sprint(value)
	}
	return values
}
