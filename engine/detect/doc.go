// Package detect judges outcomes before they become patterns: whether one is
// likely to poison the memory. It follows a memory, knows no files, tensors or
// devices, and its heavy arithmetic is a [Computer]'s.
//
// # Rules
//
// Each answers a [Finding] with a score, the value divided by its limit, and a
// reason with both numbers. A row that a finding holds should wait for a
// person; what is done with it is the caller's.
//
//   - outlier: farther from the rows of its side than sensitivity allows. By
//     section 5 of the validator specification, or calibrated: Mahalanobis
//     distance from a robust, shrunk fit; the limit is the empirical quantile of
//     the distances that the side's own rows have when left out, so that the
//     same share of clean rows is held whatever their shape and number.
//   - contradiction: too close to a pattern of the other side, compared with
//     its own side or with how close clean rows come.
//   - burst: a source's rows beyond its quota, or beyond that of all sources
//     together, which inventing names does not widen.
//   - near_copy: adds nothing to a pattern of its side. Only named, and counted
//     four times against the source's quota.
//   - drift: lies farther along the way that the mean of the newest rows of its
//     side, and of its source, went from where the side was anchored, when that
//     is farther than chance takes it. At most 0.1 % of clean rows. The anchor
//     stays, so going slowly does not help.
//
// Of clean rows all rules together hold 1 - sensitivity: outlier four fifths of
// that, contradiction one.
//
// # What is promised
//
// A row is judged as if all rows before it had come one by one, whatever the
// split into batches (but for patterns that the same transaction evicted, which
// still count as near). Cost a row is bounded whatever the memory holds: sums
// are updated, and the fit is made from a sample of at most 4,096 rows a side,
// once a quarter of the side has changed (half where it is wide). With too few
// rows a rule lets pass. Rows that were let pass are a sample whose tail was cut;
// limits allow for that, or they would tighten with every generation.
//
// # Who owns what, what blocks
//
// Rows are read during the call or kept as copies. A [Tx] follows one
// transaction of the memory; one lives at a time, and the caller sees to that:
// a Detector is used by one goroutine at a time. After Rollback everything is
// as before Begin. Only Load, Judge and Refit reach the Computer;
// their context ends the waiting for it. What they answer as error is the
// Computer's; a row that could not be judged must not be stored.
package detect
