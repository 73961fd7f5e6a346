// Package policy says what may be done with which care: the operators' tier
// machine, the checks of structured actions and their signatures, and what
// other rules would have decided.
//
// # The tier machine
//
// A [State] is what operators and alarms demand of a data directory. It is a
// plain value: [State.Pull] is an operator's wish, [State.Alarm] a critical
// alert or a rollback, and both answer the state afterwards. What tightens is
// never refused. An alarm puts safe mode on by itself. Only an operator leaves
// it, after a quiet period without another alarm, and autonomy then resumes by
// steps: GAMMA with human approval on, and after another quiet period DELTA as
// configured. Nothing but a pull loosens anything; time and a restart do not.
//
// # Checks of structured actions
//
// [ParseAction] reads an action {"tool", "args", "path", "process"} strictly.
// [Checks] refuses what no honest action has: traversal in any encoding,
// characters that look like others, device names, shell metacharacters, links
// that lead elsewhere. Once a pattern or a process is allowed, every path must
// match a pattern and every process be in the list; of the arguments, what their
// names, their form or the file system give away as a path. A check sees the file
// system as it is then; whoever runs the action must not let it change.
//
// # Signed actions
//
// A [Verifier] takes actions sealed in a DSSE envelope by a key that is trusted
// for actions, each once, within a window of time. Its memory is bounded.
//
// # Shadow rules
//
// [Rules.Decide] is the part of the validator specification that turns the
// numbers of a verdict into a decision, in float32 as the engine computes it. A
// [Shadow] counts what other rules would have decided.
//
// States, actions and rules are values. Checks, Verifier and Shadow are safe
// for concurrent use. Only Checks blocks, on the file system.
package policy
