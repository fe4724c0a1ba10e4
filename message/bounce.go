package message

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Bounce is what a report says of one recipient.
type Bounce struct {
	Recipient string // the address we wrote to, where the report tells it
	Status    string // "5.1.1" (RFC 3463); "5.0.0" or "4.0.0" where only the class is known
	Action    string // "failed", "delayed", "delivered", "relayed", "expanded" (RFC 3464 §2.3.3)
	Reason    string // "user-unknown", "mailbox-full", … (see reason.go)
	Permanent bool   // the address is dead: no such user or host, or disabled
}

// Complaint is what a feedback report says.
type Complaint struct{ Recipient, Type string }

const maxRecipients = 100 // of one report

// readBounce returns a bounce's recipients, at least one; nil if the message is no bounce. A delivery-status part settles it (RFC 3464).
// The forms without one are recognised by a robot as the sender together with a subject or wording of theirs; either alone would also
// find the person who forwards a bounce, or asks about one.
func readBounce(m *Message, root *part) []Bounce {
	if notice, ok := readNotice(m); ok {
		return notice.bounces()
	}
	dsn := root.find("message/delivery-status", "message/global-delivery-status")
	robot := robotSender(m)
	switch {
	case dsn != nil:
	case root.media == "multipart/report" && strings.EqualFold(root.params["report-type"], "delivery-status"):
	case m.header.get("X-Failed-Recipients") != "":
	case robot == daemon:
	case robot == suspect && outOfOffice(m, root).rule == "" && (bounceSubject(m.Subject) || bounceWording(m.Text)):
	default:
		return nil
	}
	r := report{m: m, root: root}
	r.text, r.original = cutOriginal(m.Text)
	r.delayed = containsAny(strings.ToLower(m.Subject+"\n"+capBytes(r.text, 16<<10)), delayedWordings)
	var found []Bounce
	if dsn != nil {
		found = r.fromFields(string(dsn.decoded(maxText)))
	} else if reportFields.MatchString(m.Text) { // a report's fields, but as plain text
		found = r.fromFields(m.Text[reportFields.FindStringIndex(m.Text)[0]:])
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

// How surely a sender is a mail system: suspects need a bounce's words as well.
const (
	human = iota
	suspect
	daemon
)

func robotSender(m *Message) int {
	local := strings.ToLower(m.From.Local())
	path, _, _ := strings.Cut(strings.ToLower(m.ReturnPath), "@")
	switch from := strings.ToLower(m.header.get("From")); {
	case daemonName(local), m.From.Addr == "" && daemonName(strings.Trim(from, "<>\" ")):
		return daemon
	case m.HasReturnPath && m.ReturnPath == "", daemonName(path), path == "double-bounce", isSystem(local), strings.Contains(local, "postmaster"),
		strings.Contains(from, "mail delivery s"), strings.Contains(from, "mail system"), strings.Contains(from, "system administrator"),
		local == "system" || local == "sysadmin" || local == "admin" && bounceSubject(m.Subject):
		return suspect
	}
	return human
}

func daemonName(local string) bool {
	return local == "mailer-daemon" || local == "mailerdaemon" || local == "mail-daemon" || local == "mailer_daemon"
}

var bounceSubjects = []string{
	"undeliver", "mail delivery failed", "mail delivery failure", "mail delivery system", "mail delivery status", "mail delivery error", "mail delivery problem",
	"delivery status notification", "delivery notification", "delivery failure", "delivery failed", "delivery report", "delivery problem", "delivery delay",
	"delivery error", "delivery has", "failure notice", "failed to deliver", "failure delivery", "returned mail", "returned message", "returned email",
	"returning message", "returned to sender", "mail failure", "mail system error", "nondeliver", "non-deliver", "non deliver", "not delivered", "could not be delivered",
	"could not send", "could not deliver", "can't be delivered", "cannot be delivered", "postmaster notify", "delayed mail", "rejected mail", "bounce",
	"unzustellbar", "nicht zugestellt", "nicht zustellbar", "zustellung", "échec de la remise", "non remis", "non distribu", "no se puede entregar", "no entregado",
	"devuelto", "mancata consegna", "não entregue", "devolvid", "niet bezorg", "onbestelbaar", "не доставлен", "недоставлен",
	"配信不能", "配信エラー", "送信できません", "不達", "退信", "退件", "投递失败", "发送失败", "無法傳送", "投递状态", "无法投递", "无法送达", "无法传递", "未送达", "未传递",
	"未送達", "未能送达", "被退回", "無法傳遞", "無法投遞", "傳送失敗", "傳遞失敗", "寄送失敗", "传递失败", "投递延迟", "延迟投递", "传递已延迟",
}

func bounceSubject(s string) bool { return containsAny(strings.ToLower(s), bounceSubjects) }

var bounceWordings = []string{
	"could not be delivered to", "unable to deliver", "wasn't able to deliver", "was not delivered to", "wasn't delivered to", "did not reach the following recipient",
	"could not deliver", "couldn't be delivered", "delivery to the following recipient", "delivery has failed", "error while attempting to deliver", "undeliverable to",
	"the following recipient(s) could not be reached", "failed permanently", "error message below", "not relayed to", "your message cannot be delivered",
	"邮件被退回", "退信原因", "无法送达", "无法投递", "投递失败", "发送失败", "未能送达", "无法发送到", "無法傳遞", "無法送達",
}

func bounceWording(text string) bool {
	return containsAny(strings.ToLower(capBytes(text, 4<<10)), bounceWordings)
}

func containsAny(s string, words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(s, w) })
}

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

