package mailtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Mischief is what an IMAP server does on a bad day. The zero value is a good day.
type Mischief struct {
	Mute       bool             // a connection is taken and nothing is said, not even the greeting
	Silent     bool             // the greeting is the last word
	DeafIdle   bool             // IDLE is accepted, and nothing is ever told in it
	DeadIdle   bool             // once IDLE has begun the connection is dead, though it stays open
	NoUIDNext  bool             // SELECT does not tell UIDNEXT
	LowUIDNext bool             // SELECT tells 1 as UIDNEXT, whatever is there
	BodyFirst  bool             // FETCH answers with BODY before UID
	WholeBody  bool             // BODY[]<0.n> is answered with more than n bytes
	UIDs       map[uint32]Trick // what happens when the body of a UID is asked for
	Login      string           // LOGIN and AUTHENTICATE are answered with this line, "NO [UNAVAILABLE] later"
}

// Trick is what happens to the answer to one message's FETCH with a body, or with its size and date (a listing).
type Trick string

// The tricks.
const (
	TrickCut      Trick = "cut"      // the connection is closed within the body
	TrickCutNow   Trick = "cut now"  // it is closed before anything of the message is sent
	TrickHang     Trick = "hang"     // the body stops halfway and nothing more is ever said
	TrickGarbage  Trick = "garbage"  // the response cannot be parsed
	TrickBadDate  Trick = "bad date" // its INTERNALDATE cannot be parsed
	TrickHide     Trick = "hide"     // the message is left out, and the command is OK
	TrickRefuse   Trick = "refuse"   // the command is answered NO
	TrickThrottle Trick = "throttle" // the command is answered NO because of its moment
	TrickEmpty    Trick = "empty"    // the body is NIL
	TrickNoList   Trick = "no list"  // a listing with the message in it is answered NO
	TrickByeList  Trick = "bye list" // such a listing is broken off with BYE, as by Dovecot for a damaged file
)

// SetMischief changes what the server does, for open connections too.
func (s *IMAP) SetMischief(m Mischief) {
	s.mu.Lock()
	s.mischief = m
	s.mu.Unlock()
}

// now is the mischief of this moment.
func (s *IMAP) now() Mischief {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mischief
}

// imapWire is the server's end of a connection. go-imap writes responses to it, which are gathered until each is whole and
// then changed as the day's mischief has it. TLS is done here, below the library, so that this works on plain and
// encrypted connections alike.
type imapWire struct {
	net.Conn // as accepted
	server   *IMAP

	// Reading belongs to the connection's one goroutine.
	secure     bool
	in         *bufio.Reader
	pending    []byte // of the line just read
	identified bool

	mu     sync.Mutex // responses come from IDLE's goroutine too
	stream net.Conn   // Conn, or TLS over it
	unit   []byte     // the response that is not whole yet
	line   int        // where its last line begins
	need   int        // bytes of a literal still to come
	dead   bool       // nothing is said any more
	spoken bool       // the greeting is out
}

func (s *IMAP) wrap(c net.Conn) net.Conn {
	w := &imapWire{Conn: c, server: s, stream: c, in: bufio.NewReader(c)}
	if s.opts.Security == "tls" {
		w.encrypt()
	}
	return w
}

func (w *imapWire) encrypt() {
	stream := tls.Server(w.Conn, w.server.tls) // shakes hands at the first read or write
	w.in = bufio.NewReader(stream)
	w.secure = true
	w.mu.Lock()
	w.stream = stream
	w.mu.Unlock()
}

// Read gives the library what the client sends, line by line, without the commands that are answered here.
func (w *imapWire) Read(p []byte) (int, error) {
	for len(w.pending) == 0 {
		line, err := w.in.ReadSlice('\n')
		if len(line) == 0 && err != nil {
			return 0, err
		}
		if answered, err := w.command(string(line)); err != nil {
			return 0, err
		} else if !answered {
			w.pending = append(w.pending[:0], line...)
		}
	}
	n := copy(p, w.pending)
	w.pending = w.pending[n:]
	return n, nil
}

// command notes a client's line and answers STARTTLS, ID and refused logins.
func (w *imapWire) command(line string) (answered bool, err error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return false, nil
	}
	tag, name := words[0], ""
	if len(words) > 1 {
		name = strings.ToUpper(words[1])
	}
	noted := strings.Join(words[1:], " ")
	if name == "LOGIN" || name == "AUTHENTICATE" {
		noted = name
	}
	w.server.note(noted)
	mischief := w.server.now()
	login := name == "LOGIN" || name == "AUTHENTICATE"
	switch {
	case name == "STARTTLS" && w.server.opts.Security == "starttls" && !w.secure:
		if err := w.say(tag + " OK Begin TLS negotiation now\r\n"); err != nil {
			return true, err
		}
		w.encrypt()
	case name == "ID" && w.server.opts.WantsID:
		w.identified = true
		return true, w.say("* ID NIL\r\n" + tag + " OK ID completed\r\n")
	case login && mischief.Login != "":
		return true, w.say(tag + " " + mischief.Login + "\r\n")
	case name == "LOGIN" && w.server.opts.LoginDisabled, login && w.server.opts.Security == "starttls" && !w.secure:
		return true, w.say(tag + " NO [PRIVACYREQUIRED] Not like that\r\n")
	default:
		return false, nil
	}
	return true, nil
}

// note remembers a command; DONE, literals and SASL answers have no name and are left out.
func (s *IMAP) note(command string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if command != "" && len(s.commands) < maxCommands {
		s.commands = append(s.commands, command)
	}
}

func (w *imapWire) say(line string) error {
	_, err := w.Write([]byte(line))
	return err
}

