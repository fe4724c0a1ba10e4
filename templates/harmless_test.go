package templates

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		// Names and subjects of every day stay as they are.
		"Li Wei":                        "Li Wei",
		"李伟":                            "李伟",
		"Re: Invoice no.1024, p. 3":     "Re: Invoice no.1024, p. 3",
		"Order 1.5 kg at 10:30, v1.2.3": "Order 1.5 kg at 10:30, v1.2.3",
		"J.R.R. Tolkien, e.g. U.S.A.":   "J.R.R. Tolkien, e.g. U.S.A.",
		"回复：关于订单（11月23日）的问题。谢谢":    "回复：关于订单（11月23日）的问题。谢谢",
		"Zoë O’Neill-Brontë & Co":  "Zoë O’Neill-Brontë & Co",
		"Meet @home, 5 @ 3 Euro":   "Meet @home, 5 @ 3 Euro",
		"<b>bold</b> & \"quoted\"": "<b>bold</b> & \"quoted\"",
		"سلام عليكم":               "سلام عليكم",
		"family 👨‍👩‍👧":             "family 👨‍👩‍👧",
		"AC/DC, and/or, 24/7":      "AC/DC, and/or, 24/7",
		"":                         "",
		// Links and addresses go.
		"Visit http://evil.example/win now": "Visit … now",
		"Visit HTTPS://EVIL.EXAMPLE":        "Visit …",
		"see www.evil.example, please":      "see …, please",
		"Is (evil.com) down?":               "Is (…) down?",
		"请看www.evil.com谢谢":                  "请看…谢谢",
		"请看evil.cn。谢谢":                      "请看…。谢谢",
		"write to a.b@evil.co.uk!":          "write to …!",
		"mailto:x and tel:+1900 and sms:1":  "… and … and …",
		"a http://x http://y.com c":         "a … c",
		"javascript:alert(1)":               "…",
		"bücher.example and пример.рф":      "… and пример. рф",
		"xn--fsq.xn--0zwm56d":               "…",
		"evil．com evil․com ｅｖｉｌ．ｃｏｍ":        "…",
		"ev\u200bil.c\u00adom":              "…",
		"evil\u202e.com":                    "…",
		`\\server\share`:                    "…",
		"1.2.3.4:8080 and 1.2.3.4/x":        "… and …",
		"anna.li":                           "…",
		// Where letters only touch a dot, a space comes between.
		"Mr.Smith":           "Mr. Smith",
		"evil。com":           "evil。 com",
		"invoice.pdf":        "invoice. pdf",
		"Ende.Danach":        "Ende. Danach",
		"你好.谢谢":              "你好. 谢谢",
		"evil.newtldoftoday": "evil. newtldoftoday",
		"你@我":                "你 @ 我",
		// One line, nothing unseen.
		"a\r\nBcc: b\x00\tc":                     "a Bcc: b c",
		"  a \u2028 b\u3000c\u00a0":              "a b c",
		"\u202eabc\u202c\u2066d\u2069":           "abcd",
		"a\u200b\ufeff\U000e0041b\ue000":         "ab",
		"bad \xff\xfe bytes":                     "bad bytes",
		"z\u0300\u0301\u0302\u0303\u0304\u0305a": "z\u0300\u0301\u0302a",
		"\u3164\u115f\u2800 ":                    "",
	} {
		if got := Harmless(in); got != want {
			t.Errorf("Harmless(%q) = %q, want %q", in, got, want)
		}
	}
}

// What mail programs make links of, as far as their habits are known: schemes, www., addresses, and
// words with a dot and a top-level domain, which here is any two letters.
var linkers = []*regexp.Regexp{
	regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://`),
	regexp.MustCompile(`(?i)www\.\S`),
	regexp.MustCompile(`(?i)\b(?:mailto|tel|sms|javascript|data|skype|callto|file|https?|ftp):\S`),
	regexp.MustCompile(`[\p{L}\p{N}\p{M}._%+-][@＠][\p{L}\p{N}]`),
	regexp.MustCompile(`(?i)[\p{L}\p{N}\p{M}_-][.．｡․](?:\p{L}{2,}|xn--)`),
	regexp.MustCompile(`(?i)[a-z0-9]。[a-z]{2,}`),
	regexp.MustCompile(`\\\\\S`),
}

func checkHarmless(t interface {
	Errorf(string, ...any)
}, in, out string) {
	for _, l := range linkers {
		if found := l.FindString(out); found != "" {
			t.Errorf("Harmless(%q) = %q holds %q", in, out, found)
		}
	}
	for _, r := range out {
		if r != '\u200c' && r != '\u200d' && unicode.In(r, unicode.C) || r != ' ' && unicode.IsSpace(r) {
			t.Errorf("Harmless(%q) = %q holds %U", in, out, r)
		}
	}
	if !utf8.ValidString(out) || strings.TrimSpace(out) != out {
		t.Errorf("Harmless(%q) = %q is not tidy", in, out)
	}
	if again := Harmless(out); len(in) < maxValue/2 && again != out {
		t.Errorf("Harmless(%q) = %q and then %q", in, out, again)
	}
}

// shards are what dangerous words are made of; drawn at random they make more than anyone thinks of.
var shards = []string{
	"http", "https", "://", ":", "/", "//", "\\\\", "www", ".", "．", "。", "｡", "․", "@", "＠", "evil", "com", "cn", "example", "xn--", "рф", "中国",
	"mailto:", "tel:", "javascript:", "data:", " ", "\u00a0", "\u200b", "\u200d", "\u202e", "\r\n", "\x00", "\t", "<", ">", "\"", "'", "&", "=", "(", ")", "[", "]",
	"<script>", "</a>", "<a href=", "{{", "}}", "李伟", "é", "\u0301", "-", "_", "*", "…", ",", "1", "22", "A", "ｃ", "\x02", "\x03", "\ue000", "\uf8fe", "\xff", "🙂",
}

func hostile(t *rapid.T, label string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(shards), 0, 12).Draw(t, label), "")
}

// Whatever comes in, nothing that a mail program links comes out.
func TestHarmlessAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := hostile(t, "in")
		checkHarmless(t, in, Harmless(in))
	})
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.String().Draw(t, "in")
		checkHarmless(t, in, Harmless(in))
	})
}

func FuzzHarmless(f *testing.F) {
	for _, s := range []string{"Li Wei", "http://evil.example", "a@b.cn", "evil。com", "你好.com", "\xff.\u200dcom"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := Harmless(in)
		checkHarmless(t, in, out)
		if len(out) > 2*maxValue {
			t.Errorf("%d bytes became %d", len(in), len(out))
		}
	})
}
