package servers

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/smtp"
	"os"
	"testing"
	"time"
)

func mailPair(t *testing.T, auth bool) (*PostfixServer, *DovecotServer) {
	d := Dovecot(t, DovecotOptions{})
	d.AddUser(t, "support@shop.example", "secret")
	return Postfix(t, PostfixOptions{Domains: []string{"shop.example"}, Dovecot: d, Auth: auth}), d
}

func TestLetterGoesInThroughPostfixAndOutOfDovecot(t *testing.T) {
	p, d := mailPair(t, false)
	raw := letter("li@customer.example", "support@shop.example", "hello")
	p.Send(t, "li@customer.example", "support+token@shop.example", raw)
	p.Send(t, "", "support@shop.example", raw)
	for _, m := range d.Await(t, "support@shop.example", "INBOX", 2, 10*time.Second) {
		if !bytes.Contains(m.Raw, []byte("Good morning,\r\n.a line with a dot\r\n")) {
			t.Errorf("read back %q", m.Raw)
		}
	}
}

func TestPostfixKeepsWhatDovecotCannotTake(t *testing.T) {
	p, d := mailPair(t, false)
	d.Kill(t)
	p.Send(t, "li@customer.example", "support@shop.example", letter("li@customer.example", "support@shop.example", "late"))
	p.Kill(t)
	p.Start(t)
	d.Start(t)
	d.Await(t, "support@shop.example", "INBOX", 1, 15*time.Second)
}

func TestPostfixSendsNothingElsewhere(t *testing.T) {
	p, _ := mailPair(t, false)
	if err := transact(p.Addr(), "EHLO", "a@shop.example", "somebody@elsewhere.example", letter("a", "b", "c")); err == nil {
		t.Error("Postfix took mail for another place")
	}
}

func TestPostfixTLSAndAuth(t *testing.T) {
	p, _ := mailPair(t, true)
	pem, err := os.ReadFile(p.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for password, right := range map[string]bool{"secret": true, "wrong": false} {
		c, err := smtp.Dial(p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.StartTLS(&tls.Config{RootCAs: pool, ServerName: "localhost"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(smtp.PlainAuth("", "support@shop.example", password, "127.0.0.1")); (err == nil) != right {
			t.Errorf("password %q: %v", password, err)
		}
	}
}
