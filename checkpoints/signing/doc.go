// Package signing makes and keeps Ed25519 keys, says which ones are trusted, and seals texts into signed envelopes.
//
// A Key signs; it lives in a PEM file that only its owner can read. A Ring holds the public keys whose signatures count,
// each perhaps up to a time. What is signed is never a text alone but the pre-authentication encoding of DSSE
// (https://github.com/secure-systems-lab/dsse, protocol.md) of the text and its type, so that a signature for
// one purpose is worth nothing for another. An Envelope is the JSON form of DSSE: text, type and signatures.
//
// Files are refused rather than trusted when somebody else owns or could have written them, and key files also
// when somebody else could read them. New files are complete and durable on return, or absent.
// The private key is never part of an error or a log.
//
// Keys, rings and envelopes do not change after they are made: safe for concurrent use. Functions block on the file system
// only; RotateKey also waits for another process that rotates.
package signing
