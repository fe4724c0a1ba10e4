package message

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// aliases are labels of real mail that the WHATWG index does not know. Labels of the GB family all mean GB18030, the superset: programs
// write gb2312 and send characters that only the later sets have.
var aliases = map[string]encoding.Encoding{
	"gb2312": simplifiedchinese.GB18030, "gbk": simplifiedchinese.GB18030, "x-gbk": simplifiedchinese.GB18030,
	"gb_2312-80": simplifiedchinese.GB18030, "gb18030": simplifiedchinese.GB18030, "cp936": simplifiedchinese.GB18030,
	"ms936": simplifiedchinese.GB18030, "windows-936": simplifiedchinese.GB18030, "euc-cn": simplifiedchinese.GB18030,
	"gb18030-2022": simplifiedchinese.GB18030, "chinesesimplified": simplifiedchinese.GB18030,
	"hz-gb-2312": simplifiedchinese.HZGB2312, "iso-2022-jp": japanese.ISO2022JP, "iso-2022-jp-2": japanese.ISO2022JP,
	"iso-2022-jp-ms": japanese.ISO2022JP, "cp50220": japanese.ISO2022JP, "cp932": japanese.ShiftJIS,
}

// encodingOf returns the encoding a label stands for; nil for UTF-8, ASCII and labels that mean nothing.
func encodingOf(label string) encoding.Encoding {
	label = strings.ToLower(strings.Trim(label, " \t\"'"))
	switch label {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return nil
	}
	if e := aliases[label]; e != nil {
		return e
	}
	e, err := htmlindex.Get(label)
	if err != nil {
		e, err = htmlindex.Get(strings.Replace(label, "cp", "windows-", 1))
	}
	if name, _ := htmlindex.Name(e); err != nil || e == nil || name == "replacement" || name == "utf-8" {
		return nil
	}
	return e
}

// toUTF8 decodes bytes that claim a charset. The claim is not believed when it cannot be true.
func toUTF8(s, label string) string {
	if isASCII(s) && strings.IndexByte(s, 0x1b) < 0 && !strings.HasPrefix(strings.ToLower(label), "utf-16") &&
		!strings.HasPrefix(strings.ToLower(label), "hz") {
		return s
	}
	valid := utf8.ValidString(s)
	e := encodingOf(label)
	switch {
	case e == nil && strings.Contains(s, "\x1b$"):
		e = japanese.ISO2022JP
	case e == nil && valid:
		return s
	case e == nil:
		return guess(s)
	case valid && !isASCII(s):
		// Mislabelled UTF-8: in a charset of single bytes the same bytes would be gibberish.
		if _, single := e.(*charmap.Charmap); single || e == simplifiedchinese.GB18030 && onlyTriples(s) {
			return s
		}
	}
	out, err := e.NewDecoder().String(s)
	if err != nil || valid && !isASCII(s) && strings.ContainsRune(out, utf8.RuneError) {
		return guess(s)
	}
	return out
}

// guess decodes 8-bit bytes that nobody, or nobody honest, labelled: UTF-8, else Chinese, else Western European.
func guess(s string) string {
	good, bad := 0, 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if i += n; r == utf8.RuneError && n == 1 {
			bad++
		} else if n > 1 {
			good++
		}
	}
	cut := len(strings.TrimRightFunc(s, func(r rune) bool { return r == utf8.RuneError }))
	if good > 4*bad || good > 0 && len(s)-cut < utf8.UTFMax && utf8.ValidString(s[:cut]) { // UTF-8 that was cut or spoiled somewhere
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	out, err := guessEncoding(s).NewDecoder().String(s)
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return out
}

