package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
)

// Options are what a Store is made with.
type Options struct {
	// Dir is the data directory. It must exist when something is saved.
	Dir string
	// Key signs what is saved; nil: nothing is signed. Its signatures are trusted.
	Key *signing.Key
	// Ring holds the other keys whose signatures are trusted.
	Ring *signing.Ring
	// RequireSigning refuses files without a signature of a trusted key.
	RequireSigning bool
	// Compress deflates the tensors of what is saved.
	Compress bool
	// Keep is the number of pattern checkpoints that Save leaves, at least 1; 0 stands for 10.
	Keep int
	// Now is the clock, time.Now when nil.
	Now func() time.Time
	// Logger hears of what is damaged, set aside or deleted; nil: nobody.
	Logger hclog.Logger

	ops *fileOps // tests put failing ones here
}

// Store is the checkpoints of a data directory.
type Store struct {
	dir     string
	key     *signing.Key
	ring    *signing.Ring
	require bool
	deflate bool
	keep    int
	now     func() time.Time
	logger  hclog.Logger
	ops     fileOps

	writing sync.Mutex
	highest int64 // sequence ever seen
}

// New makes a store; it touches no file.
func New(o Options) (*Store, error) {
	if o.Dir == "" {
		return nil, errors.New("checkpoint store: no directory given")
	}
	if o.Keep == 0 {
		o.Keep = 10
	}
	if o.Keep < 1 {
		return nil, fmt.Errorf("checkpoint store: keep %d, expected at least 1", o.Keep)
	}
	s := &Store{dir: filepath.Clean(o.Dir), key: o.Key, ring: o.Ring.With(o.Key), require: o.RequireSigning, deflate: o.Compress,
		keep: o.Keep, now: o.Now, logger: o.Logger, ops: systemOps()}
	if s.now == nil {
		s.now = time.Now
	}
	if s.logger == nil {
		s.logger = hclog.NewNullLogger()
	}
	if o.ops != nil {
		s.ops = *o.ops
	}
	return s, nil
}

// Checkpoint is a file of the store as far as its manifest tells.
type Checkpoint struct {
	Path, Name string
	// Manifest is nil when there is none that can be read.
	Manifest *Manifest
	// Signed tells that a trusted key has signed it, KeyID which; without, KeyID is the key that the manifest names.
	Signed bool
	KeyID  string
	// Problem is why it is not taken, matching ErrUntrusted or ErrDamaged; nil when the manifest has none. The file itself is
	// not read for it.
	Problem error
}

// Sequence is that of the manifest, 0 without.
func (c *Checkpoint) Sequence() int64 {
	if c.Manifest == nil {
		return 0
	}
	return c.Manifest.Sequence
}

// List gives the pattern checkpoints, newest first by sequence, with their manifests verified and their files unread. One without a
// sequence has its place by name. A directory that is absent has none.
func (s *Store) List() ([]Checkpoint, error) {
	list, _, err := s.list()
	return list, err
}

// list also gives all names in the directory. It looks again when a checkpoint vanished meanwhile, or when there seems to be
// none: to take a directory for empty because a writer was replacing everything in it would be to forget it all.
func (s *Store) list() (list []Checkpoint, names []string, err error) {
	empty := false
	for try := 1; ; try++ {
		var vanished bool
		list, names, vanished, err = s.scan()
		switch {
		case err != nil:
			return nil, nil, err
		case !vanished && (len(list) > 0 || len(names) == 0 || empty):
			return list, names, nil
		case try == vanishTries:
			return nil, nil, fmt.Errorf("list checkpoints: those of %s vanished %d times while they were looked at", s.dir, try)
		}
		empty = !vanished
	}
}

func (s *Store) scan() (list []Checkpoint, names []string, vanished bool, err error) {
	entries, err := s.ops.readDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, false, nil
	}
	if err != nil {
		return nil, nil, false, fmt.Errorf("list checkpoints: %w", err)
	}
	var numbered, others []Checkpoint
	for _, e := range entries {
		names = append(names, e.Name())
		if !isPatterns(e.Name()) {
			continue
		}
		c, there := s.inspect(filepath.Join(s.dir, e.Name()))
		switch {
		case !there:
			vanished = true
		case c.Manifest != nil:
			numbered = append(numbered, c)
		default:
			others = append(others, c)
		}
	}
	byName := func(a, b Checkpoint) int { return strings.Compare(b.Name, a.Name) }
	slices.SortFunc(numbered, func(a, b Checkpoint) int {
		if a.Sequence() != b.Sequence() {
			return int(max(-1, min(1, b.Sequence()-a.Sequence())))
		}
		return byName(a, b)
	})
	slices.SortFunc(others, byName)
	for _, c := range others {
		at := slices.IndexFunc(numbered, func(n Checkpoint) bool { return n.Name < c.Name })
		if at < 0 {
			at = len(numbered)
		}
		numbered = slices.Insert(numbered, at, c)
	}
	return numbered, names, vanished, nil
}

// inspect reads the manifest of a file and looks whether the file is there and as long as it should be.
func (s *Store) inspect(path string) (c Checkpoint, there bool) {
	c = Checkpoint{Path: path, Name: filepath.Base(path)}
	m, e, err := s.readManifest(path)
	info, lerr := s.ops.lstat(path)
	switch {
	case errors.Is(lerr, fs.ErrNotExist):
		return c, false
	case lerr != nil:
		c.Problem = fmt.Errorf("look at checkpoint: %w", lerr)
		return c, true
	case !info.Mode().IsRegular():
		c.Problem = untrusted(path, "it has mode %v, expected a plain file", info.Mode())
		return c, true
	case err != nil:
		c.Problem = err
		return c, true
	}
	c.Manifest = m
	c.Signed, c.KeyID, c.Problem = s.judge(path, m, e)
	if c.Problem == nil && !m.fits(info.Size()) {
		c.Problem = damaged(path, "it has %d bytes, its manifest says %d", info.Size(), m.Size)
	}
	return c, true
}

func (m *Manifest) fits(size int64) bool {
	return size == m.Size || m.Replaces != nil && size == m.Replaces.Size
}

// readManifest reads the manifest of a file. Errors match ErrUntrusted when there is none, ErrDamaged when it
// does not parse, neither when it cannot be read.
func (s *Store) readManifest(path string) (*Manifest, *signing.Envelope, error) {
	at := manifestOf(path)
	text, err := s.ops.readFile(at, -1, signing.MaxEnvelope)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, untrusted(path, "%w", ErrNoManifest)
	}
	if err != nil {
		return nil, nil, err
	}
	m, e, err := parseManifest(text)
	if errors.Is(err, ErrNewerFormat) {
		return nil, nil, untrusted(at, "%w", err)
	}
	if err != nil {
		return nil, nil, damaged(at, "%w", err)
	}
	return m, e, nil
}

// judge says what a manifest is worth: whose it is, and why it is not taken.
func (s *Store) judge(path string, m *Manifest, e *signing.Envelope) (signed bool, keyID string, problem error) {
	at := manifestOf(path)
	keyID, err := e.Verify(s.ring, m.Created)
	signed = err == nil
	if !signed && len(e.Signatures) > 0 {
		keyID = e.Signatures[0].KeyID
	}
	switch {
	case errors.Is(err, signing.ErrBadSignature):
		return signed, keyID, damaged(at, "%w", err)
	case m.File != filepath.Base(path):
		return signed, keyID, damaged(at, "it belongs to %s", m.File)
	case err != nil && s.require:
		return signed, keyID, untrusted(at, "%w", err)
	}
	return signed, keyID, nil
}
