package responder

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/message"
	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/store"
	"github.com/returnpost/returnpost/templates"
)

// monday is 10:00 in the shop on an ordinary Monday.
var monday = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)

// desk is a responder at work on a database of its own, with a clock to set.
type desk struct {
	t      *testing.T
	now    time.Time
	db     *store.DB
	policy *Policy
	r      *Responder
	mu     sync.Mutex
	events []Event
	uid    uint32
}

func newDesk(t *testing.T, shape func(*Policy)) *desk {
	t.Helper()
	d := &desk{t: t, now: monday, policy: shop(t)}
	if shape != nil {
		shape(d.policy)
	}
	clock := func() time.Time { return d.now }
	var err error
	d.db, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), store.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.db.Close() })
	d.r = d.open(d.policy)
	return d
}

func (d *desk) open(p *Policy) *Responder {
	d.t.Helper()
	held, err := d.db.RegisterMailbox(d.t.Context(), p.Mailbox, p.Address)
	if err != nil {
		d.t.Fatal(err)
	}
	return New(p, d.db, Options{Started: held.Started, Now: func() time.Time { return d.now }, Tell: func(e Event) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.events = append(d.events, e)
	}})
}

// fetched makes arrivals of raw messages, with the next UIDs.
func (d *desk) fetched(raws ...string) []mailbox.Fetched {
	batch := make([]mailbox.Fetched, len(raws))
	for i, raw := range raws {
		d.uid++
		batch[i] = mailbox.Fetched{UIDValidity: 1, UID: d.uid, Internal: d.now, Size: int64(len(raw)), Raw: []byte(raw), Noticed: d.now}
	}
	return batch
}

func (d *desk) handle(batch []mailbox.Fetched) []Event {
	d.t.Helper()
	d.events = nil
	if err := d.r.Handle(d.t.Context(), batch); err != nil {
		d.t.Fatal(err)
	}
	return d.events
}

// claim takes what is due out of the outbox.
func (d *desk) claim() []outbox.Delivery {
	d.t.Helper()
	claimed, _, err := d.db.Settle(d.t.Context(), nil, 1000)
	if err != nil {
		d.t.Fatal(err)
	}
	return claimed
}

// note is a plain letter.
func note(from, subject, id string, more ...string) string {
	return "From: " + from + "\r\nTo: support@harbourbooks.example\r\nSubject: " + mime.QEncoding.Encode("utf-8", subject) +
		"\r\nDate: Mon, 23 Nov 2026 10:00:00 +0800\r\nMessage-ID: <" + id + ">\r\n" + strings.Join(more, "") +
		"Content-Type: text/plain; charset=utf-8\r\n\r\nHello, when will my book arrive? I would like to know.\r\n"
}

