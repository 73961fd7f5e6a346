package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refused says whether an error names damage or distrust.
func refused(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, ErrUntrusted) }

// TestEveryFlippedByteIsRefused changes each byte in one of four ways; in all with FDQC_SOAK.
func TestEveryFlippedByteIsRefused(t *testing.T) {
	for kind, options := range kinds {
		t.Run(kind, func(t *testing.T) {
			o := options(filepath.Join(t.TempDir(), "journal"))
			sample(t, o)
			flipped := 0
			for _, path := range segmentsOf(t, o.Dir) {
				original := readFile(t, path)
				for i := range original {
					masks := []byte{1, 0x80, 0xff, original[i]}
					if !soak() {
						masks = masks[i%4:][:1]
					}
					for _, mask := range masks {
						if mask == 0 {
							continue
						}
						changed := bytes.Clone(original)
						changed[i] ^= mask
						writeFile(t, path, changed)
						if _, err := Verify(o); !refused(err) || !strings.Contains(err.Error(), path) {
							t.Errorf("%s byte %d xor %#x: got %v, want it refused by name", path, i, mask, err)
						}
						if i%64 == 0 {
							if _, _, err := Open(o, Position{}, nil); !refused(err) {
								t.Errorf("%s byte %d xor %#x: Open: got %v, want it refused", path, i, mask, err)
							}
							if !bytes.Equal(readFile(t, path), changed) {
								t.Fatalf("%s byte %d xor %#x: Open changed the file", path, i, mask)
							}
						}
						flipped++
					}
				}
				writeFile(t, path, original)
			}
			t.Logf("%d flips refused", flipped)
		})
	}
}

func TestEveryTruncationIsAPrefix(t *testing.T) {
	for kind, options := range kinds {
		t.Run(kind, func(t *testing.T) {
			o := options(filepath.Join(t.TempDir(), "journal"))
			at := sample(t, o)
			all := replayed(t, o, Position{})
			paths := segmentsOf(t, o.Dir)
			for s, path := range paths {
				original, before := readFile(t, path), []byte(nil)
				if s > 0 {
					before = readFile(t, paths[s-1])
				}
				for n := range original {
					writeFile(t, path, original[:n])
					replay, got := collect()
					r, err := Replay(o, Position{}, replay)
					if s < len(paths)-1 {
						if !errors.Is(err, ErrDamaged) {
							t.Fatalf("%s cut to %d: got %v, want ErrDamaged", path, n, err)
						}
						continue
					}
					if err != nil || !slices.Equal(*got, all[:len(*got)]) || !slices.Contains(at, r.Last) {
						t.Fatalf("%s cut to %d: got %.100q, last %v, error %v", path, n, *got, r.Last, err)
					}
					if n%40 == 0 {
						j, opened, err := Open(o, Position{}, nil)
						if err != nil || opened.Last != r.Last || opened.CutBytes != r.CutBytes {
							t.Fatalf("%s cut to %d: Open: got %+v, %v, want %+v", path, n, opened, err, r)
						}
						p := mustAppend(t, j, entry("next"))
						mustClose(t, j)
						if v, err := Verify(o); err != nil || v.Last != p || v.CutSegment != "" {
							t.Fatalf("%s cut to %d: after Open: got %+v, %v", path, n, v, err)
						}
						writeFile(t, paths[s-1], before) // without a header of its own, the last one is continued
					}
				}
				writeFile(t, path, original)
			}
		})
	}
}

