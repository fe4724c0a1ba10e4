package responder

import (
	"strings"

	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/message"
)

// Reason names why a message is acknowledged or why we are silent. The names
// are the contract of the log, the ledger and `explain`.
type Reason string

// The reasons, in the order in which they are asked. NewThread is the only one
// that acknowledges.
const (
	Broken        Reason = "broken"
	Own           Reason = "own"
	Bounce        Reason = "bounce"
	Complaint     Reason = "complaint"
	Receipt       Reason = "receipt"
	AutoReply     Reason = "auto-reply"
	OutOfOffice   Reason = "out-of-office"
	List          Reason = "list"
	NoAutoReplies Reason = "no-auto-replies"
	SystemSender  Reason = "system-sender"
	Calendar      Reason = "calendar"
	Spam          Reason = "spam"
	Forged        Reason = "forged"
	NotForUs      Reason = "not-for-us"
	Unsubscribe   Reason = "unsubscribe"
	FollowUp      Reason = "follow-up"
	Answered      Reason = "answered"
	MemberWish    Reason = "member-wish"
	Suppressed    Reason = "suppressed"
	Stale         Reason = "stale"
	LimitSender   Reason = "limit-sender"
	LimitDomain   Reason = "limit-domain"
	LimitTotal    Reason = "limit-total"
	RobotFuse     Reason = "robot-fuse"
	NewThread     Reason = "new-thread"
)

// History is what the ledger and the member list know that bears on one
// message. The zero value is a stranger's first letter.
type History struct {
	Member     *members.Member // nil: not on the list
	FollowUp   string          // the thread has had its acknowledgement: what tied the message to it
	Answered   bool            // a person has replied meanwhile
	Suppressed string          // why the address must not be written to
	Stale      string          // why the message is too old to be answered
	Blown      Reason          // LimitSender, LimitDomain or LimitTotal: the fuse that is blown
	Muted      string          // why the robot fuse has muted the sender
}

// Decision is the judgement on one message.
type Decision struct {
	Acknowledge bool
	Kind        message.Kind
	Reason      Reason
	Rule        string          // the standard or the policy behind Reason: "RFC 3834 §2"
	Evidence    string          // what was seen: "Auto-Submitted: auto-replied"
	Author      message.Address // the person who wrote, and to whom an answer goes
	Waits       bool            // a person waits for an answer, acknowledged or not
}

// A rule is one row of the table of silence.
type rule struct {
	reason Reason
	cite   string // used where the evidence does not bring its own
	kind   message.Kind
	hit    func(c *matter) (evidence message.Evidence, hit bool)
}

// matter is one message before the rules.
type matter struct {
	m    *message.Message
	h    History
	p    *Policy
	form bool // from one of the mailbox's contact forms
}

