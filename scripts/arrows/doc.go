// Package arrows holds no code, only a test: that imports between the packages
// of this module go one way, as CONTRIBUTING.md draws them.
//
//	cgo/torch, checkpoints → models → engine/* → engine → engine/serve, bench → engine/cmd/fdqc
//
// models/gotorch and the peer that uses it stand at the edge: they may import
// the engine, and nothing imports them.
//
// The linter says the same while one types; this test also follows what is
// imported indirectly, and runs where the linter does not.
package arrows
