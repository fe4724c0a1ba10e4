// Package message understands one mail: who wrote it, in which language, what was newly said, and what kind of mail it is.
//
// It is pure: bytes in, a Message out, no clock and no network. Mail is hostile and often broken, so nothing here returns an error.
// What can be read is read; what cannot is named in Message.Broken. Sizes, depths and counts are capped (see the constants of header.go
// and mime.go), so that any bytes at all are done with in bounded time and memory.
//
// The header scan and the MIME walk are our own. A mail library that stops at the first bad field, unknown charset, missing boundary or
// stray base64 character would lose the letter of a person; one that recovers costs forty times as much. Only text is decoded; an
// attachment is never looked into.
//
// Obeyed: RFC 5322 (format), RFC 2045 to 2047 and 2231 (MIME), RFC 3834 and 5230 §4.6 (what an automatic responder must leave alone),
// RFC 3464 (bounces), RFC 5965 (complaints), RFC 8098 (receipts), RFC 8601 (Authentication-Results).
package message

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/authres"
)

// Kind is what a mail is; why we are silent about it is the responder's to say.
type Kind string

// The kinds of mail. Own is never found here: it takes the policy of a mailbox to know its own letters.
const (
	KindPerson       Kind = "person"
	KindAutoReply    Kind = "auto-reply"
	KindBounce       Kind = "bounce"
	KindComplaint    Kind = "complaint"
	KindList         Kind = "list"
	KindCalendar     Kind = "calendar"
	KindReceipt      Kind = "receipt"
	KindNotification Kind = "notification"
	KindSpam         Kind = "spam"
	KindOwn          Kind = "own"
	KindUnsubscribe  Kind = "unsubscribe"
	KindBroken       Kind = "broken"
)

// Message is one mail, understood.
type Message struct {
	From                         Address   // the single author; zero when broken, and in bounces from nobody ("MAILER-DAEMON <>")
	ReplyTo, To, Cc, Bcc, Resent []Address // Resent: Resent-To, Resent-Cc and Resent-Bcc
	ReturnPath                   string    // the envelope sender, as the last server wrote it
	HasReturnPath                bool      // with ReturnPath "": the null path <>
	Subject                      string    // one line, at most 1000 runes
	MessageID                    string    // "<a@b>" or ""
	InReplyTo, References        []string  // message ids with their brackets, oldest first, at most 50
	Date                         time.Time // UTC; zero when missing or unreadable
	Offset                       *int      // seconds east of UTC of the Date field; nil when missing, +0000 or -0000
	Received                     time.Time // of the topmost Received field, UTC; zero if there is none
	Text                         string    // readable text, from text/plain or else from HTML; at most 256 KiB
	NewText                      string    // Text without quotes, attribution lines and signature
	Kind                         Kind
	Evidence                     []Evidence // at most one for each mark, in the order of the silence rules
	Bounces                      []Bounce   // one for each recipient of a bounce
	Complaint                    *Complaint
	Broken                       string   // why it cannot be understood, in words; "" when it can
	Hash                         [16]byte // of what the author sent; the same when a server delivers or numbers it again
	Size                         int      // bytes of the raw message

	header  header
	charset string // the body's declared charset: a hint for headers with raw 8-bit bytes
}

const (
	maxSubject   = 1000 // runes
	maxIDs       = 50   // message ids kept of References
	maxAddresses = 1000 // of one kind of recipient field
)

// Parse reads a raw message. It never returns nil.
func Parse(raw []byte) *Message {
	m := &Message{Size: len(raw)}
	raw = bytes.TrimLeft(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), "\r\n\x00")
	if bytes.IndexByte(raw, '\n') < 0 { // line ends of an old Macintosh
		raw = bytes.ReplaceAll(raw, []byte("\r"), []byte("\n"))
	}
	var body []byte
	m.header, body = scanHeader(raw, true)
	root := parseParts(m.header, body)
	m.charset = root.charset()
	m.readFields()
	m.Text = cleanText(root.text())
	m.NewText = newText(m.Text)
	m.Hash = m.contentHash(body)
	m.Bounces = readBounce(m, root)
	m.Complaint = readComplaint(m, root)
	if m.Bounces != nil || m.Complaint != nil {
		m.Broken = "" // understood without an author: "From: MAILER-DAEMON <>"
	}
	m.mark(root)
	return m
}

