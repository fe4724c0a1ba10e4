package outbox

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
	"golang.org/x/net/idna"
)

// Config is the server that takes our mail, and how to be let in.
type Config struct {
	Host        string  `yaml:"host"`
	Port        int     `yaml:"port"`     // 0: 587 for starttls, 465 for tls, 25 for none
	Security    string  `yaml:"security"` // tls | starttls | none; "": starttls
	Insecure    bool    `yaml:"insecure"` // allows security none beyond this machine; certificates are always checked
	Username    string  `yaml:"username"` // "": no AUTH
	Password    string  `yaml:"password"`
	Connections int     `yaml:"connections"`
	Rate        float64 `yaml:"rate"` // letters a second over all connections; 0: no limit
	DKIM        []DKIM  `yaml:"dkim"`
	CAFile      string  `yaml:"ca_file"` // certificates to trust beside the system's
	Domain      string  `yaml:"-"`       // of the sender's address: our name in EHLO; "": the user name's
}

// Timeouts bound the phases of a session; zero fields get the defaults of RFC 5321 §4.5.3.2.
type Timeouts struct {
	Dial    time.Duration // connection, greeting, TLS and AUTH together; 1 minute
	Command time.Duration // MAIL, RCPT, DATA; 5 minutes
	Data    time.Duration // writing the letter, beside a second for each 4 KiB; 3 minutes
	End     time.Duration // the answer to the final dot: giving up early doubles mail; 10 minutes
	Quit    time.Duration // QUIT; 3 seconds
}

func (t Timeouts) withDefaults() Timeouts {
	t.Dial = cmp.Or(t.Dial, time.Minute)
	t.Command = cmp.Or(t.Command, 5*time.Minute)
	t.Data = cmp.Or(t.Data, 3*time.Minute)
	t.End = cmp.Or(t.End, 10*time.Minute)
	t.Quit = cmp.Or(t.Quit, 3*time.Second)
	return t
}

// Transport gives sessions with the server that takes our mail.
type Transport interface {
	// Dial returns a session that is ready for letters, or an *Unavailable.
	Dial(ctx context.Context) (Conn, error)
}

// Conn is one session. It is used by one goroutine at a time.
type Conn interface {
	// Send makes one transaction for the delivery. The reply is the server's acceptance when the error is nil; else the
	// error is a *Temporary, *Permanent, *Lost, *Doubtful or *Unavailable. When ctx ends the connection is cut.
	Send(ctx context.Context, d Delivery) (Reply, error)
	// Alive is false once the session cannot take another letter.
	Alive() bool
	// Close says goodbye, if there is still somebody to say it to.
	Close() error
}

// smtpTransport is the real Transport. go-mail's smtp client greets, encrypts and logs in; see transaction.go for the rest.
type smtpTransport struct {
	cfg      Config
	addr     string
	hello    string
	tls      *tls.Config
	signer   *signer
	timeouts Timeouts
}

// NewTransport checks the configuration, reads the keys and certificates it names and returns a Transport for it. It does
// not connect. The error joins all mistakes, each a sentence.
func NewTransport(cfg Config, timeouts Timeouts) (Transport, error) {
	return newTransport(cfg, timeouts)
}

func newTransport(cfg Config, timeouts Timeouts) (*smtpTransport, error) {
	t := &smtpTransport{timeouts: timeouts.withDefaults()}
	var mistakes []error
	mistake := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	if cfg.Security == "" {
		cfg.Security = "starttls"
	}
	standard, known := map[string]int{"tls": 465, "starttls": 587, "none": 25}[cfg.Security]
	if cfg.Port == 0 {
		cfg.Port = standard
	}
	switch {
	case cfg.Host == "":
		mistake("smtp.host is missing: name the server that takes your outgoing mail")
	case cfg.Security == "none" && !cfg.Insecure && !loopback(cfg.Host):
		mistake("smtp.security none would show mail and password to everybody between here and %s: use tls or starttls, or say insecure: true", cfg.Host)
	}
	if !known {
		mistake("smtp.security is %q; it can be tls, starttls or none", cfg.Security)
	}
	if cfg.Port < 0 || cfg.Port > 65535 {
		mistake("smtp.port %d is not between 1 and 65535", cfg.Port)
	}
	if cfg.Username != "" && cfg.Password == "" {
		mistake("smtp.password is missing for user %q", cfg.Username)
	}
	roots, err := certificates(cfg.CAFile)
	if err != nil {
		mistake("smtp.ca_file: %w", err)
	}
	if t.signer, err = newSigner(cfg.DKIM); err != nil {
		mistake("%w", err)
	}
	t.cfg, t.hello = cfg, helloName(cfg)
	t.addr = net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	t.tls = &tls.Config{ServerName: cfg.Host, RootCAs: roots, MinVersion: tls.VersionTLS12} // RFC 8996
	return t, errors.Join(mistakes...)
}

