package mailbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// small is what the answer to a command without messages may have, in bytes.
const small = 1 << 20

// connection is a connection to a server, logged in after login.
type connection struct {
	cfg    *Config
	opts   *Options
	line   *line
	client *imapclient.Client
	caps   imap.CapSet
	noIdle bool        // the server has no IDLE, or refuses it
	forget func() bool // ends the watch on the context

	news chan struct{} // the server has told of a new message; capacity 1

	mu      sync.Mutex
	exists  uint32    // messages in the folder, as last told
	noticed time.Time // when news came first since the last look
}

// connect reaches the server and waits for its greeting, over TLS if so configured. When ctx ends the connection closes.
func connect(ctx context.Context, cfg *Config, opts *Options) (*connection, error) {
	config, err := tlsConfig(cfg)
	if err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, opts.Patience)
	defer cancel()
	raw, err := opts.Dial(dialing, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		return nil, unreachable(cfg, err)
	}
	stop := context.AfterFunc(dialing, func() { raw.Close() })
	conn, greeting, err := secure(raw, cfg, config)
	if !stop() && err == nil {
		err = context.Cause(dialing)
	}
	if err != nil {
		raw.Close()
		if dialing.Err() != nil {
			err = troublef(err, "%s port %d takes the connection, but it said nothing for %v: check imap.port and imap.security", cfg.Host, cfg.Port, opts.Patience)
		}
		return nil, err
	}
	c := &connection{cfg: cfg, opts: opts, line: newLine(conn, raw, greeting), news: make(chan struct{}, 1)}
	c.forget = context.AfterFunc(ctx, func() { c.line.Close() })
	if err := c.greet(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// secure encrypts a connection as configured. greeting is what stands for the server's own, if that has been heard.
func secure(raw net.Conn, cfg *Config, config *tls.Config) (conn net.Conn, greeting string, err error) {
	switch cfg.Security {
	case "none":
		return raw, "", nil
	case "starttls":
		if err := startTLS(raw, cfg); err != nil {
			return nil, "", err
		}
		greeting = "* OK encrypted\r\n"
	}
	encrypted := tls.Client(raw, config)
	if err := encrypted.Handshake(); err != nil {
		return nil, "", untrusted(cfg, err)
	}
	return encrypted, greeting, nil
}

// startTLS asks for TLS (RFC 9051 §6.2.1). It reads byte by byte, so that nothing said before TLS is taken for said in it.
// A server that takes us for logged in before TLS is not believed (§7.1.4).
func startTLS(raw net.Conn, cfg *Config) error {
	greeting, err := readLine(raw)
	if err != nil {
		return troublef(err, "%s port %d closed the connection at once (%s)", cfg.Host, cfg.Port, brief(err))
	}
	if !strings.HasPrefix(greeting, "* OK") {
		return troublef(nil, "%s port %d does not offer STARTTLS (it says: %s): set imap.security to tls and imap.port to 993", cfg.Host, cfg.Port, plain(greeting))
	}
	_, err = raw.Write([]byte("S1 STARTTLS\r\n"))
	for err == nil {
		var answer string
		if answer, err = readLine(raw); strings.HasPrefix(answer, "S1 OK") {
			return nil
		}
		if refusal, ok := strings.CutPrefix(answer, "S1 "); ok {
			return troublef(nil, "%s port %d refuses STARTTLS (it says: %s): set imap.security to tls and imap.port to 993", cfg.Host, cfg.Port, plain(refusal))
		}
	}
	return troublef(err, "%s port %d breaks off at STARTTLS (%s)", cfg.Host, cfg.Port, brief(err))
}

// readLine reads a line of at most a few kilobytes and nothing beyond it.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < 8<<10; {
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		if line = append(line, b[0]); b[0] == '\n' {
			return string(line), nil
		}
	}
	return "", errors.New("it sends no lines")
}

