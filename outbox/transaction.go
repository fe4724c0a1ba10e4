package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// maxPath is the longest address we say (RFC 5321 §4.5.3.1.3 has 256; some servers take more).
const maxPath = 320

// conn is one SMTP session. The transaction is our own on go-mail's connection: go-mail's calls wait for each reply in
// turn, drop the enhanced status codes, and cannot tell a letter that was never complete from one whose answer was lost.
type conn struct {
	transport *smtpTransport
	raw       net.Conn
	client    *smtp.Client
	mechanism string // of AUTH, "" without
	pipelines bool   // RFC 2920
	utf8      bool   // RFC 6531
	sizes     bool   // RFC 1870
	maxSize   int    // of a letter; 0: unlimited
	refused   bool   // the last transaction was refused half-way and is still open
	broken    bool
	buf       []byte // what one write carries
}

func newConn(t *smtpTransport, raw net.Conn, client *smtp.Client, mechanism string) *conn {
	c := &conn{transport: t, raw: raw, client: client, mechanism: mechanism}
	c.pipelines, _ = client.Extension("PIPELINING")
	c.utf8, _ = client.Extension("SMTPUTF8")
	var size string
	c.sizes, size = client.Extension("SIZE")
	if n, err := strconv.Atoi(strings.TrimSpace(size)); err == nil && n > 0 {
		c.maxSize = n
	}
	return c
}

// Alive implements Conn.
func (c *conn) Alive() bool { return !c.broken }

// Close implements Conn: QUIT (RFC 5321 §4.1.1.10) where the session is in order.
func (c *conn) Close() error {
	if !c.broken {
		c.broken = true
		if c.client.UpdateDeadline(c.transport.timeouts.Quit) == nil {
			_ = c.client.Quit() // the letters are settled; how the server says goodbye matters to nobody
		}
	}
	if err := c.raw.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Send implements Conn.
func (c *conn) Send(ctx context.Context, d Delivery) (Reply, error) {
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	defer stop()
	letter, err := c.transport.signer.sign(d.Bytes)
	if err != nil {
		return Reply{}, &Permanent{Stage: "DKIM", Reply: Reply{Words: "the letter cannot be signed: " + err.Error()}}
	}
	steps, err := c.envelope(d, len(letter))
	if err != nil {
		return Reply{}, err
	}
	if err := c.open(steps); err != nil {
		return Reply{}, err
	}
	return c.deliver(letter)
}

// step is a command and what it was for.
type step struct{ verb, line string }

// envelope returns the commands of a transaction, or why this server can never take it.
func (c *conn) envelope(d Delivery, size int) ([]step, error) {
	never := func(status, words string, args ...any) error {
		return &Permanent{Stage: "MAIL", Reply: Reply{Status: status, Words: fmt.Sprintf(words, args...)}}
	}
	if c.maxSize > 0 && size > c.maxSize { // RFC 1870 §6.1
		return nil, never("5.3.4", "the letter has %d bytes, the server takes %d at most", size, c.maxSize)
	}
	from, err := path(d.From)
	if err != nil {
		return nil, never("5.1.7", "the sender's address %v", err)
	}
	to, err := path(d.To)
	if err != nil {
		return nil, never("5.1.3", "the address %v", err)
	}
	if to == "" {
		return nil, never("5.1.3", "the letter has no recipient")
	}
	mail := "MAIL FROM:<" + from + ">"
	if !isASCII(from) || !isASCII(to) { // RFC 6531 §3.4
		if !c.utf8 {
			return nil, never("5.6.7", "an address with letters beyond ASCII needs SMTPUTF8, which the server does not offer")
		}
		mail += " SMTPUTF8"
	}
	if c.sizes {
		mail += " SIZE=" + strconv.Itoa(size)
	}
	steps := []step{{"MAIL", mail}, {"RCPT", "RCPT TO:<" + to + ">"}, {"DATA", "DATA"}}
	if c.refused {
		steps = append([]step{{"RSET", "RSET"}}, steps...)
	}
	return steps, nil
}

// path is an address as it stands between the angle brackets of MAIL and RCPT. What would end the command early is refused.
func path(addr string) (string, error) {
	if addr == "" {
		return "", nil // the null path (RFC 5321 §4.5.5)
	}
	quoted, escaped := false, false
	for i := range len(addr) {
		switch c := addr[i]; {
		case c < ' ' || c == 0x7f:
			return "", fmt.Errorf("%q holds a control character", addr)
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '<' || c == '>'):
			return "", fmt.Errorf("%q is not an address", addr)
		}
	}
	local, domain, ok := cutAddress(addr)
	if !ok || quoted || len(addr) > maxPath {
		return "", fmt.Errorf("%q is not an address", addr)
	}
	return local + "@" + domain, nil
}

