package outbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	netmail "net/mail"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wneessen/go-mail"
	"golang.org/x/net/idna"
)

// Limits of what goes into a header: a thread that has run for years must not make a letter of nothing but References,
// and no line may be longer than RFC 5322 §2.1.1 allows.
const (
	maxReferences = 20
	maxMessageID  = 250
	maxName       = 100 // runes of a display name
	maxField      = 900 // bytes of one word in a field
)

// Mail is a letter before it has bytes. Text and HTML are final; every other value is made one line of text, whatever it
// holds.
type Mail struct {
	From, To   string // one address each, "Name <local@domain>" or bare
	ReplyTo    string // "": no such field
	Subject    string
	MessageID  string // with brackets
	Date       time.Time
	InReplyTo  string
	References []string    // oldest first
	Text       string      // the plain text; UTF-8
	HTML       string      // "": the letter is plain text only
	Headers    [][2]string // further fields; they are written in alphabetical order
	Language   string      // Content-Language (RFC 3282), "" if unknown
}

// taken are the fields that Compose writes itself.
var taken = map[string]bool{"from": true, "to": true, "cc": true, "bcc": true, "sender": true, "reply-to": true, "subject": true, "date": true,
	"message-id": true, "in-reply-to": true, "references": true, "mime-version": true, "user-agent": true, "x-mailer": true}

// Compose makes the bytes of a letter (RFC 5322, RFC 2045 to 2047): CRLF, UTF-8, quoted-printable, multipart/alternative
// when there is HTML. The same Mail gives the same bytes. Nothing in them names this machine or this program. Errors are
// about what cannot be written at all: an address, a missing Message-ID or Date, a field that is not one.
//
// go-mail writes the message: 40 to 50 µs for a letter of 10 KB on the wire, which 2,000 letters a second can afford. What
// goes into its fields is made safe here first, because it takes values as they are.
func Compose(m Mail) ([]byte, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithBoundary(boundary(m)))
	if err := addressFields(msg, m); err != nil {
		return nil, err
	}
	id := messageID(m.MessageID)
	if !strings.Contains(id, "@") {
		return nil, fmt.Errorf("%q is no Message-ID; it must look like <left@right>", m.MessageID)
	}
	if m.Date.IsZero() {
		return nil, fmt.Errorf("the letter %s has no Date", id)
	}
	msg.SetGenHeader(mail.HeaderMessageID, id)
	msg.SetDateWithValue(m.Date)
	msg.SetGenHeader(mail.HeaderSubject, encodeText(oneLine(m.Subject)))
	if parent := messageID(m.InReplyTo); parent != "" {
		msg.SetGenHeader(mail.HeaderInReplyTo, parent)
	}
	if chain := references(m.References); chain != "" {
		msg.SetGenHeader(mail.HeaderReferences, chain)
	}
	if m.Language != "" {
		msg.SetGenHeader(mail.HeaderContentLang, strings.Map(languageRune, m.Language))
	}
	if err := furtherFields(msg, m.Headers); err != nil {
		return nil, fmt.Errorf("the letter %s: %w", id, err)
	}
	switch {
	case m.HTML == "":
		msg.SetBodyString(mail.TypeTextPlain, body(m.Text))
	case m.Text == "":
		msg.SetBodyString(mail.TypeTextHTML, body(m.HTML))
	default: // RFC 2046 §5.1.4: the plainest first
		msg.SetBodyString(mail.TypeTextPlain, body(m.Text))
		msg.AddAlternativeString(mail.TypeTextHTML, body(m.HTML))
	}
	var out bytes.Buffer
	out.Grow(1024 + len(m.Text)*3/2 + len(m.HTML)*3/2)
	if _, err := msg.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("the letter %s: %w", id, err)
	}
	return out.Bytes(), nil
}

func addressFields(msg *mail.Msg, m Mail) error {
	from, err := parseAddress(m.From)
	if err != nil {
		return fmt.Errorf("the sender %w", err)
	}
	to, err := parseAddress(m.To)
	if err != nil {
		return fmt.Errorf("the recipient %w", err)
	}
	msg.FromMailAddress(from)
	msg.ToMailAddress(to)
	if m.ReplyTo != "" {
		reply, err := parseAddress(m.ReplyTo)
		if err != nil {
			return fmt.Errorf("the address for replies %w", err)
		}
		msg.ReplyToMailAddress(reply)
	}
	return nil
}

// literalTag is the tag of an address literal, at the end of an address (RFC 5321 §4.1.3).
var literalTag = regexp.MustCompile(`(?i)@\[ipv6:([0-9a-f:.]+\]>?)$`)

// parseAddress reads one address. Names that people write without the quotes they need (Books, Inc. <a@b>) are taken too.
func parseAddress(s string) (*netmail.Address, error) {
	line := literalTag.ReplaceAllString(oneLine(s), "@[$1") // net/mail does not know the tag; cutAddress writes it again
	a, err := netmail.ParseAddress(line)
	if err != nil {
		open := strings.LastIndexByte(line, '<')
		if open < 0 || !strings.HasSuffix(line, ">") {
			return nil, fmt.Errorf("%q is not one address like name@example.com", oneLine(s))
		}
		if a, err = netmail.ParseAddress(line[open:]); err != nil {
			return nil, fmt.Errorf("%q is not one address like name@example.com", oneLine(s))
		}
		a.Name = strings.Trim(line[:open], ` "`)
	}
	a.Name = displayName(a.Name)
	if local, domain, ok := cutAddress(a.Address); ok {
		a.Address = local + "@" + domain
	}
	return a, nil
}