// greet waits for the greeting.
func (c *connection) greet() error {
	c.line.expect(c.opts.Patience, small)
	defer c.line.rest()
	c.client = imapclient.New(c.line, &imapclient.Options{
		// These run on the goroutine that reads: they must not block.
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{
			Mailbox: func(data *imapclient.UnilateralDataMailbox) {
				if data.NumMessages != nil {
					c.told(*data.NumMessages)
				}
			},
			Expunge: func(uint32) { c.expunged() },
		},
	})
	err := c.client.WaitGreeting()
	if err == nil {
		return nil
	}
	if why := c.line.reason(); why != nil {
		hint := ""
		if c.cfg.Security == "none" {
			hint = ": if this is a port for TLS, set imap.security to tls"
		}
		return troublef(err, "%s port %d takes the connection, but %v%s", c.cfg.Host, c.cfg.Port, why, hint)
	}
	return troublef(err, "%s port %d closed the connection at once (%s)", c.cfg.Host, c.cfg.Port, brief(err))
}

// tlsConfig trusts the system's authorities and those of the CA file.
func tlsConfig(cfg *Config) (*tls.Config, error) {
	config := &tls.Config{ServerName: cfg.Host, MinVersion: tls.VersionTLS12}
	if cfg.CAFile == "" || cfg.Security == "none" {
		return config, nil
	}
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, troublef(err, "imap.ca_file cannot be read: %v", err)
	}
	config.RootCAs, err = x509.SystemCertPool()
	if err != nil {
		config.RootCAs = x509.NewCertPool()
	}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, troublef(nil, "imap.ca_file %s holds no certificate in PEM form", cfg.CAFile)
	}
	return config, nil
}

// close ends the connection. What waits for the server gets an error.
func (c *connection) close() {
	c.forget()
	c.line.Close()
	if c.client != nil {
		c.client.Close() // waits for the reader's end; its error is the one that brought us here
	}
}

// command runs f, which sends a command and waits for its answer of at most size bytes. what says what is being done.
func (c *connection) command(what string, size int64, f func() error) error {
	return c.patiently(c.opts.Patience, what, size, f)
}

// ping is command for what a living server answers at once.
func (c *connection) ping(what string, f func() error) error {
	return c.patiently(c.opts.Patience/3, what, small, f)
}

func (c *connection) patiently(patience time.Duration, what string, size int64, f func() error) error {
	c.line.expect(patience, size)
	err := f()
	c.line.rest()
	if err == nil {
		return nil
	}
	var e *imap.Error
	why := c.line.reason()
	switch {
	case why != nil:
		return troublef(err, "%s failed to %s: %v", c.cfg.Host, what, why)
	case errors.As(err, &e):
		return troublef(err, "%s will not %s (it says: %s)", c.cfg.Host, what, said(e))
	case c.line.hungUp():
		return troublef(err, "%s failed to %s: it closed the connection", c.cfg.Host, what)
	}
	return troublef(err, "%s failed to %s: its answer cannot be read (%s)", c.cfg.Host, what, brief(err))
}

// login proves who we are, by LOGIN, or by AUTHENTICATE PLAIN where LOGIN is switched off (RFC 9051 §6.2.3) or cannot carry
// the password.
func (c *connection) login() error {
	err := c.command("let us in", small, func() error {
		c.caps = c.client.Caps()
		plain := c.caps.Has(imap.AuthCap(sasl.Plain))
		switch {
		case c.client.State() == imap.ConnStateAuthenticated: // PREAUTH
			return nil
		case plain && (c.caps.Has(imap.CapLoginDisabled) || !ascii(c.cfg.Username+c.cfg.Password)):
			return c.client.Authenticate(sasl.NewPlainClient("", c.cfg.Username, c.cfg.Password))
		case c.caps.Has(imap.CapLoginDisabled):
			return errLoginDisabled
		}
		return c.client.Login(c.cfg.Username, c.cfg.Password).Wait()
	})
	var e *imap.Error
	switch {
	case errors.Is(err, errLoginDisabled):
		return troublef(err, "%s takes no password on this connection: set imap.security to tls or starttls", c.cfg.Host)
	case errors.As(err, &e) && c.line.reason() == nil:
		return rejected(c.cfg, e)
	case err != nil:
		return err
	}
	// Asked again, since what a server can do changes with the login, and the library may still hold the old list.
	return c.command("tell what it can do", small, func() (err error) {
		c.caps, err = c.client.Capability().Wait()
		c.noIdle = !c.caps.Has(imap.CapIdle) && !c.caps.Has(imap.CapIMAP4rev2)
		return err
	})
}

