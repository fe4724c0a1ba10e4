package message

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Caps of one header block. What is beyond them is not kept, but the block's end is still found.
const (
	maxHeader = 256 << 10 // bytes kept of all fields
	maxField  = 64 << 10  // bytes kept of one field
	maxFields = 1000
)

// field is one header field: its value unfolded (RFC 5322 §2.2.3), not yet decoded, without CR, LF and NUL.
type field struct{ name, value string }

type header []field

// get returns the first value of a field, or "".
func (h header) get(name string) string {
	for i := range h {
		if len(h[i].name) == len(name) && strings.EqualFold(h[i].name, name) {
			return h[i].value
		}
	}
	return ""
}

func (h header) all(name string) (values []string) {
	for i := range h {
		if len(h[i].name) == len(name) && strings.EqualFold(h[i].name, name) {
			values = append(values, h[i].value)
		}
	}
	return values
}

// scanHeader reads the fields that stand before the first empty line and returns what follows it. A line that is no field is taken as a
// folded line that lost its blank if more fields follow, else as the body's first line. At the top of a message, lines such as mbox's
// "From " are passed over.
func scanHeader(raw []byte, top bool) (header, []byte) {
	type span struct{ name, value, end int }
	spans := make([]span, 0, 32)
	kept := make([]byte, 0, min(len(raw), 8<<10))
	dropped := false // the current field is beyond the caps
	fold := func(line []byte) {
		if !dropped {
			s := &spans[len(spans)-1]
			kept = appendOneLine(kept, line[:min(len(line), maxField-min(maxField, len(kept)-s.value), maxHeader-min(maxHeader, len(kept)))])
			s.end = len(kept)
		}
	}
	rest, body := raw, []byte(nil)
	for len(rest) > 0 {
		line, after := cutLine(rest)
		name, value := cutField(line)
		blank := len(bytes.TrimRight(line, " \t")) == 0
		switch {
		case blank && (len(line) == 0 || !headerGoesOn(after)):
			rest, body = nil, after
			continue
		case blank: // nothing but blanks within a header: an empty folded line (RFC 5322 §4.2)
		case len(spans) > 0 && (line[0] == ' ' || line[0] == '\t'):
			fold(line)
		case name != nil:
			dropped = len(spans) >= maxFields || len(kept)+len(name) >= maxHeader
			if !dropped {
				start := len(kept)
				kept = append(kept, name...)
				spans = append(spans, span{start, len(kept), len(kept)})
				fold(value)
			}
		case len(spans) == 0 && top && headerGoesOn(after):
		case len(spans) > 0 && (endsOpen(kept) || headerGoesOn(after)):
			fold(append([]byte{' '}, line[:min(len(line), maxField)]...))
		default:
			rest, body = nil, rest
			continue
		}
		rest = after
	}
	all := string(kept)
	h := make(header, len(spans))
	for i, s := range spans {
		h[i] = field{all[s.name:s.value], strings.TrimSpace(all[s.value:s.end])}
	}
	return h, body
}

func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return bytes.TrimSuffix(b, []byte("\r")), nil
	}
	return bytes.TrimSuffix(b[:i], []byte("\r")), b[i+1:]
}

// cutField splits "Name: value"; the name is nil if the line is no field. Blanks before the colon are obsolete but read (RFC 5322 §4.5).
func cutField(line []byte) (name, value []byte) {
	i := bytes.IndexByte(line[:min(len(line), 200)], ':')
	if i <= 0 {
		return nil, nil
	}
	name = bytes.TrimRight(line[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return nil, nil
		}
	}
	if len(name) == 0 || bytes.HasPrefix(line[i:], []byte("://")) {
		return nil, nil
	}
	return name, line[i+1:]
}

// headerGoesOn reports whether a field stands within the next lines, before an empty one.
func headerGoesOn(b []byte) bool {
	for range 6 {
		line, rest := cutLine(b)
		if len(line) == 0 {
			return false
		}
		if name, _ := cutField(line); name != nil {
			return true
		}
		b = rest
	}
	return false
}

// endsOpen reports whether a value so far ends where more of it must follow.
func endsOpen(value []byte) bool {
	v := bytes.TrimRight(value, " \t")
	return len(v) > 0 && (v[len(v)-1] == ';' || v[len(v)-1] == ',')
}

