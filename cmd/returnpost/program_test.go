package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/returnpost/returnpost/internal/mailtest"
	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/responder"
	"github.com/returnpost/returnpost/store"
)

func TestALetterIsAcknowledged(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	old := s.arrive(support, letter("history@old.example", support))
	p, _ := s.serve(s.yaml(""))
	s.well(p)
	uid := s.arrive(support, letter("emma@brown.example", support))
	got := s.answered("emma@brown.example")

	m, err := mail.ReadMessage(strings.NewReader(string(got.Data)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"In-Reply-To": "<emma@brown.example>", "Auto-Submitted": "auto-replied", "Content-Language": "en",
		"Subject": "Re: When are you open", "From": `"Harbour Books" <support@harbourbooks.example>`,
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	e := s.decided("support", uid)
	if !e.Acknowledged || e.Promise.By.IsZero() {
		t.Errorf("the event says %+v", e)
	}
	// The mailbox stays as it was, and what was there before is history.
	for _, uid := range []uint32{old, uid} {
		if flags, err := s.imap.Flags(support, "INBOX", uid); err != nil || len(flags) > 0 {
			t.Errorf("message %d has flags %v (%v)", uid, flags, err)
		}
	}
	if len(s.received("history@old.example")) > 0 || s.smtp.Count() != 1 {
		t.Errorf("%d letters went out, want one", s.smtp.Count())
	}
}

func TestOneWrongPasswordDisturbsNoOtherMailbox(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	p, _ := s.serve(s.yaml(fmt.Sprintf("  sales: {address: %s, imap: %s}\n", sales, s.imapOf(sales, "wrong"))))
	var reasons []string
	s.until(func() bool {
		reasons = p.Health(t.Context())
		return len(reasons) == 1 && strings.Contains(reasons[0], "password")
	}, func() string { return fmt.Sprintf("health says %q", reasons) })
	if !regexp.MustCompile(`^mailbox "sales": wrong user name or password for sales@.*: check imap.username`).MatchString(reasons[0]) {
		t.Errorf("the reason is %q", reasons[0])
	}
	s.arrive(support, letter("emma@brown.example", support))
	s.answered("emma@brown.example")

	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
	var health struct {
		Status  string
		Reasons []string
	}
	if err := json.NewDecoder(w.Body).Decode(&health); err != nil || w.Code != http.StatusServiceUnavailable || len(health.Reasons) != 1 {
		t.Errorf("/healthz answers %d %+v (%v)", w.Code, health, err)
	}

	// The password is mended on the server's side, and the mailbox comes back by itself.
	s.imap.SetPassword(sales, "wrong")
	s.well(p)
	s.arrive(sales, letter("tom@harbour.example", sales))
	s.answered("tom@harbour.example")
}

func TestABadEditKeepsTheLastGoodLetter(t *testing.T) {
	t.Parallel()
	const good = "---\nsubject: \"Thank you\"\n---\n%s\n\n{{ promise }}\n"
	s := openShop(t)
	s.file("letters/acknowledgement.en.md", fmt.Sprintf(good, "The first wording."))
	p, _ := s.serve(s.yaml(""))
	s.well(p)
	wording := func(customer, want string) {
		t.Helper()
		s.arrive(support, letter(customer, support))
		if got := s.answered(customer); !strings.Contains(string(got.Data), want) {
			t.Errorf("%s did not get %q:\n%s", customer, want, got.Data)
		}
	}
	wording("one@first.example", "The first wording.")

	s.file("letters/acknowledgement.en.md", fmt.Sprintf(good, "The second wording, {{ member.nmae }}."))
	mistake := regexp.MustCompile(`a letter has a mistake; the last good one stays in use.*acknowledgement\.en\.md:4:24: unknown name member\.nmae`)
	s.until(func() bool { return mistake.MatchString(s.log.String()) }, func() string { return "the mistake is not reported" })
	wording("two@second.example", "The first wording.")

	s.file("letters/acknowledgement.en.md", fmt.Sprintf(good, "The third wording."))
	s.until(func() bool {
		l, err := p.policies["support"].Sample("acknowledgement", "en", nil, time.Now())
		return err == nil && strings.Contains(l.Text, "third")
	}, func() string { return "the mended letter is not taken up" })
	wording("three@third.example", "The third wording.")
}

// What is on the wire when the daemon is told to stop is finished, the rest
// stays queued, and nothing of the daemon goes on.
func TestDrain(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := openShop(t)
	p, stop := s.serve(strings.Replace(s.yaml(""), "security: none}", "security: none, connections: 1}", 1))
	s.well(p)
	reached, release := make(chan struct{}, 10), make(chan struct{})
	s.smtp.SetScript(func(stage mailtest.Stage, _ mailtest.Session) *mailtest.Reply {
		if stage == mailtest.StageDot {
			reached <- struct{}{}
			<-release
		}
		return nil
	})
	first := s.arrive(support, letter("one@first.example", support))
	<-reached
	second := s.arrive(support, letter("two@second.example", support))
	s.decided("support", second)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	s.until(func() bool { return len(p.Health(t.Context())) > 0 || s.imap.Idling() == 0 }, func() string { return "the daemon goes on watching" })
	close(release)
	<-stopped
	if e := s.decided("support", first); !e.Acknowledged || len(s.received("one@first.example")) != 1 || len(s.received("two@second.example")) != 0 {
		t.Errorf("the letter on the wire was delivered %d times, the one behind it %d times",
			len(s.received("one@first.example")), len(s.received("two@second.example")))
	}
	s.imap.Close()
	s.smtp.Close()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}

	db, err := store.Open(t.Context(), s.dir+"/returnpost.db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	states := map[string]outbox.State{}
	for d, err := range db.Deliveries(t.Context(), store.DeliveryFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		states[d.To] = d.State
	}
	if states["one@first.example"] != outbox.Sent || states["two@second.example"] != outbox.Queued {
		t.Errorf("the ledger says %v", states)
	}
}

func TestWhatWasQueuedGoesOutAtTheNextStart(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	p, stop := s.serve(s.yaml(""))
	s.well(p)
	s.smtp.SetDown(true)
	s.decided("support", s.arrive(support, letter("emma@brown.example", support)))
	stop()
	s.smtp.SetDown(false)
	p, _ = s.serve(s.yaml(""))
	s.answered("emma@brown.example")
	s.well(p)
	if n := s.smtp.Count(); n != 1 {
		t.Errorf("%d letters went out, want one", n)
	}
}

// A letter that had to wait past its own promise goes out with a new one.
func TestALetterThatIsLateMakesANewPromise(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	p, stop := s.serve(s.yaml(""))
	s.well(p)
	s.smtp.SetDown(true)
	first := s.decided("support", s.arrive(support, letter("emma@brown.example", support))).Promise.By
	stop()
	s.smtp.SetDown(false)
	late := time.Now().Add(30 * time.Hour)
	s.now = func() time.Time { return late }
	s.serve(s.yaml(""))
	s.answered("emma@brown.example")
	var promise struct{ Promised time.Time }
	_, out, _ := s.command("promises", "list", "--json")
	if err := json.Unmarshal([]byte(out), &promise); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !first.Before(late) || !promise.Promised.After(late) {
		t.Errorf("the promise was %s, and at %s it is %s", first, late, promise.Promised)
	}
}

func TestEnvelopeSender(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, tt := range []struct {
		configured string
		works      *bool // sub-addressing, as `check --probe` found
		want       responder.Envelope
	}{
		{"auto", nil, responder.EnvelopePlain}, {"auto", &no, responder.EnvelopePlain}, {"auto", &yes, responder.EnvelopeSubaddress},
		{"plain", &yes, responder.EnvelopePlain}, {"subaddress", nil, responder.EnvelopeSubaddress}, {"null", &yes, responder.EnvelopeNull},
	} {
		if got := envelopeOf(tt.configured, store.Mailbox{Subaddress: tt.works}); got != tt.want {
			t.Errorf("%s, found %v: %v, want %v", tt.configured, tt.works, got, tt.want)
		}
	}
}

func TestASecondDaemonIsRefused(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	_, stop := s.serve(s.yaml(""))
	if p, err := s.program(s.yaml("")); err == nil {
		p.Close()
		t.Fatal("two daemons serve one database")
	} else if !strings.Contains(err.Error(), "another returnpost is already serving this database") {
		t.Errorf("the error is %q", err)
	}
	code, out, errOut := s.command("serve")
	if code != exitFailed || out != "" || !strings.HasPrefix(errOut, "returnpost: another returnpost is already serving this database (") {
		t.Errorf("serve ended with %d and said %q", code, errOut)
	}
	// Commands may work beside it, and once it has ended the next may start.
	if code, _, errOut := s.command("arrivals", "list"); code != exitDone {
		t.Errorf("arrivals list ended with %d: %s", code, errOut)
	}
	stop()
	p, _ := s.serve(s.yaml(""))
	s.well(p)
}

func TestEachMailboxSendsThroughItsOwnServer(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	other := s.outgoing()
	p, _ := s.serve(s.yaml(fmt.Sprintf("  sales: {address: %s, imap: %s, smtp: {port: %d}}\n", sales, s.imapOf(sales, password), other.Port())))
	s.well(p)
	if len(p.outboxes) != 2 {
		t.Fatalf("%d ways out, want 2", len(p.outboxes))
	}
	const letters = 5
	for i := range letters {
		s.arrive(support, letter(fmt.Sprintf("one@support%d.example", i), support))
		s.arrive(sales, letter(fmt.Sprintf("one@sales%d.example", i), sales))
	}
	for i := range letters {
		s.answered(fmt.Sprintf("one@support%d.example", i))
		s.answered(fmt.Sprintf("one@sales%d.example", i))
	}
	for name, server := range map[string]*mailtest.SMTP{support: s.smtp, sales: other} {
		for _, m := range server.Messages() {
			if m.From != name {
				t.Errorf("the server of %s sent a letter from %s to %s", name, m.From, m.To)
			}
		}
		if server.Count() != letters {
			t.Errorf("the server of %s sent %d letters, want %d", name, server.Count(), letters)
		}
	}

	// One way that is closed does not hold up the other.
	other.SetDown(true)
	s.arrive(sales, letter("two@sales.example", sales))
	s.until(func() bool { return len(p.Health(t.Context())) > 0 }, func() string { return "health does not tell of a server that is down" })
	s.arrive(support, letter("two@support.example", support))
	s.answered("two@support.example")
	other.SetDown(false)
	s.answered("two@sales.example")
}

func TestAClockThatJumps(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	var offset atomic.Int64
	s.now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	p, _ := s.serve(s.yaml(""))
	s.well(p)
	// Within backlog_age a letter is fresh by any of these clocks.
	for i, jump := range []time.Duration{12 * time.Hour, -12 * time.Hour, 0, -20 * time.Hour, 23 * time.Hour, time.Minute, 0} {
		offset.Store(int64(jump))
		customer := fmt.Sprintf("emma@brown%d.example", i)
		s.arrive(support, letter(customer, support))
		s.answered(customer)
	}
	// A year ahead everything is old; that leaves nothing behind once the clock is right again.
	offset.Store(int64(365 * 24 * time.Hour))
	if e := s.decided("support", s.arrive(support, letter("anna@schmidt.example", support))); e.Acknowledged || e.Reason != "stale" {
		t.Errorf("a letter that is a year old was decided %s", e.Reason)
	}
	offset.Store(0)
	s.arrive(support, letter("tom@harbour.example", support))
	s.answered("tom@harbour.example")
	s.well(p)
}

func TestTheMailServerIsDownAndComesBack(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	p, _ := s.serve(s.yaml(""))
	s.well(p)
	s.smtp.SetDown(true)
	s.arrive(support, letter("emma@brown.example", support))
	var reasons []string
	s.until(func() bool { reasons = p.Health(t.Context()); return len(reasons) > 0 }, func() string { return "health does not tell" })
	if !strings.HasPrefix(reasons[0], "outbox: no letters can be sent: 127.0.0.1:") {
		t.Errorf("the reason is %q", reasons[0])
	}
	s.smtp.SetDown(false)
	s.answered("emma@brown.example")
	s.well(p)

	s.imap.SetDown(true)
	s.until(func() bool { reasons = p.Health(t.Context()); return len(reasons) > 0 }, func() string { return "health does not tell" })
	if !strings.HasPrefix(reasons[0], `mailbox "support": `) {
		t.Errorf("the reason is %q", reasons[0])
	}
	s.arrive(support, letter("tom@harbour.example", support))
	s.imap.SetDown(false)
	s.answered("tom@harbour.example")
	s.well(p)
	if n := s.smtp.Count(); n != 2 {
		t.Errorf("%d letters went out, want 2", n)
	}
}

// `deliveries retry` is another process: the daemon has to see by itself that
// there is something to send.
func TestALetterThatIsRetriedByHandGoesOut(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	p, _ := s.serve(s.yaml(""))
	s.well(p)
	s.smtp.SetScript(func(stage mailtest.Stage, _ mailtest.Session) *mailtest.Reply {
		if stage == mailtest.StageRcpt {
			return &mailtest.Reply{Code: 550, Status: "5.7.1", Text: "not today"}
		}
		return nil
	})
	s.arrive(support, letter("emma@brown.example", support))
	var out string
	s.until(func() bool { _, out, _ = s.command("deliveries", "list", "--state", "failed"); return out != "" }, func() string { return "nothing has failed" })
	if !strings.Contains(out, "not today") {
		t.Errorf("deliveries list says %q", out)
	}
	s.smtp.SetScript(nil)
	id, _, _ := strings.Cut(out, " ")
	if code, _, errOut := s.command("deliveries", "retry", id); code != exitDone {
		t.Fatalf("deliveries retry %s ended with %d: %s", id, code, errOut)
	}
	s.answered("emma@brown.example")
}

func TestServe(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	file := s.file("config.yaml", s.yaml(""))
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--config", file, "serve"}, strings.NewReader(""), io.Discard, &s.log)
	}()
	s.until(func() bool { return strings.Contains(s.log.String(), "every mailbox is watched, the outbox works") }, func() string { return "serve does not get ready" })
	address := regexp.MustCompile(`(?m)^returnpost dev watches support; health at (http://127\.0\.0\.1:\d+/healthz)$`).FindStringSubmatch(s.log.String())
	if address == nil {
		t.Fatalf("serve says %q", s.log.String())
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(address[1])
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil || r.StatusCode != http.StatusOK || strings.TrimSpace(string(body)) != `{"status":"ok"}` {
		t.Errorf("/healthz answers %d %s (%v)", r.StatusCode, body, err)
	}
	s.arrive(support, letter("emma@brown.example", support))
	s.answered("emma@brown.example")
	stop()
	if got := <-code; got != exitDone {
		t.Errorf("serve ended with %d\n%s", got, s.log.String())
	}
	if log := s.log.String(); !strings.Contains(log, "draining") || strings.Contains(log, "emma@brown.example") || strings.Contains(log, password) {
		t.Errorf("the log says\n%s", log)
	}
}
