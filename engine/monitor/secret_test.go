package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	private := write("private", token+"\n", 0o600)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(private, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, value, file string
		want, wrong       string
	}{
		{"neither", "", "", "", ""},
		{"variable", token, "", token, ""},
		{"file", "", private, token, ""},
		{"both", token, private, "", "both"},
		{"absent", "", filepath.Join(dir, "absent"), "", "no such file"},
		{"others may read it", "", write("loose", token, 0o644), "", "chmod 600"},
		{"a link", "", link, "", "secret"},
		{"a folder", "", dir, "", "regular file"},
		{"empty", "", write("empty", "\n", 0o600), "", "one line"},
		{"two lines", "", write("two", token+"\n"+token, 0o600), "", "one line"},
		{"too large", "", write("large", strings.Repeat(token, 1000), 0o600), "", "larger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadSecret(func(string) (string, bool) { return c.value, c.value != "" }, "FDQC_X", c.file)
			if string(got) != c.want || (err != nil) != (c.wrong != "") {
				t.Fatalf("got %d bytes and %v, want %d and an error: %q", len(got), err, len(c.want), c.wrong)
			}
			if err != nil && (!strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), token)) {
				t.Errorf("error %q, want it to say %q and not the secret", err, c.wrong)
			}
		})
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	s := Secret(token)
	type holder struct{ S Secret }
	encoded, err := json.Marshal(holder{s})
	if err != nil {
		t.Fatal(err)
	}
	logs := &log{}
	logger(logs).Error("x", "secret", s, "holder", holder{s})
	all := fmt.Sprintf("%s %v %+v %#v %q %x %d", s, s, holder{s}, holder{s}, s, s, s) + string(encoded) + logs.String() +
		s.scrub(errors.New("post "+token)).Error()
	if strings.Contains(all, token) || strings.Contains(all, fmt.Sprintf("%x", token)) {
		t.Errorf("it shows: %s", all)
	}
	if !passing(s.scrub(errors.New(token))) || passing(s.scrub(&PermanentError{errors.New(token)})) {
		t.Error("without the secret an error is another kind of error")
	}
}