func appendOneLine(dst, b []byte) []byte {
	if bytes.IndexByte(b, 0) < 0 && bytes.IndexByte(b, '\r') < 0 {
		return append(dst, b...)
	}
	for _, c := range b {
		switch c {
		case 0:
		case '\r':
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// oneLine makes s safe to stand on one line: every control character becomes a blank, those that turn the direction of text go.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff, r == 0x200b:
			return -1
		case unicode.IsControl(r), r == 0xa0, r == 0x2028, r == 0x2029:
			return ' '
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

func capRunes(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for i := range s {
		if limit--; limit < 0 {
			return s[:i]
		}
	}
	return s
}

// capBytes cuts s after at most limit bytes, between runes.
func capBytes(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// withoutComments removes (nested) comments that stand outside quoted strings (RFC 5322 §3.2.2).
func withoutComments(s string) string {
	if strings.IndexByte(s, '(') < 0 {
		return s
	}
	var out strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			if depth == 0 {
				out.WriteString(s[i : i+2])
			}
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
		case c == ')' && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			out.WriteByte(s[i])
		}
	}
	return out.String()
}

// parameters reads "; name=value" pairs after the first word of a value, with the continuations and charsets of RFC 2231. Names are in
// lower case. Missing quotes and semicolons are forgiven.
func parameters(v string) map[string]string {
	type piece struct {
		n              int
		value, charset string
	}
	out, long := map[string]string{}, map[string][]piece{}
	v = v[:min(len(v), 8<<10)]
	for i := strings.IndexAny(v, "; \t"); i >= 0 && i < len(v); {
		v = strings.TrimLeft(v[i:], "; \t")
		eq := strings.IndexByte(v, '=')
		if eq < 0 {
			break
		}
		if semi := strings.IndexByte(v[:eq], ';'); semi >= 0 { // a word without a value
			i = semi
			continue
		}
		p := piece{}
		key := strings.ToLower(strings.TrimSpace(v[:eq]))
		p.value, i = cutValue(v[eq+1:])
		i += eq + 1
		name, index, numbered := strings.Cut(strings.TrimSuffix(key, "*"), "*")
		if strings.HasSuffix(key, "*") { // charset'language'%41%42, of which later pieces have only the end
			if parts := strings.SplitN(p.value, "'", 3); len(parts) == 3 {
				p.charset, p.value = parts[0], parts[2]
			}
			p.value = unescapeHex(p.value, '%')
		}
		if n, err := strconv.Atoi(index); numbered && err == nil || strings.HasSuffix(key, "*") {
			p.n = n
			if len(long[name]) < 100 {
				long[name] = append(long[name], p)
			}
		} else if _, twice := out[name]; !twice {
			out[name] = p.value
		}
	}
	for name, pieces := range long {
		slices.SortStableFunc(pieces, func(a, b piece) int { return a.n - b.n })
		whole := ""
		for _, p := range pieces {
			whole += p.value
		}
		out[name] = toUTF8(whole, pieces[0].charset)
	}
	return out
}

// cutValue reads a parameter's value, quoted or bare, and how many bytes it took.
func cutValue(s string) (value string, used int) {
	start := len(s) - len(strings.TrimLeft(s, " \t"))
	s = s[start:]
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, "; \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], start + end
	}
	var b strings.Builder
	i := 1
	for ; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), start + min(i+1, len(s))
}

// messageIDs finds the ids in brackets, blanks within them removed; a value that is a single bare id gets its brackets. Of very many,
// the first (the thread's root) and the last are kept.
func messageIDs(v string) (ids []string) {
	add := func(id string) {
		id = strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) || unicode.IsControl(r) || r == '<' {
				return -1
			}
			return r
		}, id)
		if id != "" && len(id) <= 998 && utf8.ValidString(id) {
			ids = append(ids, "<"+id+">")
		}
	}
	for rest := v; ; {
		start := strings.IndexByte(rest, '<')
		if start < 0 {
			break
		}
		end := strings.IndexByte(rest[start:], '>')
		if end < 0 {
			break
		}
		add(rest[start+1 : start+end])
		rest = rest[start+end+1:]
	}
	if v = strings.TrimSpace(v); len(ids) == 0 && strings.ContainsRune(v, '@') && !strings.ContainsAny(v, "<> \t") {
		add(v)
	}
	if len(ids) > maxIDs {
		ids = append(ids[:1:1], ids[len(ids)-maxIDs+1:]...)
	}
	return ids
}

var months = map[string]time.Month{"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12}

// Zones by name: RFC 5322 §4.3 knows these; any other name counts as -0000.
var zones = map[string]int{"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}

// parseDate reads a date in any order of its words ("Mon, 23 Nov 2026 10:00:00 +0800 (CST)", "Nov 23 10:00:00 2026",
// "2026-11-23 10:00:00"); offset is in seconds east of UTC.
func parseDate(s string) (t time.Time, offset int, ok bool) {
	s = withoutComments(s[:min(len(s), 200)])
	year, month, day, clock := -1, time.Month(0), 0, [3]int{-1}
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
		n, err := strconv.Atoi(w)
		switch {
		case (w[0] == '+' || w[0] == '-') && clock[0] >= 0: // a zone
			if z, err := strconv.Atoi(strings.Replace(w[1:], ":", "", 1)); err == nil && z <= 1500 {
				offset = z/100*3600 + z%100*60
				if w[0] == '-' {
					offset = -offset
				}
			}
		case strings.Count(w, ":") > 0:
			for i, part := range strings.SplitN(strings.TrimRight(w, "Zz"), ":", 3) {
				whole, _, _ := strings.Cut(part, ".")
				if clock[i], err = strconv.Atoi(whole); err != nil {
					return t, 0, false
				}
			}
		case err == nil && day == 0 && len(w) <= 2:
			day = n
		case err == nil && n >= 0:
			year = n
		case strings.Count(w, "-") == 2: // 2026-11-23 or 23-Nov-2026
			d, err := time.Parse("2006-01-02", w)
			if err != nil {
				d, err = time.Parse("2-Jan-2006", w)
			}
			if err == nil {
				year, month, day = d.Year(), d.Month(), d.Day()
			}
		case len(w) >= 3 && month == 0 && months[strings.ToLower(w[:3])] > 0:
			month = months[strings.ToLower(w[:3])]
		case clock[0] >= 0:
			offset = zones[strings.ToLower(w)] * 3600
		}
	}
	switch { // RFC 5322 §4.3: years of two and three digits
	case year < 0:
		return time.Time{}, 0, false
	case year < 50:
		year += 2000
	case year < 1000:
		year += 1900
	}
	if month == 0 || day < 1 || day > 31 || clock[0] < 0 || clock[0] > 24 || clock[1] > 59 || clock[2] > 60 || year > 9999 {
		return time.Time{}, 0, false
	}
	return time.Date(year, month, day, clock[0], clock[1], clock[2], 0, time.FixedZone("", offset)).UTC(), offset, true
}
