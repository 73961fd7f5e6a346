package main

import (
	"fmt"
	"strings"

	"github.com/fdqc-cockpit/fdqc/engine/policy"
)

// shadowSummary tells a person what the settings of [shadow] would have
// decided, where they are enabled.
func (a *app) shadowSummary(s *session) {
	if a.flags.quiet || !s.config.Shadow.Enabled {
		return
	}
	counts := s.engine.Shadow()
	other := int64(0)
	var pairs []string
	for decided := range policy.Decision(policy.Decisions) {
		for would := range policy.Decision(policy.Decisions) {
			if n := counts[decided][would]; n > 0 && would != decided {
				other += n
				pairs = append(pairs, fmt.Sprintf("%d %s instead of %s", n, would, decided))
			}
		}
	}
	detail := ""
	if other > 0 {
		detail = ": " + strings.Join(pairs, ", ")
	}
	fmt.Fprintf(a.err, "the shadow would have decided %d of %s otherwise%s\n", other, plural(counts.Rows(), "row"), detail)
}
