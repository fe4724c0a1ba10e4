package templates

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
)

// maxValue is the most of a reader's value that is looked at, in bytes.
const maxValue = 4096

// gone stands where something was left out.
const gone = "…"

// Harmless makes a word of a stranger fit to stand in our letter: one line, no control, format or
// private-use characters (bidirectional overrides and zero-width characters among them), and nothing
// that a mail program would turn into a link, so that nobody can have us send theirs.
//
// A word that is a link or an address (with ://, www., a known scheme, an @ between letters, or ending
// in a real top-level domain) becomes "…". Where letters merely touch a dot ("Mr.Smith", "invoice.pdf"),
// a space is put after it, which reads as well and is no domain. Numbers, times, versions and
// abbreviations stay as they are. What Harmless returns it leaves alone the second time.
func Harmless(s string) string {
	s = oneLine(s)
	if !touchy(s) {
		return s
	}
	return loosen(dropLinks(s))
}

// touchy tells whether s holds any character without which there is no link.
func touchy(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.', c == ':', c == '@', c == '\\':
			return true
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			if dotLike(r) || r == '。' || r == '＠' {
				return true
			}
			i += size - 1
		}
	}
	return false
}

// oneLine folds white space to single spaces and leaves out everything that cannot be seen. It is for
// values of any kind, the shop's own too: line ends in them could add a header or a mark of ours.
func oneLine(s string) string {
	if len(s) > maxValue {
		s = s[:maxValue]
	}
	if tidy(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	var last, joiner rune // the last rune written, and a joiner that waits for the next
	space, marks := false, 0
	for i, r := range s {
		switch {
		case unicode.IsSpace(r) || r == '\u2028' || r == '\u2029':
			space = true
			continue
		case r == utf8.RuneError && isBroken(s[i:]):
			continue
		case joins(r):
			joiner = r
			continue
		case unicode.In(r, unicode.C):
			continue
		case r == '\u034f' || r == '\u115f' || r == '\u1160' || r == '\u3164' || r == '\uffa0' || r == '\u2800':
			continue // letters and marks that show nothing
		case unicode.Is(unicode.M, r):
			if marks++; marks > 3 {
				continue // towers of accents reach into the lines around
			}
		default:
			marks = 0
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		// Joiners are for emoji and Persian; beside ASCII they only hide something.
		if joiner != 0 && !space && last >= utf8.RuneSelf && r >= utf8.RuneSelf && !dotLike(r) {
			b.WriteRune(joiner)
		}
		space, joiner = false, 0
		b.WriteRune(r)
		last = r
	}
	return b.String()
}

// tidy is the quick answer for nearly all values: nothing in s needs oneLine's attention.
func tidy(s string) bool {
	space := true // a leading space is not tidy
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f || c == ' ' && space {
				return false
			}
			space = c == ' '
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		// Latin with accents, Han, its punctuation but the ideographic space, full-width forms.
		if !(r >= 0xC0 && r <= 0x24F || r >= 0x4E00 && r <= 0x9FFF || r >= 0x3001 && r <= 0x3029 || r >= 0xFF01 && r <= 0xFF5E ||
			r >= 0x2018 && r <= 0x201D || r == 0x2026 || r == 0x2014 || r == 0x2013) {
			return false
		}
		space = false
		i += size
	}
	return !space || s == ""
}

func joins(r rune) bool { return r == '\u200c' || r == '\u200d' }

func isBroken(s string) bool {
	_, size := utf8.DecodeRuneInString(s)
	return size == 1
}

// dropLinks puts "…" in the place of every run of characters that a mail program would make a link of.
func dropLinks(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !urlRune(r) {
			b.WriteString(s[i : i+size])
			i += size
			continue
		}
		end := i + size
		for end < len(s) {
			r, size := utf8.DecodeRuneInString(s[end:])
			if !urlRune(r) {
				break
			}
			end += size
		}
		run := s[i:end]
		i = end
		// What comes after the value in a letter is not known here, so its end counts as something.
		if !linkLike(run, i == len(s) || s[i] != ' ') {
			b.WriteString(run)
			continue
		}
		// The brackets around a link and the full stop after it belong to the sentence.
		head, after := len(run)-len(strings.TrimLeft(run, "([{'*_-")), ".,;:!?"
		if head > 0 {
			after += ")]}'*_-"
		}
		tail := len(strings.TrimRight(run, after))
		b.WriteString(run[:head])
		if !strings.HasSuffix(strings.TrimRight(b.String(), " "), gone) {
			b.WriteString(gone)
		}
		b.WriteString(run[max(head, tail):])
	}
	return strings.TrimSpace(b.String())
}

// urlRune tells whether r can be part of a URL, of a domain in any alphabet that sets spaces between
// words, or of an address.
func urlRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r > ' ' && r < 0x7f && !strings.ContainsRune("\"<>^`{|}", r)
	}
	if dotLike(r) || r == '＠' {
		return true
	}
	return (unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.M, r)) &&
		!unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// dotLike are the characters that a resolver takes for the dot of a domain (UTS 46), but for the
