package store

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fdqc-cockpit/fdqc/checkpoints"
	"github.com/fdqc-cockpit/fdqc/checkpoints/signing"
)

func example() *Manifest {
	hash := strings.Repeat("0f", 32)
	return &Manifest{
		Version: 1, File: "patterns_20260301_120000.pt", Sequence: 7, Created: noon, Reason: "auto", Source: 3,
		Content: Content{Size: 5, SHA256: hash, Records: []Record{{Name: "data.pkl", Size: 3, SHA256: hash}}},
		Counter: 9, Safe: 1, Unsafe: 2, Capacity: 10, Width: 16,
		Journal: Position{Sequence: 9, Chain: hash}, Levers: []byte(`{"safe_mode":true}`),
	}
}

func TestManifest(t *testing.T) {
	text, err := example().seal(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	m, e, err := parseManifest(text)
	if err != nil || !equal(m, example()) || len(e.Signatures) != 1 {
		t.Errorf("got %+v, %v, want %+v", m, err, example())
	}
	audited := example()
	audited.Version, audited.Audit = 2, &AuditHead{Sequence: 12, Hash: audited.SHA256}
	if text, err = audited.seal(nil); err != nil {
		t.Fatal(err)
	}
	if m, _, err := parseManifest(text); err != nil || !equal(m, audited) {
		t.Errorf("with an audit log: got %+v, %v, want %+v", m, err, audited)
	}
	for name, spoil := range map[string]func(*Manifest){
		"version":                          func(m *Manifest) { m.Version = 0 },
		"file":                             func(m *Manifest) { m.File = "../x.pt" },
		"sequence":                         func(m *Manifest) { m.Sequence = 0 },
		"large":                            func(m *Manifest) { m.Sequence = maxSequence + 1 },
		"size":                             func(m *Manifest) { m.Size = -1 },
		"hash":                             func(m *Manifest) { m.SHA256 = strings.Repeat("0F", 32) },
		"record":                           func(m *Manifest) { m.Records[0].Name = "" },
		"source":                           func(m *Manifest) { m.Source = m.Sequence },
		"no source":                        func(m *Manifest) { m.Source = -1 },
		"counter":                          func(m *Manifest) { m.Counter = -1 },
		"chain":                            func(m *Manifest) { m.Journal.Chain = "00" },
		"no chain":                         func(m *Manifest) { m.Journal.Chain = "" },
		"levers":                           func(m *Manifest) { m.Levers = []byte("{") },
		"two levers":                       func(m *Manifest) { m.Levers = []byte("{} {}") },
		"replaces":                         func(m *Manifest) { m.Replaces = &Content{} },
		"audit, and the version before it": func(m *Manifest) { m.Audit = &AuditHead{Sequence: 1, Hash: m.SHA256} },
		"version of an audit, and none":    func(m *Manifest) { m.Version = 2 },
		"audit at 0":                       func(m *Manifest) { m.Version, m.Audit = 2, &AuditHead{Hash: m.SHA256} },
		"audit without hash":               func(m *Manifest) { m.Version, m.Audit = 2, &AuditHead{Sequence: 1} },
	} {
		m := example()
		spoil(m)
		if _, err := m.seal(nil); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	// What a newer version wrote is not damage.
	body := `{"version":3,"new":1`
	payload := body + `,"check":"` + hashBytes([]byte(body+"}")) + `"}`
	if _, _, err := parseManifest(signing.Seal(PayloadType, []byte(payload), nil)); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("version 3: got %v, want %v", err, ErrNewerFormat)
	}
	if _, _, err := parseManifest(signing.Seal("text/plain", []byte(payload), nil)); err == nil || errors.Is(err, ErrNewerFormat) {
		t.Errorf("other type: got %v, want an error of the type", err)
	}
}

// FuzzManifest: what is accepted is written again the same.
func FuzzManifest(f *testing.F) {
	text, err := example().seal(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, true)
	e, err := signing.OpenEnvelope(text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(e.Payload[:len(e.Payload)-len(checkTail)], false)
	f.Add([]byte(`{"version":1,"version":2`), false)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if len(data) > 1<<16 {
			return
		}
		if !sealed { // the check is no hurdle then
			body := append(bytes.Clone(data), '}')
			data = signing.Seal(PayloadType, append(bytes.Clone(data), `,"check":"`+hashBytes(body)+`"}`...), nil)
		}
		m, _, err := parseManifest(data)
		if err != nil {
			return
		}
		text, err := m.seal(nil)
		if err != nil {
			t.Fatalf("accepted %+v, and cannot write it: %v", m, err)
		}
		if again, _, err := parseManifest(text); err != nil || !again.Created.Equal(m.Created) || again.SHA256 != m.SHA256 || again.Sequence != m.Sequence || again.File != m.File {
			t.Errorf("written again: got %+v, %v, want %+v", again, err, m)
		}
	})
}

