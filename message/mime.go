package message

import (
	"bytes"
	"strings"
)

// Caps of a MIME tree. Parts beyond them are not looked at.
const (
	maxDepth = 20
	maxParts = 200
	maxText  = 256 << 10 // bytes of readable text
	maxHTML  = 1 << 20   // bytes of HTML that are read for it
)

// part is a node of the MIME tree. Its body is a slice of the raw message, decoded only when asked for.
type part struct {
	header   header
	media    string // "text/plain", in lower case
	params   map[string]string
	body     []byte
	children []*part
}

// parseParts builds the tree of a message.
func parseParts(h header, body []byte) *part {
	left := maxParts
	return newPart(h, body, 0, &left)
}

func newPart(h header, body []byte, depth int, left *int) *part {
	p := &part{header: h, body: body, media: "text/plain"} // RFC 2045 §5.2: what names no type is plain text
	if v := h.get("Content-Type"); v != "" {
		p.params = parameters(v)
		media := strings.ToLower(strings.TrimSpace(v))
		if i := strings.IndexAny(media, "; \t("); i >= 0 {
			media = media[:i]
		}
		if strings.IndexByte(media, '/') > 0 {
			p.media = media
		}
	}
	if strings.HasPrefix(p.media, "multipart/") {
		if depth < maxDepth {
			p.split(depth, left)
		}
		if len(p.children) == 0 { // nothing within that looks like a part: the sender's type is wrong
			p.media, p.params = "text/plain", nil
		}
	}
	if p.media == "text/plain" && looksHTML(body) {
		p.media = "text/html"
	}
	return p
}

// split finds the children between boundary lines (RFC 2046 §5.1). A missing last boundary ends at the parent's; a boundary that is not
// named, or never comes, is guessed from the body.
func (p *part) split(depth int, left *int) {
	boundary := p.params["boundary"]
	if boundary == "" || !bytes.Contains(p.body, []byte("--"+boundary)) {
		if boundary = guessBoundary(p.body); boundary == "" {
			return
		}
	}
	start := -1
	add := func(end int) {
		if start >= 0 && *left > 0 {
			*left--
			h, body := scanHeader(bytes.TrimSuffix(bytes.TrimSuffix(p.body[start:end], []byte("\n")), []byte("\r")), false)
			p.children = append(p.children, newPart(h, body, depth+1, left))
		}
		start = -1
	}
	delimiter := []byte("--" + boundary)
	for at := 0; *left > 0; {
		i := bytes.Index(p.body[at:], delimiter)
		if i < 0 {
			add(len(p.body))
			return
		}
		line, rest := cutLine(p.body[at+i:])
		tail := bytes.TrimRight(line[len(delimiter):], " \t")
		next := len(p.body) - len(rest)
		if (at+i == 0 || p.body[at+i-1] == '\n') && (len(tail) == 0 || string(tail) == "--") {
			add(at + i)
			if len(tail) > 0 {
				return
			}
			start = next
		}
		at = next
	}
}

// guessBoundary returns the first line that starts with "--" and is followed by a field of a part.
func guessBoundary(body []byte) string {
	rest := body[:min(len(body), 64<<10)]
	for len(rest) > 0 {
		line, after := cutLine(rest)
		if len(line) > 2 && string(line[:2]) == "--" {
			if next, _ := cutLine(after); len(next) > 8 && strings.EqualFold(string(next[:8]), "content-") {
				return string(bytes.TrimRight(line[2:], " \t"))
			}
		}
		rest = after
	}
	return ""
}

// walk visits the tree in order, without going into attached messages.
func (p *part) walk(visit func(*part)) {
	visit(p)
	for _, c := range p.children {
		c.walk(visit)
	}
}

// find returns the first part of one of the types, or nil.
func (p *part) find(media ...string) (found *part) {
	p.walk(func(q *part) {
		for _, m := range media {
			if found == nil && q.media == m {
				found = q
			}
		}
	})
	return found
}

func (p *part) decoded(limit int) []byte {
	return decodeTransfer(p.body, p.header.get("Content-Transfer-Encoding"), limit)
}

// charset returns the first charset that a text part declares.
func (p *part) charset() (label string) {
	p.walk(func(q *part) {
		if label == "" && strings.HasPrefix(q.media, "text/") {
			label = q.params["charset"]
		}
	})
	return label
}

func (p *part) attached() bool {
	v := strings.TrimSpace(p.header.get("Content-Disposition"))
	return len(v) >= 10 && strings.EqualFold(v[:10], "attachment")
}

// text returns the readable text of a tree. Of alternatives the plain one is preferred (a person's own words are the same in both and
// need no guessing), of a report the part for people; attachments are left out.
func (p *part) text() string {
	switch {
	case p.media == "text/html":
		return htmlToText(p.decodedText(maxHTML))
	case p.media == "text/plain", p.media == "text/enriched", p.media == "text/markdown":
		return p.decodedText(maxText)
	case p.media == "multipart/alternative":
		best := ""
		for _, c := range p.children {
			s := c.text()
			if strings.TrimSpace(s) == "" {
				continue
			}
			if c.media == "text/plain" {
				return s
			}
			best = s
		}
		return best
	case p.media == "multipart/report": // RFC 6522 §3: the first part is for people
		return p.children[0].text()
	}
	var all strings.Builder
	for _, c := range p.children {
		if c.attached() || all.Len() > maxText {
			continue
		}
		s := c.text()
		if all.Len() > 0 && s != "" {
			all.WriteByte('\n')
		}
		all.WriteString(s)
	}
	return all.String()
}

// decodedText is a text part as UTF-8, by its declared charset or, in HTML, by the one its head names.
func (p *part) decodedText(limit int) string {
	b := p.decoded(limit)
	label := p.params["charset"]
	if label == "" && p.media == "text/html" {
		head := strings.ToLower(string(b[:min(len(b), 1024)]))
		if _, after, ok := strings.Cut(head, "charset="); ok {
			label = strings.TrimLeft(after, "\"' ")
			label = label[:max(0, strings.IndexAny(label, "\"' />;"))]
		}
	}
	return toUTF8(string(b), label)
}

func looksHTML(body []byte) bool {
	b := bytes.TrimLeft(body[:min(len(body), 256)], " \t\r\n")
	return len(b) > 5 && b[0] == '<' && (strings.EqualFold(string(b[:5]), "<html") || len(b) > 14 && strings.EqualFold(string(b[:14]), "<!doctype html"))
}