func certificates(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil // the system's
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return roots, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// helloName is what we call ourselves: the sender's domain, never this machine's name (RFC 5321 §4.1.1.1 wants a name that
// the receiver can know; §4.1.3 has the literal for those without one).
func helloName(cfg Config) string {
	name := cfg.Domain
	if _, domain, ok := strings.Cut(cfg.Username, "@"); ok && name == "" {
		name = domain
	}
	if ace, err := idna.Lookup.ToASCII(name); err == nil && ace != "" {
		return ace
	}
	return "[127.0.0.1]"
}

// Dial connects, encrypts and logs in. The steps are go-mail's, one by one, so that an error can name its step and the
// connection is closed at each of them; go-mail's own dialler leaves it open after a failed login and ignores the context.
func (t *smtpTransport) Dial(ctx context.Context) (Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeouts.Dial)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, t.unavailable(stepConnect, err)
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	c, err := t.open(ctx, raw)
	if !stop() && err == nil {
		err = t.unavailable(stepGreeting, ctx.Err())
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

func (t *smtpTransport) open(ctx context.Context, raw net.Conn) (*conn, error) {
	fail := func(step string, err error) (*conn, error) {
		if ctx.Err() != nil { // the connection was closed under the step's feet
			err = ctx.Err()
		}
		return nil, t.unavailable(step, err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(deadline); err != nil {
			return fail(stepConnect, err)
		}
	}
	stream := raw
	if t.cfg.Security == "tls" { // RFC 8314 §3.3
		encrypted := tls.Client(raw, t.tls)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return fail(stepTLS, err)
		}
		stream = encrypted
	}
	client, err := smtp.NewClient(stream, t.cfg.Host)
	if err != nil {
		return fail(stepGreeting, err)
	}
	if err := client.Hello(t.hello); err != nil {
		return fail(stepHello, err)
	}
	if t.cfg.Security == "starttls" {
		if offered, _ := client.Extension("STARTTLS"); !offered {
			return fail(stepTLS, errNoStartTLS)
		}
		if err := client.StartTLS(t.tls); err != nil { // RFC 3207; EHLO is said again
			return fail(stepTLS, err)
		}
	}
	var mechanism string
	if t.cfg.Username != "" {
		l := &login{user: t.cfg.Username, password: t.cfg.Password}
		if err := client.Auth(l); err != nil {
			return fail(stepLogin, err)
		}
		mechanism = l.name
	}
	return newConn(t, raw, client, mechanism), nil
}

// login is the SASL mechanism that the server offers and we like best (RFC 4954 §4): SCRAM does not show the password to
// the server; then the plain ones, which work everywhere and are inside TLS except on loopback or where the
// configuration allows it; CRAM-MD5 for servers with nothing else.
type login struct {
	user, password string
	name           string
	smtp.Auth
}

// Start implements smtp.Auth.
func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	offered := func(name string) bool {
		return slices.ContainsFunc(server.Auth, func(s string) bool { return strings.EqualFold(s, name) })
	}
	switch {
	case offered("SCRAM-SHA-256"):
		l.Auth = smtp.ScramSHA256Auth(l.user, l.password)
	case offered("SCRAM-SHA-1"):
		l.Auth = smtp.ScramSHA1Auth(l.user, l.password)
	case offered("PLAIN"):
		l.Auth = smtp.PlainAuth("", l.user, l.password, server.Name, true)
	case offered("LOGIN"):
		l.Auth = smtp.LoginAuth(l.user, l.password, server.Name, true)
	case offered("CRAM-MD5"):
		l.Auth = smtp.CRAMMD5Auth(l.user, l.password)
	default:
		return "", nil, &noLogin{offered: server.Auth}
	}
	name, first, err := l.Auth.Start(server)
	l.name = name
	return name, first, err
}

type noLogin struct{ offered []string }

func (e *noLogin) Error() string {
	if len(e.offered) == 0 {
		return "the server offers no login"
	}
	return fmt.Sprintf("the server offers only the logins %s", strings.Join(e.offered, ", "))
}

var errNoStartTLS = errors.New("the server does not offer STARTTLS")
