package responder

import (
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/message"
	"github.com/returnpost/returnpost/promise"
	"github.com/returnpost/returnpost/templates"
)

// Policy is what one mailbox has been told about itself: its addresses, its
// hours, its letters and its limits. It is built from the configuration when
// the daemon starts and never changes.
type Policy struct {
	Mailbox      string   // the name in the configuration
	Address      string   // the address customers write to
	Name         string   // its display name
	Aliases      []string // further addresses; patterns too: "*@old.example"
	Siblings     []string // addresses and aliases of the other mailboxes
	AnyAddressee bool     // letters that do not name us count too (addressed: any)
	Forms        []string // senders whose mail is a person's letter by its Reply-To
	AuthservID   string   // whose Authentication-Results are believed

	Business  templates.Business
	Languages []string // the first is the default
	Letters   *templates.Library
	Schedule  *promise.Schedule

	Observe       bool          // decide and record, send nothing
	Hold          time.Duration // wait this long before an acknowledgement goes out
	RespondWithin time.Duration // working time
	BacklogAge    time.Duration // an older arrival gets no acknowledgement
	PerSender     Limit
	PerDomain     Limit
	Total         Limit
	Rules         []Rule
	Envelope      Envelope

	Marker Marker
}

// Limit is a fuse: at most N in any stretch of Per. N of zero is no limit.
type Limit struct {
	N   int
	Per time.Duration
}

// Rule shapes the acknowledgement of the letters its condition matches.
type Rule struct {
	Name          string
	When          *members.Condition // over member and message
	RespondWithin time.Duration      // zero: the mailbox's own
	Letter        string             // "": acknowledgement
	Alert         string             // who is told of a promise at risk
}

// Envelope is the form of an acknowledgement's envelope sender.
type Envelope int

// The envelope senders. A reply to the null path can never come back
// (RFC 3834 §3.3), but some large receivers refuse it; a token in the detail
// part tells which acknowledgement a bounce is about.
const (
	EnvelopePlain      Envelope = iota // the mailbox's address
	EnvelopeSubaddress                 // LOCAL+TOKEN@DOMAIN
	EnvelopeNull                       // <>
)

// ours says whether an address is this mailbox's: its own, an alias, or either
// with a detail part.
func (p *Policy) ours(a message.Address) bool {
	return p.own(a.Addr) != ""
}

// own is the address of this mailbox's that mail to an address reaches, without
// a detail part that is the writer's; "" when it is not ours. The longest form
// comes first: a mailbox's own address may have a plus sign in it.
func (p *Policy) own(address string) string {
	for form := address; form != ""; form = shorter(form) {
		k := strings.ToLower(form)
		if k == strings.ToLower(p.Address) || anyMatch(p.Aliases, k) {
			return form
		}
	}
	return ""
}

func (p *Policy) sibling(a message.Address) bool {
	for form := a.Key(); form != ""; form = shorter(form) {
		if anyMatch(p.Siblings, form) {
			return true
		}
	}
	return false
}

// shorter is an address without its last detail part: support+tag@x is
// support@x; "" when there is none.
func shorter(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return ""
	}
	if plus := strings.LastIndexByte(address[:at], '+'); plus > 0 {
		return address[:plus] + address[at:]
	}
	return ""
}

// addressee finds the address of ours that a message names (RFC 5230 §4.5),
// without a detail part; "" when it names none. Delivered-To and its like prove
// nothing: servers add them to blind copies too.
func (p *Policy) addressee(m *message.Message) string {
	for _, list := range [][]message.Address{m.To, m.Cc, m.Bcc, m.Resent} {
		for _, a := range list {
			if own := p.own(a.Addr); own != "" {
				return own
			}
		}
	}
	return ""
}

// isForm says whether a message comes from a contact form of the shop's and
// names the one person who filled it in.
func (p *Policy) isForm(m *message.Message) bool {
	if len(p.Forms) == 0 || len(m.ReplyTo) != 1 || m.ReplyTo[0].Addr == "" {
		return false
	}
	return anyMatch(p.Forms, m.From.Key()) && !p.ours(m.ReplyTo[0]) && !p.sibling(m.ReplyTo[0])
}

// recipient is whom an acknowledgement goes to: the author, or the Reply-To
// where it is single and of the author's own organisation. A Reply-To elsewhere
// would let anybody aim our letters at anybody, and one of ours or of a robot
// would answer.
func (p *Policy) recipient(m *message.Message, d Decision) message.Address {
	if d.Author.Key() != m.From.Key() || len(m.ReplyTo) != 1 {
		return d.Author
	}
	r := m.ReplyTo[0]
	if r.Addr == "" || organisation(r.Domain()) != organisation(m.From.Domain()) {
		return d.Author
	}
	if p.ours(r) || p.sibling(r) || message.SystemAddress(r) {
		return d.Author
	}
	if r.Name == "" {
		r.Name = m.From.Name
	}
	return r
}

// organisation is the registrable domain (example.co.uk of mail.example.co.uk).
func organisation(domain string) string {
	o, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(domain))
	if err != nil {
		return strings.ToLower(domain)
	}
	return o
}

// anyMatch says whether an address key is one of the addresses, of which some
// may be patterns with a star.
func anyMatch(patterns []string, key string) bool {
	for _, p := range patterns {
		if matches(strings.ToLower(p), key) {
			return true
		}
	}
	return false
}

func matches(pattern, key string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == key
	}
	return len(key) >= len(before)+len(after) && strings.HasPrefix(key, before) && strings.HasSuffix(key, after)
}

// language is the one an acknowledgement is written in: the member's, else the
// one they wrote in, else the first configured.
func (p *Policy) language(m *message.Message, member *members.Member) string {
	if member != nil {
		if l, ok := p.configured(member.Language); ok {
			return l
		}
	}
	if l := m.Language(p.Languages); l != "" {
		return l
	}
	return p.Languages[0]
}

// configured finds a language tag among the configured ones, by its primary
// subtag where need be (zh-CN is zh).
func (p *Policy) configured(tag string) (string, bool) {
	primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
	for _, l := range p.Languages {
		if tag != "" && (strings.EqualFold(l, tag) || strings.EqualFold(l, primary)) {
			return l, true
		}
	}
	return "", false
}