// Unreadable is a message that could not be had, or that made Parse itself fail: broken, for the reason given. raw may be nil.
func Unreadable(raw []byte, why string) *Message {
	sum := sha256.Sum256(raw)
	return &Message{
		Kind: KindBroken, Broken: why, Size: len(raw), Hash: [16]byte(sum[:16]),
		Evidence: []Evidence{{MarkBroken, "message", capRunes(oneLine(why), 200), "RFC 5322 §3.6"}},
	}
}

func (m *Message) readFields() {
	m.From, m.Broken = m.author()
	m.ReplyTo = m.addresses("Reply-To")
	m.To, m.Cc, m.Bcc = m.addresses("To"), m.addresses("Cc"), m.addresses("Bcc")
	m.Resent = m.addresses("Resent-To", "Resent-Cc", "Resent-Bcc")
	// The topmost Return-Path is the one that our own server wrote (RFC 5321 §4.4). An empty value says nothing; only <> is the null path.
	if path := strings.TrimSpace(m.header.get("Return-Path")); path != "" {
		m.HasReturnPath = true
		m.ReturnPath = strings.Trim(path, "<> \t")
	}
	m.Subject = capRunes(decodeLine(m.header.get("Subject"), m.charset), maxSubject)
	if ids := messageIDs(m.header.get("Message-ID")); len(ids) > 0 {
		m.MessageID = ids[0]
	}
	m.InReplyTo = messageIDs(m.header.get("In-Reply-To"))
	m.References = messageIDs(strings.Join(m.header.all("References"), " "))
	if date, offset, ok := parseDate(m.header.get("Date")); ok {
		m.Date = date
		if offset != 0 {
			m.Offset = &offset
		}
	}
	if stamp := m.header.get("Received"); stamp != "" {
		m.Received, _, _ = parseDate(stamp[strings.LastIndexByte(stamp, ';')+1:])
	}
}

// Header returns the decoded values of a field, in the order they stand, each one line.
func (m *Message) Header(name string) []string {
	values := m.header.all(name)
	for i, v := range values {
		values[i] = decodeLine(v, m.charset)
	}
	return values
}

// Marked returns the evidence for a mark, if there is any.
func (m *Message) Marked(mark Mark) (Evidence, bool) {
	i := slices.IndexFunc(m.Evidence, func(e Evidence) bool { return e.Mark == mark })
	if i < 0 {
		return Evidence{}, false
	}
	return m.Evidence[i], true
}

// DMARC returns the DMARC verdict ("pass", "fail", …) of the server that calls itself authservID, or "".
// Anybody can write such a field, so those of other servers count for nothing, and the topmost of ours is the last one added (RFC 8601 §5).
func (m *Message) DMARC(authservID string) string {
	if authservID == "" {
		return ""
	}
	for _, v := range m.header.all("Authentication-Results") {
		id, results, err := authres.Parse(withoutComments(v))
		if !strings.EqualFold(id, authservID) || (err != nil && len(results) == 0) {
			continue
		}
		for _, r := range results {
			if dmarc, ok := r.(*authres.DMARCResult); ok {
				return string(dmarc.Value)
			}
		}
	}
	return ""
}

// hashed are the fields that an author's program writes and no server changes.
var hashed = []string{"From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Content-Type"}

// contentHash covers the author's own fields and the body, without folding and without regard to line ends: servers add to the
// top (Received, Delivered-To, Return-Path, spam verdicts) and may fold and end lines anew, but they do not change these.
func (m *Message) contentHash(body []byte) (sum [16]byte) {
	h := sha256.New()
	for _, name := range hashed {
		for _, v := range m.header.all(name) {
			h.Write([]byte(name + ":" + strings.Join(strings.Fields(v), " ") + "\n"))
		}
	}
	body = bytes.TrimRight(body, "\r\n")
	for len(body) > 0 {
		line, rest := body, []byte(nil)
		if i := bytes.IndexByte(body, '\r'); i >= 0 {
			line, rest = body[:i], body[i+1:]
		}
		h.Write(line)
		body = rest
	}
	copy(sum[:], h.Sum(nil))
	return sum
}