func TestCompress(t *testing.T) {
	plain, packed := open(t, Options{Dir: t.TempDir()}), open(t, Options{Dir: t.TempDir(), Compress: true})
	var sizes []int64
	var sets []*checkpoints.PatternSet
	for _, s := range []*Store{plain, packed} {
		c, err := s.Save(set(500, 600), About{})
		if err != nil {
			t.Fatal(err)
		}
		l := newest(t, s, 600, nil)
		sizes, sets = append(sizes, c.Manifest.Size), append(sets, l.Patterns)
		list, err := s.Verify()
		if err != nil || len(list) != 1 || list[0].Problem != nil {
			t.Errorf("verify: got %+v, %v", list, err)
		}
	}
	if sizes[1] >= sizes[0] || !equal(sets[0].Safe, sets[1].Safe) || !equal(sets[0].Unsafe, sets[1].Unsafe) {
		t.Errorf("got %d bytes compressed and %d plain, want fewer and the same patterns", sizes[1], sizes[0])
	}
}

func TestReadOutside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: t.TempDir(), Key: newKey(t), RequireSigning: true})
	c := save(t, open(t, Options{Dir: dir, Key: newKey(t), RequireSigning: true}), 5)
	if p, got, err := s.ReadOutside(c.Path); err != nil || p.Counter != 5 || got.Signed || got.Manifest == nil {
		t.Errorf("foreign: got %v, %+v, %v, want it read and not signed", p, got, err)
	}
	pythonFile(t, dir, "any.pt", 6)
	if p, got, err := s.ReadOutside(filepath.Join(dir, "any.pt")); err != nil || p.Counter != 6 || !errors.Is(got.Problem, ErrNoManifest) {
		t.Errorf("no manifest: got %v, %+v, %v, want it read", p, got, err)
	}
	if err := change(c.Path, 500); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.ReadOutside(c.Path); !errors.Is(err, ErrDamaged) {
		t.Errorf("changed: got %v, want ErrDamaged", err)
	}
	if _, _, err := s.ReadOutside(filepath.Join(dir, "absent.pt")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: got %v, want fs.ErrNotExist", err)
	}
}

func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	a, b := save(t, s, 1), save(t, s, 2)
	save(t, s, 3)
	folder, err := s.SetAside("rollback", b, a)
	if err != nil || len(names(t, folder)) != 4 {
		t.Errorf("got %q, %v, want a folder with four files", folder, err)
	}
	c := save(t, s, 4)
	again, err := s.SetAside("rollback", c)
	if err != nil || again == folder {
		t.Errorf("got %q, %v, want another folder", again, err)
	}
	newest(t, s, 3, nil)
	if _, err := s.SetAside("../up", c); err == nil {
		t.Error("bad reason: got no error")
	}
	if _, err := s.SetAside("rollback", Checkpoint{Path: "/etc/passwd", Name: "passwd"}); err == nil {
		t.Error("file elsewhere: got no error")
	}
}
