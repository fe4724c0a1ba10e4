package mailbox

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"unicode"

	"github.com/emersion/go-imap/v2"
)

// trouble is why a mailbox cannot be watched, as a sentence for its owner that says what to do where something can be done.
type trouble struct {
	words   string
	cause   error
	refused bool // the server knows us and says no: trying again soon does harm
}

func (t *trouble) Error() string { return t.words }
func (t *trouble) Unwrap() error { return t.cause }

func troublef(cause error, format string, args ...any) error {
	return &trouble{words: fmt.Sprintf(format, args...), cause: cause}
}

func refused(err error) bool {
	var t *trouble
	return errors.As(err, &t) && t.refused
}

// unreachable is the trouble of a connection that cannot be made.
func unreachable(c *Config, err error) error {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return troublef(err, "there is no server %s: check imap.host", c.Host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return troublef(err, "nothing listens at %s port %d: check imap.host and imap.port", c.Host, c.Port)
	case timedOut(err):
		return troublef(err, "%s port %d does not answer: check imap.host and imap.port, and that no firewall stands between", c.Host, c.Port)
	}
	return troublef(err, "cannot reach %s port %d: %s", c.Host, c.Port, brief(err))
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// untrusted is the trouble of TLS that does not come about.
func untrusted(c *Config, err error) error {
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &host):
		names := host.Certificate.DNSNames
		if len(names) == 0 {
			names = []string{host.Certificate.Subject.CommonName}
		}
		for _, ip := range host.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		return troublef(err, "the certificate of %s is for %s: set imap.host to a name it is for, or have the server's certificate mended",
			c.Host, plain(strings.Join(names[:min(len(names), 3)], ", ")))
	case errors.As(err, &authority):
		return troublef(err, "the certificate of %s is signed by an authority that is not known here: name that authority's file in imap.ca_file, or have the server's certificate mended", c.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return troublef(err, "the certificate of %s is good only from %s to %s, and by this machine's clock it is another day: have it renewed, or set the clock",
			c.Host, invalid.Cert.NotBefore.Format("2 Jan 2006"), invalid.Cert.NotAfter.Format("2 Jan 2006"))
	case errors.As(err, &record):
		return troublef(err, "%s does not speak TLS from the start on port %d: set imap.security to starttls, or imap.port to 993", c.Host, c.Port)
	case timedOut(err):
		return troublef(err, "%s port %d does not answer to TLS: check imap.port and imap.security", c.Host, c.Port)
	}
	return troublef(err, "no TLS with %s port %d: %s", c.Host, c.Port, brief(err))
}

// rejected is the trouble of a login that a server has answered with NO or BAD.
func rejected(c *Config, e *imap.Error) error {
	if passing(e) {
		return troublef(e, "%s lets nobody in just now (it says: %s)", c.Host, said(e))
	}
	return &trouble{cause: e, refused: true, words: fmt.Sprintf(
		"wrong user name or password for %s at %s (it says: %s): check imap.username and imap.password; many providers want an app password or authorisation code in the password's place, and IMAP switched on in their settings",
		c.Username, c.Host, said(e))}
}

// passing says whether a refusal is about the server's moment and not about what was asked (RFC 5530 §3).
func passing(e *imap.Error) bool {
	switch e.Code {
	case imap.ResponseCodeUnavailable, imap.ResponseCodeInUse, imap.ResponseCodeLimit, "THROTTLED":
		return true
	}
	return e.Type == imap.StatusResponseTypeBye
}

// said is what a server's refusal says.
func said(e *imap.Error) string {
	text := plain(e.Text)
	if e.Code != "" {
		text = "[" + plain(string(e.Code)) + "] " + text
	}
	return strings.TrimSpace(text)
}

// brief is an error's first line, without what belongs only in a debugger.
func brief(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return plain(strings.TrimPrefix(text, "imapclient: "))
}

// plain makes a server's words fit to stand in a sentence: one line, no control characters, not long.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > 200 {
		s = string(runes[:200]) + "…"
	}
	return strings.TrimSpace(s)
}