// displayName is a name as it can stand before an address: one line with single spaces, of bounded length. An encoded word
// written out by hand would be decoded by many readers, though RFC 2047 §5 forbids it; a backslash beside letters beyond
// ASCII is encoded wrongly by the standard library.
func displayName(name string) string {
	runes := []rune(strings.Join(strings.Fields(oneLine(name)), " "))
	return inNames.Replace(string(runes[:min(len(runes), maxName)]))
}

var inNames = strings.NewReplacer("=?", "= ?", `\`, "/")

// FormatAddress joins a display name and an address for Mail's From, To and ReplyTo.
func FormatAddress(name, addr string) string {
	if local, domain, ok := cutAddress(addr); ok {
		addr = unquoted(local) + "@" + domain // net/mail quotes a local part that needs it
	}
	return (&netmail.Address{Name: displayName(name), Address: addr}).String()
}

// unquoted is a local part without its quotes (RFC 5321 §4.1.2, Quoted-string).
func unquoted(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	var b strings.Builder
	escaped := false
	for _, c := range []byte(local[1 : len(local)-1]) {
		if escaped = c == '\\' && !escaped; !escaped {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// cutAddress splits an address at its last @. A domain in letters beyond ASCII becomes its ASCII form (RFC 5891) when the
// local part is ASCII, so that such an address needs no SMTPUTF8. An IPv6 literal gets its tag as RFC 5321 §4.1.3 writes it.
func cutAddress(addr string) (local, domain string, ok bool) {
	at := strings.LastIndexByte(addr, '@')
	if at < 1 || at == len(addr)-1 {
		return "", "", false
	}
	local, domain = addr[:at], addr[at+1:]
	if !isASCII(domain) && isASCII(local) {
		if ace, err := idna.Lookup.ToASCII(domain); err == nil {
			domain = ace
		}
	}
	if ip, ok := strings.CutPrefix(domain, "["); ok {
		ip = strings.TrimSuffix(ip, "]")
		if len(ip) > 5 && strings.EqualFold(ip[:5], "ipv6:") {
			ip = ip[5:]
		}
		if parsed, err := netip.ParseAddr(ip); err == nil && parsed.Is6() && parsed.Zone() == "" {
			domain = "[IPv6:" + ip + "]"
		}
	}
	return local, domain, true
}

func furtherFields(msg *mail.Msg, fields [][2]string) error {
	seen := map[string]bool{}
	for _, field := range fields {
		name, value := field[0], strings.Join(strings.Fields(oneLine(field[1])), " ")
		lower := strings.ToLower(name)
		switch {
		case name == "" || len(name) > 70 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }):
			return fmt.Errorf("%q is not a field name (RFC 5322 §3.6.8)", name)
		case taken[lower] || strings.HasPrefix(lower, "content-"):
			return fmt.Errorf("the field %s is written from the letter's own parts and cannot be given", name)
		case seen[lower]:
			return fmt.Errorf("the field %s is given twice", name)
		}
		for word := range strings.SplitSeq(value, " ") {
			if len(word) > maxField {
				return fmt.Errorf("the field %s holds a word of %d bytes, too long for a line (RFC 5322 §2.1.1)", name, len(word))
			}
		}
		seen[lower] = true
		msg.SetGenHeader(mail.Header(name), value) // encoded by RFC 2047 if it is not ASCII
	}
	return nil
}

// oneLine makes a value harmless in a header: control characters and Unicode's line separators become spaces, what is no
// UTF-8 becomes U+FFFD, and the ends are trimmed.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}

// encodeText is unstructured text as a field can hold it: as it is where that is safe, else in encoded words of base64
// (RFC 2047 §4.1), each at most 75 characters and whole runes (§5). Text that only looks like an encoded word, or that
// folding would change, is encoded too.
func encodeText(s string) string {
	plain := isASCII(s) && !strings.Contains(s, "=?") && !strings.Contains(s, "  ")
	for word := range strings.SplitSeq(s, " ") {
		plain = plain && len(word) < 70
	}
	if plain {
		return s
	}
	const most = 45 // bytes in, 60 out, 12 around them
	var words []string
	for len(s) > 0 {
		n := min(len(s), most)
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, " ")
}

// messageID returns the id if it is one that a field can hold, else "". Ids in letters beyond ASCII are left out: a thread
// without them is better than a field that servers refuse.
func messageID(id string) string {
	id = strings.TrimSpace(id)
	if len(id) < 3 || len(id) > maxMessageID || id[0] != '<' || id[len(id)-1] != '>' {
		return ""
	}
	for i := 1; i < len(id)-1; i++ {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '<' || c == '>' {
			return ""
		}
	}
	return id
}

// references joins the ids of a thread: the first and the latest of a long one (RFC 5322 §3.6.4 lets it be trimmed).
func references(ids []string) string {
	var good []string
	for _, id := range ids {
		if id = messageID(id); id != "" {
			good = append(good, id)
		}
	}
	if len(good) > maxReferences {
		good = append(good[:1], good[len(good)-maxReferences+1:]...)
	}
	return strings.Join(good, " ")
}

// boundary is derived from the Message-ID, so that the same letter has the same bytes, and stands in neither part.
func boundary(m Mail) string {
	sum := sha256.Sum256([]byte(m.MessageID))
	for {
		b := "rp" + hex.EncodeToString(sum[:16])
		if !strings.Contains(m.Text, b) && !strings.Contains(m.HTML, b) {
			return b
		}
		sum = sha256.Sum256(sum[:])
	}
}

// body is a part as it is encoded: valid UTF-8 that ends its last line. Lone CRs become line ends here: the encoder would
// take the next line end away for them.
func body(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.Contains(s, "\r") {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	if !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return s
}

func languageRune(r rune) rune {
	if r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
