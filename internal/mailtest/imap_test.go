package mailtest

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func startIMAP(t *testing.T, opts IMAPOptions) *IMAP {
	t.Helper()
	s, err := StartIMAP(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.AddUser("shop", "secret")
	return s
}

// client is an IMAP client that sends lines and reads lines.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	n    int
}

func connect(t *testing.T, s *IMAP) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	c := &client{t: t, conn: conn, in: bufio.NewReader(conn)}
	if greeting := c.line(); !strings.HasPrefix(greeting, "* OK") {
		t.Fatalf("greeting: %q", greeting)
	}
	return c
}

func (c *client) line() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimRight(line, "\r\n")
}

// do sends a command and returns all the lines that answer it, the tagged one last without its tag.
func (c *client) do(command string) []string {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("a%d", c.n)
	if _, err := io.WriteString(c.conn, tag+" "+command+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	var lines []string
	for {
		line := c.line()
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return append(lines, rest)
		}
		lines = append(lines, line)
		if strings.HasPrefix(line, "+ ") {
			return lines
		}
	}
}

func (c *client) ok(command string) []string {
	c.t.Helper()
	lines := c.do(command)
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "OK") && !strings.HasPrefix(last, "+ ") {
		c.t.Fatalf("%s: %q", command, last)
	}
	return lines
}

func add(t *testing.T, s *IMAP, raw string, flags ...string) uint32 {
	t.Helper()
	uid, err := s.Append("shop", "INBOX", []byte(raw), time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), flags...)
	if err != nil {
		t.Fatal(err)
	}
	return uid
}

func TestIMAPKeepsBytesAsTheyAre(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	raw := "no header at all\x00\r\n\r\nbody"
	uid := add(t, s, raw, `\Answered`)
	c := connect(t, s)
	c.ok("LOGIN shop secret")
	if lines := c.ok("SELECT INBOX"); !slices.Contains(lines, "* 1 EXISTS") || !slices.Contains(lines, "* OK [UIDNEXT 2] Predicted next UID") {
		t.Errorf("SELECT: %q", lines)
	}
	lines := c.ok("UID FETCH 1 (UID FLAGS RFC822.SIZE INTERNALDATE BODY.PEEK[]<0.10>)")
	want := `* 1 FETCH (UID 1 FLAGS (\Answered) INTERNALDATE "22-Nov-2026 09:00:00 +0000" RFC822.SIZE 25 BODY[]<0> {10}`
	if lines[0] != want || lines[1] != "no header )" {
		t.Errorf("FETCH: got %q, want %q", lines, want)
	}
	if flags, err := s.Flags("shop", "INBOX", uid); err != nil || slices.Contains(flags, `\Seen`) {
		t.Errorf("PEEK left flags %q (%v)", flags, err)
	}
	c.ok("UID FETCH 1 BODY[]")
	if flags, err := s.Flags("shop", "INBOX", uid); err != nil || !slices.Contains(flags, `\Seen`) {
		t.Errorf("BODY[] left flags %q (%v)", flags, err)
	}
	if lines := c.ok("UID FETCH 99:* (UID)"); lines[0] != "* 1 FETCH (UID 1)" {
		t.Errorf("n:* must name the last message even below n (RFC 9051 §6.4.9): %q", lines)
	}
	if lines := c.ok("UID SEARCH SINCE 23-Nov-2026"); lines[0] != "* SEARCH" {
		t.Errorf("SEARCH SINCE found %q", lines)
	}
	if lines := c.ok("UID SEARCH SINCE 22-Nov-2026"); lines[0] != "* SEARCH 1" {
		t.Errorf("SEARCH SINCE found %q", lines)
	}
}

func TestIMAPIdleLosesNothing(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	c := connect(t, s)
	c.ok("LOGIN shop secret")
	c.ok("EXAMINE INBOX")
	for n := 1; n <= 200; n++ {
		c.ok("IDLE")
		add(t, s, "x") // races with the server's registration for news on purpose
		if line, want := c.line(), fmt.Sprintf("* %d EXISTS", n); line != want {
			t.Fatalf("got %q, want %q", line, want)
		}
		io.WriteString(c.conn, "DONE\r\n")
		c.line()
	}
}

func TestIMAPRenumbersAndExpunges(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	for range 3 {
		add(t, s, "x")
	}
	if err := s.Expunge("shop", "INBOX", 1); err != nil {
		t.Fatal(err)
	}
	if err := s.SkipUIDs("shop", "INBOX", 10); err != nil {
		t.Fatal(err)
	}
	if uid := add(t, s, "y"); uid != 14 {
		t.Errorf("UID after the gap: %d, want 14", uid)
	}
	if err := s.SetUIDValidity("shop", "INBOX", 77); err != nil {
		t.Fatal(err)
	}
	validity, next, messages, err := s.Status("shop", "INBOX")
	if validity != 77 || next != 4 || messages != 3 || err != nil {
		t.Errorf("got UIDVALIDITY %d, UIDNEXT %d, %d messages (%v)", validity, next, messages, err)
	}
	if err := s.Fill("shop", "INBOX", 1000, time.Now(), func(uid uint32) []byte { return fmt.Appendf(nil, "message %d", uid) }); err != nil {
		t.Fatal(err)
	}
	c := connect(t, s)
	c.ok("LOGIN shop secret")
	c.ok("EXAMINE inbox")
	if lines := c.ok("UID FETCH 1003 (BODY.PEEK[])"); !strings.HasPrefix(lines[1], "message 1003") {
		t.Errorf("a made message: %q", lines)
	}
}

