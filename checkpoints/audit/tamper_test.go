package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
)

// lineOf is a line of a log in a file, with the sequence of its entry.
type lineOf struct {
	path     string
	number   int
	sequence int64
	start    int // offset in the file
	text     []byte
}

func linesOf(t *testing.T, o Options) []lineOf {
	t.Helper()
	var all []lineOf
	for _, path := range paths(t, o) {
		offset := 0
		for i, text := range bytes.SplitAfter(readFile(t, path), []byte("\n")) {
			if len(text) > 0 {
				all = append(all, lineOf{path, i + 1, int64(len(all) + 1), offset, text})
			}
			offset += len(text)
		}
	}
	return all
}

// TestEveryByte changes each byte of a log: the line that it is in is named.
func TestEveryByte(t *testing.T) {
	o, head := filled(t)
	known := Known{head, "a checkpoint"}
	if _, err := Verify(o, known); err != nil {
		t.Fatal(err)
	}
	flips := 0
	for _, line := range linesOf(t, o) {
		f, err := os.OpenFile(line.path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		put := func(at int, b byte) {
			if _, err := f.WriteAt([]byte{b}, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		for i, was := range line.text {
			if i%sample != 0 {
				continue
			}
			at := line.start + i
			changes := []byte{was ^ 0x01}
			if i%(7*sample) == 0 {
				changes = append(changes, was^0x20, '\n', 0)
			}
			for _, change := range changes {
				if change == was {
					continue
				}
				flips++
				put(at, change)
				what := fmt.Sprintf("byte %d of %s from %q to %q", at, filepath.Base(line.path), was, change)
				report, err := Verify(o, known)
				damage := wantDamage(t, what, err)
				switch {
				case report.Torn > 0: // the very last line break: then the line is unfinished
					if line.sequence != head.Sequence || damage.Sequence != line.sequence || damage.Kind != Cut {
						t.Errorf("%s: got %v, want the last line unfinished", what, err)
					}
				case damage.Path != line.path || damage.Line != line.number || damage.Sequence != line.sequence || damage.Kind != Changed:
					t.Errorf("%s: got %v, want entry %d changed in line %d", what, err, line.sequence, line.number)
				}
				if i%(7*sample) == 0 {
					if _, _, err := Open(o, Head{}, nil, known); err == nil && line.path == paths(t, o)[1] {
						t.Errorf("%s: a writer opens it", what)
					}
				}
			}
			put(at, was)
		}
	}
	t.Logf("%d changes of one byte, all found in their lines", flips)
}

// rewrite puts other lines in the place of a log's, in as many files.
func rewrite(t *testing.T, lines []lineOf) {
	t.Helper()
	files := map[string][]byte{}
	for _, l := range lines {
		files[l.path] = append(files[l.path], l.text...)
	}
	for path, text := range files {
		writeFile(t, path, text)
	}
}

// TestEveryLine drops each line, doubles it, and swaps it with the next.
func TestEveryLine(t *testing.T) {
	o, head := filled(t)
	known := Known{head, "a checkpoint"}
	all := linesOf(t, o)
	for i, line := range all {
		name := fmt.Sprintf("line %d of %s", line.number, filepath.Base(line.path))
		rewrite(t, slices.Delete(slices.Clone(all), i, i+1))
		_, err := Verify(o, known)
		want := Dropped
		if i == len(all)-1 {
			want = Cut
		}
		damage := wantDamage(t, name+" dropped", err, want)
		if damage.Sequence != line.sequence || damage.Through > line.sequence {
			t.Errorf("%s dropped: got %v, want entry %d", name, err, line.sequence)
		}
		rewrite(t, slices.Insert(slices.Clone(all), i, line))
		_, err = Verify(o, known)
		if damage := wantDamage(t, name+" doubled", err, Repeated); damage.Sequence != line.sequence {
			t.Errorf("%s doubled: got %v, want entry %d", name, err, line.sequence)
		}
		if i+1 < len(all) {
			swapped := slices.Clone(all)
			swapped[i].text, swapped[i+1].text = swapped[i+1].text, swapped[i].text
			rewrite(t, swapped)
			_, err = Verify(o, known)
			if damage := wantDamage(t, name+" after the next", err, Reordered, Dropped); damage.Sequence != line.sequence && line.sequence > 1 {
				t.Errorf("%s after the next: got %v, want entry %d", name, err, line.sequence)
			}
		}
		rewrite(t, all)
	}
	for i, path := range paths(t, o) {
		text := readFile(t, path)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		_, err := Verify(o, known)
		want := []Kind{Dropped, Cut}[i]
		wantDamage(t, "without "+filepath.Base(path), err, want)
		writeFile(t, path, text)
	}
	if _, err := Verify(o, known); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// TestEveryCut cuts a log at each byte, and has a writer go on after each cut that a crash could have made.
func TestEveryCut(t *testing.T) {
	o, head := filled(t)
	all := linesOf(t, o)
	for file, path := range paths(t, o) {
		text := readFile(t, path)
		for n := len(text) - 1; n >= 0; n -= sample {
			if err := os.Truncate(path, int64(n)); err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("%s cut to %d bytes", filepath.Base(path), n)
			if _, err := Verify(o, Known{head, "a checkpoint"}); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s: got %v, want damage", what, err)
			}
			if file == 0 {
				continue
			}
			report, err := Verify(o)
			whole := bytes.Count(text[:n], []byte("\n"))
			end := bytes.LastIndexByte(text[:n], '\n') + 1
			if err != nil || report.Torn != int64(n-end) || report.Head.Sequence != all[len(all)-1].sequence-int64(bytes.Count(text, []byte("\n"))-whole) {
				t.Fatalf("%s: got %+v, %v, want %d bytes torn", what, report, err, n-end)
			}
			if n%(37*sample) == 0 || n < 3 || n == len(text)-1 {
				l := mustOpen(t, o)
				if l.Head().Sequence != report.Head.Sequence {
					t.Errorf("%s: a writer goes on after %d, want %d", what, l.Head().Sequence, report.Head.Sequence)
				}
				mustAppend(t, l, patterns(100))
				mustFlush(t, l)
				if report, err := Verify(o); err != nil || report.Torn != 0 || report.Last.Journal != 100 {
					t.Errorf("%s, and a writer went on: got %+v, %v", what, report, err)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				writeFile(t, path, text[:n])
			}
		}
		writeFile(t, path, text)
	}
}

// TestRewritten writes entries anew, with hashes that fit.
func TestRewritten(t *testing.T) {
	o, head := filled(t)
	all := linesOf(t, o)
	forge := func(from int, whole bool) {
		t.Helper()
		forged := slices.Clone(all)
		previous := ""
		for i := from; i < len(all); i++ {
			e, err := decode(bytes.TrimSuffix(all[i].text, []byte("\n")))
			if err != nil {
				t.Fatal(err)
			}
			if i == from {
				e.Who = "nobody"
			} else {
				e.Previous = previous
			}
			var sign func([]byte) []byte
			if e.signature != nil {
				sign = func([]byte) []byte { return e.signature }
			}
			if forged[i].text, err = e.encode(sign); err != nil {
				t.Fatal(err)
			}
			previous = e.Hash
			if !whole {
				break
			}
		}
		rewrite(t, forged)
	}
	forge(2, false)
	_, err := Verify(o)
	if damage := wantDamage(t, "one entry", err, Changed); damage.Sequence != 3 || damage.Line != 3 {
		t.Errorf("one entry written anew: got %v, want entry 3", err)
	}
	forge(2, true)
	if _, err := Verify(o); !errors.Is(err, ErrUntrusted) || !errors.Is(err, signing.ErrBadSignature) {
		t.Errorf("all entries from one on written anew: got %v, want a signature that does not match", err)
	}
	unsigned := o
	unsigned.Verifier, unsigned.RequireSigned = nil, false
	_, err = Verify(unsigned, Known{head, "a checkpoint"})
	wantDamage(t, "all entries, and no signature is looked at", err, Changed)
}

// TestSignatures refuses what is not signed as it must be.
func TestSignatures(t *testing.T) {
	o, _ := filled(t)
	other := signed(t, o.Dir)
	if _, err := Verify(other); !errors.Is(err, ErrUntrusted) || !errors.Is(err, signing.ErrUnknownKey) {
		t.Errorf("another's key: got %v, want it unknown", err)
	}
	other.RequireSigned = false
	if report, err := Verify(other); err != nil || report.Signatures != 0 || report.SignedThrough != 0 {
		t.Errorf("another's key where none is required: got %+v, %v, want no signature that counts", report, err)
	}
	key, err := signing.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := signing.NewRing(signing.Trusted{Public: key.Public(), Until: at().Add(-time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	expired := Options{Dir: filepath.Join(t.TempDir(), "audit"), Signer: key, Verifier: ring, RequireSigned: true, Now: at}
	l := mustOpen(t, expired)
	mustAppend(t, l, patterns(1))
	if err := l.Sign(); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, l)
	if _, err := Verify(expired); !errors.Is(err, signing.ErrExpiredKey) {
		t.Errorf("signed after the key's expiry: got %v", err)
	}
	plain := Options{Dir: filepath.Join(t.TempDir(), "audit"), Now: at}
	l = mustOpen(t, plain)
	for i := range int64(MaxUnsigned) {
		mustAppend(t, l, patterns(i+1))
	}
	mustFlush(t, l)
	if _, err := Verify(plain); err != nil {
		t.Errorf("unsigned where nothing is required: %v", err)
	}
	plain.RequireSigned, plain.Verifier = true, o.Verifier
	var untrusted *TrustError
	if _, err := Verify(plain); !errors.As(err, &untrusted) || untrusted.Line != MaxUnsigned+1 {
		t.Errorf("%d entries without a signature: got %v, want line %d", MaxUnsigned+1, err, MaxUnsigned+1)
	}
}

// TestOtherFiles refuses what is no file of a log.
func TestOtherFiles(t *testing.T) {
	o, _ := filled(t)
	last := paths(t, o)[1]
	text := readFile(t, last)
	for name, spoil := range map[string]func(){
		"a link": func() {
			moved := filepath.Join(t.TempDir(), "moved")
			if err := errors.Join(os.Rename(last, moved), os.Symlink(moved, last)); err != nil {
				t.Fatal(err)
			}
		},
		"a folder":           func() { _ = os.Remove(last); _ = os.Mkdir(last, 0o700) },
		"a line too long":    func() { writeFile(t, last, append(bytes.Clone(text), bytes.Repeat([]byte("a"), 2*MaxLine)...)) },
		"binary":             func() { writeFile(t, last, []byte("\x00\x01\x02\n")) },
		"lines of something": func() { writeFile(t, last, []byte("{}\n{}\n")) },
		"renamed": func() {
			if err := os.Rename(last, filepath.Join(o.Dir, fileName(3))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			spoil()
			if _, err := Verify(o); !errors.Is(err, ErrDamaged) {
				t.Errorf("verify: got %v, want damage", err)
			}
			if _, _, err := Open(o, Head{}, nil); !errors.Is(err, ErrDamaged) {
				t.Errorf("open: got %v, want damage", err)
			}
			_ = os.Remove(filepath.Join(o.Dir, fileName(3)))
			_ = os.Remove(last)
			writeFile(t, last, text)
		})
	}
	writeFile(t, filepath.Join(o.Dir, "notes.txt"), []byte("not of the log"))
	if _, err := Verify(o); err != nil {
		t.Errorf("a file of another name: %v", err)
	}
}
