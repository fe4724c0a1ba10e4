package mailtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// SMTPOptions says what kind of server StartSMTP makes. The zero value takes everything from anybody, unencrypted.
type SMTPOptions struct {
	Security     string            // "" or "none"; "starttls": offered; "tls": from the first byte
	Certificate  *tls.Certificate  // shown instead of one that is right for 127.0.0.1 and localhost
	Authority    *Authority        // signs the server's certificate; nil: one is made, see SMTP.Authority
	Users        map[string]string // name to password; when not empty AUTH PLAIN is offered and demanded before MAIL
	NoPipelining bool              // EHLO does not offer PIPELINING
	SMTPUTF8     bool              // EHLO offers SMTPUTF8 (RFC 6531)
	MaxSize      int64             // the SIZE that EHLO offers; 0: no limit
	CountOnly    bool              // messages are counted and thrown away, for load
	Script       Script            // what to answer on bad days; nil: all goes well
	OnMessage    func(Received)    // called for each message accepted, before its 250 is sent
	Domain       string            // the server's name in its greeting; default mail.test.example
}

// Received is a message that the server has accepted.
type Received struct {
	From, To string   // envelope sender, "" for <>; the first recipient
	Rcpts    []string // all recipients
	Data     []byte   // the message without dot-stuffing; nil when only counted
	At       time.Time
	TLS      bool
	User     string // who logged in, "" if nobody
}

// SMTP is an SMTP server in memory.
type SMTP struct {
	opts   SMTPOptions
	server *smtp.Server
	gate   *gate
	tls    *tls.Config
	served chan struct{}

	mu       sync.Mutex
	script   Script
	messages []Received
	count    int
	sessions int
	waiters  map[*waiter]struct{}
}

// waiter is one call of Wait: ready is closed when n messages have come.
type waiter struct {
	n     int
	ready chan struct{}
}

// StartSMTP starts a server on a loopback port that the system picks.
func StartSMTP(opts SMTPOptions) (*SMTP, error) {
	if opts.Domain == "" {
		opts.Domain = "mail.test.example"
	}
	s := &SMTP{opts: opts, script: opts.Script, served: make(chan struct{}), waiters: map[*waiter]struct{}{}}
	if opts.Security == "tls" || opts.Security == "starttls" {
		if s.opts.Authority == nil {
			a, err := NewAuthority()
			if err != nil {
				return nil, err
			}
			s.opts.Authority = a
		}
		config, err := serverTLS(s.opts.Authority, opts.Certificate)
		if err != nil {
			return nil, err
		}
		s.tls = config
	}
	g, err := newGate(s.wrap)
	if err != nil {
		return nil, err
	}
	s.gate = g
	s.server = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.server.Domain = opts.Domain
	s.server.AllowInsecureAuth = true // TLS is below the library here: see smtpWire
	s.server.EnableSMTPUTF8 = opts.SMTPUTF8
	s.server.MaxMessageBytes = opts.MaxSize
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	go func() {
		defer close(s.served)
		s.server.Serve(g) // returns when Close shuts the gate
	}()
	return s, nil
}

// Addr is where the server listens, host:port.
func (s *SMTP) Addr() string { return s.gate.Addr().String() }

// Port is the port the server listens on.
func (s *SMTP) Port() int { return s.gate.Addr().(*net.TCPAddr).Port }

// Authority signed the server's certificate; nil without TLS.
func (s *SMTP) Authority() *Authority { return s.opts.Authority }

// SetScript changes what the server does on bad days; nil: all goes well again.
func (s *SMTP) SetScript(script Script) {
	s.mu.Lock()
	s.script = script
	s.mu.Unlock()
}

// Messages are those accepted so far, in the order of their acceptance.
func (s *SMTP) Messages() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Received(nil), s.messages...)
}

// Count is the number of messages accepted so far.
func (s *SMTP) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Wait returns when n messages in all have been accepted, or with an error when ctx ends before.
func (s *SMTP) Wait(ctx context.Context, n int) error {
	w := &waiter{n: n, ready: make(chan struct{})}
	s.mu.Lock()
	if s.count >= n {
		s.mu.Unlock()
		return nil
	}
	s.waiters[w] = struct{}{}
	s.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.waiters, w)
		count := s.count
		s.mu.Unlock()
		return fmt.Errorf("mailtest: waited for %d messages, %d came: %w", n, count, ctx.Err())
	}
}

