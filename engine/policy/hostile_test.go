package policy

// hostile are paths that no agent needs and every check must refuse, by the
// well-known classes of traversal payloads; want is part of the reason.
var hostile = []struct {
	class, want string
	paths       []string
}{
	{"parent folders", "above", []string{
		"..", "../", "../x", "../../x", "../../../etc/passwd", "../../../../../../../../etc/shadow",
		"a/..", "a/../..", "a/../../b", "src/../../secret", "src/a/b/../../../../x", "./..", "./../x", "src/./../../x",
		"a/b/../../../../../../root/.ssh/id_rsa", "/srv/data/../../etc/passwd", "/..", "/../etc/passwd", "/srv/..", "/srv/data/..",
	}},
	{"parent folders in disguise", "", []string{
		"...", "..../x", "....//....//etc/passwd", "...//x", ".../...//x", "..;/x", "..;x/manager", "..%", "..x/", "..a", ".. /x", ".. ", ". ./x", ".. ./x",
		"..~/x", "..$/x", "..+/x", "..../", "......", ". . /x", "..\t/x", "..//..//x", "..///..///x", "..|/x", "..?/x", "..*/x",
	}},
	{"percent escapes", "escape", []string{
		"%2e%2e/x", "%2e%2e%2fx", "%2E%2E%2Fetc%2Fpasswd", ".%2e/x", "%2e./x", "a/%2e%2e/x", "x%2fy", "x%5cy", "%2e", "%2f",
		"src%2f%2e%2e%2fx", "a%00.txt", "a%0a", "a%0d%0ab", "%61", "x%20y", "a%3ab", "%7e/x", "%u002e%u002e/x", "%u2215x", "%u2216x", "%uff0e%uff0e%uff0fx", "%U002E",
	}},
	{"escapes of escapes", "escape", []string{
		"%252e%252e/x", "%252e%252e%252fx", "%25252e", "%255c", "x%252fy", "%25", "%2525", "%%32%65%%32%65/x", "%%2e", "%25%32%65", "%%35%63", "%25u002e", "a%%b",
	}},
	{"escapes of overlong UTF-8", "escape", []string{
		"%c0%ae%c0%ae/x", "%c0%ae%c0%ae%c0%afx", "%c0%af", "%c1%9c", "%e0%80%ae%e0%80%ae/x", "%e0%80%af", "%f0%80%80%ae", "%f0%80%80%af", "%f8%80%80%80%ae", "%fc%80%80%80%80%ae", "%c0%2e", "%c0%5c", "%c1%1c", "%252e%c0%ae",
	}},
	{"overlong and broken UTF-8", "UTF-8", []string{
		"\xc0\xae\xc0\xae/x", "\xc0\xaf", "\xc1\x9c", "\xe0\x80\xae\xe0\x80\xae\xe0\x80\xafx", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "a\xff", "\x80", "a\xed\xa0\x80", "\xed\xb0\x80x", "\xfe\xff", "a\xc3", "\xf4\x90\x80\x80",
	}},
	{"other escapes", "", []string{
		"&#46;&#46;/x", "&#x2e;&#x2e;/x", "a&#47;b", "\\x2e\\x2e/x", "\\u002e\\u002e/x", "\\056\\056/x", "..&#x2f;x",
	}},
	{"backslashes", "", []string{
		"..\\x", "..\\..\\windows\\win.ini", "a\\..\\b", "\\", "\\\\", "\\x", "a\\b", "..\\/x", "../\\x", "C:\\x", "a/..\\../x", "src\\main.go", ".\\x", "\\..\\x",
	}},
	{"shares", "", []string{
		"\\\\server\\share", "\\\\server\\share\\x", "\\\\?\\C:\\x", "\\\\.\\PhysicalDrive0", "\\\\.\\pipe\\x", "\\\\?\\UNC\\server\\share", "//server/share", "//server/share/x", "///x", "//?/C:/x", "//./COM1", "\\/server/share", "/\\server/share",
	}},
	{"drives and schemes", "':'", []string{
		"C:", "C:/x", "c:x", "C:/windows/win.ini", "Z:/", "file:///etc/passwd", "file:x", "http://host/x", "data:x", "zip:x", "php://filter", "jar:file:/x", "a:b",
	}},
	{"streams", "':'", []string{
		"a.txt::$DATA", "a.txt:stream", "a::$INDEX_ALLOCATION/x", "web.config::$data", ":x", "x:", "a/b:c/d", "..::$INDEX_ALLOCATION",
	}},
	{"bytes that end or split names", "control", []string{
		"a\x00", "a\x00.txt", "../\x00x", "\x00", "a\nb", "a\rb", "a\r\nb", "a\tb", "\x1b[31mx", "a\x07", "a\x08b", "a\x7f", "a\u0085b", "a\u0080", "a\u009fb", "x/\x01", "src/\x0bx", "a\x1a",
	}},
	{"dots and spaces that are dropped", "", []string{
		"a.", "a./b", "a..", "a...", "a/b.", "a ", "a /b", " a", "a/ b", " ", "  ", "a. ", "a .", "a . .", "x/. /y", "secret.txt.", "secret.txt ", " ../x", "a/ ../b", ". ", ". /x",
	}},
	{"devices", "device", []string{
		"con", "CON", "prn", "PRN.txt", "aux", "AUX.c", "a/aux.h", "nul", "NUL", "nul.txt", "Nul.tar.gz", "com1", "COM1", "COM9.log", "com0", "lpt1", "LPT9", "lpt1.txt", "x/lpt3/y", "cOn.x", "con .txt",
		"/dev/sda", "/./dev/sda", "/./proc/self/environ", "/proc", "/dev", "/dev/mem", "/dev/null", "/dev/tcp/host/80", "/proc/self/environ", "/proc/1/root/etc/passwd", "/proc/self/fd/3",
	}},
	{"devices with signs", "'$'", []string{"CONIN$", "conout$", "CLOCK$", "$MFT", "$Extend/x"}},
	{"short names", "short name", []string{"PROGRA~1", "progra~1/x", "a/DOCUME~1/b", "SECRET~1.TXT", "x/abcdef~2.md", "WEB~1.CON"}},
	{"homes and variables", "", []string{
		"~", "~/x", "~root", "~root/.ssh", "~+/x", "$HOME/x", "${HOME}/x", "$(id)", "a/$x", "`id`", "%HOME%/%2e", "$PWD/../x", "x/${IFS}y",
	}},
	{"what a shell acts on", "", []string{
		"a;b", "a|b", "a>b", "a<b", "*", "a/*", "a?b", "a`b`", "x$(y)", "a\"b", "*.go", "**/x", "a;rm -rf x", "x||y", "a>/etc/passwd", "<(x)",
	}},
	{"nothing between slashes", "", []string{"a//b", "a///b", ".//", ".//..", "src//", "/srv//data", "a//../b", "", "//"}},
	{"forms of other characters", "", []string{
		"．．/x", "\uff0e\uff0e\uff0fetc", "a\uff0fb", "a\uff3cb", "\ufe52\ufe52/x", "\u2024\u2024/x", "\u2025/x", "\u2026/x", "a\ufe68b", "a\uff1ab", "\uff5e/x", "\uff43on", "COM\u00b9", "com\u00b2", "LPT\u00b3", "\u212aeys", "\ufb01le", "\u2100", "x\u2105", "\u33c2", "e\u0301.txt", "\u1e9b\u0323", "\uff05\uff12\uff45",
	}},
	{"characters that look like others", "", []string{
		"a\u2044b", "a\u2215b", "\u2216x", "a\u29f8b", "a\u29f5b", "\u2571x", "a\u27cbb", "a\u2041b", "\u3002\u3002/x", "\uff61\uff61/x", "\u0701\u0701/x", "\ua4f8\ua4f8/x", "\ua60e/x", "\u06d4\u06d4/x", "\U00010a50\U00010a50/x", "C\ua789/x", "C\u2236/x", "a\u0338b", "a\u0337b", "a\u20e5b", "\u4e3fx", "\u31d3x", "\u1735x", "C\u02d0/x", "C\u0589/x",
	}},
	{"characters that are not seen", "", []string{
		".\u200b./x", ".\u200c.", ".\u200d./x", "\ufeff../x", "a\u2060b", "a\u00adb", "\u202etxt.exe", "a\u202db", "a\u2066b\u2069", "a\u200eb", "a\u200fb", "a\u061cb", "x\ufe0f", "x\U000e0100", "a\U000e0041b", "a\u034fb", "a\u115fb", "a\u3164b", "a\u2800b", "a\u180eb", "a\u2028b", "a\u2029b", "a\ufff9b", "a\ufffdb",
	}},
	{"spaces of other widths", "", []string{"a\u00a0b", "a\u2003b", "a\u3000b", "\u1680x", "a\u202fb", "a\u205fb", "..\u00a0/x"}},
	{"no characters", "", []string{"a\ue000b", "a\U000f0000b", "a\ufdd0b", "a\uffffb", "a\u0378b", "a\U000e0fffb", "a\U0010fffeb"}},
}