// Write gathers the library's output into whole responses and sends what the mischief leaves of them.
func (w *imapWire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	mischief := w.server.now()
	for rest := p; len(rest) > 0; {
		if w.need > 0 {
			n := min(w.need, len(rest))
			w.unit, rest, w.need = append(w.unit, rest[:n]...), rest[n:], w.need-n
			w.line = len(w.unit)
			continue
		}
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			w.unit = append(w.unit, rest...)
			break
		}
		w.unit, rest = append(w.unit, rest[:i+1]...), rest[i+1:]
		if n, more := literal(w.unit[w.line:]); more {
			w.need, w.line = n, len(w.unit)
			continue
		}
		if err := w.send(w.unit, &mischief); err != nil {
			return 0, err
		}
		w.unit, w.line = w.unit[:0], 0
	}
	return len(p), nil
}

// literal is the size of the literal that a line announces at its end, if it does.
func literal(line []byte) (size int, ok bool) {
	line, ok = bytes.CutSuffix(line, []byte("}\r\n"))
	i := bytes.LastIndexByte(line, '{')
	if !ok || i < 0 {
		return 0, false
	}
	size, err := strconv.Atoi(string(line[i+1:]))
	return size, err == nil
}

// send sends one whole response.
func (w *imapWire) send(unit []byte, m *Mischief) error {
	if w.dead || m.Mute {
		w.dead = true
		return nil
	}
	if m.Silent && w.spoken {
		w.dead = true
		return nil
	}
	w.spoken = true
	out := unit
	switch {
	case bytes.Contains(unit, []byte("CAPABILITY ")) && !bytes.Contains(unit, []byte(" FETCH (")):
		out = w.capabilities(unit)
	case m.NoUIDNext && bytes.HasPrefix(unit, []byte("* OK [UIDNEXT ")):
		return nil
	case m.LowUIDNext && bytes.HasPrefix(unit, []byte("* OK [UIDNEXT ")):
		out = []byte("* OK [UIDNEXT 1] Predicted next UID\r\n")
	case bytes.HasPrefix(unit, []byte("+ idling")):
		w.dead = m.DeadIdle
	case bytes.Contains(unit, []byte(" BODY[]<")):
		return w.fetch(unit, m)
	case bytes.Contains(unit, []byte(` INTERNALDATE "`)):
		if uid := fetchUID.FindSubmatch(unit); uid != nil && m.trick(string(uid[1])) == TrickBadDate {
			out = bytes.Replace(unit, []byte(`INTERNALDATE "`), []byte(`INTERNALDATE "yesterday `), 1)
		} else if uid != nil && m.trick(string(uid[1])) == TrickByeList {
			w.stream.Write([]byte("* BYE Internal error occurred\r\n"))
			return w.Close()
		}
	}
	_, err := w.stream.Write(out)
	return err
}

// capabilities edits the list of capabilities to what the server's options say.
func (w *imapWire) capabilities(unit []byte) []byte {
	s := string(unit)
	o := &w.server.opts
	add := ""
	if o.NoIdle {
		s = strings.ReplaceAll(s, " IDLE", "")
	}
	if o.WantsID {
		add += " ID"
	}
	plain := o.Security == "starttls" && !w.secure
	if plain {
		add += " STARTTLS"
		s = strings.ReplaceAll(s, " AUTH=PLAIN", "")
	}
	if plain || o.LoginDisabled {
		add += " LOGINDISABLED"
	}
	return []byte(strings.Replace(s, "CAPABILITY", "CAPABILITY"+add, 1))
}

var fetchUID = regexp.MustCompile(`^\* \d+ FETCH \(UID (\d+)`)

// trick is what happens to the message with a UID.
func (m *Mischief) trick(uid string) Trick {
	n, err := strconv.ParseUint(uid, 10, 32)
	if err != nil {
		return ""
	}
	return m.UIDs[uint32(n)]
}

// fetchHead is the beginning of a FETCH response with a body, up to its literal.
var fetchHead = regexp.MustCompile(`^\* (\d+) FETCH \(UID (\d+)((?: .*)?) BODY\[\]<0> \{\d+\}\r\n`)

// fetch sends a FETCH response with a body.
func (w *imapWire) fetch(unit []byte, m *Mischief) error {
	head := fetchHead.FindSubmatch(unit)
	if head == nil {
		_, err := w.stream.Write(unit)
		return err
	}
	seq, uidText, items := string(head[1]), string(head[2]), string(head[3])
	body := unit[len(head[0]) : len(unit)-len(")\r\n")]
	half := unit[:len(head[0])+len(body)/2]
	switch m.trick(uidText) {
	case TrickCutNow:
		return w.Close()
	case TrickCut:
		w.stream.Write(half)
		return w.Close()
	case TrickHang:
		w.dead = true
		_, err := w.stream.Write(half)
		return err
	case TrickHide:
		return nil
	case TrickGarbage:
		unit = fmt.Appendf(nil, "* %s FETCH (UID %s BODY[]<0> {oops}\r\n)\r\n", seq, uidText)
	case TrickEmpty:
		unit = fmt.Appendf(nil, "* %s FETCH (UID %s%s BODY[]<0> NIL)\r\n", seq, uidText, items)
	default:
		if m.WholeBody {
			body = append(bytes.Clone(body), bytes.Repeat([]byte("more and more\r\n"), 1<<18)...)
			unit = fmt.Appendf(nil, "* %s FETCH (UID %s%s BODY[] {%d}\r\n%s)\r\n", seq, uidText, items, len(body), body)
		}
		if m.BodyFirst {
			unit = fmt.Appendf(nil, "* %s FETCH (BODY[]<0> {%d}\r\n%s%s UID %s)\r\n", seq, len(body), body, items, uidText)
		}
	}
	_, err := w.stream.Write(unit)
	return err
}
