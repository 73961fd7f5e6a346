package store

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// tempName is a hidden name beside a file that isTemporary knows.
func tempName(path string) string {
	folder, name := filepath.Split(path)
	return filepath.Join(folder, "."+name+tempMark+rand.Text()[:10])
}

// writeTemp writes a file beside the path and flushes it to the disk. It leaves nothing after an error, unless that fails
// too; the next save removes such remains.
func (o *fileOps) writeTemp(path string, fill func(io.Writer) error) (temp string, size int64, sum string, err error) {
	temp = tempName(path)
	f, err := o.open(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return "", 0, "", err
	}
	h := sha256.New()
	count := &counter{w: io.MultiWriter(f, h)}
	buffer := bufio.NewWriterSize(count, 1<<18)
	if err = fill(buffer); err == nil {
		err = buffer.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", 0, "", errors.Join(fmt.Errorf("write %s: %w", path, err), o.drop(temp))
	}
	return temp, count.n, hex.EncodeToString(h.Sum(nil)), nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// drop removes a file that may be gone already.
func (o *fileOps) drop(path string) error {
	if err := o.remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// contentOf describes a file that was just written, as the disk gives it back.
func (o *fileOps) contentOf(path string, size int64, sum string) (c Content, err error) {
	f, got, err := o.openRead(path)
	if err != nil {
		return Content{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if got != size {
		return Content{}, damaged(path, "%d bytes were written and %d are there", size, got)
	}
	records, err := recordsOf(f, size)
	return Content{Size: size, SHA256: sum, Records: records}, err
}

// place puts a file with its manifest under its name: the file beside, the manifest under its name, durable, then
// the file. fresh tells that the name is new, so that undoing may delete it.
func (s *Store) place(path string, m *Manifest, fresh bool, fill func(io.Writer) error) (err error) {
	temp, size, sum, err := s.ops.writeTemp(path, fill)
	if err != nil {
		return err
	}
	undo := []func() error{func() error { return s.ops.drop(temp) }}
	defer func() {
		if err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				err = errors.Join(err, undo[i]())
			}
		}
	}()
	if m.Content, err = s.ops.contentOf(temp, size, sum); err != nil {
		return err
	}
	text, err := m.seal(s.key)
	if err != nil {
		return err
	}
	manifestTemp, _, manifestSum, err := s.ops.writeTemp(manifestOf(path), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.ops.rename(manifestTemp, manifestOf(path)); err != nil {
		return errors.Join(err, s.ops.drop(manifestTemp))
	}
	if fresh {
		undo = append(undo, func() error { return s.ops.drop(manifestOf(path)) })
	}
	if err := s.ops.syncDir(s.dir); err != nil {
		return err
	}
	if err := s.ops.rename(temp, path); err != nil {
		return err
	}
	undo[0] = func() error { return nil }
	if fresh {
		// Deleted before its manifest, so that it never looks unsigned.
		undo = append(undo, func() error { return errors.Join(s.ops.drop(path), s.ops.syncDir(s.dir)) })
	}
	if err := s.ops.syncDir(s.dir); err != nil {
		return err
	}
	for _, f := range []struct{ path, sum string }{{path, sum}, {manifestOf(path), manifestSum}} {
		_, got, err := s.ops.hashFile(f.path)
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		if got != f.sum {
			return damaged(f.path, "read back, its SHA-256 is %s, %s was written", got, f.sum)
		}
	}
	return nil
}