// guessEncoding tells by the pairs that 8-bit bytes form. Chinese is dense with them, and in GB2312 both bytes are high while half of Big5's
// second bytes are ASCII; a Western word has a single accented letter here and there.
func guessEncoding(s string) encoding.Encoding {
	letters, lone, high, low := 0, 0, 0, 0 // low: pairs whose second byte is ASCII
	for i := 0; i < len(s); i++ {
		switch next := min(i+1, len(s)-1); {
		case isLetter(s[i]):
			letters++
		case s[i] < 0x80:
		case s[next] >= 0xa1 && next > i:
			between := i > 0 && isLetter(s[i-1]) && next+1 < len(s) && isLetter(s[next+1])
			if i++; between {
				lone++ // "Formação"
			} else {
				high++
			}
		case s[next] >= 0x40 && s[next] < 0x7f:
			i++
			low++
		default:
			lone++
		}
	}
	switch {
	case (high+low)*2 < letters && low+lone > high, lone > high+low, high == 0 && low < 3:
		return charmap.Windows1252
	case low*5 > high:
		return traditionalchinese.Big5
	}
	return simplifiedchinese.GB18030
}

// onlyTriples reports whether all that is not ASCII are three-byte sequences, as Chinese is in UTF-8 and hardly ever by chance in GB18030.
func onlyTriples(s string) bool {
	for _, r := range s {
		if r >= utf8.RuneSelf && (r < 0x800 || r > 0xffff) {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// decodeLine decodes a header value to one line of UTF-8: encoded words (RFC 2047), and raw 8-bit bytes by the hint or by guessing.
func decodeLine(v, hint string) string {
	if !strings.Contains(v, "=?") {
		return oneLine(decodeRaw(v, hint))
	}
	var out strings.Builder
	var run encodedRun
	last := len(v) - strings.LastIndex(v, "?=") // no word ends when less than this is left
	for {
		start := strings.Index(v, "=?")
		if start < 0 {
			break
		}
		w, used := cutEncodedWord(v[start:])
		if used == 0 {
			run.flush(&out)
			out.WriteString(decodeRaw(v[:start+2], hint))
			v = v[start+2:]
			if len(v) < last {
				break
			}
			continue
		}
		// Blanks between encoded words belong to the folding (RFC 2047 §6.2).
		if gap := v[:start]; !run.open || strings.TrimSpace(gap) != "" {
			run.flush(&out)
			out.WriteString(decodeRaw(gap, hint))
		}
		if run.open && (!strings.EqualFold(run.charset, w.charset) || run.encoding != w.encoding) {
			run.flush(&out)
		}
		run.add(w)
		v = v[start+used:]
	}
	run.flush(&out)
	out.WriteString(decodeRaw(v, hint))
	return oneLine(out.String())
}

func decodeRaw(s, hint string) string {
	if utf8.ValidString(s) {
		return s
	}
	if e := encodingOf(hint); e != nil && e != charmap.Windows1252 { // that one fits any bytes, so it is no hint
		if out, err := e.NewDecoder().String(s); err == nil && strings.Count(out, "\uFFFD")*20 <= len(out) {
			return out
		}
	}
	return guess(s)
}

type encodedWord struct {
	charset, text string
	encoding      byte // 'b' or 'q'
}

// cutEncodedWord reads "=?charset?encoding?text?=" off the front of s. Blanks within the text are let pass, and a last word whose end was cut
// off is read to the end; used is 0 if it is no encoded word.
func cutEncodedWord(s string) (w encodedWord, used int) {
	i := strings.IndexByte(s[2:min(len(s), 80)], '?')
	if i <= 0 || len(s) < i+6 || s[i+4] != '?' {
		return w, 0
	}
	w.charset, _, _ = strings.Cut(s[2:2+i], "*") // a language may follow (RFC 2231 §5)
	w.encoding = s[i+3] | 0x20
	if w.encoding != 'b' && w.encoding != 'q' || strings.ContainsAny(w.charset, " \t") {
		return w, 0
	}
	text := s[i+5:]
	end := strings.Index(text, "?=")
	if end < 0 {
		if strings.ContainsAny(text, " \t") {
			return w, 0
		}
		w.text = text
		return w, len(s)
	}
	w.text = text[:end]
	return w, i + 5 + end + 2
}

// encodedRun joins neighbouring words of one charset and encoding before it decodes them: programs split multi-byte characters, and even
// base64's groups, over words (against RFC 2047 §5).
type encodedRun struct {
	encodedWord
	bytes []byte
	open  bool
}

func (r *encodedRun) add(w encodedWord) {
	w.text = strings.TrimRight(w.text, " \t")
	whole := w.encoding == 'q' || len(w.text)%4 == 0
	if r.open && whole {
		r.settle() // this word stands alone, so the one before only lacks its padding
	}
	w.text = r.text + w.text
	r.encodedWord, r.open = w, true
	if whole || len(w.text)%4 == 0 {
		r.settle()
	}
}

func (r *encodedRun) settle() {
	if r.encoding == 'q' {
		r.bytes = append(r.bytes, unescapeHex(strings.ReplaceAll(r.text, "_", " "), '=')...)
	} else {
		r.bytes = appendBase64(r.bytes, []byte(r.text))
	}
	r.text = ""
}

func (r *encodedRun) flush(out *strings.Builder) {
	if r.open {
		r.settle()
		out.WriteString(toUTF8(string(r.bytes), r.charset))
		*r = encodedRun{bytes: r.bytes[:0]}
	}
}

// unescapeHex decodes mark-hex-hex; a mark before anything else stays.
func unescapeHex(s string, mark byte) string {
	if strings.IndexByte(s, mark) < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == mark && i+2 < len(s) && unhex(s[i+1]) < 16 && unhex(s[i+2]) < 16 {
			out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}

// appendBase64 decodes what there is of base64: line ends, stray bytes and padding in the middle are passed over.
func appendBase64(dst, src []byte) []byte {
	clean := make([]byte, 0, len(src))
	flush := func() {
		if len(clean)%4 == 1 {
			clean = clean[:len(clean)-1]
		}
		dst, _ = base64.RawStdEncoding.AppendDecode(dst, clean) // clean holds nothing else
		clean = clean[:0]
	}
	for _, c := range src {
		switch {
		case isLetter(c), c >= '0' && c <= '9', c == '+', c == '/':
			clean = append(clean, c)
		case c == '=':
			flush()
		}
	}
	flush()
	return dst
}

// decodeTransfer undoes a Content-Transfer-Encoding (RFC 2045 §6), to at most limit bytes. Names it does not know mean that nothing was
// done, and so does a base64 body that is plain text.
func decodeTransfer(body []byte, name string, limit int) []byte {
	switch strings.ToLower(strings.Trim(withoutComments(name), " \t;\"'")) {
	case "base64":
		body = body[:min(len(body), limit/3*4+limit/8)]
		if first, _ := cutLine(bytes.TrimLeft(body, "\r\n \t")); bytes.IndexByte(bytes.TrimSpace(first), ' ') < 0 {
			body = appendBase64(nil, body)
		}
	case "quoted-printable":
		body = decodeQuoted(body[:min(len(body), 3*limit)])
	}
	return body[:min(len(body), limit)]
}

// decodeQuoted undoes quoted-printable (RFC 2045 §6.7); a stray "=" stays as it is.
func decodeQuoted(src []byte) []byte {
	if bytes.IndexByte(src, '=') < 0 {
		return src
	}
	dst := make([]byte, 0, len(src))
	for len(src) > 0 {
		i := bytes.IndexByte(src, '=')
		if i < 0 {
			return append(dst, src...)
		}
		dst, src = append(dst, src[:i]...), src[i+1:]
		if len(src) >= 2 && unhex(src[0]) < 16 && unhex(src[1]) < 16 {
			dst, src = append(dst, unhex(src[0])<<4|unhex(src[1])), src[2:]
			continue
		}
		switch blank := len(src) - len(bytes.TrimLeft(src, " \t\r")); {
		case blank < len(src) && src[blank] == '\n': // a soft line break
			src = src[blank+1:]
		case blank == len(src):
			src = nil
		default:
			dst = append(dst, '=')
		}
	}
	return dst
}