func TestTheAcknowledgement(t *testing.T) {
	d := newDesk(t, nil)
	events := d.handle(d.fetched(note("Jane Doe <jane@doe.example>", "Order 4711", "1@doe.example", "References: <0@doe.example>\r\n")))
	if len(events) != 1 || !events[0].Acknowledged || events[0].Reason != NewThread {
		t.Fatalf("got %+v", events)
	}
	claimed := d.claim()
	if len(claimed) != 1 {
		t.Fatalf("%d deliveries", len(claimed))
	}
	c := claimed[0]
	if c.From != "support@harbourbooks.example" || c.To != "jane@doe.example" {
		t.Errorf("envelope %q to %q", c.From, c.To)
	}
	m, err := mail.ReadMessage(strings.NewReader(string(c.Bytes)))
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"From":                     `"Harbour Books Support" <support@harbourbooks.example>`,
		"To":                       `"Jane Doe" <jane@doe.example>`,
		"Subject":                  "Re: Order 4711",
		"In-Reply-To":              "<1@doe.example>",
		"References":               "<0@doe.example> <1@doe.example>",
		"Message-Id":               events[0].AckID,
		"Auto-Submitted":           "auto-replied",
		"Precedence":               "bulk",
		"X-Auto-Response-Suppress": "DR, RN, NRN, OOF, AutoReply",
		"Cc":                       "",
		"X-Mailer":                 "",
		"User-Agent":               "",
	} {
		if got := m.Header.Get(field); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	if !d.policy.Marker.Made(events[0].AckID) {
		t.Errorf("%s does not bear our mark", events[0].AckID)
	}
	ack := message.Parse(c.Bytes)
	// Monday 10:00 and eight working hours: today's 6.5 and 1.5 of Tuesday, rounded up to noon.
	for _, want := range []string{"Jane", "Order 4711", "by noon tomorrow, Tuesday, November 24"} {
		if !strings.Contains(strings.Join(strings.Fields(ack.Text), " "), want) {
			t.Errorf("the text does not say %q:\n%s", want, ack.Text)
		}
	}
	if strings.Contains(ack.Text, "when will my book arrive") {
		t.Error("the sender's own words were sent back")
	}
	// Our own acknowledgement, coming back, is silence.
	events = d.handle(d.fetched(string(c.Bytes)))
	if events[0].Reason != Own || events[0].Acknowledged {
		t.Errorf("our own letter: %+v", events[0])
	}
}

func TestABatchHandledTwiceAcknowledgesOnce(t *testing.T) {
	d := newDesk(t, nil)
	batch := d.fetched(note("jane@doe.example", "One", "1@doe.example"), note("joe@doe.example", "Two", "2@doe.example"))
	d.handle(batch)
	if events := d.handle(batch); len(events) != 0 {
		t.Errorf("told again: %+v", events)
	}
	if n := len(d.claim()); n != 2 {
		t.Errorf("%d deliveries, want 2", n)
	}
}

func TestOneAcknowledgementAThread(t *testing.T) {
	d := newDesk(t, nil)
	first := note("jane@doe.example", "One", "1@doe.example")
	second := note("jane@doe.example", "Re: One", "2@doe.example", "In-Reply-To: <1@doe.example>\r\n")
	other := note("jane@doe.example", "Something else", "3@doe.example")
	events := d.handle(d.fetched(first, second, other))
	got := fmt.Sprint(events[0].Reason, events[1].Reason, events[2].Reason)
	if got != "new-threadfollow-upnew-thread" && got != "new-thread follow-up new-thread" {
		t.Errorf("got %s", got)
	}
	// A reply to our acknowledgement is of the thread too.
	third := note("jane@doe.example", "Re: One", "4@doe.example", "In-Reply-To: "+events[0].AckID+"\r\n")
	d.now = d.now.Add(time.Hour)
	if e := d.handle(d.fetched(third)); e[0].Reason != FollowUp {
		t.Errorf("got %+v", e[0])
	}
	if n := len(d.claim()); n != 2 {
		t.Errorf("%d deliveries, want 2", n)
	}
}

