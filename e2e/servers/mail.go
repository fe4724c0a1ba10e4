package servers

import (
	"fmt"
	"net/textproto"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Stored is a message as it lies in a folder.
type Stored struct {
	UID   uint32
	Flags []string // without \Recent, which is the session's and not the message's
	Raw   []byte   // nil from Flags
}

func (s *DovecotServer) login(t testing.TB, user string) *imapConn {
	t.Helper()
	password, ok := s.passwords[strings.ToLower(user)]
	if !ok {
		t.Fatalf("servers: Dovecot has no user %s; AddUser comes first", user)
	}
	c, err := dialIMAP(s.IMAPAddr(), user, password)
	if err != nil {
		t.Fatalf("servers: log in to Dovecot as %s: %v", user, err)
	}
	return c
}

// Deliver hands a message to the user's INBOX by LMTP (RFC 2033), as a mail server does.
func (s *DovecotServer) Deliver(t testing.TB, from, user string, raw []byte) {
	t.Helper()
	if err := transact(s.LMTPAddr(), "LHLO", from, user, raw); err != nil {
		t.Fatalf("servers: deliver to %s by LMTP: %v", user, err)
	}
}

// transact hands one message for one recipient to an SMTP (EHLO) or LMTP (LHLO) server.
func transact(addr, hello, from, to string, raw []byte) error {
	c, err := textproto.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	steps := []struct {
		say  string
		code int
	}{{"", 220}, {hello + " localhost", 250}, {"MAIL FROM:<" + from + ">", 250}, {"RCPT TO:<" + to + ">", 250}, {"DATA", 354}}
	for _, step := range steps {
		if step.say != "" {
			if err := c.PrintfLine("%s", step.say); err != nil {
				return err
			}
		}
		if _, _, err := c.ReadResponse(step.code); err != nil {
			return fmt.Errorf("%s: %w", step.say, err)
		}
	}
	w := c.DotWriter()
	w.Write(crlf(raw))
	if err := w.Close(); err != nil {
		return err
	}
	if _, _, err := c.ReadResponse(250); err != nil {
		return fmt.Errorf("after the message: %w", err)
	}
	c.PrintfLine("QUIT")
	c.ReadResponse(221)
	return nil
}

// Fill appends n messages to a folder over IMAP, the fast way, and says how long it took: 100,000 messages of
// 1 KB in about 13 seconds on two cores.
func (s *DovecotServer) Fill(t testing.TB, user, folder string, n int, message func(i int) []byte) time.Duration {
	t.Helper()
	begin := time.Now()
	c := s.login(t, user)
	defer c.Close()
	if err := c.appendAll(folder, n, message); err != nil {
		t.Fatalf("servers: fill %s of %s: %v", folder, user, err)
	}
	return time.Since(begin)
}

var (
	fetchUID   = regexp.MustCompile(`\bUID (\d+)`)
	fetchFlags = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
)

// Messages reads back all messages of a folder over IMAP, oldest first, without touching their flags.
func (s *DovecotServer) Messages(t testing.TB, user, folder string) []Stored {
	t.Helper()
	return s.fetch(t, user, folder, "UID FLAGS BODY.PEEK[]")
}

// Flags reads the UIDs and flags of all messages of a folder.
func (s *DovecotServer) Flags(t testing.TB, user, folder string) []Stored {
	t.Helper()
	return s.fetch(t, user, folder, "UID FLAGS")
}

func (s *DovecotServer) fetch(t testing.TB, user, folder, items string) []Stored {
	t.Helper()
	c := s.login(t, user)
	defer c.Close()
	if _, err := c.command("EXAMINE %s", quoted(folder)); err != nil {
		t.Fatal(err)
	}
	// UID FETCH of an empty folder is a valid command, FETCH 1:* is not.
	lines, err := c.command("UID FETCH 1:* (%s)", items)
	if err != nil {
		t.Fatal(err)
	}
	var all []Stored
	for _, l := range lines {
		uid, flags := fetchUID.FindStringSubmatch(l.text), fetchFlags.FindStringSubmatch(l.text)
		if uid == nil || flags == nil {
			continue
		}
		var m Stored
		fmt.Sscan(uid[1], &m.UID)
		for _, f := range strings.Fields(flags[1]) {
			if f != `\Recent` {
				m.Flags = append(m.Flags, f)
			}
		}
		if len(l.literals) > 0 {
			m.Raw = l.literals[0]
		}
		all = append(all, m)
	}
	return all
}

// Count asks how many messages a folder has.
func (s *DovecotServer) Count(t testing.TB, user, folder string) int {
	t.Helper()
	c := s.login(t, user)
	defer c.Close()
	n, err := c.count(folder)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Await waits until a folder has at least n messages and reads them.
func (s *DovecotServer) Await(t testing.TB, user, folder string, n int, wait time.Duration) []Stored {
	t.Helper()
	c := s.login(t, user)
	defer c.Close()
	if err := until(wait, func() error {
		got, err := c.count(folder)
		if err == nil && got < n {
			err = fmt.Errorf("%s of %s has %d messages after %v, not %d", folder, user, got, wait, n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return s.Messages(t, user, folder)
}
