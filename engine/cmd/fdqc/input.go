package main

import (
	"errors"
	"io/fs"
)

// asInput marks an error about a file that the user named as one of usage,
// when the file is not there or may not be read.
func asInput(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return usage(err)
	}
	return err
}
