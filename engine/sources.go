package engine

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/fdqc-cockpit/fdqc/checkpoints/journal"
)

const (
	// mostSources is how many sources the record of a change names, and
	// mostNamed how many an audit entry does: of others, and of names that are
	// left out, the outcomes are counted under "".
	mostSources = 1024
	mostNamed   = 64
	// mostSourceName is how many bytes of a source's name are kept there.
	mostSourceName = 128
)

// sourceCounts is how many outcomes became patterns, by the source that they
// name. Those that name none are not in it.
type sourceCounts map[string]int

// add counts outcomes of a source, unless that is one name too many.
func (s *sourceCounts) add(source string, count, most int) {
	if *s == nil {
		*s = sourceCounts{}
	}
	source = strings.ToValidUTF8(source, "\ufffd") // as JSON has it: two names must not become one key
	if len(source) > mostSourceName {
		cut := mostSourceName
		for !utf8.RuneStart(source[cut]) {
			cut--
		}
		source = source[:cut] + "…"
	}
	if _, known := (*s)[source]; !known && len(*s) >= most {
		source = ""
	}
	(*s)[source] += count
}

// entry is the record of them.
func (s sourceCounts) entry() (journal.Entry, error) { return encodeJSON(opSources, s) }

func parseSources(payload []byte) (s sourceCounts, err error) {
	err = json.Unmarshal(payload, &s)
	return s, err
}