// rules is the table of silence; the first row that hits decides.
//
// The order is the argument. What cannot be read is set aside first, then our
// own mail, so that nothing below can make us answer ourselves. Bounces come
// before automatic replies because most bounces carry both marks, and it is the
// bounce that says something about an address. Marks that the sending program
// set on purpose come before what a receiving server thought (spam, dmarc). Only
// then is asked whether the letter is for us and new; wishes, limits and fuses
// come last, because they silence people, who still wait for an answer.
var rules = []rule{
	{Broken, "RFC 5322 §3.6.2", message.KindBroken, marked(message.MarkBroken)},
	{Own, "RFC 3834 §2", message.KindOwn, notForm(isOwn)},
	{Bounce, "RFC 3834 §2", "", marked(message.MarkBounce)},
	{Complaint, "RFC 5965 §2", "", marked(message.MarkComplaint)},
	{Receipt, "RFC 8098 §3", "", marked(message.MarkReceipt)},
	{AutoReply, "RFC 3834 §2", "", notForm(isAutoReply)},
	{OutOfOffice, "RFC 3834 §2", "", marked(message.MarkOutOfOffice)},
	{List, "RFC 3834 §2", "", notForm(marked(message.MarkList))},
	{NoAutoReplies, "MS-OXCMAIL §2.1.3.2.20", "", marked(message.MarkNoAutoReplies)},
	{SystemSender, "RFC 3834 §2", "", notForm(marked(message.MarkSystemSender))},
	{Calendar, "RFC 5546 §1.4", "", marked(message.MarkCalendar)},
	{Spam, "the receiving server's verdict", "", marked(message.MarkSpam)},
	{Forged, "RFC 7489 §6.6", "", isForged},
	{NotForUs, "RFC 5230 §4.5", "", isNotForUs},
	{Unsubscribe, "RFC 8058 §1", message.KindUnsubscribe, marked(message.MarkUnsubscribe)},
	{FollowUp, "one acknowledgement a thread", "", said(func(h History) string { return h.FollowUp })},
	{Answered, "responder.hold", "", said(func(h History) string {
		if h.Answered {
			return "a person has replied already"
		}
		return ""
	})},
	{MemberWish, "the member's preference", "", said(wishesNone)},
	{Suppressed, "the suppression list", "", said(func(h History) string { return h.Suppressed })},
	{Stale, "responder.backlog_age", "", said(func(h History) string { return h.Stale })},
	{LimitSender, "responder.limits.per_sender", "", blown(LimitSender)},
	{LimitDomain, "responder.limits.per_domain", "", blown(LimitDomain)},
	{LimitTotal, "responder.limits.total", "", blown(LimitTotal)},
	{RobotFuse, "RFC 3834 §2", "", said(func(h History) string { return h.Muted })},
}

// silencesPeople are the reasons for silence under which a person still waits:
// nothing was wrong with the letter, we only do not answer it by ourselves.
var silencesPeople = map[Reason]bool{
	NoAutoReplies: true, MemberWish: true, Suppressed: true,
	LimitSender: true, LimitDomain: true, LimitTotal: true, RobotFuse: true,
}

// Decide judges one message. It is pure: the same message, history and policy
// give the same decision. Fuses are counted in the store, where a count can be
// claimed; a decision to acknowledge may still be turned there into one of the
// limits, or into follow-up when two letters of a thread come at once.
func Decide(m *message.Message, h History, p *Policy) Decision {
	c := matter{m: m, h: h, p: p, form: p.isForm(m)}
	d := Decision{Kind: m.Kind, Author: author(&c)}
	if c.form && automatic[d.Kind] {
		d.Kind = message.KindPerson
	}
	for i := range rules {
		r := &rules[i]
		e, hit := r.hit(&c)
		if !hit {
			continue
		}
		d.Reason, d.Rule, d.Evidence = r.reason, r.cite, line(e)
		if e.Rule != "" {
			d.Rule = e.Rule
		}
		if r.kind != "" {
			d.Kind = r.kind
		}
		d.Waits = d.Kind == message.KindPerson && silencesPeople[r.reason] && onlyPeople(&c, rules[i+1:])
		return d
	}
	d.Acknowledge, d.Reason, d.Waits = true, NewThread, true
	return d
}

// onlyPeople says whether no further rule speaks against a person waiting: a
// blind copy that asks for no automatic replies is still not for us.
func onlyPeople(c *matter, further []rule) bool {
	for i := range further {
		if _, hit := further[i].hit(c); hit && !silencesPeople[further[i].reason] {
			return false
		}
	}
	return true
}

// A Step is one rule as it was asked.
type Step struct {
	Reason   Reason `json:"reason"`
	Rule     string `json:"rule"`
	Hit      bool   `json:"hit"`
	Evidence string `json:"evidence,omitempty"`
}

// Trace tells how Decide came to its decision: every rule that was asked, in
// order, the last being the one that decided.
func Trace(m *message.Message, h History, p *Policy) []Step {
	c := matter{m: m, h: h, p: p, form: p.isForm(m)}
	steps := make([]Step, 0, len(rules)+1)
	for i := range rules {
		e, hit := rules[i].hit(&c)
		s := Step{Reason: rules[i].reason, Rule: rules[i].cite, Hit: hit, Evidence: line(e)}
		if hit && e.Rule != "" {
			s.Rule = e.Rule
		}
		steps = append(steps, s)
		if hit {
			return steps
		}
	}
	return append(steps, Step{Reason: NewThread, Hit: true, Evidence: "a person's letter, and no rule says silence"})
}

