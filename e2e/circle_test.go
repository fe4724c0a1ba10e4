package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/returnpost/returnpost/e2e/servers"
)

const (
	support = "support@shop.example"
	li      = "li@customer.example"
	ann     = "ann@customer.example"
	secret  = "correct horse"
)

// office is a shop's mail as it is in the world: Postfix takes the mail, Dovecot keeps it, for the shop and for its
// customers.
type office struct {
	dovecot *servers.DovecotServer
	postfix *servers.PostfixServer
}

func newOffice(t testing.TB, dovecot servers.DovecotOptions, auth bool) *office {
	t.Helper()
	o := &office{dovecot: servers.Dovecot(t, dovecot)}
	for _, user := range []string{support, li, ann} {
		o.dovecot.AddUser(t, user, secret)
	}
	o.postfix = servers.Postfix(t, servers.PostfixOptions{Domains: []string{"shop.example", "customer.example"}, Dovecot: o.dovecot, Auth: auth})
	return o
}

// shop is the configuration of a daemon for the shop's side, over unencrypted connections.
func (o *office) shop(t testing.TB) *shop {
	t.Helper()
	return newShop(t, plain(o.postfix.Addr()), o.box())
}

func (o *office) box() box {
	return box{Name: "support", Address: support, IMAP: login(plain(o.dovecot.IMAPAddr()), support, secret)}
}

// send hands a customer's letter to Postfix.
func (o *office) send(t testing.TB, l letter) {
	t.Helper()
	from := l.From[strings.LastIndexByte(l.From, '<')+1:]
	o.postfix.Send(t, strings.TrimSuffix(from, ">"), l.To, l.bytes(t))
}

// promised is a line of `promises list --json`.
type promised struct {
	From     string    `json:"from"`
	Promised time.Time `json:"promised"`
	State    string    `json:"state"`
}

// TestFullCircle: letters go in through Postfix to the shop's mailbox in Dovecot, the daemon acknowledges them through
// Postfix, and the acknowledgements are read from the customers' mailboxes.
func TestFullCircle(t *testing.T) {
	for _, c := range []struct {
		name string
		shop func(t *testing.T, o *office) *shop
		auth bool
	}{
		{name: "over loopback", shop: func(t *testing.T, o *office) *shop { return o.shop(t) }},
		{name: "over TLS with passwords", shop: secureShop, auth: true},
		{name: "on PostgreSQL", shop: func(t *testing.T, o *office) *shop {
			s := o.shop(t)
			s.Database = servers.PostgreSQL(t)
			return s
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOffice(t, servers.DovecotOptions{}, c.auth)
			fullCircle(t, o, c.shop(t, o))
		})
	}
}

// secureShop has IMAP over TLS and submission over STARTTLS with a password. Both servers' authorities are made known
// to the process as a system's would be.
func secureShop(t *testing.T, o *office) *shop {
	t.Helper()
	var all []byte
	for _, file := range []string{o.dovecot.CAFile(), o.postfix.CAFile()} {
		pem, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pem...)
	}
	secure := func(addr, kind string) string {
		return strings.Replace(login(plain(addr), support, secret), "security: none", "security: "+kind, 1)
	}
	s := newShop(t, secure(o.postfix.Addr(), "starttls"), box{Name: "support", Address: support, IMAP: secure(o.dovecot.IMAPSAddr(), "tls"), Envelope: "subaddress"})
	roots := filepath.Join(s.Folder, "roots.pem")
	if err := os.WriteFile(roots, all, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Env = []string{"SSL_CERT_FILE=" + roots}
	return s
}