// open says the commands up to DATA and checks every reply. A nil error means that the server waits for the letter.
func (c *conn) open(steps []step) error {
	if c.pipelines {
		c.buf = c.buf[:0]
		for _, s := range steps {
			c.buf = append(append(c.buf, s.line...), "\r\n"...)
		}
		if err := c.write(c.buf, c.transport.timeouts.Command); err != nil {
			return &Lost{Stage: steps[0].verb, Err: err}
		}
	}
	var refusal error
	for _, s := range steps {
		if !c.pipelines {
			if refusal != nil {
				return refusal
			}
			if err := c.write([]byte(s.line+"\r\n"), c.transport.timeouts.Command); err != nil {
				return &Lost{Stage: s.verb, Err: err}
			}
		}
		reply, err := c.read(c.transport.timeouts.Command)
		switch {
		case err != nil:
			if refusal != nil {
				return refusal // what was said before the connection ended still stands
			}
			return &Lost{Stage: s.verb, Err: err}
		case reply.Code == 421: // the server goes; nothing more will come (RFC 5321 §3.8)
			c.broken = true
			if refusal != nil {
				return refusal
			}
			return &Temporary{Stage: s.verb, Reply: reply}
		case s.verb == "DATA" && reply.Code == 354:
			if refusal == nil {
				return nil
			}
			return c.loneDot(refusal)
		case s.verb != "DATA" && reply.Code/100 == 2:
			if s.verb == "RSET" {
				c.refused = false
			}
		case refusal == nil:
			if refusal = c.refusal(s.verb, reply); c.broken {
				return refusal
			}
		}
	}
	return refusal
}

// refusal gives a reply that is not the wanted one its type.
func (c *conn) refusal(stage string, reply Reply) error {
	c.refused = stage != "message"
	switch {
	case stage == "RSET" || reply.Code < 400: // out of step: nothing this session says can be trusted
		c.broken = true
		return &Lost{Stage: stage, Err: fmt.Errorf("unexpected answer %s", reply)}
	case reply.Code == 530 || reply.Code == 534 || reply.Code == 535 || reply.Code == 538: // RFC 4954 §6
		c.broken = true
		return c.transport.unavailable(stepLogin, &Permanent{Stage: stage, Reply: reply})
	case reply.Code >= 500:
		return &Permanent{Stage: stage, Reply: reply}
	}
	return &Temporary{Stage: stage, Reply: reply}
}

// loneDot ends a message that the server asked for although it had refused the sender or the recipient (RFC 2920 §3.1).
func (c *conn) loneDot(refusal error) error {
	if err := c.write([]byte(".\r\n"), c.transport.timeouts.Command); err == nil {
		_, _ = c.read(c.transport.timeouts.End) // it answers 554; a failure to answer has marked the session as broken
	}
	return refusal
}

// deliver writes the letter and its end in one write and reads the answer.
func (c *conn) deliver(letter []byte) (Reply, error) {
	c.buf = stuff(c.buf[:0], letter)
	pace := time.Duration(len(c.buf)/4096) * time.Second
	if err := c.write(c.buf, c.transport.timeouts.Data+pace); err != nil {
		// A server that refuses in the middle says so before it hangs up; without a word nothing happened.
		if reply, readErr := c.read(time.Second); readErr == nil && reply.Code >= 400 {
			c.broken = true
			return Reply{}, c.refusal("message", reply)
		}
		return Reply{}, &Lost{Stage: "message", Err: err}
	}
	if cap(c.buf) > 1<<20 {
		c.buf = nil
	}
	reply, err := c.read(c.transport.timeouts.End)
	switch {
	case err != nil:
		return Reply{}, &Doubtful{Err: err}
	case reply.Code/100 == 2:
		c.refused = false
		return reply, nil
	case reply.Code < 400:
		c.broken = true
		return Reply{}, &Doubtful{Err: fmt.Errorf("unexpected answer %s", reply)}
	}
	if reply.Code == 421 {
		c.broken = true
	}
	return Reply{}, c.refusal("message", reply)
}

func (c *conn) write(p []byte, timeout time.Duration) error {
	err := c.client.UpdateDeadline(timeout)
	if err == nil {
		_, err = c.client.Text.W.Write(p)
	}
	if err == nil {
		err = c.client.Text.W.Flush()
	}
	if err != nil {
		c.broken = true
	}
	return err
}

func (c *conn) read(timeout time.Duration) (Reply, error) {
	err := c.client.UpdateDeadline(timeout)
	var reply Reply
	if err == nil {
		reply, err = readReply(c.client.Text.R)
	}
	if err != nil {
		c.broken = true
	}
	return reply, err
}

// stuff appends the letter as it goes over the wire. Every line ends with CRLF, also where the letter had a lone CR or LF
// (RFC 5321 §2.3.8: a receiver that takes those for line ends could see an end of message that we did not write), a dot at
// the beginning of a line is doubled (§4.5.2), and the dot that ends the message follows.
func stuff(dst, letter []byte) []byte {
	for len(letter) > 0 {
		line, rest, _ := bytes.Cut(letter, []byte{'\n'})
		line, letter = bytes.TrimSuffix(line, []byte{'\r'}), rest
		for {
			if len(line) > 0 && line[0] == '.' {
				dst = append(dst, '.')
			}
			before, after, lone := bytes.Cut(line, []byte{'\r'})
			dst = append(append(dst, before...), "\r\n"...)
			if !lone {
				break
			}
			line = after
		}
	}
	return append(dst, ".\r\n"...)
}
