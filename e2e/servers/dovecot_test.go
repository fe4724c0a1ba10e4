package servers

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"testing"
	"time"
)

func letter(from, to, subject string) []byte {
	return fmt.Appendf(nil, "From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: Mon, 23 Nov 2026 09:00:00 +0800\r\nMessage-ID: <%s@customer.example>\r\n\r\n"+
		"Good morning,\r\n.a line with a dot\r\n", from, to, subject, subject)
}

func TestDovecotDeliversAndReadsBack(t *testing.T) {
	for _, maildir := range []bool{false, true} {
		t.Run(fmt.Sprintf("maildir=%v", maildir), func(t *testing.T) {
			d := Dovecot(t, DovecotOptions{Maildir: maildir})
			d.AddUser(t, "support@shop.example", "secret")
			raw := letter("li@customer.example", "support@shop.example", "first")
			d.Deliver(t, "li@customer.example", "support+detail@shop.example", raw)
			d.Fill(t, "support@shop.example", "INBOX", 3, func(i int) []byte { return letter("a@b.example", "c@d.example", fmt.Sprint("filled", i)) })
			got := d.Await(t, "support@shop.example", "INBOX", 4, 5*time.Second)
			if len(got) != 4 || !bytes.HasSuffix(got[0].Raw, raw) || !bytes.Equal(got[3].Raw, letter("a@b.example", "c@d.example", "filled2")) {
				t.Fatalf("read back %d messages: %+v", len(got), got)
			}
			for i, m := range d.Flags(t, "support@shop.example", "INBOX") {
				if len(m.Flags) != 0 || m.UID != uint32(i+1) {
					t.Errorf("message %d has UID %d and flags %v", i, m.UID, m.Flags)
				}
			}
			if n := d.Count(t, "support@shop.example", "Sent"); n != 0 {
				t.Errorf("%d messages in Sent", n)
			}
		})
	}
}

func TestDovecotSurvivesAKill(t *testing.T) {
	d := Dovecot(t, DovecotOptions{})
	d.AddUser(t, "support@shop.example", "secret")
	d.Deliver(t, "", "support@shop.example", letter("a@b.example", "support@shop.example", "one"))
	d.Kill(t)
	if err := answers(d.IMAPAddr()); err == nil {
		t.Error("a killed Dovecot answers")
	}
	d.Start(t)
	d.Deliver(t, "", "support@shop.example", letter("a@b.example", "support@shop.example", "two"))
	d.Await(t, "support@shop.example", "INBOX", 2, 5*time.Second)
}

func TestDovecotChangesUIDValidity(t *testing.T) {
	d := Dovecot(t, DovecotOptions{})
	d.AddUser(t, "support@shop.example", "secret")
	d.Deliver(t, "", "support@shop.example", letter("a@b.example", "support@shop.example", "one"))
	d.SetUIDValidity(t, "support@shop.example", "INBOX", 4242)

	d = Dovecot(t, DovecotOptions{Maildir: true})
	d.AddUser(t, "support@shop.example", "secret")
	d.Deliver(t, "", "support@shop.example", letter("a@b.example", "support@shop.example", "one"))
	d.Renumber(t, "support@shop.example")
	d.Await(t, "support@shop.example", "INBOX", 1, 5*time.Second)
}

func TestDovecotTLS(t *testing.T) {
	d := Dovecot(t, DovecotOptions{})
	pem, err := os.ReadFile(d.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c, err := tls.Dial("tcp", d.IMAPSAddr(), &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestDovecotHangs(t *testing.T) {
	d := Dovecot(t, DovecotOptions{})
	resume := d.Hang(t)
	c := make(chan error, 1)
	go func() { c <- answers(d.IMAPAddr()) }()
	select {
	case err := <-c:
		if err == nil {
			t.Error("a hanging Dovecot answers")
		}
	case <-time.After(300 * time.Millisecond):
	}
	resume()
	if err := until(5*time.Second, func() error { return answers(d.IMAPAddr()) }); err != nil {
		t.Error(err)
	}
}