// honest are paths of real projects, that all must pass.
var honest = []string{
	"a", "README.md", "src/main.go", "./src/main.go", "src/", ".", "a/./b", ".gitignore", ".github/workflows/ci.yml", "docs/a b.md", "docs/Bob's notes.md",
	"app/[id]/page.tsx", "app/(group)/layout.tsx", "R&D/plan.txt", "100%.txt", "50%off.txt", "a%", "x=1,y=2.csv", "c++/x.cc", "#1.txt", "a#b", "!important", "@types/node/index.d.ts",
	"file~", "a~b", ".x", "a.b.c", "v1.2.3/x", "x-y_z", "{a,b}", "a+b", "^x", "console.log", "contact.txt", "auxiliary.c", "nullable.go", "com10", "com", "lpt", "company/x", "icon/con2.png",
	"données/été.txt", "Überblick.md", "ファイル/データ.txt", "文档/说明.md", "файл.txt", "αρχείο.txt", "ملف.txt", "파일.txt", "फ़ाइल.txt", "naïve.txt", "łódź.txt", "smörgåsbord/x", "日本語 メモ.md", "🙂.txt", "a€b", "x–y.txt", "l·l.txt", "サーバー・設定.txt",
	"very/deep/folder/with/many/parts/in/it/and/a/file.json", "node_modules/.bin/x", "a.tar.gz", "Makefile", "CMakeLists.txt",
}
