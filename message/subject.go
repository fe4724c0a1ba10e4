package message

import (
	"strings"
	"unicode"
)

// cutReplyPrefix removes one prefix such as "Re:", "RE[2]:", "AW :", "回复：".
func cutReplyPrefix(s string) (string, bool) {
	s = strings.TrimSpace(s)
	colon := strings.IndexFunc(s, func(r rune) bool { return r == ':' || r == '：' })
	if colon <= 0 || colon > 30 {
		return s, false
	}
	word := strings.ToLower(s[:colon])
	if i := strings.IndexAny(word, "[(^（"); i > 0 { // a counter
		word = word[:i]
	}
	if !replyPrefixes[strings.TrimSpace(word)] {
		return s, false
	}
	return strings.TrimSpace(strings.TrimLeft(s[colon:], ":：")), true
}

// cutExternalTag removes the "[External]" that a company's gateway writes before subjects.
func cutExternalTag(s string) string {
	s = strings.TrimSpace(s)
	for _, b := range [][2]string{{"[", "]"}, {"【", "】"}} {
		tag, rest, ok := strings.Cut(strings.TrimPrefix(s, b[0]), b[1])
		tag = strings.ToLower(strings.TrimSpace(tag))
		if ok && strings.HasPrefix(s, b[0]) && (tag == "ext" || strings.HasPrefix(tag, "external") || strings.HasPrefix(tag, "外部")) {
			return strings.TrimSpace(rest)
		}
	}
	return s
}

// BareSubject returns a subject without its reply and forward prefixes, however many.
func BareSubject(s string) string {
	for range 50 {
		rest, cut := cutReplyPrefix(cutExternalTag(s))
		if s = rest; !cut {
			break
		}
	}
	return s
}

// NormalSubject returns a subject for comparing: without reply and forward prefixes, blanks folded, in lower case.
func NormalSubject(s string) string {
	return strings.ToLower(strings.Join(strings.FieldsFunc(BareSubject(s), unicode.IsSpace), " "))
}

// LooksLikeReply reports whether a subject begins as that of a reply or a forward does.
func LooksLikeReply(subject string) bool {
	_, cut := cutReplyPrefix(cutExternalTag(subject))
	return cut
}
