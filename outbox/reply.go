package outbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"unicode"
)

// Reply is what an SMTP server said (RFC 5321 §4.2).
type Reply struct {
	Code   int    // 250, 451, 550, …; 0: we found it out ourselves, before asking a server
	Status string // enhanced status code "5.1.1" (RFC 3463), "" when there was none
	Words  string // the text, one line
}

// String is the reply on one line.
func (r Reply) String() string {
	var parts []string
	if r.Code != 0 {
		parts = append(parts, fmt.Sprint(r.Code))
	}
	for _, s := range []string{r.Status, r.Words} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " ")
}

// What can go wrong with a letter, each a type of its own because each has other consequences.
type (
	// Temporary is a refusal that may pass: the same letter is worth another attempt (4yz).
	Temporary struct {
		Reply
		Stage string // the command that was refused: MAIL, RCPT, DATA, "message"
	}
	// Permanent is a refusal for good: the same letter will not be taken (5yz), or cannot be sent at all (Code 0).
	Permanent struct {
		Reply
		Stage string
	}
	// Lost means that the connection ended before the letter's end was written: nothing happened to it.
	Lost struct {
		Stage string
		Err   error
	}
	// Doubtful means that the whole letter was written and no answer came: it may have been accepted.
	Doubtful struct{ Err error }
	// Unavailable means that the server gives us no session: no connection, no TLS, no login. No letter is at fault.
	Unavailable struct {
		Words string // a sentence with the mend
		Err   error
	}
)

func (e *Temporary) Error() string { return "refused for now at " + e.Stage + ": " + e.Reply.String() }
func (e *Permanent) Error() string { return "refused at " + e.Stage + ": " + e.Reply.String() }
func (e *Lost) Error() string {
	return fmt.Sprintf("the connection ended at %s, before the letter was complete: %s", e.Stage, cause(e.Err))
}
func (e *Lost) Unwrap() error { return e.Err }
func (e *Doubtful) Error() string {
	return fmt.Sprintf("the whole letter was given to the server but never confirmed, so it may have arrived: %s", cause(e.Err))
}
func (e *Doubtful) Unwrap() error    { return e.Err }
func (e *Unavailable) Error() string { return e.Words }
func (e *Unavailable) Unwrap() error { return e.Err }

// cause is why a connection failed in words for people: addresses, system calls and names of packages say nothing to them.
func cause(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return "the DNS does not answer"
	case isTimeout(err):
		return "no answer came in time"
	case closedByServer(err):
		return "the server closed the connection"
	case errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled):
		return "it was ended at our side"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there"
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH):
		return "this machine finds no way there"
	case errors.As(err, &op):
		err = op.Err
	}
	return cutWords(withoutPackages.Replace(err.Error()))
}

var withoutPackages = strings.NewReplacer("x509: ", "", "tls: ", "")

func closedByServer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Caps of what is read and kept of a reply. RFC 5321 §4.5.3.1.5 allows lines of 512 bytes; the reader's buffer of 4 KiB
// bounds them here.
const (
	maxReplyLines = 100
	maxReplyWords = 500
)

var errNotSMTP = errors.New("the server's answer is not SMTP")

// readReply reads one reply of any number of lines.
func readReply(r *bufio.Reader) (Reply, error) {
	var reply Reply
	var words strings.Builder
	for range maxReplyLines {
		raw, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return Reply{}, errNotSMTP
		}
		if err != nil {
			return Reply{}, err
		}
		line := strings.TrimRight(string(raw), "\r\n")
		code, more, text, ok := cutReplyLine(line)
		if !ok || reply.Code != 0 && code != reply.Code {
			return Reply{}, errNotSMTP
		}
		reply.Code = code
		if status, rest, ok := cutStatus(text); ok {
			reply.Status, text = status, rest
		}
		if words.Len() < maxReplyWords {
			if words.Len() > 0 && text != "" {
				words.WriteByte(' ')
			}
			words.WriteString(text)
		}
		if !more {
			reply.Words = cutWords(words.String())
			return reply, nil
		}
	}
	return Reply{}, errNotSMTP
}

// cutReplyLine takes "250-text" apart; more is true when the reply goes on.
func cutReplyLine(line string) (code int, more bool, text string, ok bool) {
	if len(line) < 3 {
		return 0, false, "", false
	}
	for _, c := range []byte(line[:3]) {
		if c < '0' || c > '9' {
			return 0, false, "", false
		}
		code = code*10 + int(c-'0')
	}
	if code < 200 || code > 599 {
		return 0, false, "", false
	}
	if len(line) == 3 {
		return code, false, "", true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", false
	}
	return code, line[3] == '-', line[4:], true
}

// cutStatus takes an enhanced status code off the text (RFC 2034 §4).
func cutStatus(text string) (status, rest string, ok bool) {
	status, rest, _ = strings.Cut(text, " ")
	parts := strings.Split(status, ".")
	if len(parts) != 3 || len(status) > 9 || len(parts[0]) != 1 || !strings.Contains("245", parts[0]) {
		return "", text, false
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return "", text, false
		}
	}
	return status, rest, true
}

// cutWords makes a server's text one harmless line.
func cutWords(s string) string {
	s = oneLine(s)
	if len(s) <= maxReplyWords {
		return s
	}
	return strings.TrimRightFunc(strings.ToValidUTF8(s[:maxReplyWords], ""), unicode.IsSpace) + " …"
}
