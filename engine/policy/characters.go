package policy

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// lookalikes are characters that are read as a dot, a slash, a backslash, a
// colon or nothing, and that normalisation leaves alone. (From the confusables
// of Unicode Technical Standard 39, and invisible letters.)
const lookalikes = "" +
	"\u06d4\u0701\u0702\u3002\ua4f8\ua60e\U00010a50\U0001d16d\u2219\u22c5" + // dots
	"\u1735\u2041\u2044\u2215\u2571\u27cb\u29f8\u2cc6\u2f03\u3033\u31d3\u4e3f\U0001d23a\u0337\u0338\u20e5\u2afd\u2afb" + // slashes
	"\u2216\u27cd\u29f5\u29f9\u31d4\U0001d20f\U0001d23b" + // backslashes
	"\u02d0\u02f8\u0589\u05c3\u0703\u0704\u16ec\u1803\u1809\u205a\u2236\ua4fd\ua789" + // colons
	"\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufffd" // nothing to be seen

// strange says what is wrong with the characters of a name, "" for nothing:
// only text that is what it looks like, in one way, is judged further.
func strange(text string) string {
	if !utf8.ValidString(text) {
		return "is no valid UTF-8"
	}
	for _, r := range text {
		if r < utf8.RuneSelf && r >= ' ' && r != 0x7f {
			continue
		}
		switch {
		case unicode.IsControl(r):
			return fmt.Sprintf("holds the control character %U", r)
		case unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Zl, unicode.Zp):
			return fmt.Sprintf("holds %U, which changes how text is shown or is not seen", r)
		case unicode.Is(unicode.Zs, r):
			return fmt.Sprintf("holds the space %U, expected no other than U+0020", r)
		case strings.ContainsRune(lookalikes, r):
			return fmt.Sprintf("holds %U, which looks like another character", r)
		case !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S):
			return fmt.Sprintf("holds %U, which is no character that is in use", r)
		}
	}
	if !norm.NFKC.IsNormalString(text) {
		return "is not normalised (NFKC): another text looks the same"
	}
	return ""
}

// encoded says whether text holds an escape that something may decode: %2e,
// %252e, %u002e, &#46;.
func encoded(text string) bool {
	hex := func(i int) bool {
		return i < len(text) && strings.IndexByte("0123456789abcdefABCDEF", text[i]) >= 0
	}
	for i := range len(text) {
		switch text[i] {
		case '%':
			if hex(i+1) && hex(i+2) || i+1 < len(text) && text[i+1]|0x20 == 'u' && hex(i+2) || i+1 < len(text) && text[i+1] == '%' {
				return true
			}
		case '&':
			if i+1 < len(text) && text[i+1] == '#' {
				return true
			}
		}
	}
	return false
}
