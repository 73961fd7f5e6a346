package migrate

import "path"

// Kind says what a file of a Python installation is.
type Kind string

// Kinds of files, as reports name them.
const (
	Patterns       Kind = "patterns"
	Validator      Kind = "validator state"
	Projections    Kind = "projections"
	EmbeddingCache Kind = "embedding cache"
	PPO            Kind = "ppo network"
	Imagination    Kind = "imagination network"
	VectorMemory   Kind = "vector memory"
	VectorIndex    Kind = "vector memory index"
	NoKind         Kind = "" // no glob of the Python system matches
)

// globs of the Python system, the first that matches decides: the validator's
// comes last, since it matches names of the others too.
var globs = []struct {
	pattern string
	kind    Kind
}{
	{"patterns_*.pt", Patterns},
	{"projections*.pt", Projections},
	{"embedding_cache*.pt", EmbeddingCache},
	{"ppo*.pt", PPO},
	{"imagination*.pt", Imagination},
	{"vector_memory_*.pkl", VectorMemory},
	{"vector_memory_*.json", VectorIndex},
	{"*validator*.pt", Validator},
}

// kindOf names the kind of a file by its name.
func kindOf(name string) Kind {
	for _, g := range globs {
		if ok, _ := path.Match(g.pattern, name); ok { // the patterns are well formed
			return g.kind
		}
	}
	return NoKind
}

// decides says whether verdicts depend on files of this kind: one of them
// becomes the engine's own, the others are kept beside it.
func (k Kind) decides() bool { return k == Patterns || k == Validator || k == Projections }

// usualNames are those under which the Python system keeps its one file of a
// kind; without one the newest is current.
var usualNames = map[Kind][]string{
	Validator:   {"validator_state.pt", "validator.pt"},
	Projections: {"projections_state.pt", "projections.pt"},
}
