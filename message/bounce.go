package message

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Bounce is what a report says of one recipient.
type Bounce struct {
	Recipient string `json:"recipient"` // the address we wrote to, where the report tells it
	Status    string `json:"status"`    // "5.1.1" (RFC 3463); "5.0.0" or "4.0.0" where only the class is known
	Action    string `json:"action"`    // "failed", "delayed", "delivered", "relayed", "expanded" (RFC 3464 §2.3.3)
	Reason    string `json:"reason"`    // "user-unknown", "mailbox-full", … (see words.go)
	Permanent bool   `json:"permanent"` // the address is dead: no such user or host, or disabled
}

// Complaint is what a feedback report says. Types other than "abuse" and "opt-out" are no complaint of a reader: "auth-failure", "fraud",
// "virus", "not-spam" (RFC 5965 §7.3, RFC 6430).
type Complaint struct {
	Recipient string `json:"recipient"`
	Type      string `json:"type"` // "abuse", "not-spam", … (RFC 5965 §7.3)
}

const (
	maxRecipients = 100      // of one report
	maxReport     = 16 << 10 // bytes of its words
)

// readBounce returns a bounce's recipients, at least one; nil if the message is no bounce. A delivery-status part settles it (RFC 3464),
// unless a person forwards it. The forms without one are recognised by their sender together with their words.
func readBounce(m *Message, root *part) []Bounce {
	if n := readNotice(m); n != nil {
		return n.bounces()
	}
	dsn := root.find("message/delivery-status", "message/global-delivery-status")
	switch {
	case dsn != nil && (root.media == "multipart/report" || !LooksLikeReply(m.Subject)):
	case root.media == "multipart/report" && strings.EqualFold(root.params["report-type"], "delivery-status"):
	case m.header.get("X-Failed-Recipients") != "":
	case !soundsLikeBounce(m):
		return nil
	}
	r := report{m: m, root: root}
	r.text, r.original = cutOriginal(m.Text)
	r.text = capBytes(r.text, maxReport)
	r.delayed = containsAny(strings.ToLower(m.Subject+"\n"+r.text), delayedWordings)
	var found []Bounce
	if dsn != nil {
		found = r.fromFields(string(dsn.decoded(maxText)))
	} else if at := reportFields.FindStringIndex(capBytes(m.Text, 2*maxReport)); at != nil { // a report's fields, but as plain text
		found = r.fromFields(m.Text[at[0]:])
	}
	if len(found) == 0 {
		found = r.fromText()
	}
	return found
}

var reportFields = regexp.MustCompile(`(?mi)^(?:reporting-mta|final-recipient|original-recipient|action):`)

func bounceEvidence(m *Message, root *part) seen {
	switch failed := m.header.get("X-Failed-Recipients"); {
	case root.find("message/delivery-status", "message/global-delivery-status") != nil:
		return seen{"Content-Type", root.media + " delivery-status", "RFC 3464 §2"}
	case failed != "":
		return seen{"X-Failed-Recipients", failed, "non-standard bounce"}
	case bounceSubject(m.Subject):
		return seen{"Subject", m.Subject, "non-standard bounce"}
	case m.HasReturnPath && m.ReturnPath == "":
		return seen{"Return-Path", "<>", "RFC 3834 §2"}
	}
	return seen{"From", m.header.get("From"), "non-standard bounce"}
}

// soundsLikeBounce recognises the forms that follow no standard. Nobody but a mail system is called MAILER-DAEMON; a postmaster, or mail from
// nowhere, must speak of a bounce in subject or text; other robots (parcel services write of failed deliveries too) must also quote
// an SMTP reply, and so must those that look like people, who may not have written anything before it either.
func soundsLikeBounce(m *Message) bool {
	if outOfOffice(m, nil).rule != "" {
		return false
	}
	local, from := strings.ToLower(m.From.Local()), strings.ToLower(decodeLine(m.header.get("From"), m.charset))
	path, _, _ := strings.Cut(strings.ToLower(m.ReturnPath), "@")
	subject, text := bounceSubject(m.Subject), capBytes(m.Text, 4<<10)
	wording := func(text string) bool { return containsAny(strings.ToLower(text), bounceWordings) }
	switch {
	case daemonName(local), m.From.Addr == "" && daemonName(strings.Trim(from, "<>\" ")):
		return true
	case strings.Contains(local, "postmaster"), strings.Contains(local, "post_master"), daemonName(path), path == "double-bounce", m.HasReturnPath && path == "",
		containsAny(from, mailSystems):
		return subject || wording(text)
	case isSystem(local), local == "system", local == "admin", local == "bounce":
		return (subject || wording(text)) && smtpReply.MatchString(text)
	}
	return subject && !LooksLikeReply(m.Subject) && len(m.InReplyTo) == 0 && wording(capBytes(text, 160)) && smtpReply.MatchString(text)
}

