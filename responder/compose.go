package responder

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/message"
	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/promise"
	"github.com/returnpost/returnpost/store"
	"github.com/returnpost/returnpost/templates"
)

const (
	maxSubject    = 200 // runes of an acknowledgement's Subject
	maxReferences = 20  // message ids kept in References: the first and the last ones
	maxAckAge     = 72 * time.Hour
)

// occasion is everything an acknowledgement is composed from besides the
// member list and the clock. It is stored beside the finished bytes, so that a
// letter which had to wait past its own promise can be composed anew.
type occasion struct {
	Mailbox    string        `json:"mailbox"`
	Content    [16]byte      `json:"content"` // the hash of the message answered
	ToName     string        `json:"to_name,omitempty"`
	To         string        `json:"to"`
	From       string        `json:"from"`
	Subject    string        `json:"subject"` // of the message, without reply prefixes
	InReplyTo  string        `json:"in_reply_to,omitempty"`
	References []string      `json:"references,omitempty"`
	Language   string        `json:"language"`
	Offset     *int          `json:"offset,omitempty"` // seconds east of UTC, by the message's Date
	Member     string        `json:"member,omitempty"`
	Rule       string        `json:"rule,omitempty"`
	Letter     string        `json:"letter"`
	Alert      string        `json:"alert,omitempty"`
	Within     time.Duration `json:"within"`
}

// occasionOf gathers what the acknowledgement of a message is composed from.
func (p *Policy) occasionOf(m *message.Message, d Decision, member *members.Member) occasion {
	to := p.recipient(m, d)
	o := occasion{
		Mailbox: p.Mailbox, Content: m.Hash,
		ToName: to.Name, To: to.Addr, From: p.Address,
		Subject:   message.BareSubject(m.Subject),
		InReplyTo: m.MessageID, References: references(m),
		Language: p.language(m, member), Offset: m.Offset,
		Letter: "acknowledgement", Within: p.RespondWithin,
	}
	// From is the address the person wrote to, without its detail part.
	if own := p.addressee(m); own != "" {
		o.From = own
	}
	if member != nil {
		o.Member = member.Email
	}
	if r := p.match(m, member); r != nil {
		o.Rule, o.Alert = r.Name, r.Alert
		if r.RespondWithin > 0 {
			o.Within = r.RespondWithin
		}
		if r.Letter != "" {
			o.Letter = r.Letter
		}
	}
	if member != nil && member.Acknowledgements == "brief" {
		o.Letter = brief(p.Letters.Set(), o.Letter)
	}
	return o
}

// Plan is what an acknowledgement would say, for those who only ask.
type Plan struct {
	Language, Letter, Words string
	Promise                 promise.Promise
}

// Plan tells what the acknowledgement of a message would be. Where nobody waits
// there is only the language.
func (p *Policy) Plan(m *message.Message, d Decision, member *members.Member, now time.Time) Plan {
	if !d.Waits {
		return Plan{Language: p.language(m, member)}
	}
	o := p.occasionOf(m, d, member)
	pr := p.Schedule.Promise(now, o.Within)
	return Plan{Language: o.Language, Letter: o.Letter, Promise: pr, Words: pr.Words(o.Language, o.zone(member))}
}

// match finds the first rule whose condition holds. A condition that fails to
// evaluate for a letter does not hold.
func (p *Policy) match(m *message.Message, member *members.Member) *Rule {
	if len(p.Rules) == 0 {
		return nil
	}
	extra := conditionValues(m, p.language(m, nil))
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.When == nil {
			return r
		}
		if ok, err := r.When.Match(member, extra); err == nil && ok {
			return r
		}
	}
	return nil
}

// ConditionNames are the names beside `member` that a rule's condition may use,
// with a value of each one's type.
func ConditionNames() map[string]any {
	return conditionValues(&message.Message{}, "")
}

func conditionValues(m *message.Message, language string) map[string]any {
	to := ""
	if len(m.To) > 0 {
		to = m.To[0].Addr
	}
	return map[string]any{"message": map[string]any{
		"subject": m.Subject, "text": m.NewText, "from": m.From.Addr, "to": to, "language": language,
	}}
}

// brief is the short form of a letter: its own, else that of the acknowledgement.
func brief(set *templates.Set, letter string) string {
	if set.Has(letter + "-brief") {
		return letter + "-brief"
	}
	return "acknowledgement-brief"
}

// references are the message's own References, else its In-Reply-To
// (RFC 5322 §3.6.4), capped at their first and last ones. The message's own id
// is added when the letter is composed.
func references(m *message.Message) []string {
	refs := m.References
	if len(refs) == 0 && len(m.InReplyTo) == 1 {
		refs = m.InReplyTo
	}
	if len(refs) >= maxReferences {
		refs = append(append([]string(nil), refs[0]), refs[len(refs)-(maxReferences-2):]...)
	}
	return refs
}

// reader is what the letter may say: about the member, or about a stranger only
// what their own message said.
func (p *Policy) reader(o *occasion, member *members.Member) *templates.Reader {
	r := &templates.Reader{
		Email: o.To, Language: o.Language, Subject: o.Subject,
		Business: p.Business, Mailbox: p.Name, MailboxAddress: o.From,
	}
	if member != nil {
		r.Known, r.Name, r.Tier, r.Joined = true, member.Name, member.Tier, member.Joined
		r.Topics, r.Fields = member.Topics, member.Fields
	}
	if r.Name == "" {
		r.Name = callName(o.ToName)
	}
	return r
}

