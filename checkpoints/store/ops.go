package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/fdqc-cockpit/fdqc/checkpoints/disk"
)

const (
	filePerm   fs.FileMode = 0o600
	folderPerm fs.FileMode = 0o700
	// maxFile is the size of the largest file without a manifest that is read, in bytes.
	maxFile = 32 << 30
)

// osFile is the part of *os.File that is used here.
type osFile interface {
	io.Reader
	io.ReaderAt
	io.Writer
	Stat() (fs.FileInfo, error)
	Sync() error
	Close() error
}

// fileOps are the operations on files; tests put failing ones in their place.
type fileOps struct {
	open    func(path string, flags int, mode fs.FileMode) (osFile, error)
	lstat   func(path string) (fs.FileInfo, error)
	readDir func(path string) ([]fs.DirEntry, error)
	mkdir   func(path string, mode fs.FileMode) error
	rename  func(from, to string) error
	remove  func(path string) error
	syncDir func(path string) error
}

func systemOps() fileOps {
	return fileOps{
		open: func(path string, flags int, mode fs.FileMode) (osFile, error) {
			return os.OpenFile(path, flags, mode)
		},
		lstat:   os.Lstat,
		readDir: os.ReadDir,
		mkdir:   os.Mkdir,
		rename:  os.Rename,
		remove:  os.Remove,
		syncDir: disk.SyncFolder,
	}
}

// openRead opens a plain file, not through a link and without waiting for the other end of a pipe. What is no plain
// file is untrusted.
func (o *fileOps) openRead(path string) (osFile, int64, error) {
	f, err := o.open(path, disk.OpenFlags, 0)
	if err != nil {
		if info, lerr := o.lstat(path); lerr == nil && !info.Mode().IsRegular() {
			return nil, 0, untrusted(path, "it has mode %v, expected a plain file", info.Mode())
		}
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = untrusted(path, "it has mode %v, expected a plain file", info.Mode())
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// readFile reads a whole file once into private memory, at most limit bytes; want is its exact size if not negative.
func (o *fileOps) readFile(path string, want, limit int64) (data []byte, err error) {
	f, size, err := o.openRead(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if want >= 0 && size != want {
		return nil, damaged(path, "it has %d bytes, its manifest says %d", size, want)
	}
	if size > limit {
		return nil, damaged(path, "it has %d bytes, at most %d are read", size, limit)
	}
	data = make([]byte, size)
	if n, err := io.ReadFull(f, data); errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return nil, damaged(path, "it was cut to %d of %d bytes while it was read", n, size)
	} else if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

// hashFile hashes a file as it is on the disk.
func (o *fileOps) hashFile(path string) (size int64, sum string, err error) {
	f, _, err := o.openRead(path)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return 0, "", fmt.Errorf("read %s: %w", path, err)
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}

func hashBytes(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
