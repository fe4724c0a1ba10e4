package message

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Address is a mailbox: Addr as written with its domain in lower case, Name decoded and on one line.
type Address struct{ Name, Addr string }

// Key returns the address in lower case, for comparing.
func (a Address) Key() string { return strings.ToLower(a.Addr) }

// Domain returns what follows the last @.
func (a Address) Domain() string { return a.Addr[strings.LastIndexByte(a.Addr, '@')+1:] }

// Local returns what stands before the last @.
func (a Address) Local() string { return a.Addr[:max(0, strings.LastIndexByte(a.Addr, '@'))] }

// String writes the address as "Name <addr>", for people.
func (a Address) String() string {
	if a.Name == "" {
		return a.Addr
	}
	return a.Name + " <" + a.Addr + ">"
}

// author finds the one mailbox that a message is from, or says why there is none. Several From fields or several mailboxes in one are
// forgiven if they name the same address, or if Sender says which of them wrote (RFC 5322 §3.6.2).
func (m *Message) author() (from Address, broken string) {
	values := m.header.all("From")
	switch {
	case len(m.header) == 0:
		return from, "there is no mail header"
	case len(values) == 0:
		return from, "there is no From field"
	}
	found := distinct(m.addresses("From"))
	switch len(found) {
	case 0:
		return from, fmt.Sprintf("there is no usable address in From: %q", capRunes(decodeLine(values[0], m.charset), 100))
	case 1:
		return found[0], ""
	}
	for _, sender := range m.addresses("Sender") {
		for _, a := range found {
			if a.Key() == sender.Key() {
				return a, ""
			}
		}
	}
	return from, fmt.Sprintf("From names several people: %s and %s", capRunes(found[0].Addr, 100), capRunes(found[1].Addr, 100))
}

// distinct keeps one of each address, and a name for it if there is one.
func distinct(list []Address) (out []Address) {
	for _, a := range list {
		i := slices.IndexFunc(out, func(b Address) bool { return b.Key() == a.Key() })
		switch {
		case i < 0:
			out = append(out, a)
		case out[i].Name == "":
			out[i].Name = a.Name
		}
	}
	return out
}

// addresses reads the mailboxes of the named fields.
func (m *Message) addresses(names ...string) (list []Address) {
	for _, name := range names {
		for _, v := range m.header.all(name) {
			list = parseAddresses(list, v, m.charset)
		}
	}
	return list
}

// parseAddresses appends the mailboxes of a list to those it is given, without regard for what cannot be read (RFC 5322 §3.4 and §4.4):
// groups are opened up, "," and ";" both separate, comments and routes are dropped, quotes and brackets may be left open.
func parseAddresses(list []Address, v, charset string) []Address {
	before := len(list)
	s := splitter{rest: v, quotes: strings.Count(v, `"`)%2 == 0}
	s.paren, s.angle = len(v)-strings.LastIndexByte(v, ')'), len(v)-strings.LastIndexByte(v, '>')
	for s.rest != "" && len(list) < maxAddresses {
		if a, ok := parseMailbox(s.next(), charset); ok {
			list = append(list, a)
		}
	}
	if len(list) == before && strings.Contains(v, "=?") {
		// Some programs encode the whole of "Name <address>", against RFC 2047 §5.
		if a, ok := parseMailbox(decodeLine(v, charset), charset); ok {
			list = append(list, a)
		}
	}
	return list
}

// splitter cuts a list into mailboxes. Quotes count only if they are balanced; brackets only while one that closes is still to come.
type splitter struct {
	rest         string
	quotes       bool
	paren, angle int // how much is left of the list at its last closing bracket
}

// next cuts one mailbox off the list. A separator before any @ belongs to an unquoted name ("Li, Ming <li@example.com>").
func (s *splitter) next() string {
	v := s.rest
	quoted, angle, depth, seen := false, false, 0, false
	cut := func(i int, keep bool) string {
		s.rest = v[i+1:]
		if keep {
			return v[:i]
		}
		return ""
	}
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == '\\' && (quoted || depth > 0):
			i++
		case c == '"' && depth == 0 && s.quotes:
			quoted = !quoted
		case quoted:
		case c == '(' && len(v)-i >= s.paren:
			depth++
		case c == ')':
			depth = max(0, depth-1)
		case depth > 0:
		case c == '<' && len(v)-i >= s.angle:
			angle = true
		case c == '>':
			angle, seen = false, true
		case c == '@':
			seen = true
		case angle:
		case c == ':' && !seen: // the name of a group
			return cut(i, false)
		case c == ';' && !seen: // the end of an empty group
			return cut(i, false)
		case c == ',' && seen, c == ';':
			return cut(i, true)
		}
	}
	s.rest = ""
	return v
}

