package message

import (
	"strings"
	"unicode"

	"github.com/abadojack/whatlanggo"
)

// Scripts of languages that are not written in Latin letters. Japanese is told from Chinese by its kana.
var scripts = map[string]*unicode.RangeTable{
	"zh": unicode.Han, "ja": unicode.Hiragana, "ko": unicode.Hangul,
	"ru": unicode.Cyrillic, "uk": unicode.Cyrillic, "be": unicode.Cyrillic, "bg": unicode.Cyrillic, "sr": unicode.Cyrillic, "mk": unicode.Cyrillic,
	"kk": unicode.Cyrillic, "mn": unicode.Cyrillic, "el": unicode.Greek, "he": unicode.Hebrew, "yi": unicode.Hebrew,
	"ar": unicode.Arabic, "fa": unicode.Arabic, "ur": unicode.Arabic, "th": unicode.Thai,
	"hi": unicode.Devanagari, "mr": unicode.Devanagari, "ne": unicode.Devanagari,
	"bn": unicode.Bengali, "ta": unicode.Tamil, "te": unicode.Telugu, "ka": unicode.Georgian, "hy": unicode.Armenian,
}

const (
	languageSample = 2000 // bytes that are looked at
	fewLetters     = 40   // a text shorter than this asks its subject too
	hanWeight      = 3    // a Han character says about as much as three letters
)

// Language returns which of the given languages ("en", "zh", "zh-CN") the new text is in, or the subject where there is little text; ""
// when unsure. Text in Latin letters goes to the only such language if there is just one: it is the nearest the reader can get.
func (m *Message) Language(among []string) string {
	if l := language(m.NewText, among); l != "" && (len(m.NewText) > fewLetters || LooksLikeReply(m.Subject)) {
		return l
	}
	text := m.NewText
	if !LooksLikeReply(m.Subject) || text == "" { // the subject of a reply is the words of somebody else
		text += " " + BareSubject(m.Subject)
	}
	return language(text, among)
}

func language(text string, among []string) string {
	text = onlyWords(capBytes(text, languageSample))
	counts := map[*unicode.RangeTable]int{}
	latin, total := 0, 0
	for _, r := range text {
		if r < 0x80 { // most letters of most texts
			if isLetter(byte(r)) {
				latin++
			}
		} else if script, weight := scriptOf(r); script != nil {
			counts[script] += weight
			total += weight
		}
	}
	counts[unicode.Latin] += latin
	if total += latin; total < 2 {
		return ""
	}
	if kana := counts[unicode.Hiragana]; kana*3 > counts[unicode.Han] {
		counts[unicode.Hiragana], counts[unicode.Han] = kana+counts[unicode.Han], 0
	}
	var script *unicode.RangeTable
	for _, s := range scriptOrder {
		if counts[s] > counts[script] {
			script = s
		}
	}
	var candidates []string
	for _, l := range among {
		if scriptOfLanguage(l) == script {
			candidates = append(candidates, l)
		}
	}
	switch {
	case counts[script]*2 < total || len(candidates) == 0:
		return ""
	case len(candidates) == 1 || base(candidates[0]) == "zh":
		return candidates[0]
	}
	return decide(text, candidates)
}

// decide chooses between languages of one script: by common words, then by statistics over groups of three letters.
func decide(text string, candidates []string) string {
	best, votes, second := "", 0, 0
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' && r != '-' })
	for _, l := range candidates {
		n := 0
		for _, w := range words {
			if commonWords[base(l)][w] {
				n++
			}
		}
		switch {
		case n > votes:
			best, votes, second = l, n, votes
		case n > second:
			second = n
		}
	}
	if votes > 0 && votes >= 2*second {
		return best
	}
	allowed := map[whatlanggo.Lang]bool{}
	for l := whatlanggo.Afr; l <= whatlanggo.Zul; l++ {
		for _, c := range candidates {
			if l.Iso6391() == base(c) {
				allowed[l] = true
			}
		}
	}
	if len(allowed) < 2 || len(text) < 20 {
		return ""
	}
	info := whatlanggo.DetectWithOptions(text, whatlanggo.Options{Whitelist: allowed})
	if info.Confidence < 0.5 {
		return ""
	}
	for _, c := range candidates {
		if info.Lang.Iso6391() == base(c) {
			return c
		}
	}
	return ""
}

// onlyWords drops addresses, links and codes such as order numbers: they are in no language.
func onlyWords(text string) string {
	var out strings.Builder
	for word := range strings.FieldsSeq(text) {
		if strings.Contains(word, "@") || strings.Contains(word, "://") || strings.HasPrefix(word, "www.") {
			continue
		}
		if isASCII(word) && strings.ContainsAny(word, "0123456789") {
			continue
		}
		out.WriteString(word)
		out.WriteByte(' ')
	}
	return out.String()
}

func base(language string) string {
	l, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(language), "_", "-"), "-")
	return l
}

func scriptOfLanguage(l string) *unicode.RangeTable {
	if s := scripts[base(l)]; s != nil {
		return s
	}
	return unicode.Latin
}

// scriptOrder is the order in which scripts are tried, and preferred where they are even: Latin letters stand in every text.
var scriptOrder = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Hangul, unicode.Cyrillic, unicode.Greek, unicode.Hebrew, unicode.Arabic, unicode.Thai,
	unicode.Devanagari, unicode.Bengali, unicode.Tamil, unicode.Telugu, unicode.Georgian, unicode.Armenian, unicode.Latin,
}

// scriptOf returns the script of a letter beyond ASCII and how much it says; nil for everything that is no letter.
func scriptOf(r rune) (script *unicode.RangeTable, weight int) {
	switch {
	case r >= 0x3400 && r <= 0x9fff || r >= 0x20000 && r <= 0x3ffff:
		return unicode.Han, hanWeight
	case unicode.Is(unicode.Katakana, r):
		return unicode.Hiragana, hanWeight
	}
	for _, s := range scriptOrder {
		if unicode.Is(s, r) {
			if s == unicode.Han || s == unicode.Hiragana || s == unicode.Hangul {
				return s, hanWeight
			}
			return s, 1
		}
	}
	return nil, 0
}
