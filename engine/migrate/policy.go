package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v3"

	"github.com/fdqc-cockpit/fdqc/engine"
	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

const (
	maxPolicy      = 1 << 20 // bytes
	maxPolicyKeys  = 10_000
	maxPolicyDepth = 32
)

// policySections are the mappings of a policy whose keys are settings of
// [safety] under the same names. The Python system reads its own from
// fdqc_safety.
var policySections = map[string]bool{"": true, "fdqc_safety": true, "safety": true, "sandbox_policy": true}

// tierKeys are other names of safety.tier.
var tierKeys = map[string]bool{"tier": true, "autonomy_tier": true, "safety_tier": true}

// tiers by the Greek letter that the Python system gives them.
var tiers = map[string]string{
	"α": "ALPHA", "β": "BETA", "γ": "GAMMA", "δ": "DELTA", "ε": "EPSILON", "ω": "OMEGA",
}

// policyFile is what a policy.yaml says, flat.
type policyFile struct {
	file string
	keys []policyKey
}

// policyKey is a scalar or a list of a policy.
type policyKey struct {
	path  string // with dots
	node  *yaml.Node
	value any // decoded for its setting: bool, int64, float64, string or []string
	// setting is the key of [safety] that it becomes, "" for none.
	setting string
}

// readPolicy reads a policy and decodes the keys that are settings here. A
// value of a wrong type or out of range is an *InputError: what an operator
// wrote to restrict an agent must not fall back to a default.
func readPolicy(path string) (*policyFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, inputf("--policy: %w", err)
	}
	if why := irregular(info.Mode()); why != "" {
		return nil, inputf("--policy %s %s", path, why)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, inputf("--policy: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxPolicy+1))
	if err != nil {
		return nil, inputf("--policy: %w", err)
	}
	p, err := parsePolicy(path, data)
	if err != nil {
		return nil, inputf("--policy %w", err)
	}
	return p, nil
}

// parsePolicy is readPolicy for text that was read.
func parsePolicy(file string, data []byte) (*policyFile, error) {
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("%s: is larger than %d bytes", file, maxPolicy)
	}
	p := &policyFile{file: file}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return p, nil // an empty file says nothing
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: holds more than one document", file)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: expected a mapping of settings", file)
	}
	if err := p.flatten("", document.Content[0], 0); err != nil {
		return nil, err
	}
	return p, p.unite()
}

// flatten lists the scalars and lists of a mapping. Aliases and merged keys
// are refused: they let a small file stand for a huge one.
func (p *policyFile) flatten(prefix string, mapping *yaml.Node, depth int) error {
	if depth > maxPolicyDepth {
		return p.fail(mapping, prefix, "mappings are nested more than %d deep", maxPolicyDepth)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		name, value := mapping.Content[i], mapping.Content[i+1]
		if name.Kind != yaml.ScalarNode || name.Tag == "!!merge" {
			return p.fail(name, prefix, "has a key that is no plain text; write it out without aliases and merges")
		}
		path := join(prefix, name.Value)
		if seen[name.Value] {
			return p.fail(name, path, "is there twice")
		}
		seen[name.Value] = true
		switch value.Kind {
		case yaml.AliasNode:
			return p.fail(value, path, "is an alias; write it out")
		case yaml.MappingNode:
			if err := p.flatten(path, value, depth+1); err != nil {
				return err
			}
		default:
			if len(p.keys) == maxPolicyKeys {
				return p.fail(name, path, "is one of more than %d keys", maxPolicyKeys)
			}
			key := policyKey{path: path, node: value, setting: settingOf(prefix, name.Value)}
			if err := p.decode(&key); err != nil {
				return err
			}
			p.keys = append(p.keys, key)
		}
	}
	return nil
}

// settingOf finds the setting that a key of a policy is; "" for none.
func settingOf(section, name string) string {
	if !policySections[section] {
		return ""
	}
	if tierKeys[name] {
		return "safety.tier"
	}
	defaults := engine.DefaultConfig()
	if _, known := engine.ConfigValues(&defaults)["safety."+name]; known {
		return "safety." + name
	}
	return ""
}