// ideographic full stop, which ends Chinese sentences; and the one dot leader that looks like one.
func dotLike(r rune) bool { return r == '.' || r == '．' || r == '｡' || r == '․' }

// schemes are those that mail programs open without "//" after the colon.
var schemes = map[string]bool{
	"http": true, "https": true, "ftp": true, "file": true, "mailto": true, "tel": true, "sms": true, "callto": true, "skype": true,
	"facetime": true, "whatsapp": true, "magnet": true, "news": true, "geo": true, "sip": true, "sips": true, "xmpp": true,
	"javascript": true, "vbscript": true, "data": true, "blob": true, "cid": true, "bitcoin": true, "webcal": true, "maps": true, "intent": true,
}

// linkLike tells whether a mail program would make a link of something in run; more says that
// something other than a space follows it.
func linkLike(run string, more bool) bool {
	narrow := fold(run)
	return opens(narrow, more) || len(narrow) != len(run) && opens(strings.ToLower(run), more)
}

func opens(s string, more bool) bool {
	if strings.Contains(s, "://") || strings.Contains(s, `\\`) {
		return true
	}
	for i := 0; i < len(s); i++ {
		if i+1 == len(s) && !more {
			break
		}
		switch s[i] {
		case ':':
			if schemes[trailingLetters(s[:i])] {
				return true
			}
		case '@':
			if i > 0 {
				return true
			}
		case '.':
			if strings.HasSuffix(s[:i], "www") || i > 0 && wordByte(s[i-1]) && topLevel(s[i+1:]) {
				return true
			}
		}
	}
	return numericHost(s)
}

// fold lowers ASCII letters and brings full-width forms and dots to ASCII.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case dotLike(r):
			return '.'
		case r >= 0xFF01 && r <= 0xFF5E:
			r -= 0xFEE0
		}
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

func trailingLetters(s string) string {
	i := len(s)
	for i > 0 && s[i-1] >= 'a' && s[i-1] <= 'z' {
		i--
	}
	return s[i:]
}

// wordByte tells whether c, of folded text, can end a label; the bytes of other alphabets can.
func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c >= utf8.RuneSelf
}

// topLevel tells whether s begins with a label that is a top-level domain: one that ICANN has given
// out, a reserved one (RFC 2606 §2, RFC 6761, RFC 6762), or one written in Punycode.
func topLevel(s string) bool {
	end := 0
	for end < len(s) && (s[end] >= 'a' && s[end] <= 'z' || s[end] >= '0' && s[end] <= '9' || s[end] == '-') {
		end++
	}
	if strings.HasPrefix(s, "xn--") {
		return true
	}
	switch label := s[:end]; label {
	case "":
		return false
	case "example", "test", "invalid", "localhost", "local", "internal", "onion", "lan", "home", "corp":
		return true
	default:
		suffix, icann := publicsuffix.PublicSuffix(label)
		return icann && suffix == label
	}
}

// numericHost tells whether s holds four numbers with dots between, and a port or a path after them.
func numericHost(s string) bool {
	dots, digits := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && digits > 0:
			dots, digits = dots+1, 0
		case (c == '/' || c == ':') && dots >= 3 && digits > 0:
			return true
		default:
			dots, digits = 0, 0
		}
	}
	return false
}

// loosen puts a space where letters still touch a dot or an @, whatever the alphabet: the last guard
// against top-level domains that this program has not heard of.
func loosen(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 8)
	var left rune
	for i, r := range s {
		after := s[i+utf8.RuneLen(r):]
		switch {
		case r == ' ' && left == ' ': // something between was left out
		case (r == '@' || r == '＠') && wordRune(left) && startsWord(after):
			b.WriteString(" @ ")
		case dotLike(r) && wordRune(left) && (startsLabel(after) || strings.HasPrefix(fold(after), "xn--")),
			r == '。' && left < utf8.RuneSelf && wordRune(left) && after != "" && after[0] < utf8.RuneSelf && startsLabel(after):
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
		left = r
	}
	return b.String()
}

func wordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.M, r) || r == '-' || r == '_'
}

func startsWord(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return wordRune(r) && s != ""
}

// startsLabel tells whether s begins with two letters, the least a top-level domain has.
func startsLabel(s string) bool {
	first, size := utf8.DecodeRuneInString(s)
	second, _ := utf8.DecodeRuneInString(s[size:])
	return s != "" && len(s) > size && unicode.IsLetter(first) && (unicode.IsLetter(second) || unicode.Is(unicode.M, second))
}

// cut shortens s to at most n characters, at a space if one is near, and says so with "…".
func cut(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	end, count := 0, 0
	for i := range s {
		if count == n-1 {
			end = i
			break
		}
		count++
	}
	s = s[:end]
	if i := strings.LastIndexByte(s, ' '); i > len(s)*3/4 {
		s = s[:i]
	}
	return strings.TrimRight(s, " ,.;:-") + gone
}
