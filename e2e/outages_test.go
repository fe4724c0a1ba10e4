package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/returnpost/returnpost/e2e/servers"
	"github.com/returnpost/returnpost/internal/mailtest"
)

// TestWrongPasswordDisturbsNobodyElse: of two mailboxes one cannot be opened; the other works, /healthz says which
// fails and why.
func TestWrongPasswordDisturbsNobodyElse(t *testing.T) {
	o := newOffice(t, servers.DovecotOptions{}, false)
	const sales = "sales@shop.example"
	o.dovecot.AddUser(t, sales, secret)
	s := newShop(t, plain(o.postfix.Addr()), o.box(),
		box{Name: "sales", Address: sales, IMAP: login(plain(o.dovecot.IMAPAddr()), sales, "wrong")})
	d := launch(t, s)
	await(t, "/healthz to name the sales mailbox alone", patience, func() error {
		code, body := d.health()
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "sales") || strings.Contains(body, "support") {
			return fmt.Errorf("%d: %s", code, body)
		}
		return nil
	})
	o.send(t, letter{From: ann, To: support, Subject: "Opening hours", ID: "<hours@customer.example>", Text: "Are you open?"})
	o.dovecot.Await(t, ann, "INBOX", 1, patience)
	_, body := d.health()
	if lower := strings.ToLower(body); !strings.Contains(lower, "password") && !strings.Contains(lower, "login") && !strings.Contains(lower, "authentication") {
		t.Errorf("/healthz does not say what is wrong: %s", body)
	}
	if code, _ := d.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestDovecotDiesAndComesBack: what comes while Dovecot is down waits in Postfix, and is acknowledged after.
func TestDovecotDiesAndComesBack(t *testing.T) {
	o := newOffice(t, servers.DovecotOptions{}, false)
	s := o.shop(t)
	d := serve(t, s)
	o.send(t, letter{From: ann, To: support, Subject: "Before", ID: "<before@customer.example>", Text: "Hello?"})
	o.dovecot.Await(t, ann, "INBOX", 1, patience)

	o.dovecot.Kill(t)
	await(t, "/healthz to notice", patience, func() error {
		if code, body := d.health(); code != http.StatusServiceUnavailable || !strings.Contains(body, "support") {
			return fmt.Errorf("%d: %s", code, body)
		}
		return nil
	})
	o.send(t, letter{From: ann, To: support, Subject: "Meanwhile", ID: "<meanwhile@customer.example>", Text: "Hello?"})
	o.dovecot.Start(t)
	d.healthy()
	o.dovecot.Await(t, ann, "INBOX", 2, patience)
	o.send(t, letter{From: ann, To: support, Subject: "After", ID: "<after@customer.example>", Text: "Hello?"})
	got := o.dovecot.Await(t, ann, "INBOX", 3, patience)
	subjects := map[string]int{}
	for _, m := range got {
		subjects[readAcknowledgement(t, m.Raw).Header.Get("In-Reply-To")]++
	}
	if len(got) != 3 || len(subjects) != 3 {
		t.Errorf("acknowledged: %v", subjects)
	}
}

// TestPostfixDiesAndComesBack: acknowledgements wait in the outbox while the way out is closed.
func TestPostfixDiesAndComesBack(t *testing.T) {
	o := newOffice(t, servers.DovecotOptions{}, false)
	s := o.shop(t)
	d := serve(t, s)
	o.postfix.Kill(t)
	for i := range 3 {
		o.dovecot.Deliver(t, ann, support, letter{From: ann, To: support, Subject: fmt.Sprint("Question ", i), ID: fmt.Sprintf("<q%d@customer.example>", i), Text: "Hello?"}.bytes(t))
	}
	await(t, "the outbox to say that nothing gets out", patience, func() error {
		if code, body := d.health(); code != http.StatusServiceUnavailable {
			return fmt.Errorf("%d: %s", code, body)
		}
		return nil
	})
	o.postfix.Start(t)
	if got := o.dovecot.Await(t, ann, "INBOX", 3, patience); len(got) != 3 {
		t.Errorf("%d acknowledgements", len(got))
	}
	d.healthy()
}

