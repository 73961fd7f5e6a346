// Command fdqc judges what an agent is about to do, before it does it.
//
// It is one binary with a command for each thing that is done from a shell:
// fdqc --help lists them, and every command's --help has examples.
//
// Results go to standard output or --output, one sentence for an error to
// standard error. Exit codes: 0 done; 1 the operation failed; 2 bad usage,
// configuration or input; 3 a file failed verification; 4 LibTorch or the
// asked device is missing; 10 validate --fail-on met a decision at least
// that strict.
package main