var smtpReply = regexp.MustCompile(`(?m)(?:^|[^\d.])(?:[45]\d\d[ -]|[45]\.\d\.\d{1,3}\b)`)

func daemonName(local string) bool {
	return local == "mailer-daemon" || local == "mailerdaemon" || local == "mail-daemon" || local == "mailer_daemon"
}

func bounceSubject(s string) bool { return containsAny(strings.ToLower(s), bounceSubjects) }

// report is a bounce being read.
type report struct {
	m        *Message
	root     *part
	text     string // what the mail system says, in words
	original string // the returned message, where it was put under the words
	delayed  bool   // it says that it will try again
}

// fromFields reads the groups of fields of RFC 3464 §2.1: one about the report, one for each recipient. Where a group's blank line is missing, a
// second Final-Recipient begins the next.
func (r *report) fromFields(text string) (out []Bounce) {
	var current header
	end := func() {
		if b, ok := r.recipient(current); ok && len(out) < maxRecipients {
			out = append(out, b)
		}
		current = nil
	}
	rest := []byte(text)
	for groups := 0; len(rest) > 0 && groups < 10*maxRecipients; groups++ {
		h, after := scanHeader(rest, false)
		if len(after) == len(rest) { // no field: pass over the line
			_, after = cutLine(rest)
		}
		for _, f := range h {
			if strings.EqualFold(f.name, "Final-Recipient") && current.get("Final-Recipient") != "" {
				end()
			}
			current = append(current, f)
		}
		if recipientOf(current) != "" && (current.get("Action") != "" || current.get("Status") != "") {
			end()
		}
		rest = bytes.TrimLeft(after, "\r\n")
	}
	end()
	return out
}

var enhancedStatus = regexp.MustCompile(`(?:^|[^\d.])([245]\.\d{1,3}\.\d{1,3})(?:[^\d.]|\.?\s|\.?$)`)

func (r *report) recipient(h header) (b Bounce, ok bool) {
	if h.get("Action") == "" && h.get("Status") == "" && recipientOf(h) == "" {
		return b, false
	}
	b.Recipient = recipientOf(h)
	if b.Recipient == "" {
		b.Recipient = r.guessRecipient()
	}
	b.Action = strings.ToLower(firstWord(withoutComments(h.get("Action"))))
	if found := enhancedStatus.FindStringSubmatch(h.get("Status")); found != nil {
		b.Status = found[1]
	}
	said := h.get("Diagnostic-Code")
	_, comment, _ := strings.Cut(h.get("Status"), "(") // some put the words there
	words := said + " " + comment
	reason := reasonOf(words, "")
	if reason == "other" {
		near := r.wordsAbout(b.Recipient)
		if reason = reasonOf(near, ""); reason != "other" {
			words += " " + near
		} else {
			reason = reasonOf(words, b.Status)
		}
	}
	r.judge(&b, reason, h.get("Remote-MTA")+" "+words)
	return b, true
}

// recipientOf prefers the address as we wrote it: the final one may be where it was forwarded to (RFC 3464 §2.3.1).
func recipientOf(h header) string {
	for _, name := range []string{"Original-Recipient", "Final-Recipient", "X-Actual-Recipient"} {
		v := h.get(name)
		if i := strings.IndexByte(v, ';'); i >= 0 {
			v = v[i+1:]
		}
		if a := parseAddresses(nil, v, ""); len(a) > 0 {
			return a[0].Addr
		}
	}
	return ""
}

// judge fills in what follows from the reason and the words.
func (r *report) judge(b *Bounce, reason, words string) {
	words = strings.ToLower(words)
	b.Reason = reason
	if b.Action == "" {
		b.Action = "failed"
		if r.delayed {
			b.Action = "delayed"
		}
	}
	if b.Status == "" {
		b.Status = statusIn(words)
	}
	if b.Status == "" && b.Action != "failed" {
		b.Status = "4.0.0"
	} else if b.Status == "" {
		b.Status = "5.0.0"
	}
	b.Permanent = dead(b, words)
}

