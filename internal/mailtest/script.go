package mailtest

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Stage is a point in an SMTP session at which a Script is asked what to do.
type Stage string

// The stages, in the order of a session.
const (
	StageGreeting Stage = "greeting" // the connection stands, nothing is said
	StageStartTLS Stage = "starttls"
	StageHelo     Stage = "helo"
	StageAuth     Stage = "auth"
	StageMail     Stage = "mail"
	StageRcpt     Stage = "rcpt"   // Session.Rcpts ends with the recipient in question
	StageData     Stage = "data"   // the DATA command: a reply stands instead of 354. Asked after each good RCPT
	StageMiddle   Stage = "middle" // within the message, after Reply.After bytes, before the dot
	StageDot      Stage = "dot"    // after the final dot; Session.Data is the message
	StageReset    Stage = "reset"
	StageQuit     Stage = "quit"
)

// Session is what a Script may know.
type Session struct {
	Number   int // of the connection, from 1
	Helo     string
	TLS      bool
	User     string
	From     string   // envelope sender of the message in hand
	Rcpts    []string // its recipients so far
	Data     []byte   // the message, at StageDot
	Messages int      // how many dots have been reached on this connection, this one counted
}

// Reply is what the server does instead of saying that all is well. Delay comes first, then Cut, Hang or the reply; a Reply
// with none of them is a good answer that was slow.
type Reply struct {
	Code   int    // 421, 451, 550, …; 0: the usual reply
	Status string // enhanced status code "5.1.1"; "": the class and .0.0
	Text   string
	Delay  time.Duration // before anything else
	Cut    bool          // the connection is closed and nothing is said
	Hang   bool          // nothing is said and nothing is closed, until the client or the server goes away
	Keep   bool          // at StageDot: the message counts as received all the same (its answer was lost)
	After  int64         // at StageMiddle: bytes of the message read first
	Close  bool          // the connection is closed after the reply, as servers do with 421
	Go     bool          // at StageRcpt: DATA is answered 354 although the recipient is refused (RFC 2920 §3.1)
}

// Script says what the server does at a stage; nil: all is well. It is called from several connections at once.
type Script func(Stage, Session) *Reply

// smtpWire is the server's end of a connection: go-smtp reads commands from it and writes replies to it. TLS is done here,
// below the library, so that replies which the library gives no say over (the greeting, DATA, RSET, QUIT, the list of
// EHLO) can be changed on plain and encrypted connections alike.
type smtpWire struct {
	net.Conn  // as accepted
	server    *SMTP
	closed    chan struct{}
	closeOnce sync.Once

	// The rest belongs to the connection's one goroutine.
	stream    net.Conn // Conn, or TLS over it
	session   Session
	greeted   bool
	inMail    bool   // between MAIL and the end of its message: what looks like STARTTLS is text
	atData    *Reply // stands instead of the answer to DATA
	atRcpt    []byte // stands instead of the answer to RCPT
	closeNext bool
}

func (s *SMTP) wrap(c net.Conn) net.Conn {
	s.mu.Lock()
	s.sessions++
	number := s.sessions
	s.mu.Unlock()
	w := &smtpWire{Conn: c, server: s, closed: make(chan struct{}), stream: c, session: Session{Number: number}}
	if s.opts.Security == "tls" {
		w.encrypt()
	}
	return w
}

func (w *smtpWire) encrypt() {
	w.stream = tls.Server(w.Conn, w.server.tls) // shakes hands at the first read or write
	w.session.TLS = true
}