func TestPreferencesShapeTheAcknowledgement(t *testing.T) {
	gold, err := members.Compile(`member.tier == "gold"`, nil, ConditionNames())
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, func(p *Policy) {
		p.Rules = []Rule{{Name: "gold", When: gold, RespondWithin: time.Hour}}
	})
	add := func(address string, settings ...string) {
		_, err := d.db.SetMember(t.Context(), address, nil, func(m *members.Member) error {
			m.Status = members.StatusActive
			for i := 0; i < len(settings); i += 2 {
				if err := m.Set(settings[i], settings[i+1]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add("li@wei.example", "name", "李伟", "language", "zh", "time_zone", "Europe/Berlin")
	add("ann@gold.example", "name", "Ann Gold", "tier", "gold")
	add("text@only.example", "name", "Tex", "format", "text")
	add("brief@wish.example", "name", "Bea", "acknowledgements", "brief")
	add("none@wish.example", "name", "Nan", "acknowledgements", "none")
	letters := map[string]string{}
	for i, who := range []string{"li@wei.example", "ann@gold.example", "text@only.example", "brief@wish.example", "none@wish.example", "stranger@far.example"} {
		d.handle(d.fetched(note(who, "A question", fmt.Sprintf("%d@x.example", i))))
	}
	for _, c := range d.claim() {
		letters[c.To] = string(c.Bytes)
	}
	text := func(who string) string { return message.Parse([]byte(letters[who])).Text }
	if s := text("li@wei.example"); !strings.Contains(s, "李伟") || !strings.Contains(s, "北京时间") || !strings.Contains(s, "当地时间") {
		t.Errorf("language and zone: %s", s)
	}
	if s := text("ann@gold.example"); !strings.Contains(s, "today") {
		t.Errorf("the rule's time: %s", s)
	}
	if s := text("stranger@far.example"); strings.Contains(s, "today") {
		t.Errorf("a stranger got the rule's time: %s", s)
	}
	if strings.Contains(letters["text@only.example"], "text/html") || !strings.Contains(letters["stranger@far.example"], "text/html") {
		t.Error("format was not obeyed")
	}
	if brief, full := len(text("brief@wish.example")), len(text("stranger@far.example")); brief == 0 || brief >= full {
		t.Errorf("brief is %d bytes, full %d", brief, full)
	}
	if _, sent := letters["none@wish.example"]; sent {
		t.Error("the wish for none was not obeyed")
	}
	// Whoever wishes for no acknowledgement still waits for an answer.
	open := 0
	for p, err := range d.db.Promises(t.Context(), store.PromiseFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		open++
		if told := p.From != "none@wish.example"; p.Told != told {
			t.Errorf("%s told: %v", p.From, p.Told)
		}
	}
	if open != 6 {
		t.Errorf("%d promises, want 6", open)
	}
}

func TestALimitHoldsUnderConcurrency(t *testing.T) {
	d := newDesk(t, nil)
	sales := *d.policy
	sales.Mailbox, sales.Address = "sales", "sales@harbourbooks.example"
	sales.Siblings = []string{"support@harbourbooks.example"}
	boxes := []*Responder{d.r, d.open(&sales)}
	var wg sync.WaitGroup
	for i := range 50 {
		raw := note("jane@doe.example", fmt.Sprint("Question ", i), fmt.Sprintf("%d@doe.example", i))
		if i%2 == 1 {
			raw = strings.Replace(raw, "support@", "sales@", 1)
		}
		batch := d.fetched(raw)
		wg.Go(func() {
			if err := boxes[i%2].Handle(context.WithoutCancel(t.Context()), batch); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(d.claim()); n != 3 {
		t.Errorf("%d acknowledgements to one sender, the limit is 3", n)
	}
	reasons := map[Reason]int{}
	for _, e := range d.events {
		reasons[e.Reason]++
	}
	if reasons[LimitSender] != 47 {
		t.Errorf("got %v", reasons)
	}
}

func TestHostileWordsBecomeNothingElse(t *testing.T) {
	d := newDesk(t, nil)
	d.handle(d.fetched(note(`"https://evil.example/win Bcc: x@evil.example" <jane@doe.example>`,
		"Win at https://evil.example/now or www.evil.example <script>alert(1)</script>\r\nBcc: victim@evil.example", "1@doe.example")))
	c := d.claim()[0]
	m, err := mail.ReadMessage(strings.NewReader(string(c.Bytes)))
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("Bcc") != "" || c.To != "jane@doe.example" {
		t.Errorf("a header was smuggled in: %v", m.Header)
	}
	if _, err := io.ReadAll(m.Body); err != nil {
		t.Error(err)
	}
	ack := message.Parse(c.Bytes)
	if subject := ack.Subject; strings.Contains(subject, "evil.example") {
		t.Errorf("subject %q", subject)
	}
	_, html, _ := strings.Cut(string(c.Bytes), "text/html")
	if strings.Contains(ack.Text, "evil.example") || strings.Contains(string(c.Bytes), "evil.example") || strings.Contains(html, "<script") {
		t.Errorf("the sender's link or markup came back:\n%s", c.Bytes)
	}
}

func TestObserveRecordsAndSendsNothing(t *testing.T) {
	d := newDesk(t, func(p *Policy) { p.Observe = true })
	e := d.handle(d.fetched(note("jane@doe.example", "One", "1@doe.example")))
	if e[0].Reason != NewThread || e[0].Acknowledged || len(d.claim()) != 0 {
		t.Errorf("got %+v", e[0])
	}
}

func TestALetterInDoubtAboutItsTimeIsWrittenAnew(t *testing.T) {
	d := newDesk(t, nil)
	e := d.handle(d.fetched(note("jane@doe.example", "One", "1@doe.example")))
	promised := e[0].Promise.By
	// The server was away until a day after the promise.
	d.now = promised.Add(24 * time.Hour)
	if n := len(d.claim()); n != 0 {
		t.Fatalf("%d letters with a time already gone were claimed", n)
	}
	n, err := Refresh(t.Context(), d.db, map[string]*Policy{"support": d.policy}, d.now)
	if err != nil || n != 1 {
		t.Fatalf("refreshed %d, %v", n, err)
	}
	claimed := d.claim()
	if len(claimed) != 1 || claimed[0].MessageID != e[0].AckID {
		t.Fatalf("claimed %+v", claimed)
	}
	for p, err := range d.db.Promises(t.Context(), store.PromiseFilter{}) {
		if err != nil || !p.By.After(d.now) {
			t.Errorf("the ledger says %v, %v", p.By, err)
		}
	}
}

func TestARenumberedMailboxAcknowledgesNobodyTwice(t *testing.T) {
	d := newDesk(t, nil)
	known := note("jane@doe.example", "One", "1@doe.example")
	old := strings.Replace(note("joe@doe.example", "Two", "2@doe.example"), "23 Nov 2026", "23 Oct 2026", 1)
	fresh := note("ann@doe.example", "Three", "3@doe.example")
	d.handle(d.fetched(known))
	d.now = d.now.Add(time.Hour)
	again := d.fetched(known, old, fresh)
	for i := range again {
		again[i].UIDValidity, again[i].UID, again[i].Renumbered = 2, uint32(i+1), true
	}
	// The fresh letter came after the first start, by its own time too.
	again[2].Raw = []byte(strings.Replace(fresh, "10:00:00 +0800", "10:30:00 +0800", 1))
	events := d.handle(again)
	if len(events) != 2 || events[0].Reason != Stale || !events[1].Acknowledged {
		t.Errorf("got %+v", events)
	}
	if n := len(d.claim()); n != 2 {
		t.Errorf("%d acknowledgements, want 2", n)
	}
}

func TestAFaultyMessageDoesNotStopTheNext(t *testing.T) {
	d := newDesk(t, nil)
	batch := d.fetched("", note("jane@doe.example", "One", "1@doe.example"), "\x00\xff\x00 no header at all")
	batch[0].Fault = "the connection was lost twice while it was fetched"
	events := d.handle(batch)
	if events[0].Reason != Broken || !events[1].Acknowledged || events[2].Reason != Broken {
		t.Errorf("got %+v", events)
	}
	if !strings.Contains(events[0].Evidence, "lost twice") {
		t.Errorf("the reason is %q", events[0].Evidence)
	}
}

func TestCallName(t *testing.T) {
	for display, want := range map[string]string{
		"Jane Doe": "Jane Doe", "Doe, Jane": "Jane Doe", "李伟": "李伟", "O’Brien-Smith J.": "O’Brien-Smith J.",
		"info@shop.example": "", "Order 4711": "", "x": "", "": "", "visit evil.com now": "", "<b>Jane</b>": "",
	} {
		if got := callName(display); got != want {
			t.Errorf("callName(%q) = %q, want %q", display, got, want)
		}
	}
}

func TestMarker(t *testing.T) {
	k, other := NewMarker([]byte("one")), NewMarker([]byte("two"))
	id := messageID(k.token("support", [16]byte{1}), "support@harbourbooks.example")
	if !k.Made(id) || other.Made(id) || (Marker{}).Made(id) {
		t.Error("the mark is not told apart")
	}
	if again := messageID(k.token("support", [16]byte{1}), "support@harbourbooks.example"); again != id {
		t.Errorf("made again it is %s, first %s", again, id)
	}
	for _, foreign := range []string{"", "<>", "<rp.@x>", "<rp.a.b@x>", strings.Replace(id, "rp.", "rp.a", 1), "<1@doe.example>"} {
		if k.Made(foreign) {
			t.Errorf("%q passes for ours", foreign)
		}
	}
}

func TestThePromiseSpeaksTheLettersLanguage(t *testing.T) {
	folder := t.TempDir()
	letter := "---\nsubject: \"Re: {{ message.subject }}\"\n---\nHello.\n\n{{ promise }}\n"
	if err := os.WriteFile(filepath.Join(folder, "gold.en.md"), []byte(letter), 0o600); err != nil {
		t.Fatal(err)
	}
	p := shop(t)
	var err error
	if p.Letters, err = templates.Open(folder); err != nil {
		t.Fatal(err)
	}
	l, err := p.Sample("gold", "zh", nil, monday)
	if err != nil || l.Language != "en" || !strings.Contains(l.Text, "A colleague should reply") {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestAMailboxWithAPlusSignInItsAddress(t *testing.T) {
	d := newDesk(t, func(p *Policy) {
		p.Address, p.Envelope = "shop+support@harbourbooks.example", EnvelopeSubaddress
	})
	raw := strings.Replace(note("jane@doe.example", "One", "1@doe.example"), "support@", "shop+support+order7@", 1)
	e := d.handle(d.fetched(raw))
	if !e[0].Acknowledged {
		t.Fatalf("got %+v", e[0])
	}
	c := d.claim()[0]
	ack := message.Parse(c.Bytes)
	if ack.From.Addr != "shop+support@harbourbooks.example" || !strings.HasPrefix(c.From, "shop+support+rp.") {
		t.Errorf("from %s, envelope %s", ack.From.Addr, c.From)
	}
	if e := d.handle(d.fetched(note("shop+support@harbourbooks.example", "Two", "2@doe.example"))); e[0].Reason != Own {
		t.Errorf("our own letter: %+v", e[0])
	}
}

func TestAnAliasIsAnsweredFromButNotInTheEnvelope(t *testing.T) {
	d := newDesk(t, func(p *Policy) { p.Envelope = EnvelopeSubaddress })
	d.handle(d.fetched(strings.Replace(note("jane@doe.example", "One", "1@doe.example"), "support@harbourbooks.example", "Orders@old.example", 1)))
	c := d.claim()[0]
	if from := message.Parse(c.Bytes).From.Addr; from != "Orders@old.example" || !strings.HasPrefix(c.From, "support+rp.") {
		t.Errorf("from %s, envelope %s", from, c.From)
	}
}

func TestReplyToIsFollowedOnlyWithinTheOrganisation(t *testing.T) {
	d := newDesk(t, nil)
	for i, tt := range []struct{ replyTo, want string }{
		{"jane.doe@mail.doe.example", "jane.doe@mail.doe.example"},
		{"victim@elsewhere.example", "jane@doe.example"},
		{"a@doe.example, b@doe.example", "jane@doe.example"},
		{"no-reply@doe.example", "jane@doe.example"},
		{"support@harbourbooks.example", "jane@doe.example"},
	} {
		d.now = d.now.Add(24 * time.Hour) // the sender's limit is no matter here
		d.handle(d.fetched(note("jane@doe.example", fmt.Sprint("Question ", i), fmt.Sprintf("%d@doe.example", i), "Reply-To: "+tt.replyTo+"\r\n")))
		if c := d.claim(); len(c) != 1 || c[0].To != tt.want {
			t.Errorf("Reply-To %s: %+v", tt.replyTo, c)
		}
	}
}

func TestNobodyWaitsBehindABlindCopyThatAsksForSilence(t *testing.T) {
	const suppress = "X-Auto-Response-Suppress: All\r\n"
	p := shop(t)
	direct := message.Parse([]byte(note("jane@doe.example", "One", "1@doe.example", suppress)))
	if d := Decide(direct, History{}, p); d.Reason != NoAutoReplies || !d.Waits {
		t.Errorf("a person: %+v", d)
	}
	copied := message.Parse([]byte(strings.Replace(note("jane@doe.example", "One", "1@doe.example", suppress), "support@", "someone@", 1)))
	if d := Decide(copied, History{}, p); d.Reason != NoAutoReplies || d.Waits {
		t.Errorf("a blind copy: %+v", d)
	}
	if d := Decide(direct, History{Stale: "it came 240h0m0s ago"}, p); d.Waits {
		t.Errorf("an old one: %+v", d)
	}
}

func TestLimitsOfMailboxesAreTheirOwn(t *testing.T) {
	d := newDesk(t, func(p *Policy) { p.Total = Limit{1, time.Hour} })
	sales := *d.policy
	sales.Mailbox, sales.Address, sales.Siblings = "sales", "sales@harbourbooks.example", nil
	box := d.open(&sales)
	d.handle(d.fetched(note("jane@doe.example", "One", "1@doe.example"), note("joe@poe.example", "Two", "2@poe.example")))
	if d.events[0].Reason != NewThread || d.events[1].Reason != LimitTotal {
		t.Errorf("got %v, %v", d.events[0].Reason, d.events[1].Reason)
	}
	if err := box.Handle(t.Context(), d.fetched(strings.Replace(note("ann@roe.example", "Three", "3@roe.example"), "support@", "sales@", 1))); err != nil {
		t.Fatal(err)
	}
	if e := d.events[2]; !e.Acknowledged {
		t.Errorf("the other mailbox: %+v", e)
	}
}

func TestAFaultOfOursSetsTheMessageAside(t *testing.T) {
	d := newDesk(t, func(p *Policy) { p.Schedule = nil }) // nothing can be promised without panic
	e := d.handle(d.fetched(note("jane@doe.example", "One", "1@doe.example")))
	if e[0].Reason != Broken || e[0].Acknowledged || !strings.Contains(e[0].Evidence, "failed") {
		t.Errorf("got %+v", e[0])
	}
}

func TestWhoWasOnlyObservedIsAnsweredOnceWeAnswer(t *testing.T) {
	d := newDesk(t, func(p *Policy) { p.Observe = true })
	first := note("jane@doe.example", "One", "1@doe.example")
	again := note("jane@doe.example", "Re: One", "2@doe.example", "In-Reply-To: <1@doe.example>\r\n")
	third := note("jane@doe.example", "Re: One", "3@doe.example", "In-Reply-To: <1@doe.example>\r\n")
	e := d.handle(d.fetched(first, again))
	if e[0].Reason != NewThread || e[1].Reason != FollowUp {
		t.Errorf("observed: %v, %v", e[0].Reason, e[1].Reason)
	}
	d.policy.Observe = false
	if e := d.handle(d.fetched(third)); !e[0].Acknowledged {
		t.Errorf("answering: %+v", e[0])
	}
	n := 0
	for p, err := range d.db.Promises(t.Context(), store.PromiseFilter{}) {
		if n++; err != nil || !p.Told {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if n != 1 {
		t.Errorf("%d promises", n)
	}
}