var errLoginDisabled = errors.New("LOGINDISABLED")

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// identify says who we are where the server wants to know (RFC 2971): 163.com and its kin open no folder before.
func (c *connection) identify() error {
	if !c.caps.Has(imap.CapID) {
		return nil
	}
	var e *imap.Error
	err := c.command("take our name", small, func() error {
		_, err := c.client.ID(&imap.IDData{Name: "Returnpost", Version: "1", Vendor: "Returnpost"}).Wait()
		return err
	})
	if errors.As(err, &e) {
		return nil // it need not like it
	}
	return err
}

// box is a folder as it was when it was opened.
type box struct {
	validity uint32
	next     uint32 // UIDNEXT: what was there has lower UIDs
	told     bool   // next is what the server says
	messages uint32
}

// open opens a folder for reading only, so that not even \Recent is touched (RFC 9051 §6.3.3).
func (c *connection) open(folder string) (b box, err error) {
	err = c.command(fmt.Sprintf("open the folder %q", folder), small, func() error {
		data, err := c.client.Select(folder, &imap.SelectOptions{ReadOnly: true}).Wait()
		b = box{validity: data.UIDValidity, next: uint32(data.UIDNext), told: data.UIDNext != 0, messages: data.NumMessages}
		return err
	})
	var e *imap.Error
	if errors.As(err, &e) {
		return b, troublef(err, "%v: check imap.folder", err)
	}
	if err != nil {
		return b, err
	}
	c.mu.Lock()
	c.exists = max(c.exists, b.messages)
	c.mu.Unlock()
	if b.validity == 0 {
		return b, troublef(nil, "%s gives the messages in %q no lasting numbers (no UIDVALIDITY): they cannot be watched without answering some twice", c.cfg.Host, folder)
	}
	if b.next == 0 {
		b.next, err = c.findNext(b.messages)
	}
	return b, err
}

// findNext finds what a server should have told as UIDNEXT: one more than the UID of the last message that was there when
// the folder was opened. That message is asked for by its number, because "*" might already be a newer one.
func (c *connection) findNext(messages uint32) (next uint32, err error) {
	if messages == 0 {
		return 1, nil
	}
	err = c.command("tell its last message's number", small, func() error {
		cmd := c.client.Fetch(imap.SeqSetNum(messages), &imap.FetchOptions{UID: true})
		for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
			if f, _ := c.collect(msg); f.UID > 0 {
				next = f.UID + 1
			}
		}
		return cmd.Close()
	})
	if err == nil && next == 0 {
		err = troublef(nil, "%s does not tell its last message's number", c.cfg.Host)
	}
	return next, err
}

// told is called when the server tells how many messages there are. Only more of them are news: some servers repeat
// themselves in every answer.
func (c *connection) told(messages uint32) {
	c.mu.Lock()
	more := messages > c.exists
	c.exists = messages
	if more && c.noticed.IsZero() {
		c.noticed = c.opts.Now()
	}
	c.mu.Unlock()
	if more {
		select {
		case c.news <- struct{}{}:
		default:
		}
	}
}

func (c *connection) expunged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.exists > 0 {
		c.exists--
	}
}

// look returns how many messages there are, and when the server told of the first that has not been looked at.
func (c *connection) look() (messages uint32, noticed time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	messages, noticed = c.exists, c.noticed
	c.noticed = time.Time{}
	if noticed.IsZero() {
		noticed = c.opts.Now()
	}
	return messages, noticed
}