var replyCode = regexp.MustCompile(`(?:^|[^\d.])([45])\d\d(?:[ :-]|$)`)

func statusIn(words string) string {
	if found := enhancedStatus.FindStringSubmatch(words); found != nil {
		return found[1]
	}
	if found := replyCode.FindStringSubmatch(words); found != nil {
		return found[1] + ".0.0"
	}
	return ""
}

var textAddress = regexp.MustCompile(`[A-Za-z0-9!#$%&'*+/=?^_{|}~.-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*`)

// fromText reads a report in words: the recipients it names, and for each what stands between it and the next.
func (r *report) fromText() (out []Bounce) {
	recipients, at := r.namedRecipients()
	for i, recipient := range recipients {
		words := r.text
		if at[i] >= 0 {
			end := len(r.text)
			if i+1 < len(at) && at[i+1] > at[i] {
				end = at[i+1]
			}
			words = r.text[at[i]:end]
			// Where the line itself says why, the next ones may already speak of another.
			if line := foldedLine(words); reasonOf(line, "") != "other" {
				words = line
			}
		}
		reason := reasonOf(words, statusIn(strings.ToLower(words)))
		if reason == "other" && len(recipients) == 1 {
			words = r.m.Subject + "\n" + r.text
			reason = reasonOf(words, statusIn(words))
		}
		b := Bounce{Recipient: recipient}
		r.judge(&b, reason, words)
		out = append(out, b)
	}
	return out
}

// namedRecipients finds who the report is about and where its words begin to speak of each: by the field that names them, by the addresses in
// the text that are not our own, or by whom the returned message was for.
func (r *report) namedRecipients() (names []string, at []int) {
	add := func(addr string, pos int) {
		addr, ok := cleanAddr(strings.TrimRight(addr, ".'"))
		if ok && len(names) < maxRecipients && !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, addr) }) {
			names, at = append(names, addr), append(at, pos)
		}
	}
	for _, a := range r.m.addresses("X-Failed-Recipients") {
		add(a.Addr, lineStart(r.text, strings.Index(r.text, a.Addr)))
	}
	if len(names) > 0 {
		return names, at
	}
	own := func(addr string) bool {
		return slices.ContainsFunc(r.m.To, func(a Address) bool { return strings.EqualFold(a.Addr, addr) }) || strings.EqualFold(addr, r.m.From.Addr)
	}
	announced := 0 // where the list of recipients begins
	for _, a := range announcements {
		announced = max(announced, strings.Index(r.text, a))
	}
	for pass := range 2 { // addresses of the list, or else any, but never our own
		for _, span := range textAddress.FindAllStringIndex(r.text, maxRecipients) {
			if pass == 0 && span[0] < announced {
				continue
			}
			addr, start := strings.TrimRight(r.text[span[0]:span[1]], "."), lineStart(r.text, span[0])
			before := strings.ToLower(r.text[start:span[0]])
			if !own(addr) && !containsAny(before, notRecipients) {
				add(addr, start)
			}
		}
		if len(names) > 0 {
			return names, at
		}
	}
	return []string{r.guessRecipient()}, []int{-1}
}

// foldedLine returns the first line and the indented ones under it.
func foldedLine(s string) string {
	for i := 0; i < len(s)-1; i++ {
		if s[i] == '\n' && s[i+1] != ' ' && s[i+1] != '\t' {
			return s[:i]
		}
	}
	return s
}

func lineStart(s string, i int) int {
	if i < 0 {
		return -1
	}
	return strings.LastIndexByte(s[:i], '\n') + 1
}

// guessRecipient is the addressee of the returned message, if it has just one.
func (r *report) guessRecipient() string {
	h, _ := scanHeader([]byte(r.original), true)
	if p := r.root.find("message/rfc822", "message/global", "text/rfc822-headers"); p != nil {
		h, _ = scanHeader(p.decoded(maxText), true)
	}
	if to := parseAddresses(nil, h.get("To"), ""); len(to) == 1 {
		return to[0].Addr
	}
	return ""
}

// wordsAbout returns what the text says from a recipient's first mention on.
func (r *report) wordsAbout(recipient string) string {
	if i := strings.Index(r.text, recipient); recipient != "" && i >= 0 {
		return r.text[lineStart(r.text, i):]
	}
	return r.text
}