// Connections counts the connections open now and all there have been.
func (s *SMTP) Connections() (open, total int) { return s.gate.count() }

// Cut closes every open connection at once.
func (s *SMTP) Cut() { s.gate.cut() }

// SetDown makes the server unreachable (open connections are cut, new ones are closed at once) or reachable again.
func (s *SMTP) SetDown(down bool) { s.gate.setDown(down) }

// Close stops the server and cuts its connections.
func (s *SMTP) Close() error {
	err := s.gate.close() // before the library's Close, which does not know of a listener that Serve has yet to take
	if e := s.server.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	<-s.served
	if err != nil {
		return fmt.Errorf("mailtest: close the SMTP server: %w", err)
	}
	return nil
}

func (s *SMTP) accept(r Received) {
	if s.opts.OnMessage != nil {
		s.opts.OnMessage(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if !s.opts.CountOnly {
		s.messages = append(s.messages, r)
	}
	for w := range s.waiters {
		if s.count >= w.n {
			close(w.ready)
			delete(s.waiters, w)
		}
	}
}

func (s *SMTP) newSession(c *smtp.Conn) (smtp.Session, error) {
	w, ok := c.Conn().(*smtpWire)
	if !ok {
		return nil, fmt.Errorf("mailtest: a connection of an unknown kind: %T", c.Conn())
	}
	w.session.Helo = c.Hostname()
	if err := w.play(StageHelo); err != nil {
		return nil, err
	}
	return &smtpSession{server: s, wire: w}, nil
}

// smtpSession is one connection as go-smtp sees it; its state is the wire's Session, which scripts see.
type smtpSession struct {
	server *SMTP
	wire   *smtpWire
}

func (ss *smtpSession) Reset() {
	s := &ss.wire.session
	s.From, s.Rcpts, s.Data = "", nil, nil
	ss.wire.inMail = false
}

func (ss *smtpSession) Logout() error { return nil }

func (ss *smtpSession) AuthMechanisms() []string {
	if len(ss.server.opts.Users) == 0 {
		return nil
	}
	return []string{sasl.Plain}
}

func (ss *smtpSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		ss.wire.session.User = user
		err := ss.wire.play(StageAuth)
		if known, ok := ss.server.opts.Users[user]; err == nil && (!ok || known != password) {
			err = smtp.ErrAuthFailed
		}
		if err != nil {
			ss.wire.session.User = ""
		}
		return err
	}), nil
}

func (ss *smtpSession) Mail(from string, _ *smtp.MailOptions) error {
	if len(ss.server.opts.Users) > 0 && ss.wire.session.User == "" {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	s := &ss.wire.session
	s.From, s.Rcpts, s.Data = from, nil, nil
	err := ss.wire.play(StageMail)
	ss.wire.inMail = err == nil
	return err
}

func (ss *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s := &ss.wire.session
	s.Rcpts = append(s.Rcpts, to)
	reply := ss.wire.ask(StageRcpt)
	if err := ss.wire.perform(reply); err != nil {
		s.Rcpts = s.Rcpts[:len(s.Rcpts)-1]
		if refusal, ok := err.(*smtp.SMTPError); ok && reply.Go {
			ss.wire.atRcpt = wireLine(refusal) // go-smtp keeps the recipient, the client reads the refusal
			return nil
		}
		return err
	}
	return ss.wire.foreseeData()
}

func (ss *smtpSession) Data(r io.Reader) error {
	w, s := ss.wire, &ss.wire.session
	if reply := w.ask(StageMiddle); reply != nil {
		if _, err := io.CopyN(io.Discard, r, reply.After); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := w.perform(reply); err != nil {
			return err
		}
	}
	if ss.server.opts.CountOnly && w.script() == nil {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
	} else {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		s.Data = data
	}
	if len(s.Rcpts) == 0 {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "No valid recipients"}
	}
	received := Received{From: s.From, To: s.Rcpts[0], Rcpts: append([]string(nil), s.Rcpts...), At: time.Now().UTC(), TLS: s.TLS, User: s.User}
	if !ss.server.opts.CountOnly {
		received.Data = s.Data
	}
	s.Messages++
	reply := w.ask(StageDot)
	if reply == nil || reply.Keep || (reply.Code/100 == 2 || reply.Code == 0) && !reply.Cut && !reply.Hang {
		ss.server.accept(received)
	}
	return w.perform(reply)
}