// decode reads the value of a key that is a setting, and checks its type and
// range as a configuration file's.
func (p *policyFile) decode(key *policyKey) error {
	if key.setting == "" {
		return nil
	}
	defaults := engine.DefaultConfig()
	usual := engine.ConfigValues(&defaults)[key.setting]
	var err error
	switch {
	case key.node.Tag == "!!null": // else it would decode as false or 0
		err = fmt.Errorf("is empty, expected a value like %s", usual)
	case key.node.Kind == yaml.SequenceNode:
		var list []string
		err = decodeInto(key, &list)
		key.value = list
	case usual == "true" || usual == "false":
		var is bool // yes, no, on and off too, as in the YAML that Python reads
		err = decodeInto(key, &is)
		key.value = is
	case key.node.Tag == "!!int":
		var n int64
		err = decodeInto(key, &n)
		key.value = n
	case key.node.Tag == "!!float":
		var x float64
		err = decodeInto(key, &x)
		key.value = x
	case key.node.Tag == "!!str":
		key.value = key.node.Value
	default:
		err = fmt.Errorf("is %s, expected a value like %s", strings.TrimPrefix(key.node.Tag, "!!"), usual)
	}
	if err == nil && key.setting == "safety.tier" {
		key.value = tierOf(fmt.Sprint(key.value))
	}
	if err == nil {
		err = checkSetting(key.setting, key.value)
	}
	if err != nil {
		return p.fail(key.node, key.path, "%w", err)
	}
	return nil
}

func decodeInto(key *policyKey, to any) error {
	if err := key.node.Decode(to); err != nil {
		return errors.New(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "yaml: "))
	}
	return nil
}

// tierOf is a tier as the settings name it: in capitals, or by its letter.
func tierOf(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if tier, ok := tiers[name]; ok {
		return tier
	}
	return strings.ToUpper(name)
}

// checkSetting refuses a value that no configuration file may give a setting.
func checkSetting(setting string, value any) error {
	text, err := tomlOf(map[string]any{setting: value})
	if err != nil {
		return err
	}
	config := engine.DefaultConfig()
	if _, err := toml.Decode(text, &config); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "toml: "))
	}
	err = config.Validate()
	var refused *engine.ConfigError
	if errors.As(err, &refused) {
		return errors.New(refused.Reason)
	}
	return err
}

// unite keeps one value of a setting that several keys name: the stricter.
func (p *policyFile) unite() error {
	first := map[string]int{}
	for i := range p.keys {
		key := &p.keys[i]
		if key.setting == "" {
			continue
		}
		j, twice := first[key.setting]
		if !twice {
			first[key.setting] = i
			continue
		}
		other := &p.keys[j]
		switch a, b := literal(key.value), literal(other.value); {
		case a == b:
		case looser(key.setting, key.value, other.value):
		case looser(key.setting, other.value, key.value):
			first[key.setting] = i
		default:
			return p.fail(key.node, key.path, "is %s, while %s is %s; leave one of them", a, other.path, b)
		}
	}
	for i := range p.keys {
		if key := &p.keys[i]; key.setting != "" && first[key.setting] != i {
			key.value = nil // another key of the same setting holds
		}
	}
	return nil
}

// values are the settings that the policy gives.
func (p *policyFile) values() map[string]any {
	values := map[string]any{}
	for _, key := range p.keys {
		if key.setting != "" && key.value != nil {
			values[key.setting] = key.value
		}
	}
	return values
}

// fail names the place of a mistake in a policy.
func (p *policyFile) fail(at *yaml.Node, key, format string, args ...any) error {
	return fmt.Errorf("%s, line %d: %s: %w", p.file, at.Line, key, fmt.Errorf(format, args...))
}

// looser says whether a setting is less strict with one value than with
// another. Values that cannot be compared are not looser.
func looser(setting string, is, than any) bool {
	switch setting {
	case "safety.safe_mode", "safety.require_human_approval", "safety.require_signing", "safety.require_signed_actions":
		return is == false && than == true
	case "safety.tier":
		a, _ := policy.Strictness(fmt.Sprint(is))
		b, _ := policy.Strictness(fmt.Sprint(than))
		return a < b
	case "safety.entropy_threshold", "safety.block_threshold", "safety.max_rollout_depth":
		return number(is) > number(than)
	case "safety.collapse_threshold":
		return number(is) < number(than)
	case "safety.allowed_file_patterns", "safety.allowed_processes":
		allowed, _ := than.([]string)
		list, _ := is.([]string)
		if len(list) == 0 || len(allowed) == 0 {
			return len(allowed) > 0 // an empty list bounds nothing by itself
		}
		return slices.ContainsFunc(list, func(one string) bool { return !slices.Contains(allowed, one) })
	}
	return false
}

func number(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}