func TestDamage(t *testing.T) {
	for name, c := range map[string]struct {
		damage  func(t *testing.T, paths []string)
		want    error
		records int // when want is nil
	}{
		"middle segment is missing": {func(t *testing.T, p []string) { os.Remove(p[1]) }, ErrDamaged, 0},
		"first segment is missing":  {func(t *testing.T, p []string) { os.Remove(p[0]) }, ErrMissing, 0},
		"middle segment is empty":   {func(t *testing.T, p []string) { writeFile(t, p[1], nil) }, ErrDamaged, 0},
		"segments exchanged": {func(t *testing.T, p []string) {
			a, b := readFile(t, p[1]), readFile(t, p[2])
			writeFile(t, p[1], b)
			writeFile(t, p[2], a)
		}, ErrDamaged, 0},
		"commit twice": {func(t *testing.T, p []string) {
			b := readFile(t, p[2])
			writeFile(t, p[2], append(b, b[headerSize:]...))
		}, ErrDamaged, 0},
		"garbage behind": {func(t *testing.T, p []string) {
			writeFile(t, p[2], append(readFile(t, p[2]), bytes.Repeat([]byte("garbage!"), 100)...))
		}, ErrDamaged, 0},
		"zeros behind": {func(t *testing.T, p []string) {
			writeFile(t, p[2], append(readFile(t, p[2]), make([]byte, 10_000)...))
		}, nil, 8},
		"last pages never written": {func(t *testing.T, p []string) {
			b := readFile(t, p[1])
			clear(b[512:])
			os.Remove(p[2])
			writeFile(t, p[1], b)
		}, nil, 3},
		"a page in the middle never written": {func(t *testing.T, p []string) {
			b := readFile(t, p[1])
			clear(b[512:1000])
			os.Remove(p[2])
			writeFile(t, p[1], b)
		}, ErrDamaged, 0},
		"zeros to the end, not from a sector's beginning": {func(t *testing.T, p []string) {
			b := readFile(t, p[2])
			clear(b[len(b)-20:])
			writeFile(t, p[2], b)
		}, ErrDamaged, 0},
		"last segment empty": {func(t *testing.T, p []string) { writeFile(t, p[2], nil) }, nil, 6},
		"last header zero":   {func(t *testing.T, p []string) { writeFile(t, p[2], make([]byte, headerSize)) }, nil, 6},
		"all of a segment zero": {func(t *testing.T, p []string) {
			writeFile(t, p[2], make([]byte, 4096))
		}, ErrDamaged, 0},
		"symbolic link": {func(t *testing.T, p []string) {
			os.Rename(p[2], p[2]+".real")
			os.Symlink(p[2]+".real", p[2])
		}, ErrDamaged, 0},
		"pipe": {func(t *testing.T, p []string) {
			os.Remove(p[2])
			if err := syscall.Mkfifo(p[2], 0o600); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, 0},
		"folder":     {func(t *testing.T, p []string) { os.Remove(p[2]); os.Mkdir(p[2], 0o700) }, ErrDamaged, 0},
		"other name": {func(t *testing.T, p []string) { os.Rename(p[2], filepath.Join(filepath.Dir(p[2]), segmentName(12))) }, ErrDamaged, 0},
	} {
		for kind, options := range kinds {
			t.Run(name+"/"+kind, func(t *testing.T) {
				o := options(filepath.Join(t.TempDir(), "journal"))
				sample(t, o)
				c.damage(t, segmentsOf(t, o.Dir))
				replay, got := collect()
				r, err := Replay(o, Position{}, replay)
				if !errors.Is(err, c.want) || c.want == nil && (err != nil || len(*got) != c.records || r.CutSegment == "") {
					t.Fatalf("Replay: got %d records, %+v, %v, want %d, %v", len(*got), r, err, c.records, c.want)
				}
				j, opened, err := Open(o, Position{}, nil)
				if !errors.Is(err, c.want) || c.want == nil && (err != nil || opened.CutBytes != r.CutBytes) {
					t.Fatalf("Open: got %+v, %v, want %v", opened, err, c.want)
				}
				if err == nil {
					mustAppend(t, j, entry("next"))
					mustClose(t, j)
					if v, err := Verify(o); err != nil || v.CutSegment != "" || v.Records != c.records+1 {
						t.Errorf("after Open: got %+v, %v", v, err)
					}
				}
			})
		}
	}
}

func TestFirstSegmentWithoutHeader(t *testing.T) {
	at := Position{Sequence: 5, Chain: [32]byte{9}}
	for name, size := range map[string]int{"empty": 0, "part": 100} {
		t.Run(name, func(t *testing.T) {
			for _, reopen := range []bool{true, false} {
				o := plain(t.TempDir())
				writeFile(t, filepath.Join(o.Dir, segmentName(6)), make([]byte, size))
				if _, err := Replay(o, Position{}, nil); !errors.Is(err, ErrMissing) {
					t.Errorf("Replay from elsewhere: got %v, want ErrMissing", err)
				}
				var j *Journal
				var err error
				if reopen {
					var r Recovery
					if j, r, err = Open(o, at, nil); err == nil && r.CutBytes != int64(size) {
						t.Errorf("got %+v, want %d bytes cut", r, size)
					}
				} else {
					j, err = Create(o, at)
				}
				if err != nil {
					t.Fatal(err)
				}
				mustAppend(t, j, entry("x"))
				mustClose(t, j)
				if got := replayed(t, o, at); !slices.Equal(got, []string{"6/7/x"}) {
					t.Errorf("got %q", got)
				}
			}
		})
	}
}

func TestTrust(t *testing.T) {
	root := t.TempDir()
	own := signed(filepath.Join(root, "own"))
	at := sample(t, own)
	stranger := Options{Dir: filepath.Join(root, "stranger"), Signer: newKey(2)}
	sample(t, stranger)
	unsigned := plain(filepath.Join(root, "unsigned"))
	sample(t, unsigned)
	forged := copyDir(t, own.Dir)
	j, _, err := Open(Options{Dir: forged}, at[5], nil)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, entry("never judged"))
	mustClose(t, j)
	expired := newKey(1)
	expired.until = time.Unix(1, 0)
	impostor := newKey(2)
	impostor.id = newKey(1).id
	swapped := Options{Dir: filepath.Join(root, "swapped"), Signer: impostor}
	sample(t, swapped)
	header := copyDir(t, own.Dir)
	first := segmentsOf(t, header)[0]
	b := readFile(t, first)
	copy(b, readFile(t, segmentsOf(t, unsigned.Dir)[0])[:headerSize])
	writeFile(t, first, b)

	required := func(dir string) Options { return Options{Dir: dir, Verifier: newKey(1), RequireSigned: true} }
	optional := func(dir string) Options { return Options{Dir: dir, Verifier: newKey(1), UnknownKey: errUnknown} }
	for name, c := range map[string]struct {
		o      Options
		want   error
		signed int
	}{
		"own":                       {required(own.Dir), nil, 5},
		"own, optional":             {optional(own.Dir), nil, 5},
		"own, no verifier":          {Options{Dir: own.Dir}, nil, 0},
		"unsigned":                  {required(unsigned.Dir), ErrUnsigned, 0},
		"unsigned, optional":        {optional(unsigned.Dir), nil, 0},
		"unknown key":               {required(stranger.Dir), errUnknown, 0},
		"unknown key, optional":     {optional(stranger.Dir), nil, 0},
		"unsigned commit appended":  {required(forged), ErrUnsigned, 0},
		"unsigned header put in":    {required(header), ErrUnsigned, 0},
		"signature does not fit":    {required(swapped.Dir), errBad, 0},
		"does not fit, optional":    {optional(swapped.Dir), errBad, 0},
		"key expired":               {Options{Dir: own.Dir, Verifier: expired, RequireSigned: true}, errExpired, 0},
		"key unknown, not declared": {Options{Dir: stranger.Dir, Verifier: newKey(1)}, errUnknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Verify(c.o)
			var te *TrustError
			if !errors.Is(err, c.want) || c.want != nil && (!errors.Is(err, ErrUntrusted) || !errors.As(err, &te) || te.Segment == "") {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil && r.Signed != c.signed {
				t.Errorf("got %d signed commits, want %d", r.Signed, c.signed)
			}
		})
	}
}
