// Package responder answers what comes in: from an arrival to a decision, from
// the decision to a promise and an acknowledgement (RFC 3834).
//
// Decide is the judgement, pure and explained. A Responder carries it out: it
// reads the history of a batch of arrivals, decides each, composes the
// acknowledgements and hands each to a transaction of the store, which
// either records arrival, promise and delivery together or none of them. It
// holds nothing between two batches, so it may be killed at any instant: what
// was not committed is fetched and judged again, what was committed is known.
//
// A message that cannot be understood, or that makes our own code fail, is
// recorded as broken with its reason and never stops those behind it. An error
// from the store stops the batch as a whole; the mailbox gives it again.
package responder

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/message"
	"github.com/returnpost/returnpost/promise"
	"github.com/returnpost/returnpost/store"
)

// Responder acknowledges the arrivals of one mailbox.
type Responder struct {
	policy  *Policy
	db      *store.DB
	started time.Time // the mailbox's very first start; what was there before is history
	now     func() time.Time
	log     *slog.Logger
	tell    func(Event)
	wake    func() // tells the outbox that something is queued
}

// Options are the parts of a Responder that are not policy.
type Options struct {
	Started time.Time // when the mailbox was first watched
	Now     func() time.Time
	Log     *slog.Logger
	Tell    func(Event) // one call an arrival, after it is committed
	Wake    func()      // called after acknowledgements were queued
}

// Event is what became of one arrival, for the mail log.
type Event struct {
	Mailbox      string
	UID          uint32
	Arrival      int64
	Noticed      time.Time // when the server told of the message
	At           time.Time // when the decision was committed
	From         message.Address
	Subject      string
	Member       string // the member's address; "" for a stranger
	Kind         message.Kind
	Reason       Reason
	Rule         string
	Evidence     string
	Acknowledged bool
	Muted        bool   // with this message the robot fuse has muted its sender
	MessageID    string // of the message
	AckID        string // of the acknowledgement; "" when silent
	Language     string
	Promise      promise.Promise // zero when nobody waits
}

// New makes the responder of one mailbox.
func New(p *Policy, db *store.DB, opts Options) *Responder {
	r := &Responder{policy: p, db: db, started: opts.Started, now: opts.Now, log: opts.Log, tell: opts.Tell, wake: opts.Wake}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.tell == nil {
		r.tell = func(Event) {}
	}
	if r.wake == nil {
		r.wake = func() {}
	}
	return r
}

// piece is one arrival on its way through a batch.
type piece struct {
	fetched  *mailbox.Fetched
	m        *message.Message
	history  History
	decision Decision
	language string
	memberID int64
	occasion occasion
	ack      *store.Ack
	promise  promise.Promise
}

// commitSize is how many arrivals are committed together. The outbox shares the
// store's writer, so a long batch must leave it room to go on sending meanwhile.
const commitSize = 32

// Handle judges a batch of arrivals and commits what became of them, in order.
// After an error the arrivals up to some point are recorded and the rest is not;
// the same batch may be given again.
func (r *Responder) Handle(ctx context.Context, batch []mailbox.Fetched) error {
	now := r.now()
	pieces := make([]piece, len(batch))
	each(len(batch), func(i int) {
		pieces[i].fetched = &batch[i]
		pieces[i].m = r.understand(&batch[i])
	})
	if err := r.recall(ctx, pieces, now); err != nil {
		return err
	}
	for chunk := range slices.Chunk(pieces, commitSize) {
		each(len(chunk), func(i int) { r.answer(&chunk[i], now) })
		arrivals := make([]store.Arrival, len(chunk))
		for i := range chunk {
			arrivals[i] = r.arrival(&chunk[i], now)
		}
		verdicts, err := r.db.Acknowledge(ctx, arrivals)
		if err != nil {
			return fmt.Errorf("mailbox %q: record %d arrivals: %w", r.policy.Mailbox, len(chunk), err)
		}
		r.announce(chunk, verdicts)
	}
	return nil
}

