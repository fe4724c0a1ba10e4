package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/returnpost/returnpost/config"
	"github.com/returnpost/returnpost/internal/mailtest"
	"github.com/returnpost/returnpost/responder"
)

// patience bounds every wait; nothing waits so long unless it has failed.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is a business for one test: mail servers in memory, a folder, and what
// its customers have got.
type shop struct {
	t    *testing.T
	imap *mailtest.IMAP
	smtp *mailtest.SMTP
	dir  string
	log  lines // of the daemon

	mu     sync.Mutex
	got    map[string][]mailtest.Received // by recipient
	events []responder.Event
	now    func() time.Time
}

const (
	support  = "support@harbourbooks.example"
	sales    = "sales@harbourbooks.example"
	password = "secret"
)

// openShop starts the mail servers, with the mailboxes support and sales.
func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, dir: t.TempDir(), got: map[string][]mailtest.Received{}, now: time.Now}
	var err error
	if s.imap, err = mailtest.StartIMAP(mailtest.IMAPOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.imap.Close() })
	s.imap.AddUser(support, password)
	s.imap.AddUser(sales, password)
	s.smtp = s.outgoing()
	return s
}

// outgoing is an SMTP server whose letters the shop's customers get.
func (s *shop) outgoing() *mailtest.SMTP {
	s.t.Helper()
	smtp, err := mailtest.StartSMTP(mailtest.SMTPOptions{OnMessage: func(r mailtest.Received) {
		s.mu.Lock()
		s.got[r.To] = append(s.got[r.To], r)
		s.mu.Unlock()
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { smtp.Close() })
	return smtp
}

// yaml is the shop's configuration with one mailbox; more is put below it.
func (s *shop) yaml(more string) string {
	return fmt.Sprintf(`business: {name: Harbour Books, languages: [en, zh], time_zone: Asia/Shanghai}
smtp: {host: 127.0.0.1, port: %d, security: none}
web: {listen: "127.0.0.1:0"}
hours: {mon-sun: 24h}
mailboxes:
  support: {address: %s, imap: %s}
%s`, s.smtp.Port(), support, s.imapOf(support, password), more)
}

func (s *shop) imapOf(user, password string) string {
	return fmt.Sprintf("{host: 127.0.0.1, port: %d, security: none, username: %s, password: %s}", s.imap.Port(), user, password)
}

// file writes a file into the shop's folder and gives its path.
func (s *shop) file(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// program builds the daemon; nothing of it runs yet.
func (s *shop) program(yaml string) (*Program, error) {
	s.t.Helper()
	cfg, err := config.Load(s.file("config.yaml", yaml))
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := NewProgram(s.t.Context(), cfg, ProgramOptions{
		Log: slog.New(slog.NewTextHandler(&s.log, nil)), Now: func() time.Time { return s.now() },
		OnEvent: func(e responder.Event) {
			s.mu.Lock()
			s.events = append(s.events, e)
			s.mu.Unlock()
		},
	})
	if err == nil {
		p.lookEvery, p.lettersEvery = 50*time.Millisecond, 50*time.Millisecond
	}
	return p, err
}

// serve runs the daemon until the test ends, or until stop.
func (s *shop) serve(yaml string) (p *Program, stop func()) {
	s.t.Helper()
	p, err := s.program(yaml)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, p.Close()); err != nil {
			s.t.Errorf("the daemon ended: %v", err)
		}
		if s.t.Failed() {
			s.t.Logf("the daemon's log:\n%s", s.log.String())
		}
	})
	s.t.Cleanup(stop)
	return p, stop
}

// well waits until the daemon says that all is well.
func (s *shop) well(p *Program) {
	s.t.Helper()
	var reasons []string
	s.until(func() bool {
		reasons = p.Health(s.t.Context())
		return len(reasons) == 0
	}, func() string { return fmt.Sprintf("the daemon is not well: %q", reasons) })
}

// until waits for a condition; otherwise says what it means that it does not come.
func (s *shop) until(condition func() bool, otherwise func() string) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !condition(); <-tick.C {
		if time.Now().After(end) {
			s.t.Fatalf("%s\nthe daemon's log:\n%s", otherwise(), s.log.String())
		}
	}
}

// arrive puts a message into a mailbox.
func (s *shop) arrive(user string, raw []byte) (uid uint32) {
	s.t.Helper()
	uid, err := s.imap.Append(user, "INBOX", raw, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return uid
}

// received is what a customer has got so far.
func (s *shop) received(customer string) []mailtest.Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[customer]
}

// answered waits for the acknowledgement that a customer gets.
func (s *shop) answered(customer string) mailtest.Received {
	s.t.Helper()
	s.until(func() bool { return len(s.received(customer)) > 0 }, func() string { return customer + " gets no acknowledgement" })
	return s.received(customer)[0]
}

// decided waits for what is decided on the message with a UID.
func (s *shop) decided(mailbox string, uid uint32) (e responder.Event) {
	s.t.Helper()
	s.until(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e = range s.events {
			if e.Mailbox == mailbox && e.UID == uid {
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprintf("nothing is decided on message %d of %s", uid, mailbox) })
	return e
}

// command runs a command of the program beside the daemon.
func (s *shop) command(args ...string) (code int, out, errOut string) {
	s.t.Helper()
	var o, e bytes.Buffer
	code = run(s.t.Context(), append([]string{"--config", filepath.Join(s.dir, "config.yaml")}, args...), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// letter is a plain letter from a customer.
func letter(from, to string) []byte {
	return crlf(fmt.Sprintf(`From: %s
To: %s
Subject: When are you open
Date: %s
Message-ID: <%s>
Content-Type: text/plain; charset=utf-8

Hello, when are you open?
`, from, to, time.Now().Format(time.RFC1123Z), from))
}

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// lines is a log that is written and read at the same time.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