func TestIMAPMischief(t *testing.T) {
	for _, test := range []struct {
		name     string
		mischief Mischief
		command  string
		want     string // the answer's first line begins with it
	}{
		{"body first", Mischief{BodyFirst: true}, "UID FETCH 1 (UID FLAGS BODY.PEEK[]<0.9>)", "* 1 FETCH (BODY[]<0> {1}"},
		{"garbage", Mischief{UIDs: map[uint32]Trick{1: TrickGarbage}}, "UID FETCH 1 BODY.PEEK[]<0.9>", "* 1 FETCH (UID 1 BODY[]<0> {oops}"},
		{"bad date", Mischief{UIDs: map[uint32]Trick{1: TrickBadDate}}, "UID FETCH 1 (INTERNALDATE)", `* 1 FETCH (UID 1 INTERNALDATE "yesterday`},
		{"hidden", Mischief{UIDs: map[uint32]Trick{1: TrickHide}}, "UID FETCH 1 BODY.PEEK[]<0.9>", "OK"},
		{"empty", Mischief{UIDs: map[uint32]Trick{1: TrickEmpty}}, "UID FETCH 1 BODY.PEEK[]<0.9>", "* 1 FETCH (UID 1 BODY[]<0> NIL)"},
		{"refused", Mischief{UIDs: map[uint32]Trick{1: TrickRefuse}}, "UID FETCH 1 BODY.PEEK[]<0.9>", "NO [SERVERBUG]"},
		{"the whole body", Mischief{WholeBody: true}, "UID FETCH 1 BODY.PEEK[]<0.9>", "* 1 FETCH (UID 1 BODY[] {3932161}"},
		{"another UID", Mischief{UIDs: map[uint32]Trick{2: TrickGarbage}}, "UID FETCH 1 BODY.PEEK[]<0.9>", "* 1 FETCH (UID 1 BODY[]<0> {1}"},
		{"no UIDNEXT", Mischief{NoUIDNext: true}, "EXAMINE INBOX", "* OK [CLOSED]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startIMAP(t, IMAPOptions{})
			add(t, s, "x")
			c := connect(t, s)
			c.ok("LOGIN shop secret")
			c.ok("EXAMINE INBOX")
			s.SetMischief(test.mischief)
			lines := c.do(test.command)
			if !strings.HasPrefix(lines[0], test.want) {
				t.Errorf("got %q, want %q", lines[0], test.want)
			}
			if test.mischief.NoUIDNext && strings.Contains(strings.Join(lines, "\n"), "UIDNEXT") {
				t.Errorf("UIDNEXT was told: %q", lines)
			}
		})
	}
}

func TestIMAPCutsAndFallsSilent(t *testing.T) {
	for _, test := range []struct {
		name     string
		mischief Mischief
		closed   bool
	}{
		{"cut", Mischief{UIDs: map[uint32]Trick{1: TrickCut}}, true},
		{"cut now", Mischief{UIDs: map[uint32]Trick{1: TrickCutNow}}, true},
		{"hang", Mischief{UIDs: map[uint32]Trick{1: TrickHang}}, false},
		{"silent", Mischief{Silent: true}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startIMAP(t, IMAPOptions{})
			add(t, s, "some text")
			c := connect(t, s)
			c.ok("LOGIN shop secret")
			c.ok("EXAMINE INBOX")
			s.SetMischief(test.mischief)
			io.WriteString(c.conn, "a9 UID FETCH 1 BODY.PEEK[]<0.9>\r\n")
			c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			rest, err := io.ReadAll(c.in)
			if (err == nil) != test.closed || strings.Contains(string(rest), "a9 ") {
				t.Errorf("read %q, %v", rest, err)
			}
		})
	}
}

func TestIMAPOptions(t *testing.T) {
	s := startIMAP(t, IMAPOptions{NoIdle: true, WantsID: true, LoginDisabled: true})
	c := connect(t, s)
	if answer := c.do("LOGIN shop secret"); !strings.HasPrefix(answer[0], "NO") {
		t.Errorf("LOGIN: %q", answer)
	}
	c.ok("AUTHENTICATE PLAIN AHNob3AAc2VjcmV0")
	caps := c.ok("CAPABILITY")[0]
	if strings.Contains(caps, "IDLE") || !strings.Contains(caps, " ID ") {
		t.Errorf("capabilities: %s", caps)
	}
	if answer := c.do("EXAMINE INBOX"); !strings.HasPrefix(answer[0], "NO Unsafe Login") {
		t.Errorf("EXAMINE without ID: %q", answer)
	}
	c.ok(`ID ("name" "test")`)
	c.ok("EXAMINE INBOX")
	if got := s.Commands(); !slices.Contains(got, "AUTHENTICATE") || strings.Contains(strings.Join(got, " "), "AHNob3A") {
		t.Errorf("commands: %q", got)
	}
}

func TestIMAPStartTLS(t *testing.T) {
	s := startIMAP(t, IMAPOptions{Security: "starttls"})
	c := connect(t, s)
	if answer := c.do("LOGIN shop secret"); !strings.HasPrefix(answer[0], "NO") {
		t.Errorf("LOGIN before TLS: %q", answer)
	}
	c.ok("STARTTLS")
	roots := x509.NewCertPool()
	roots.AddCert(s.Authority().certificate)
	c.conn = tls.Client(c.conn, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	c.in = bufio.NewReader(c.conn)
	c.ok("LOGIN shop secret")
	if got := c.ok(`LIST "" *`); !slices.Contains(got, `* LIST (\Sent) "/" Sent`) && !slices.Contains(got, `* LIST (\Sent) "/" "Sent"`) {
		t.Errorf("LIST: %q", got)
	}
}