// understand parses one arrival. A fault of the server's or of our own code
// makes it broken; it never stops the batch.
func (r *Responder) understand(f *mailbox.Fetched) (m *message.Message) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("a message made the parser fail", "mailbox", r.policy.Mailbox, "uid", f.UID, "panic", p, "stack", string(debug.Stack()))
			m = message.Unreadable(f.Raw, fmt.Sprint("the parser failed: ", p))
		}
	}()
	if f.Fault != "" {
		return message.Unreadable(f.Raw, f.Fault)
	}
	return message.Parse(f.Raw)
}

// recall reads what the ledger and the member list know about a batch.
func (r *Responder) recall(ctx context.Context, pieces []piece, now time.Time) error {
	queries := make([]store.Query, len(pieces))
	for i := range pieces {
		queries[i] = r.policy.query(pieces[i].m)
	}
	known, err := r.db.Histories(ctx, queries)
	if err != nil {
		return fmt.Errorf("mailbox %q: read the history of %d arrivals: %w", r.policy.Mailbox, len(pieces), err)
	}
	for i := range pieces {
		p := &pieces[i]
		p.history, p.memberID = historyOf(&known[i]), known[i].MemberID
		p.history.Stale = r.stale(p.fetched, p.m, now)
	}
	return nil
}

// Recall reads what the ledger and the member list know about one message, and
// the member's id.
func Recall(ctx context.Context, db *store.DB, p *Policy, m *message.Message) (History, int64, error) {
	known, err := db.Histories(ctx, []store.Query{p.query(m)})
	if err != nil {
		return History{}, 0, fmt.Errorf("mailbox %q: read the history of a message: %w", p.Mailbox, err)
	}
	return historyOf(&known[0]), known[0].MemberID, nil
}

// query asks the store about a message's author and thread.
func (p *Policy) query(m *message.Message) store.Query {
	from := m.From.Key()
	if p.isForm(m) {
		from = m.ReplyTo[0].Key()
	}
	return store.Query{
		Mailbox: p.Mailbox, From: from, ThreadSubject: message.NormalSubject(m.Subject),
		MessageID: m.MessageID, Refs: refs(m), Hash: m.Hash,
	}
}

func historyOf(k *store.History) History {
	h := History{Member: k.Member, Answered: k.Answered, Suppressed: k.Suppressed, Muted: k.Muted}
	if k.ThreadAcknowledged {
		h.FollowUp = "the thread has had its acknowledgement"
	}
	return h
}

// stale says why an arrival is too old to be acknowledged. INTERNALDATE is when
// the server took the message in. After a UIDVALIDITY change the server may
// have stamped old mail anew, so then the oldest of the message's own times
// counts too.
func (r *Responder) stale(f *mailbox.Fetched, m *message.Message, now time.Time) string {
	came := f.Internal
	if f.Renumbered {
		for _, t := range []time.Time{m.Received, m.Date} {
			if !t.IsZero() && (came.IsZero() || t.Before(came)) {
				came = t
			}
		}
		if came.Before(r.started) {
			return "it was there before this mailbox was first watched"
		}
	}
	return r.policy.Stale(came, now)
}

// Stale says why a message that came at a time is too old to be acknowledged;
// "" when it is not, or when nobody knows when it came.
func (p *Policy) Stale(came, now time.Time) string {
	if came.IsZero() || now.Sub(came) <= p.BacklogAge {
		return ""
	}
	return "it came " + now.Sub(came).Round(time.Hour).String() + " ago"
}

// answer decides one piece and, where a person waits, makes the promise and
// composes the letter.
func (r *Responder) answer(p *piece, now time.Time) {
	defer func() {
		if fault := recover(); fault != nil {
			why := fmt.Sprint("judging or answering it failed: ", fault)
			r.log.Error("a message made the program fail", "mailbox", r.policy.Mailbox, "uid", p.fetched.UID, "panic", fault, "stack", string(debug.Stack()))
			p.m, p.ack, p.promise = message.Unreadable(p.fetched.Raw, why), nil, promise.Promise{}
			p.decision = Decision{Kind: message.KindBroken, Reason: Broken, Rule: RuleOf(Broken), Evidence: why}
		}
	}()
	p.decision = Decide(p.m, p.history, r.policy)
	p.language = r.policy.language(p.m, p.history.Member)
	if !p.decision.Waits {
		return
	}
	p.occasion = r.policy.occasionOf(p.m, p.decision, p.history.Member)
	if !p.decision.Acknowledge || r.policy.Observe {
		p.promise = r.policy.Schedule.Promise(now, p.occasion.Within)
		return
	}
	var err error
	p.ack, p.promise, err = r.policy.compose(&p.occasion, p.history.Member, now)
	if err != nil {
		// The person still waits and stands in the ledger; the owner sees why nothing went out.
		r.log.Error("an acknowledgement could not be written", "mailbox", r.policy.Mailbox, "uid", p.fetched.UID, "error", err)
		p.decision.Evidence = "no acknowledgement could be written: " + err.Error()
	}
}