// RuleOf names the standard or the policy behind a reason.
func RuleOf(reason Reason) string {
	for i := range rules {
		if rules[i].reason == reason {
			return rules[i].cite
		}
	}
	return ""
}

// automatic are the kinds that a contact form's mail only seems to be.
var automatic = map[message.Kind]bool{
	message.KindAutoReply: true, message.KindList: true, message.KindNotification: true, message.KindOwn: true,
}

func marked(mark message.Mark) func(*matter) (message.Evidence, bool) {
	return func(c *matter) (message.Evidence, bool) { return c.m.Marked(mark) }
}

// notForm exempts mail from the shop's own contact forms: it is sent by a
// machine, with all a machine's marks, but a person wrote it.
func notForm(hit func(*matter) (message.Evidence, bool)) func(*matter) (message.Evidence, bool) {
	return func(c *matter) (message.Evidence, bool) {
		if c.form {
			return message.Evidence{}, false
		}
		return hit(c)
	}
}

func said(why func(History) string) func(*matter) (message.Evidence, bool) {
	return func(c *matter) (message.Evidence, bool) {
		w := why(c.h)
		return message.Evidence{Value: w}, w != ""
	}
}

func blown(reason Reason) func(*matter) (message.Evidence, bool) {
	return func(c *matter) (message.Evidence, bool) {
		if c.h.Blown != reason {
			return message.Evidence{}, false
		}
		return message.Evidence{Value: "the limit is used up"}, true
	}
}

func wishesNone(h History) string {
	if h.Member != nil && h.Member.Acknowledgements == "none" {
		return "the member chose no acknowledgements"
	}
	return ""
}

func isOwn(c *matter) (message.Evidence, bool) {
	if c.p.ours(c.m.From) || c.p.sibling(c.m.From) {
		return message.Evidence{Field: "From", Value: c.m.From.Addr}, true
	}
	if c.p.Marker.Made(c.m.MessageID) {
		return message.Evidence{Field: "Message-ID", Value: c.m.MessageID}, true
	}
	return message.Evidence{}, false
}

func isAutoReply(c *matter) (message.Evidence, bool) {
	if e, hit := c.m.Marked(message.MarkAutoReply); hit {
		return e, true
	}
	// X-Loop with an address of ours: a responder's mark that it has seen us.
	for _, v := range c.m.Header("X-Loop") {
		if c.p.ours(message.Address{Addr: strings.Trim(v, "<> ")}) {
			return message.Evidence{Field: "X-Loop", Value: v}, true
		}
	}
	return message.Evidence{}, false
}

func isForged(c *matter) (message.Evidence, bool) {
	// RFC 8601 §5: a field that does not bear our own server's id proves nothing.
	if c.p.AuthservID == "" || c.m.DMARC(c.p.AuthservID) != "fail" {
		return message.Evidence{}, false
	}
	return message.Evidence{Field: "Authentication-Results", Value: "dmarc=fail (" + c.p.AuthservID + ")"}, true
}

func isNotForUs(c *matter) (message.Evidence, bool) {
	if c.p.AnyAddressee {
		return message.Evidence{}, false
	}
	if c.p.addressee(c.m) != "" {
		return message.Evidence{}, false
	}
	return message.Evidence{Field: "To", Value: "none of our addresses is named"}, true
}

// author is the person who wrote: the From address, or behind a contact form
// its single Reply-To.
func author(c *matter) message.Address {
	if c.form {
		return c.m.ReplyTo[0]
	}
	return c.m.From
}

func line(e message.Evidence) string {
	if e.Field == "" {
		return e.Value
	}
	return e.Field + ": " + e.Value
}