func fullCircle(t *testing.T, o *office, s *shop) {
	d := serve(t, s)
	english := letter{From: "Ann Miller <" + ann + ">", To: support, Subject: "Where is my parcel?", ID: "<parcel-1@customer.example>",
		References: "<earlier@customer.example>", Text: "I ordered two books last week, and they have not come."}
	chinese := letter{From: "=?gb2312?B?wO7Azw==?= <" + li + ">", To: support, Subject: "发票问题", ID: "<fapiao-1@customer.example>",
		Text: "你好，我上周买的书没有收到发票，请问什么时候可以寄给我？谢谢！", GB: true}
	o.send(t, english)
	o.send(t, chinese)
	for _, c := range []struct {
		letter         letter
		user, language string
	}{{english, ann, "en"}, {chinese, li, "zh"}} {
		got := o.dovecot.Await(t, c.user, "INBOX", 1, patience)
		if len(got) != 1 {
			t.Fatalf("%s got %d acknowledgements", c.user, len(got))
		}
		a := readAcknowledgement(t, got[0].Raw)
		a.check(t, c.letter, c.language)
		sender := a.field(t, "Return-Path")
		if wish := s.Mailboxes[0].Envelope; strings.Contains(sender, "support+") != (wish == "subaddress") {
			t.Errorf("the envelope sender is %s, asked for %q", sender, wish)
		}
		promises := report[promised](t, s, "promises", "list")
		found := false
		for _, p := range promises {
			if strings.Contains(p.From, c.user) {
				found = true
				if p.State != "open" {
					t.Errorf("the promise to %s is %s", c.user, p.State)
				}
				a.checkPromise(t, p.Promised, c.language)
			}
		}
		if !found {
			t.Errorf("no promise to %s in %v", c.user, promises)
		}
		if t.Failed() {
			t.Logf("the acknowledgement:\n%s", a.Raw)
		}
	}

	// What customers see of the shop's mailbox is what they see: it stays as it was.
	for _, m := range o.dovecot.Flags(t, support, "INBOX") {
		if len(m.Flags) > 0 {
			t.Errorf("message %d has flags %v", m.UID, m.Flags)
		}
	}
	await(t, "two deliveries, sent", patience, func() error {
		all := report[delivery](t, s, "deliveries", "list")
		for _, x := range all {
			if x.State != "sent" || x.MessageID == "" {
				return fmt.Errorf("%+v", all)
			}
		}
		if len(all) != 2 {
			return fmt.Errorf("%+v", all)
		}
		return nil
	})
	if code, took := d.terminate(); code != 0 || took > 10*time.Second {
		t.Errorf("after SIGTERM: exit code %d in %v", code, took)
	}
}

// TestHistoryIsNotAcknowledged: what is there at the very first start is not answered, what comes after is; and what
// came during an outage is answered at the next start.
func TestHistoryIsNotAcknowledged(t *testing.T) {
	o := newOffice(t, servers.DovecotOptions{}, false)
	o.dovecot.Fill(t, support, "INBOX", 20, func(i int) []byte {
		return letter{From: li, To: support, Subject: fmt.Sprint("old letter ", i), ID: fmt.Sprintf("<old-%d@customer.example>", i), Text: "An old letter."}.bytes(t)
	})
	s := o.shop(t)
	d := serve(t, s)
	o.send(t, letter{From: ann, To: support, Subject: "A new letter", ID: "<new@customer.example>", Text: "Are you open?"})
	o.dovecot.Await(t, ann, "INBOX", 1, patience)
	d.terminate()

	o.send(t, letter{From: ann, To: support, Subject: "While you were away", ID: "<away@customer.example>", Text: "Hello?"})
	o.dovecot.Await(t, support, "INBOX", 22, patience)
	d = serve(t, s)
	got := o.dovecot.Await(t, ann, "INBOX", 2, patience)
	readAcknowledgement(t, got[1].Raw).check(t, letter{From: ann, To: support, Subject: "While you were away", ID: "<away@customer.example>", Text: "Hello?"}, "en")
	d.terminate()
	if n := o.dovecot.Count(t, li, "INBOX"); n != 0 {
		t.Errorf("%d old letters were acknowledged", n)
	}
}
