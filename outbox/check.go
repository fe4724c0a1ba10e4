package outbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"syscall"
)

// Report is what Check found out about the server.
type Report struct {
	Address    string // host:port
	Greeting   string // the name it gave itself in EHLO
	Encryption string // "TLS 1.3", "" without
	Login      string // the mechanism used, "" without
	Pipelining bool
	SMTPUTF8   bool
	MaxSize    int // of a letter in bytes; 0: no limit told
	Signed     int // DKIM keys that are ready
}

// Check connects, encrypts and logs in, and asks whether the server would take mail from each of the senders; it sends
// nothing. The error is a sentence that says how to mend it.
func Check(ctx context.Context, cfg Config, senders ...string) (Report, error) {
	t, err := newTransport(cfg, Timeouts{})
	if err != nil {
		return Report{}, err
	}
	report := Report{Address: t.addr, Signed: len(t.signer.keys)}
	session, err := t.Dial(ctx)
	if err != nil {
		return report, err
	}
	defer session.Close()
	c := session.(*conn)
	report.Greeting = oneLine(c.client.HelloResponse())
	if state, ok := c.client.TLSConnectionState(); ok {
		report.Encryption = tls.VersionName(state.Version)
	}
	report.Login, report.Pipelining, report.SMTPUTF8, report.MaxSize = c.mechanism, c.pipelines, c.utf8, c.maxSize
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	defer stop()
	for _, sender := range senders {
		from, err := path(sender)
		if err != nil {
			return report, fmt.Errorf("the sender's address %w", err)
		}
		err = c.ask("MAIL", "MAIL FROM:<"+from+">")
		if err == nil {
			err = c.ask("RSET", "RSET")
		}
		if err != nil {
			return report, t.refusedSender(sender, err)
		}
	}
	return report, nil
}

// refusedSender says in a sentence why a sender's address was not taken.
func (t *smtpTransport) refusedSender(sender string, err error) error {
	var temporary *Temporary
	var permanent *Permanent
	var lost *Lost
	switch {
	case errors.As(err, new(*Unavailable)):
		return err // the server's address and the mend are in it
	case errors.As(err, &permanent):
		return fmt.Errorf("%s does not take mail from %s (it says %s): log in as the owner of that address, or let the provider confirm it", t.addr, sender, permanent.Reply)
	case errors.As(err, &temporary):
		return fmt.Errorf("%s does not take mail from %s now (it says %s): try again later, else ask the provider", t.addr, sender, temporary.Reply)
	case errors.As(err, &lost):
		return fmt.Errorf("%s was asked whether it takes mail from %s, and the connection was lost: %s", t.addr, sender, cause(lost.Err))
	}
	return err
}

// ask says one command that must be answered with 2yz.
func (c *conn) ask(verb, line string) error {
	if err := c.write([]byte(line+"\r\n"), c.transport.timeouts.Dial); err != nil {
		return &Lost{Stage: verb, Err: err}
	}
	reply, err := c.read(c.transport.timeouts.Dial)
	if err != nil {
		return &Lost{Stage: verb, Err: err}
	}
	if reply.Code/100 != 2 {
		return c.refusal(verb, reply)
	}
	return nil
}

// The steps of getting a session.
const (
	stepConnect  = "connect"
	stepGreeting = "greeting"
	stepHello    = "EHLO"
	stepTLS      = "TLS"
	stepLogin    = "login"
)

// unavailable turns what went wrong at a step into a sentence with the mend.
func (t *smtpTransport) unavailable(step string, err error) error {
	var said *textproto.Error
	if errors.As(err, &said) {
		err = asRefusal(step, said)
	}
	return &Unavailable{Words: t.addr + " " + t.mend(step, err), Err: err}
}

// asRefusal gives a reply that go-mail read the type that ours have.
func asRefusal(step string, said *textproto.Error) error {
	reply := Reply{Code: said.Code}
	var ok bool
	if reply.Status, reply.Words, ok = cutStatus(said.Msg); !ok {
		reply.Words = said.Msg
	}
	reply.Words = cutWords(reply.Words)
	if said.Code >= 500 {
		return &Permanent{Stage: step, Reply: reply}
	}
	return &Temporary{Stage: step, Reply: reply}
}

func (t *smtpTransport) mend(step string, err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	var refused *Permanent
	var later *Temporary
	var none *noLogin
	switch {
	case errors.Is(err, context.Canceled):
		return "was not asked to the end: the program is stopping"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "is not known to the DNS: check smtp.host"
	case errors.As(err, &dns):
		return "cannot be looked up, the DNS does not answer: check this machine's network"
	case errors.As(err, &host):
		return fmt.Sprintf("shows a certificate for another name (%s): give smtp.host as the provider writes it", cause(host))
	case errors.As(err, &cert):
		return fmt.Sprintf("shows a certificate that cannot be trusted (%v): mend it there, or name the authority's file in smtp.ca_file", cause(cert.Err))
	case errors.As(err, &record):
		return "does not speak TLS from the first byte: try smtp.security starttls with port 587"
	case errors.Is(err, errNoStartTLS):
		return "does not offer STARTTLS: try smtp.security tls with port 465"
	case errors.As(err, &none):
		return fmt.Sprintf("cannot be logged in to: %v; ask the provider, or leave smtp.username empty if none is needed", none)
	case errors.As(err, &refused) && step == stepLogin && t.cfg.Username == "":
		return fmt.Sprintf("wants a login (%s): set smtp.username and smtp.password", refused.Reply)
	case errors.As(err, &refused) && step == stepLogin:
		return fmt.Sprintf("refuses the user name or the password (%s): check smtp.username and smtp.password; many providers want an app password here", refused.Reply)
	case errors.As(err, &refused):
		return fmt.Sprintf("refuses us at %s: %s", step, refused.Reply)
	case errors.As(err, &later):
		return fmt.Sprintf("asks us to come later at %s: %s", step, later.Reply)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "takes no connection, nothing listens there: check smtp.host and smtp.port"
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH):
		return "cannot be reached, there is no way to it: check this machine's network"
	case isTimeout(err) && step == stepConnect:
		return "does not answer: check smtp.host and smtp.port, and that no firewall blocks the port"
	case isTimeout(err):
		return fmt.Sprintf("is silent at %s: if smtp.port is 465 set smtp.security to tls, else ask the provider", step)
	case closedByServer(err) || errors.Is(err, net.ErrClosed):
		return fmt.Sprintf("closes the connection at %s without a word: check smtp.port and smtp.security", step)
	}
	return fmt.Sprintf("cannot be used at %s: %s", step, cause(err))
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}
