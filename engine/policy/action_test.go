package policy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseAction(t *testing.T) {
	for _, c := range []struct{ text, want, field string }{
		{`{"tool":"edit","path":"a.txt","args":{"b":1,"a":"x"}}`, `{"args":{"a":"x","b":1},"path":"a.txt","tool":"edit"}`, ""},
		{`{"process":"git","args":["log","-1"]}`, `{"args":["log","-1"],"process":"git"}`, ""},
		{` { "tool" : "\u0065dit", "args" : null } `, `{"tool":"edit"}`, ""},
		{`{"tool":"x","nonce":"n","time":"t"}`, `{"tool":"x"}`, ""},
		{`{"tool":"x","path":null}`, `{"tool":"x"}`, ""},
		{`{"path":"..\/x"}`, `{"path":"../x"}`, ""}, // it can be read; checks refuse it
		{``, "", "action"}, {`[]`, "", "action"}, {`"x"`, "", "action"}, {`{}`, "", "action"}, {`{"args":[]}`, "", "action"},
		{`{"tool":"x"`, "", "action"}, {`{"tool":"x"} {}`, "", "action"}, {`{"tool":"x","tool":"y"}`, "", "action"},
		{`{"tool":"x","Path":"a"}`, "", "action"}, {`{"tool":"x","file":"a"}`, "", "action"}, {`{"tool":1}`, "", "action"}, {`{"path":["a"]}`, "", "action"},
		{`{"tool":"x","path":"a","path":"b"}`, "", "action"}, {`{"tool":"x","path":"a","\u0070ath":"b"}`, "", "action"},
		{`{"path":"\ud800"}`, "", "action"}, {"{\"path\":\"\xff\"}", "", "action"}, {"{\"path\":\"a\nb\"}", "", "action"},
		{`{"tool":"x","args":[9007199254740992,0.1,-0.0,1.50e+2,5e-324,1e22]}`, `{"args":[9007199254740992,0.1,0,150,5e-324,1e+22],"tool":"x"}`, ""},
		{`{"tool":"x","args":[9007199254740993]}`, "", "args"}, {`{"tool":"x","args":{"a":{"b":0.10000000000000001}}}`, "", "args"}, {`{"tool":"x","args":[1e400]}`, "", "args"}, {`{"tool":"x","args":[1e-400]}`, "", "args"}, {`{"tool":"x","args":[1e99999999999999999999]}`, "", "args"},
		{`{"tool":"x","args":1}`, "", "args"}, {`{"tool":"x","args":true}`, "", "args"}, {`{"tool":"x","args":{"a":1,"a":2}}`, "", "action"},
		{`{"tool":"` + strings.Repeat("x", MaxAction) + `"}`, "", "action"},
		{`{"tool":"x","args":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, "", "action"},
	} {
		a, err := ParseAction([]byte(c.text))
		if c.field != "" {
			var refused *ActionError
			if !errors.As(err, &refused) || refused.Field != c.field {
				t.Errorf("%.100s: got %+v, %v, want it refused by %s", c.text, a, err, c.field)
			}
			continue
		}
		if err != nil {
			t.Errorf("%.100s: %v", c.text, err)
			continue
		}
		if got, err := a.Text(); err != nil || got != c.want {
			t.Errorf("%.100s: got %s, %v, want %s", c.text, got, err, c.want)
		}
	}
}

func TestProcessesAndArguments(t *testing.T) {
	root := t.TempDir()
	some, err := NewChecks(nil, []string{"git", "/usr/bin/make", "g++"}, root)
	if err != nil {
		t.Fatal(err)
	}
	free := checks(t, root)
	for _, c := range []struct {
		checks      *Checks
		text, field string
	}{
		{some, `{"process":"git","args":["log","--format=%H %s","HEAD~1..main","a^","x/y.go","50%"]}`, ""},
		{some, `{"process":"/usr/bin/make","args":"all CC=gcc"}`, ""},
		{some, `{"process":"g++","args":{"flags":["-O2",{"std":"c++17"}],"n":1,"b":true,"z":null}}`, ""},
		{some, `{"tool":"edit","args":{"text":"a; b | c $(d)\n\t"}}`, ""}, // no shell sees it
		{free, `{"process":"ls"}`, ""}, {free, `{"process":"/bin/ls"}`, ""},
		{some, `{"process":"ls"}`, "process"}, {some, `{"process":"GIT"}`, "process"}, {some, `{"process":"/usr/bin/git"}`, "process"}, {some, `{"process":"make"}`, "process"},
		{some, `{"process":"/usr/bin/../bin/make"}`, "process"}, {some, `{"process":"/usr/bin//make"}`, "process"}, {some, `{"process":"git "}`, "process"},
		{some, `{"process":"git.exe"}`, "process"}, {some, `{"process":"git\u0000"}`, "process"}, {some, `{"process":""}`, "process"},
		{checks(t, root, "**"), `{"process":"git"}`, "process"}, // something is configured, and no process
		{free, `{"process":""}`, "process"}, {free, `{"process":"./x"}`, "process"}, {free, `{"process":"../x"}`, "process"}, {free, `{"process":"a/b"}`, "process"}, {free, `{"process":".."}`, "process"}, {free, `{"process":"."}`, "process"},
		{free, `{"process":"-c"}`, "process"}, {free, `{"process":"sh -c id"}`, "process"}, {free, `{"process":"a;b"}`, "process"}, {free, `{"process":"$SHELL"}`, "process"}, {free, "{\"process\":\"`id`\"}", "process"},
		{free, `{"process":"a|b"}`, "process"}, {free, `{"process":"a&&b"}`, "process"}, {free, `{"process":"a\nb"}`, "process"}, {free, `{"process":"~/x"}`, "process"}, {free, `{"process":"C:x"}`, "process"}, {free, `{"process":"a\\b"}`, "process"},
		{free, `{"process":"X=1"}`, "process"}, {free, `{"process":"b\u0430sh"}`, "process"}, {free, `{"process":"ba\u200bsh"}`, "process"}, {free, `{"process":"\uff53h"}`, "process"}, {free, `{"process":"//bin/sh"}`, "process"}, {free, `{"process":"/bin/sh/"}`, "process"},
		{free, `{"process":"ls","args":"a; b"}`, "args"}, {free, `{"process":"ls","args":["x","a|b"]}`, "args"}, {free, `{"process":"ls","args":{"k":{"k":["a&b"]}}}`, "args"}, {free, `{"process":"ls","args":{"a;b":1}}`, "args"},
		{free, `{"process":"ls","args":["$(id)"]}`, "args"}, {free, "{\"process\":\"ls\",\"args\":[\"`id`\"]}", "args"}, {free, `{"process":"ls","args":["a\nb"]}`, "args"}, {free, `{"process":"ls","args":["a\u0000"]}`, "args"},
		{free, `{"process":"ls","args":[">x"]}`, "args"}, {free, `{"process":"ls","args":["<x"]}`, "args"}, {free, `{"process":"ls","args":["*.go"]}`, "args"}, {free, `{"process":"ls","args":["a?"]}`, "args"}, {free, `{"process":"ls","args":["[a]"]}`, "args"},
		{free, `{"process":"ls","args":["{a,b}"]}`, "args"}, {free, `{"process":"ls","args":["!!"]}`, "args"}, {free, `{"process":"ls","args":["'x"]}`, "args"}, {free, `{"process":"ls","args":["\"x"]}`, "args"}, {free, `{"process":"ls","args":["a\\b"]}`, "args"},
		{free, `{"process":"ls","args":["~root"]}`, "args"}, {free, `{"process":"ls","args":["#x"]}`, "args"}, {free, `{"process":"ls","args":["(x"]}`, "args"}, {free, `{"process":"ls","args":["${IFS}"]}`, "args"},
		{free, `{"process":"ls","args":["../x"]}`, "args"}, {free, `{"process":"ls","args":["-C../x"]}`, "args"}, {free, `{"process":"ls","args":["-I.."]}`, "args"}, {free, `{"process":"ls","args":["--out=../x"]}`, "args"}, {free, `{"process":"ls","args":["a/../../x"]}`, "args"}, {free, `{"process":"ls","args":[".."]}`, "args"}, {free, `{"process":"ls","args":["host:../x"]}`, "args"},
		{free, `{"process":"ls","args":["%2e%2e/x"]}`, "args"}, {free, `{"process":"ls","args":["\uff1bid"]}`, "args"}, {free, `{"process":"ls","args":["\u202ex"]}`, "args"}, {free, `{"process":"ls","args":["a\u200b"]}`, "args"},
		{free, `{"tool":"shell","args":"rm -rf x; id"}`, "args"}, // one text is a command line
		{free, `{"tool":"edit","args":{"text":"a\u0000"}}`, "args"}, {free, `{"tool":"edit","args":["\u001b[31m"]}`, "args"},
		{free, `{"process":"go","args":["test","./...","."]}`, ""}, {free, `{"process":"git","args":["diff","origin/main","a b"]}`, ""}, // no such files
		{free, `{"process":"ls","args":["/etc"]}`, "args"}, {free, `{"process":"ls","args":["--out=/etc/x"]}`, "args"}, {free, `{"process":"cc","args":["-I/usr/include"]}`, "args"}, {free, `{"process":"ls","args":"-l /etc"}`, "args"},
		{free, `{"tool":"edit","args":{"url":"https://host/a/../b","text":"/ and .. and ~ are words","diff":"--- /dev/null\n+++ b/x"}}`, ""},
		{free, `{"tool":"edit","args":{"path":"src/main.go","filePath":"a","files":["a",{"name":"b"}],"profile":"/"}}`, "args"}, {free, `{"tool":"edit","args":{"path":"src/main.go","filePath":"a","files":["a",{"name":"b"}]}}`, ""},
		{free, `{"tool":"edit","args":{"path":"../x"}}`, "args"}, {free, `{"tool":"edit","args":{"edits":[{"new_file":"a\u202eb"}]}}`, "args"}, {free, `{"tool":"move","args":{"source":"a","destination":"C:\\x"}}`, "args"},
		{free, `{"tool":"read","args":{"files":["a","%2e%2e/x"]}}`, "args"}, {free, `{"tool":"read","args":{"targetDir2":"a:b"}}`, "args"}, {free, `{"tool":"read","args":{"src-path":"con"}}`, "args"},
		{free, `{"tool":"read","args":{"x":"/etc/passwd"}}`, "args"}, {free, `{"tool":"read","args":["~/x"]}`, "args"}, {free, `{"tool":"read","args":["a/../../x"]}`, "args"}, {free, `{"tool":"read","args":["a\\..\\x"]}`, "args"}, {free, `{"tool":"read","args":{"x":"FILE:///etc/passwd"}}`, "args"},
		{free, `{"process":"ls","args":[` + strings.Repeat(`"a b",`, 512) + `"a"]}`, "args"}, {free, `{"process":"ls","args":[` + strings.Repeat(`"a b",`, 511) + `"a"]}`, ""}, {free, `{"tool":"read","args":{"files":[` + strings.Repeat(`"a",`, 1024) + `"a"]}}`, "args"},
		{free, `{"process":"git","args":["clone","https://host/x/y.git"]}`, ""}, {free, `{"process":"pip","args":["install","--index-url=https://host/simple","git+ssh://git@host/x"]}`, ""}, {free, `{"tool":"fetch","args":"https://host/a"}`, ""},
		{free, `{"process":"curl","args":["file:///etc/passwd"]}`, "args"}, {free, `{"process":"psql","args":["unix:///etc/x"]}`, "args"}, {free, `{"process":"x","args":["a://etc/x"]}`, "args"}, {free, `{"process":"git","args":["https://host/x=/etc/x"]}`, "args"},
		{free, `{"process":"tar","args":["-xzf/etc/x"]}`, "args"}, {free, `{"process":"cc","args":["-C./new/x","-Lno.such/x"]}`, ""},
		{free, `{"tool":"read","args":{"path":"ab://../../etc/passwd"}}`, "args"}, {free, `{"tool":"read","args":{"path":"x://etc"}}`, "args"}, {free, `{"tool":"read","args":{"path":"https://host/../../../etc/passwd"}}`, "args"}, {free, `{"tool":"read","args":{"x":"ab://../../etc/passwd"}}`, "args"},
		{free, `{"tool":"read","args":{"x":"/etc/passwd\n"}}`, "args"}, {free, `{"tool":"read","args":{"x":"` + strings.Repeat("/.", 3000) + `/etc/passwd"}}`, "args"}, {free, `{"tool":"show","args":{"jpeg":"/9j/` + strings.Repeat("4AAQ", 2000) + `"}}`, ""},
		{free, `{"tool":"write","args":{"files":{"/etc/passwd":"x"}}}`, "args"}, {free, `{"tool":"write","args":{"x":{"../y":1}}}`, "args"}, {free, `{"tool":"write","args":{"files":{"a/b":"x","c":"y"}}}`, ""},
		{free, `{"tool":"write","args":{"file_name":"a:b"}}`, "args"}, {free, `{"tool":"write","args":{"fileName":"a:b"}}`, "args"}, {free, `{"tool":"write","args":{"PDFPath":"a:b"}}`, "args"}, {free, `{"tool":"write","args":{"file_size":"a:b","name":"a:b"}}`, ""},
		{free, `{"tool":"notebook","args":{"notebook_path":"a.ipynb","new_source":"for x in y: z","source":"import os\nprint(1)\n"}}`, ""}, {free, `{"tool":"move","args":{"source":"a:b"}}`, "args"}, {free, `{"tool":"move","args":{"source":"/etc/passwd\n"}}`, "args"},
		{free, `{"tool":"bash","args":{"command":"go test ./engine -run X","timeout":5}}`, ""}, {free, `{"tool":"editor","args":{"command":"str_replace","path":"a.go","new_str":"a; b | c"}}`, ""},
		{free, `{"tool":"bash","args":{"command":"cat /etc/passwd"}}`, "args"}, {free, `{"tool":"bash","args":{"command":"ls; id"}}`, "args"}, {free, `{"tool":"bash","args":{"shellCommand":"$(id)"}}`, "args"}, {free, `{"tool":"bash","args":{"commands":["ls","a | b"]}}`, "args"}, {free, `{"tool":"bash","args":{"cmd":["ls","../x"]}}`, "args"},
		{some, `{"tool":"bash","args":{"command":"git log -1"}}`, ""}, {some, `{"tool":"bash","args":{"command":"rm -r x"}}`, "args"}, {some, `{"tool":"bash","args":{"command":"X=1 git log"}}`, "args"}, {some, `{"tool":"editor","args":{"command":"view"}}`, ""},
		{free, `{"tool":"a b"}`, "tool"}, {free, `{"tool":"a;b"}`, "tool"}, {free, `{"tool":"\u0430"}`, "tool"}, {free, `{"tool":"` + strings.Repeat("x", 257) + `"}`, "tool"}, {free, `{"tool":"a\n"}`, "tool"},
		{free, `{"tool":"mcp__fs.read-file:v1/x"}`, ""},
	} {
		a, err := ParseAction([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		err = c.checks.Check(a)
		var refused *ActionError
		if got := ""; errors.As(err, &refused) {
			if got = refused.Field; got != c.field {
				t.Errorf("%s: got %v, want it refused by %q", c.text, err, c.field)
			}
		} else if err != nil || c.field != "" {
			t.Errorf("%s: got %v, want it refused by %q", c.text, err, c.field)
		}
	}
	for _, name := range []string{"", "a b", "../x", "a;b", "x/y"} {
		if _, err := NewChecks(nil, []string{name}, root); err == nil {
			t.Errorf("allowed process %q: got no error", name)
		}
	}
}

// TestPathsInArguments: those that can be told are held against the lists, and
// lead nowhere else.
func TestPathsInArguments(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "src"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"src/out", "etc"} {
		if err := os.Symlink("/etc", filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := NewChecks([]string{"src/**", "/srv/**"}, []string{"cat"}, root)
	if err != nil {
		t.Fatal(err)
	}
	for text, passes := range map[string]bool{
		`{"tool":"read","args":{"path":"src/a"}}`: true, `{"tool":"read","args":{"path":"/srv/a"}}`: true, `{"tool":"read","args":["/srv/a"]}`: true,
		`{"tool":"read","args":{"path":"docs/a"}}`: false, `{"tool":"read","args":{"path":"/etc/a"}}`: false, `{"tool":"read","args":{"path":"src/out/a"}}`: false,
		`{"tool":"read","args":{"note":"docs/a"}}`: true, // nobody can tell
		`{"process":"cat","args":["src/a","-n"]}`:  true, `{"process":"cat","args":["/srv/a"]}`: true, `{"process":"cat","args":["docs/a"]}`: true,
		`{"process":"cat","args":["src/out/passwd"]}`: false, `{"process":"cat","args":["etc/passwd"]}`: false, `{"process":"cat","args":["-xetc/passwd"]}`: false, `{"process":"cat","args":["--from=./etc"]}`: false,
		`{"process":"cat","args":["/etc/passwd"]}`: false, `{"process":"cat","args":["././etc/passwd"]}`: false, `{"process":"cat","args":[".//etc/passwd"]}`: false,
		`{"tool":"write","args":{"files":{"src/a":"x"}}}`: true, `{"tool":"write","args":{"files":{"docs/a":"x"}}}`: false, `{"tool":"write","args":{"files":[{"path":"src/a"}]}}`: true,
	} {
		a, err := ParseAction([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(a); (err == nil) != passes {
			t.Errorf("%s: got %v, want it to pass: %t", text, err, passes)
		}
	}
}

// TestRelativePathsFromTheTop: a folder of everything holds devices too.
func TestRelativePathsFromTheTop(t *testing.T) {
	c := checks(t, "/", "**")
	for p, passes := range map[string]bool{"proc/self/environ": false, "dev/null": false, "sys/kernel": false, "./proc/1": false, "process": true} {
		if err := pathOf(c, p); (err == nil) != passes {
			t.Errorf("%q: got %v, want it to pass: %t", p, err, passes)
		}
	}
}

// FuzzAction: what can be read means the same after it was written again, and
// no program gets an argument that a shell acts on.
func FuzzAction(f *testing.F) {
	for _, text := range []string{
		`{"tool":"edit","path":"a.txt","args":{"b":1,"a":"x"}}`, `{"process":"git","args":["log","-1"]}`, `{"process":"git","args":"log; id"}`, `{"path":"..\/x"}`,
	} {
		f.Add([]byte(text))
	}
	c := checks(f, f.TempDir())
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<13 {
			return
		}
		a, err := ParseAction(text)
		if err != nil {
			return
		}
		canonical, err := a.Text()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := ParseAction([]byte(canonical))
		if err != nil {
			if a.Tool == "" && a.Path == nil && a.Process == nil {
				return // an empty tool is none
			}
			t.Fatalf("%q, written again as %q: %v", text, canonical, err)
		}
		if twice, err := again.Text(); err != nil || twice != canonical {
			t.Errorf("%q: got %q, %v after %q", text, twice, err, canonical)
		}
		if c.Check(a) == nil && a.Process != nil && strings.ContainsAny(string(a.Args), "|&;<>$`*?\n") {
			t.Errorf("%q passes", text)
		}
	})
}