// arrival is the piece as the store records it.
func (r *Responder) arrival(p *piece, now time.Time) store.Arrival {
	f, m, d := p.fetched, p.m, p.decision
	a := store.Arrival{
		Mailbox: r.policy.Mailbox, UIDValidity: f.UIDValidity, UID: f.UID, Renumbered: f.Renumbered,
		Seen: now, Internal: f.Internal, Hash: m.Hash, MessageID: m.MessageID, Refs: refs(m),
		From: d.Author.Key(), FromName: d.Author.Name, Subject: m.Subject, ThreadSubject: message.NormalSubject(m.Subject),
		Kind: string(d.Kind), Reason: string(d.Reason), Rule: d.Rule, Evidence: d.Evidence, Language: p.language,
		RuleOf:   func(reason string) string { return RuleOf(Reason(reason)) },
		MemberID: p.memberID, Acknowledge: d.Acknowledge, Waits: d.Waits, Ack: p.ack,
	}
	if d.Waits {
		a.Promise = ledgerPromise(p.promise, &p.occasion)
	}
	if p.ack != nil {
		a.Fuses = r.policy.fuses(message.Address{Addr: p.ack.To}, m)
	}
	if d.Reason == Broken {
		a.Raw = f.Raw
	}
	return a
}

// announce tells what was committed, and wakes the outbox first: the letters
// matter more than the log.
func (r *Responder) announce(pieces []piece, verdicts []store.Verdict) {
	at := r.now()
	for i := range verdicts {
		if verdicts[i].Acknowledged {
			r.wake()
			break
		}
	}
	for i := range pieces {
		p, v := &pieces[i], verdicts[i]
		if v.Known {
			continue
		}
		e := Event{
			Mailbox: r.policy.Mailbox, UID: p.fetched.UID, Arrival: v.Arrival, Noticed: p.fetched.Noticed, At: at,
			From: p.decision.Author, Subject: p.m.Subject, Kind: p.decision.Kind, Reason: Reason(v.Reason),
			Rule: p.decision.Rule, Evidence: p.decision.Evidence, Acknowledged: v.Acknowledged, Muted: v.Muted,
			MessageID: p.m.MessageID, Language: p.language, Promise: p.promise,
		}
		if p.history.Member != nil {
			e.Member = p.history.Member.Email
		}
		if e.Reason != p.decision.Reason { // the store said no inside its transaction
			e.Rule, e.Evidence = RuleOf(e.Reason), v.Evidence
		}
		if v.Acknowledged {
			e.AckID = p.ack.MessageID
		}
		r.tell(e)
	}
}

// ledgerPromise is a promise as the ledger keeps it.
func ledgerPromise(p promise.Promise, o *occasion) store.Promise {
	return store.Promise{
		By: p.By, FollowUp: p.FollowUp, Rule: o.Rule, Alert: o.Alert,
		Basis: "respond_within " + o.Within.String(),
	}
}

// refs are the ids a message answers, nearest first: In-Reply-To, then
// References from the last (RFC 5322 §3.6.4).
func refs(m *message.Message) []string {
	ids := make([]string, 0, len(m.InReplyTo)+len(m.References))
	ids = append(ids, m.InReplyTo...)
	for i := len(m.References) - 1; i >= 0; i-- {
		ids = append(ids, m.References[i])
	}
	return ids
}

// each calls f for 0 … n−1, on all processors when there is enough to do.
func each(n int, f func(int)) {
	workers := min(runtime.GOMAXPROCS(0), (n+7)/8)
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}
