package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fdqc-cockpit/fdqc/engine"
)

// private refuses a data directory that others can read or write anything in,
// or that holds links or other users' files.
func private(dir string, root fs.FileInfo) error {
	owner := ownerOf(root)
	var first error
	count := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a writer beside has removed it
		}
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if path == dir {
			info, err = root, nil // it may be reached through a link
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if problem := exposed(path, info, owner); problem != nil {
			count++
			if first == nil {
				first = problem
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if count > 1 {
		return usagef("%w; so are %d more in %s", first, count-1, dir)
	}
	return usage(first)
}

// exposed says what is wrong with the mode or the owner of a file in a data
// directory.
func exposed(path string, info fs.FileInfo, owner uint32) error {
	mode := info.Mode()
	switch {
	case mode.Type() == fs.ModeSymlink:
		return fmt.Errorf("%s is a symbolic link, expected plain files", path)
	case ownerOf(info) != owner:
		return fmt.Errorf("%s belongs to %s, expected %s as the directory", path, engine.UserName(ownerOf(info)), engine.UserName(owner))
	case mode.Perm()&0o077 != 0 && mode.IsDir():
		return fmt.Errorf("%s has mode %04o, expected 0700; run: chmod 700 %s", path, mode.Perm(), path)
	case mode.Perm()&0o077 != 0:
		return fmt.Errorf("%s has mode %04o, expected 0600; run: chmod 600 %s", path, mode.Perm(), path)
	}
	return nil
}

func ownerOf(info fs.FileInfo) uint32 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Uid
	}
	return 0
}

// within says whether a path lies in a folder, links resolved where they can be.
func within(folder, path string) bool {
	resolve := func(p string) string {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			p = real
		}
		if absolute, err := filepath.Abs(p); err == nil {
			p = absolute
		}
		return p
	}
	relative, err := filepath.Rel(resolve(folder), filepath.Join(resolve(filepath.Dir(path)), filepath.Base(path)))
	return err == nil && filepath.IsLocal(relative)
}