var delayedWordings = []string{
	"(delay)", "(delayed)", "warning message only", "will be retried", "will retry", "delivery is delayed", "has been delayed", "not yet been delivered", "could not yet be delivered",
	"still being attempted", "will keep trying", "continue to try", "wird verzögert", "延迟投递", "投递延迟", "已延迟", "将继续尝试", "继续重试", "继续投递", "稍后重试",
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
			words = r.m.Subject + "\n" + capBytes(r.text, 16<<10)
			reason = reasonOf(words, statusIn(words))
		}
		b := Bounce{Recipient: recipient}
		r.judge(&b, reason, words)
		out = append(out, b)
	}
	return out
}

// Lines whose addresses are not the recipients.
var notRecipients = []string{"mail from", "from:", "from <", "sent by", "sender", "contact", "support", "please", "help", "message-id", "reply-to", "return-path", "http", "generated from"}

// What goes before the list of recipients.
var announcements = []string{"following recipient", "following address", "not delivered to:", "could not be delivered to"}

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
	text := capBytes(r.text, 16<<10)
	announced := 0 // where the list of recipients begins
	for _, a := range announcements {
		announced = max(announced, strings.Index(text, a))
	}
	for pass := range 3 { // addresses of the list, then others, our own only if there are no others
		for _, span := range textAddress.FindAllStringIndex(text, maxRecipients) {
			if pass == 0 && span[0] < announced {
				continue
			}
			addr, start := strings.TrimRight(r.text[span[0]:span[1]], "."), lineStart(r.text, span[0])
			before := strings.ToLower(r.text[start:span[0]])
			if (pass == 2 || !own(addr)) && !containsAny(before, notRecipients) {
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

var originalStarts = []string{
	"copy of the message", "copy of your message", "original message", "the header of the original", "unsent message follows", "message headers follow", "returned message",
	"copy of the message header", "message header follows", "邮件原文", "原始邮件", "原邮件", "原信",
}

// cutOriginal parts a report's words from the message that it returns under them.
func cutOriginal(text string) (words, original string) {
	for at := 0; at < len(text); {
		line, _, _ := strings.Cut(text[at:], "\n")
		lower := strings.ToLower(strings.TrimSpace(line))
		ruled := strings.HasPrefix(lower, "-") || strings.HasSuffix(lower, ":") || strings.HasSuffix(lower, "follow.") || strings.HasSuffix(lower, "follows.")
		if at > 0 && (strings.HasPrefix(lower, "received:") || strings.HasPrefix(lower, "return-path:")) || len(lower) < 120 && ruled && containsAny(lower, originalStarts) {
			_, after, _ := strings.Cut(text[at:], "\n")
			if strings.HasPrefix(lower, "received:") || strings.HasPrefix(lower, "return-path:") {
				after = text[at:]
			}
			return text[:at], strings.TrimLeftFunc(after, unicode.IsSpace)
		}
		at += len(line) + 1
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

func readNotice(m *Message) (n notice, ok bool) {
	text := strings.TrimSpace(m.Text)
	if !strings.HasPrefix(text, `{`) || !strings.Contains(text[:min(len(text), 300)], `"Type"`) && !strings.Contains(text[:min(len(text), 300)], `Type":"`) {
		return n, false
	}
	text = strings.ReplaceAll(text, "\n", "") // lines were folded anywhere
	if json.NewDecoder(strings.NewReader(text)).Decode(&n) != nil || n.Type+n.EventType == "" {
		return n, false
	}
	return n, true
}

func (n notice) bounces() (out []Bounce) {
	for _, r := range n.Bounce.Recipients[:min(len(n.Bounce.Recipients), maxRecipients)] {
		b := Bounce{Recipient: r.Address, Action: r.Action, Status: r.Status}
		(&report{m: &Message{}}).judge(&b, reasonOf(r.Words, r.Status), r.Words)
		out = append(out, b)
	}
	for _, r := range n.Delivery.Recipients[:min(len(n.Delivery.Recipients), maxRecipients)] {
		out = append(out, Bounce{Recipient: r, Status: "2.0.0", Action: "delivered", Reason: "other"})
	}
	return out
}

// readComplaint reads a feedback report (RFC 5965), Amazon's form of it, or Hotmail's, which is a bare copy of the mail complained about.
func readComplaint(m *Message, root *part) *Complaint {
	if n, ok := readNotice(m); ok && len(n.Complaint.Recipients) > 0 {
		kind := n.Complaint.Type
		if kind == "" {
			kind = "abuse"
		}
		return &Complaint{n.Complaint.Recipients[0].Address, kind}
	}
	r := report{m: m, root: root}
	p := root.find("message/feedback-report")
	if p == nil {
		if strings.HasPrefix(strings.ToLower(m.Subject), "complaint about message from") && m.From.Key() == "staff@hotmail.com" {
			return &Complaint{r.guessRecipient(), "abuse"}
		}
		return nil
	}
	h, _ := scanHeader(p.decoded(maxText), false)
	c := &Complaint{Type: strings.ToLower(firstWord(h.get("Feedback-Type")))}
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
