// Package gotorch lets programs that hold tensors of
// github.com/wangkuiyi/gotorch hand them to the engine, and gives verdicts back
// as such tensors, without a copy in either direction.
//
//	verdicts, err := gotorch.Validate(ctx, e, rows, engine.Batch{}) // rows: [count, width] float32
//	scores, err := verdicts.Scores()                                // [count, 10] float32
//
// It is built with the tag gotorch, linked as README.md says; without the tag it
// is empty. gotorch stays at the edge: nothing else imports it.
//
// A tensor's memory is read during the call only, and kept alive for it; gotorch
// itself keeps nothing alive while its operators run. Tensors that come back
// own the memory together, as long as any of them lives. A tensor of a wrong
// dtype, shape, device or layout is an error that says what was expected; no
// function panics.
package gotorch