// Close closes the connection and wakes what hangs on it.
func (w *smtpWire) Close() error {
	w.closeOnce.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// Read gives the library what the client sends, STARTTLS excepted.
func (w *smtpWire) Read(p []byte) (int, error) {
	for {
		n, err := w.stream.Read(p)
		if err != nil || w.server.opts.Security != "starttls" || w.session.TLS || w.inMail ||
			!strings.EqualFold(string(p[:n]), "STARTTLS\r\n") {
			return n, err
		}
		line := w.instead(StageStartTLS, []byte("220 2.0.0 Ready to start TLS\r\n"))
		if _, err := w.stream.Write(line); err != nil {
			return 0, err
		}
		if bytes.HasPrefix(line, []byte("220")) {
			w.encrypt()
		}
	}
}

// Write sends the library's reply lines, or what the script says instead of them.
func (w *smtpWire) Write(p []byte) (int, error) {
	var out []byte
	for line := range bytes.Lines(p) {
		out = append(out, w.edit(line)...)
	}
	if _, err := w.stream.Write(out); err != nil {
		return 0, err
	}
	if w.closeNext {
		w.Close()
	}
	return len(p), nil
}

func (w *smtpWire) edit(line []byte) []byte {
	starts := func(s string) bool { return bytes.HasPrefix(line, []byte(s)) }
	switch {
	case !w.greeted:
		w.greeted = true
		return w.instead(StageGreeting, line)
	case starts("250-Hello "):
		if w.server.opts.Security == "starttls" && !w.session.TLS {
			return append(bytes.Clone(line), "250-STARTTLS\r\n"...)
		}
	case starts("250-PIPELINING") && w.server.opts.NoPipelining:
		return nil
	case starts("250 2.0.0 Session reset"):
		return w.instead(StageReset, line)
	case starts("221 "):
		return w.instead(StageQuit, line)
	case w.atRcpt != nil:
		line, w.atRcpt = w.atRcpt, nil
	case w.atData != nil && starts("502 5.5.1 Missing RCPT TO"):
		reply := w.atData
		w.atData = nil
		return w.line(reply, line)
	}
	return line
}

// instead asks the script and returns the line to be said at this stage.
func (w *smtpWire) instead(stage Stage, usual []byte) []byte {
	return w.line(w.ask(stage), usual)
}

func (w *smtpWire) line(reply *Reply, usual []byte) []byte {
	err := w.perform(reply)
	if err == nil {
		return usual
	}
	scripted, ok := err.(*smtp.SMTPError)
	if !ok {
		return nil // cut or hung up: nothing is said
	}
	return wireLine(scripted)
}

func wireLine(scripted *smtp.SMTPError) []byte {
	e := scripted.EnhancedCode
	return fmt.Appendf(nil, "%d %d.%d.%d %s\r\n", scripted.Code, e[0], e[1], e[2], scripted.Message)
}

func (w *smtpWire) script() Script {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	return w.server.script
}

func (w *smtpWire) ask(stage Stage) *Reply {
	script := w.script()
	if script == nil {
		return nil
	}
	view := w.session
	view.Rcpts = append([]string(nil), view.Rcpts...)
	return script(stage, view)
}

func (w *smtpWire) play(stage Stage) error { return w.perform(w.ask(stage)) }

// perform does what the reply says and returns the error that makes go-smtp say it; nil: the usual reply.
func (w *smtpWire) perform(reply *Reply) error {
	if reply == nil {
		return nil
	}
	if reply.Delay > 0 {
		timer := time.NewTimer(reply.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-w.closed:
		}
	}
	if reply.Hang {
		<-w.closed
		return net.ErrClosed
	}
	if reply.Cut {
		w.Close()
		return net.ErrClosed
	}
	w.closeNext = w.closeNext || reply.Close
	if reply.Code == 0 {
		return nil
	}
	status := smtp.EnhancedCode{reply.Code / 100, 0, 0}
	if reply.Status != "" {
		fmt.Sscanf(reply.Status, "%d.%d.%d", &status[0], &status[1], &status[2]) // a test's own mistake shows in the reply
	}
	text := reply.Text
	if text == "" {
		text = "scripted"
	}
	return &smtp.SMTPError{Code: reply.Code, EnhancedCode: status, Message: text}
}

// foreseeData asks what DATA will be answered. go-smtp always answers 354 once it has a recipient; so when the script
// says otherwise the recipient is confirmed without being kept, the library refuses DATA, and edit puts the script's
// words in the refusal's place.
func (w *smtpWire) foreseeData() error {
	w.atData = nil
	reply := w.ask(StageData)
	if reply == nil || reply.Code == 354 {
		return nil
	}
	if reply.Code == 0 && !reply.Cut && !reply.Hang {
		return w.perform(reply)
	}
	w.atData = reply
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Recipient noted"}
}