// cutOriginal parts a report's words from the message that it returns under them.
func cutOriginal(text string) (words, original string) {
	for at := 0; at < len(text); {
		line, _, _ := strings.Cut(text[at:], "\n")
		lower := strings.ToLower(strings.TrimSpace(line))
		if at > 0 && (strings.HasPrefix(lower, "received:") || strings.HasPrefix(lower, "return-path:")) {
			return text[:at], text[at:]
		}
		next := min(at+len(line)+1, len(text))
		ruled := strings.HasPrefix(lower, "-") || strings.HasSuffix(lower, ":") || strings.HasSuffix(lower, "follow.") || strings.HasSuffix(lower, "follows.")
		if ruled && len(lower) < 120 && containsAny(lower, originalStarts) {
			return text[:at], strings.TrimLeftFunc(text[next:], unicode.IsSpace)
		}
		at = next
	}
	return text, ""
}

// notice is what Amazon's notification service mails as JSON.
type notice struct {
	Type      string `json:"notificationType"`
	EventType string `json:"eventType"`
	Bounce    struct {
		Recipients []struct {
			Address string `json:"emailAddress"`
			Action  string `json:"action"`
			Status  string `json:"status"`
			Words   string `json:"diagnosticCode"`
		} `json:"bouncedRecipients"`
	} `json:"bounce"`
	Complaint struct {
		Recipients []struct {
			Address string `json:"emailAddress"`
		} `json:"complainedRecipients"`
		Type string `json:"complaintFeedbackType"`
	} `json:"complaint"`
	Delivery struct {
		Recipients []string `json:"recipients"`
	} `json:"delivery"`
}

// readNotice returns nil if the message is no such notice. Lines of the JSON may be folded anywhere.
func readNotice(m *Message) *notice {
	text := strings.ReplaceAll(strings.TrimSpace(m.Text), "\n", "")
	if !strings.HasSuffix(m.From.Domain(), ".amazonaws.com") || !strings.HasPrefix(text, "{") {
		return nil
	}
	n := &notice{}
	if json.NewDecoder(strings.NewReader(text)).Decode(n) != nil || n.Type+n.EventType == "" {
		return nil
	}
	return n
}

func (n *notice) bounces() (out []Bounce) {
	for _, r := range n.Bounce.Recipients[:min(len(n.Bounce.Recipients), maxRecipients)] {
		addr, _ := cleanAddr(r.Address)
		b := Bounce{Recipient: addr, Action: firstWord(oneLine(r.Action)), Status: statusIn(r.Status)}
		(&report{m: &Message{}}).judge(&b, reasonOf(r.Words, b.Status), r.Words)
		out = append(out, b)
	}
	for _, r := range n.Delivery.Recipients[:min(len(n.Delivery.Recipients), maxRecipients)] {
		addr, _ := cleanAddr(r)
		out = append(out, Bounce{Recipient: addr, Status: "2.0.0", Action: "delivered", Reason: "other"})
	}
	return out
}

// readComplaint reads a feedback report (RFC 5965), Amazon's form of it, or Hotmail's, which is a bare copy of the mail complained about.
func readComplaint(m *Message, root *part) *Complaint {
	if n := readNotice(m); n != nil && len(n.Complaint.Recipients) > 0 {
		addr, _ := cleanAddr(n.Complaint.Recipients[0].Address)
		return &Complaint{addr, cmp.Or(strings.ToLower(firstWord(oneLine(n.Complaint.Type))), "abuse")}
	}
	r := report{m: m, root: root}
	p := root.find("message/feedback-report")
	if p == nil || root.media != "multipart/report" && LooksLikeReply(m.Subject) {
		if strings.HasPrefix(strings.ToLower(m.Subject), "complaint about message from") && m.From.Key() == "staff@hotmail.com" {
			return &Complaint{r.guessRecipient(), "abuse"}
		}
		return nil
	}
	h, _ := scanHeader(p.decoded(maxText), false)
	c := &Complaint{Type: cmp.Or(strings.ToLower(firstWord(oneLine(h.get("Feedback-Type")))), "abuse")}
	for _, name := range []string{"Original-Rcpt-To", "Removal-Recipient"} { // RFC 5965 §3.2
		if a := parseAddresses(nil, h.get(name), ""); c.Recipient == "" && len(a) > 0 {
			c.Recipient = a[0].Addr
		}
	}
	if c.Recipient == "" {
		c.Recipient = r.guessRecipient()
	}
	return c
}