// parseMailbox reads one mailbox: "Name <addr>", "addr (Name)", "addr", "Name addr".
func parseMailbox(s, charset string) (Address, bool) {
	plain := withoutComments(s)
	at := strings.LastIndexByte(plain, '@')
	if at < 0 {
		plain = s
		if at = strings.LastIndexByte(s, '@'); at < 0 {
			return Address{}, false
		}
	}
	_, comment, _ := strings.Cut(s, "(")
	comment, _, _ = strings.Cut(comment, ")")
	if open := strings.LastIndexByte(plain[:at], '<'); open >= 0 {
		inner, after, closed := strings.Cut(plain[open+1:], ">")
		if !closed {
			inner = firstWord(inner)
		}
		if addr, ok := cleanAddr(inner); ok {
			return Address{phrase(charset, plain[:open], after, comment), addr}, true
		}
	}
	if addr, ok := cleanAddr(plain); ok {
		return Address{phrase(charset, comment), addr}, true
	}
	if strings.IndexByte(plain, '<') >= 0 {
		return Address{}, false
	}
	for _, word := range strings.Fields(plain) {
		if addr, ok := cleanAddr(strings.Trim(word, ">,;")); ok {
			name, _, _ := strings.Cut(plain, word)
			return Address{phrase(charset, name, comment), addr}, true
		}
	}
	return Address{}, false
}

func firstWord(s string) string {
	if f := strings.Fields(s); len(f) > 0 {
		return f[0]
	}
	return ""
}

// cleanAddr makes an addr-spec usable as a recipient: blanks around its @ and dots go, as do a route and stray quotes; what could break out
// of a header or an SMTP command is refused.
func cleanAddr(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if len(s) >= 7 && strings.EqualFold(s[:7], "mailto:") {
		s = s[7:]
	}
	if i := strings.LastIndexByte(s, ':'); strings.HasPrefix(s, "@") && i > 0 { // a route: <@a,@b:c@d> (RFC 5322 §4.4)
		s = s[i+1:]
	}
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || len(s) > 320 || !utf8.ValidString(s) {
		return "", false
	}
	local, domain := strings.TrimSpace(s[:at]), strings.ToLower(strings.TrimSpace(s[at+1:]))
	if strings.HasPrefix(local, "'") && strings.HasSuffix(domain, "'") {
		local, domain = local[1:], domain[:len(domain)-1]
	}
	if strings.HasPrefix(local, `"`) && strings.HasSuffix(domain, `"`) && len(domain) > 1 {
		local, domain = local[1:], domain[:len(domain)-1]
	}
	local = strings.ReplaceAll(strings.ReplaceAll(local, " .", "."), ". ", ".")
	domain = strings.TrimRight(strings.ReplaceAll(strings.ReplaceAll(domain, " .", "."), ". ", "."), ".")
	if !validLocal(local) || !validDomain(domain) {
		return "", false
	}
	return local + "@" + domain, true
}

func validLocal(s string) bool {
	if len(s) > 2 && s[0] == '"' && s[len(s)-1] == '"' { // quoted: anything but quotes and controls
		return !strings.ContainsFunc(s[1:len(s)-1], func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' || r == '\\' })
	}
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa1 || strings.ContainsRune(`"(),:;<>@[\]`, r)
	})
}

func validDomain(s string) bool {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") { // an address literal (RFC 5321 §4.1.3)
		return len(s) > 4 && !strings.ContainsFunc(s[1:len(s)-1], func(r rune) bool {
			return !strings.ContainsRune("0123456789abcdefipv:.", r)
		})
	}
	return s != "" && s[0] != '.' && s[0] != '-' && !strings.Contains(s, "..") && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0xa1 && r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
}

var withoutAngles = strings.NewReplacer("<", "", ">", "")

// phrase reads a display name, the first of its candidates that is not blank: quotes go, encoded words are decoded.
func phrase(charset string, candidates ...string) string {
	for _, s := range candidates {
		s = strings.ReplaceAll(s, `\"`, "\x00")
		s = strings.ReplaceAll(strings.ReplaceAll(s, `"`, ""), "\x00", `"`)
		name := decodeLine(s, charset)
		if len(name) > 2 && strings.HasPrefix(name, `"`) && strings.HasSuffix(name, `"`) { // quotes that were encoded along
			name = name[1 : len(name)-1]
		}
		if name = strings.Trim(withoutAngles.Replace(name), "' ,;"); name != "" {
			return capRunes(name, 200)
		}
	}
	return ""
}