// TestNobodyIsAcknowledgedTwiceAfterRenumbering: the mailbox comes back with another UIDVALIDITY, once with the same
// UIDs and once with all messages numbered anew; only what is new is acknowledged.
func TestNobodyIsAcknowledgedTwiceAfterRenumbering(t *testing.T) {
	for name, maildir := range map[string]bool{"another UIDVALIDITY, the same UIDs": false, "all numbered anew": true} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, servers.DovecotOptions{Maildir: maildir}, false)
			s := o.shop(t)
			d := serve(t, s)
			for i := range 5 {
				o.send(t, letter{From: ann, To: support, Subject: fmt.Sprint("Question ", i), ID: fmt.Sprintf("<q%d@customer.example>", i), Text: "Hello?"})
			}
			o.dovecot.Await(t, ann, "INBOX", 5, patience)
			if maildir {
				o.dovecot.Renumber(t, support) // and Dovecot starts anew: a running daemon must notice
			} else {
				d.terminate()
				o.dovecot.SetUIDValidity(t, support, "INBOX", 4711)
				d = serve(t, s)
			}
			o.send(t, letter{From: li, To: support, Subject: "A new letter", ID: "<new@customer.example>", Text: "Hello?"})
			o.dovecot.Await(t, li, "INBOX", 1, patience)
			d.healthy()
			if code, _ := d.terminate(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if n := o.dovecot.Count(t, ann, "INBOX"); n != 5 {
				t.Errorf("ann has %d acknowledgements of 5 letters", n)
			}
			if all := report[delivery](t, s, "deliveries", "list"); len(all) != 6 {
				t.Errorf("%d deliveries: %+v", len(all), all)
			}
		})
	}
}

// TestSIGTERMDrains: what is on the wire finishes, the rest goes back to the queue and is sent at the next start.
func TestSIGTERMDrains(t *testing.T) {
	const n = 40
	dovecot := servers.Dovecot(t, servers.DovecotOptions{})
	dovecot.AddUser(t, support, secret)
	var slow atomic.Bool
	slow.Store(true)
	sink, err := mailtest.StartSMTP(mailtest.SMTPOptions{OnMessage: func(mailtest.Received) {
		if slow.Load() {
			<-time.After(300 * time.Millisecond) // a slow server, not a pause of the test's
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	s := newShop(t, plain(sink.Addr())+", connections: 4", box{Name: "support", Address: support, IMAP: login(plain(dovecot.IMAPAddr()), support, secret)})
	d := serve(t, s)
	dovecot.Fill(t, support, "INBOX", n, customer("drain"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := sink.Wait(ctx, 4); err != nil {
		t.Fatal(err)
	}
	code, took := d.terminate()
	if code != 0 || took > 10*time.Second {
		t.Errorf("exit code %d after %v", code, took)
	}
	if got := sink.Count(); got == 0 || got >= n {
		t.Errorf("%d of %d acknowledgements had gone out", got, n)
	}
	states := map[string]int{}
	for _, x := range report[delivery](t, s, "deliveries", "list") {
		states[x.State]++
	}
	if states["sent"] != sink.Count() || states["sent"]+states["queued"] != n {
		t.Errorf("states %v; the server has taken %d", states, sink.Count())
	}
	slow.Store(false)
	d = serve(t, s)
	if err := sink.Wait(ctx, n); err != nil {
		t.Fatal(err)
	}
	d.terminate()
	if got := sink.Count(); got != n {
		t.Errorf("%d acknowledgements for %d letters", got, n)
	}
}

// TestSecondDaemonOnOneDatabaseRefuses, in words and with exit code 1, on either database.
func TestSecondDaemonOnOneDatabaseRefuses(t *testing.T) {
	for _, database := range []string{"SQLite", "PostgreSQL"} {
		t.Run(database, func(t *testing.T) {
			dovecot := servers.Dovecot(t, servers.DovecotOptions{})
			dovecot.AddUser(t, support, secret)
			sink, err := mailtest.StartSMTP(mailtest.SMTPOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer sink.Close()
			s := newShop(t, plain(sink.Addr()), box{Name: "support", Address: support, IMAP: login(plain(dovecot.IMAPAddr()), support, secret)})
			if database == "PostgreSQL" {
				s.Database = servers.PostgreSQL(t)
			}
			d := serve(t, s)
			second := *s
			second.Folder, second.file, second.Listen = t.TempDir(), "", servers.FreeAddr(t)
			_, words, code := command(t, &second, "serve")
			if code != 1 || !strings.Contains(words, "another") {
				t.Errorf("the second daemon ended with code %d and said %q", code, words)
			}
			if code, body := d.health(); code != http.StatusOK {
				t.Errorf("the first daemon was disturbed: %d %s", code, body)
			}
			// The lock goes with the process, however it ends.
			d.kill()
			serve(t, &second).terminate()
		})
	}
}