// compose writes the acknowledgement: the promise counted from now, the letter
// in its reader's language, and the finished bytes.
func (p *Policy) compose(o *occasion, member *members.Member, now time.Time) (*store.Ack, promise.Promise, error) {
	pr := p.Schedule.Promise(now, o.Within)
	r := p.reader(o, member)
	letter, err := p.write(o.Letter, o.Language, r, pr, o.zone(member))
	if err != nil && o.Letter != "acknowledgement" {
		// A person is not left without an answer by a mistake in a letter of ours.
		letter, err = p.write("acknowledgement", o.Language, r, pr, o.zone(member))
	}
	if err != nil {
		return nil, pr, err
	}
	if member != nil && member.Format == "text" {
		letter.HTML = ""
	}
	token := p.Marker.token(p.Mailbox, o.Content)
	mail := outbox.Mail{
		From: outbox.FormatAddress(p.Name, o.From), To: outbox.FormatAddress(templates.Harmless(r.Name), o.To),
		Subject:   subject(letter.Subject),
		MessageID: messageID(token, o.From), Date: now,
		InReplyTo: o.InReplyTo, References: o.References,
		Language: letter.Language, Text: letter.Text, HTML: letter.HTML,
		Headers: [][2]string{
			{"Auto-Submitted", "auto-replied"}, // RFC 3834 §3.1.7
			{"Precedence", "bulk"},
			// MS-OXCMAIL §2.1.3.2.20; not "All": that would suppress the bounces we want.
			{"X-Auto-Response-Suppress", "DR, RN, NRN, OOF, AutoReply"},
		},
	}
	if o.InReplyTo != "" {
		mail.References = append(append([]string(nil), o.References...), o.InReplyTo)
	}
	raw, err := outbox.Compose(mail)
	if err != nil {
		return nil, pr, fmt.Errorf("compose the acknowledgement: %w", err)
	}
	memo, err := json.Marshal(o)
	if err != nil {
		return nil, pr, fmt.Errorf("note the occasion of the acknowledgement: %w", err)
	}
	ack := &store.Ack{
		From: p.envelope(token), To: o.To, MessageID: mail.MessageID, Bytes: raw,
		Due: now.Add(p.Hold), StaleAt: pr.By, Occasion: memo, Letter: o.Letter,
	}
	if ack.StaleAt.IsZero() {
		ack.StaleAt = now.Add(maxAckAge)
	}
	return ack, pr, nil
}

// write renders a letter with its promise, whose words are in the language that
// the letter is there in.
func (p *Policy) write(letter, language string, r *templates.Reader, pr promise.Promise, zone *time.Location) (*templates.Letter, error) {
	set := p.Letters.Set()
	r.Promise, r.Promised = pr.Words(set.Language(letter, language), zone), !pr.By.IsZero()
	l, err := set.Render(letter, language, r)
	if err != nil {
		return nil, fmt.Errorf("mailbox %q: render the letter %q: %w", p.Mailbox, letter, err)
	}
	return l, nil
}

// zone is the writer's: the member's preference, else the offset of the
// message's Date, else nil for the firm's own.
func (o *occasion) zone(member *members.Member) *time.Location {
	if member != nil {
		if z := member.Zone(); z != nil {
			return z
		}
	}
	if o.Offset != nil {
		return time.FixedZone("", *o.Offset)
	}
	return nil
}

// envelope is the envelope sender (RULES: the mailbox with a token where
// sub-addressing works, else the mailbox; the null path by choice, RFC 3834 §3.3).
func (p *Policy) envelope(token string) string {
	switch p.Envelope {
	case EnvelopeNull:
		return ""
	case EnvelopeSubaddress:
		at := strings.LastIndexByte(p.Address, '@')
		return p.Address[:at] + "+" + token + p.Address[at:]
	default:
		return p.Address
	}
}

// subject caps a Subject at 200 characters, without cutting a character in two.
func subject(s string) string {
	r := []rune(strings.TrimSpace(s))
	if len(r) > maxSubject {
		r = append(r[:maxSubject-1], '…')
	}
	return string(r)
}

// callName is a stranger's name as one may greet them by it, from the display
// name of their mail; "" where that is no name ("info@…", "Order 4711").
func callName(display string) string {
	display = strings.TrimSpace(display)
	if last, first, ok := strings.Cut(display, ","); ok && !strings.Contains(first, ",") {
		display = strings.TrimSpace(first) + " " + strings.TrimSpace(last)
	}
	letters := 0
	for _, r := range display {
		switch {
		case unicode.IsLetter(r) || unicode.IsMark(r):
			letters++
		case r == ' ' || r == '-' || r == '\'' || r == '’' || r == '.' || r == '·' || r == '・':
		default:
			return ""
		}
	}
	if letters < 2 || letters > 40 || templates.Harmless(display) != display {
		return ""
	}
	return display
}

// Sample renders a letter as a reader would get it now, for those who write
// letters: a member, or with nil a stranger with a name. The language is the
// member's or the first configured where none is given.
func (p *Policy) Sample(letter, language string, member *members.Member, now time.Time) (*templates.Letter, error) {
	l, ok := p.configured(language)
	switch {
	case ok:
	case language != "":
		l = language
	case member != nil:
		if l, ok = p.configured(member.Language); !ok {
			l = p.Languages[0]
		}
	default:
		l = p.Languages[0]
	}
	o := occasion{
		Mailbox: p.Mailbox, From: p.Address, To: "jane@doe.example", ToName: "Jane Doe", Language: l,
		Subject: "Is the second edition in yet?", Letter: letter, Within: p.RespondWithin,
	}
	if l == "zh" {
		o.ToName, o.Subject = "陈晨", "第二版到货了吗"
	}
	if member != nil {
		o.To, o.ToName = member.Email, member.Name
	}
	return p.write(letter, l, p.reader(&o, member), p.Schedule.Promise(now, o.Within), o.zone(member))
}
