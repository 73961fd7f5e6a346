package signing

import "errors"

// What a signature can be refused for; errors of Verify match exactly one.
var (
	// ErrUnsigned: there is no signature.
	ErrUnsigned = errors.New("not signed")
	// ErrUnknownKey: the signature names a key that is not trusted.
	ErrUnknownKey = errors.New("signed by a key that is not trusted")
	// ErrExpiredKey: the signature is right, and made after the key's time.
	ErrExpiredKey = errors.New("signed after the key's expiry")
	// ErrBadSignature: the signature of a trusted key does not fit the text.
	ErrBadSignature = errors.New("signature does not match")
)

// What a file can be refused for.
var (
	// ErrUnsafeFile: another user could have read or written the file, or it is no plain file.
	ErrUnsafeFile = errors.New("unsafe file")
	// ErrMalformed: the content of a key file, a list of trusted keys or an envelope is wrong.
	ErrMalformed = errors.New("malformed")
)
