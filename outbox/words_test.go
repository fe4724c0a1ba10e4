package outbox

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/returnpost/returnpost/internal/mailtest"
)

// goish are pieces of sentences that say something only to those who wrote this program.
var goish = []string{"outbox: ", "mail: ", "x509: ", "tls: ", "asn1: ", "dial tcp", "read tcp", "write tcp", "lookup ", "i/o timeout", "EOF", "context ", "use of closed", "angle-addr", "*ecdsa", "ParsePKCS", "\n"}

func forPeople(t *testing.T, name string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", name)
		return
	}
	for _, piece := range goish {
		if strings.Contains(err.Error(), piece) {
			t.Errorf("%s: %q holds %q", name, err, piece)
		}
	}
}

func TestErrorsSpeakToAShopOwner(t *testing.T) {
	read := &net.OpError{Op: "read", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 587}, Err: os.ErrDeadlineExceeded}
	failures := map[string]error{
		"silence":        read,
		"closed":         io.EOF,
		"cut in a line":  io.ErrUnexpectedEOF,
		"reset":          &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.ECONNRESET)},
		"ended here":     &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed},
		"deadline":       context.DeadlineExceeded,
		"no route":       &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)},
		"DNS is silent":  &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "server misbehaving", Name: "mail.example.com", Server: "127.0.0.53:53", IsTemporary: true}},
		"no such name":   &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "mail.example.com", IsNotFound: true}},
		"an alert":       &net.OpError{Op: "remote error", Err: tls.AlertError(70)},
		"a handshake":    errors.New("tls: first record does not look like a TLS handshake"),
		"another name":   x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a.example"}}, Host: "mail.example.com"},
		"nobody's":       &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		"old":            &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}},
		"not SMTP":       errNotSMTP,
		"a bare refused": &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
	}
	server := &smtpTransport{addr: "mail.example.com:587"}
	for name, err := range failures {
		for _, step := range []string{stepConnect, stepGreeting, stepHello, stepTLS, stepLogin} {
			forPeople(t, name+" at "+step, server.unavailable(step, err))
		}
		forPeople(t, name+", lost", &Lost{Stage: "message", Err: err})
		forPeople(t, name+", doubt", &Doubtful{Err: err})
		if !errors.Is(&Lost{Err: err}, err) || !errors.Is(&Doubtful{Err: err}, err) {
			t.Errorf("%s: the cause is hidden from the program", name)
		}
	}
	for _, to := range []string{"nobody", "a@b, c@d", "a@[ipv6:x]", "<a@b", ""} {
		_, err := Compose(Mail{From: "a@example.com", To: to, MessageID: "<a@b>", Date: time.Now()})
		forPeople(t, "to "+to, err)
	}
	_, err := Compose(Mail{From: "a@example.com", To: "b@example.com", MessageID: "<a@b>"})
	forPeople(t, "no date", err)
}

func TestErrorsOfKeysSpeakToAShopOwner(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for kind, content := range map[string][]byte{"RSA PRIVATE KEY": []byte("x"), "PRIVATE KEY": []byte("x"), "EC PRIVATE KEY": []byte("x"), "PRIVATE KEY ": other} {
		text := string(pem.EncodeToMemory(&pem.Block{Type: strings.TrimSpace(kind), Bytes: content}))
		_, err := NewTransport(Config{Host: "mail.example.com", DKIM: []DKIM{{Domain: "a.example", Selector: "s", Key: text}}}, Timeouts{})
		forPeople(t, kind, err)
	}
}

func TestCheckSpeaksToAShopOwner(t *testing.T) {
	for want, reply := range map[string]*mailtest.Reply{
		" does not take mail from boss@harbourbooks.example (it says 553 5.7.1 not yours): log in as the owner of that address, or let the provider confirm it": {Code: 553, Status: "5.7.1", Text: "not yours"},
		" wants a login (530 5.7.0 who are you): set smtp.username and smtp.password":                                                                           {Code: 530, Status: "5.7.0", Text: "who are you"},
		" was asked whether it takes mail from boss@harbourbooks.example, and the connection was lost: the server closed the connection":                        {Cut: true},
	} {
		s := startSMTP(t, mailtest.SMTPOptions{Script: only(mailtest.StageMail, reply)})
		_, err := Check(t.Context(), settings(t, s, "none"), "boss@harbourbooks.example")
		if err == nil || err.Error() != s.Addr()+want {
			t.Errorf("got  %v\nwant %s", err, s.Addr()+want)
		}
	}
}

func TestAStopBeforeEverythingIsRecordedIsOneLine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 4)
		m.fail = func() error {
			if m.settles > 1 {
				return errors.New("disk full")
			}
			return nil
		}
		o := New(m, &server{}, Options{})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- o.Run(ctx) }()
		pass(time.Second)
		cancel()
		const want = "outbox: the program stopped before 4 outcomes could be recorded; those letters will be in doubt: disk full"
		if err := <-ended; err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	})
}
