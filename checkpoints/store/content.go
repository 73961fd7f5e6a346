package store

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// recordsOf hashes the records of an archive that is known to be our own or to match its manifest: the standard
// reader is not strict enough for others.
func recordsOf(r io.ReaderAt, size int64) ([]Record, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	if len(z.File) > maxRecords {
		return nil, fmt.Errorf("list records: %d, at most %d are written", len(z.File), maxRecords)
	}
	records := make([]Record, len(z.File))
	for i, f := range z.File {
		_, name, _ := strings.Cut(f.Name, "/")
		sum, n, err := hashRecord(f)
		if err != nil {
			return nil, fmt.Errorf("hash record %s: %w", f.Name, err)
		}
		records[i] = Record{Name: name, Size: n, SHA256: sum}
	}
	return records, nil
}

func hashRecord(f *zip.File) (sum string, size int64, err error) {
	r, err := f.Open()
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	h := sha256.New()
	// One byte more than announced is enough to see that it lies; the reader itself checks size and CRC.
	if size, err = io.Copy(h, io.LimitReader(r, int64(f.UncompressedSize64)+1)); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// checkWhole compares a file's bytes with what its manifest says of the whole.
func (c *Content) checkWhole(path string, data []byte) error {
	if int64(len(data)) != c.Size {
		return damaged(path, "it has %d bytes, its manifest says %d", len(data), c.Size)
	}
	if sum := hashBytes(data); sum != c.SHA256 {
		return damaged(path, "its SHA-256 is %s, its manifest says %s%s", sum, c.SHA256, c.differing(data))
	}
	return nil
}

// check compares a file's bytes with what its manifest says, the whole first and then each record.
func (c *Content) check(path string, data []byte) error {
	if err := c.checkWhole(path, data); err != nil {
		return err
	}
	records, err := recordsOf(bytes.NewReader(data), c.Size)
	if err != nil {
		return damaged(path, "%w", err)
	}
	if len(records) != len(c.Records) {
		return damaged(path, "it has %d records, its manifest lists %d", len(records), len(c.Records))
	}
	for i, r := range records {
		if r != c.Records[i] {
			return damaged(path, "record %s (%d bytes, SHA-256 %s) is not what its manifest lists: %s (%d bytes, %s)",
				r.Name, r.Size, r.SHA256, c.Records[i].Name, c.Records[i].Size, c.Records[i].SHA256)
		}
	}
	return nil
}

// differing names the first record of a damaged file that changed, for the message; empty when it cannot be told.
func (c *Content) differing(data []byte) string {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil || len(z.File) != len(c.Records) {
		return ""
	}
	for i, f := range z.File {
		want := c.Records[i]
		if _, name, _ := strings.Cut(f.Name, "/"); name != want.Name || f.UncompressedSize64 != uint64(want.Size) || f.Method != zip.Store {
			return ""
		}
		if sum, _, err := hashRecord(f); err != nil || sum != want.SHA256 {
			return "; record " + want.Name + " changed"
		}
	}
	return ""
}
