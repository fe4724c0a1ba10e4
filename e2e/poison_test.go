package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/returnpost/returnpost/e2e/servers"
)

// TestNoMessageStopsTheMailbox: between two letters lie messages that are large, deep, broken or hostile. Both letters
// are acknowledged, every message is recorded, the daemon stays up and small.
func TestNoMessageStopsTheMailbox(t *testing.T) {
	o := newOffice(t, servers.DovecotOptions{}, false)
	s := o.shop(t)
	d := serve(t, s)
	poison := poisons()
	o.send(t, letter{From: ann, To: support, Subject: "Before", ID: "<before@customer.example>", Text: "Hello?"})
	o.dovecot.Await(t, support, "INBOX", 1, patience)
	for name, raw := range poison {
		t.Logf("%s: %d bytes", name, len(raw))
		o.dovecot.Deliver(t, "somebody@elsewhere.example", support, raw)
	}
	o.send(t, letter{From: li, To: support, Subject: "After", ID: "<after@customer.example>", Text: "Hello?"})
	o.dovecot.Await(t, li, "INBOX", 1, 2*patience)
	o.dovecot.Await(t, ann, "INBOX", 1, patience)
	d.healthy()

	type arrival struct {
		From   string `json:"from"`
		Reason string `json:"reason"`
	}
	arrivals := report[arrival](t, s, "arrivals", "list")
	if len(arrivals) != len(poison)+2 {
		t.Errorf("%d arrivals are recorded, %d messages came", len(arrivals), len(poison)+2)
	}
	for _, a := range arrivals {
		if a.Reason == "" {
			t.Errorf("no reason for %+v", a)
		}
	}
	for _, m := range o.dovecot.Flags(t, support, "INBOX") {
		if len(m.Flags) > 0 {
			t.Errorf("message %d has flags %v", m.UID, m.Flags)
		}
	}
	if _, peak := d.memory(); peak > 64<<20 {
		t.Errorf("the daemon took %d MB", peak>>20)
	}
	if code, _ := d.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func poisons() map[string][]byte {
	head := func(from string, more ...string) string {
		return from + "To: " + support + "\r\nSubject: Poison\r\n" + strings.Join(more, "")
	}
	person := "From: somebody@elsewhere.example\r\n"
	var parts, deep strings.Builder
	parts.WriteString(head(person, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"))
	for i := range 10_000 {
		fmt.Fprintf(&parts, "--b\r\nContent-Type: text/plain\r\n\r\npart %d\r\n", i)
	}
	deep.WriteString(head(person, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=d0\r\n\r\n"))
	for i := range 500 {
		fmt.Fprintf(&deep, "--d%d\r\nContent-Type: multipart/mixed; boundary=d%d\r\n\r\n", i, i+1)
	}
	large := bytes.Repeat([]byte("A line of a very large attachment, seventy-two characters long or so....\r\n"), 60<<20/74)
	return map[string][]byte{
		"60 MB":                   append([]byte(head(person, "\r\n")), large...),
		"10,000 parts":            []byte(parts.String()),
		"500 levels":              []byte(deep.String()),
		"a header line of 1 MB":   []byte(head(person, "X-Long: ", strings.Repeat("long ", 200_000), "\r\n\r\nHello\r\n")),
		"NUL bytes":               []byte(head("From: some\x00body@elsewhere.example\r\n", "\r\nHel\x00lo\r\n")),
		"no From":                 []byte(head("", "\r\nHello\r\n")),
		"two Froms":               []byte(head(person+"From: other@elsewhere.example\r\n", "\r\nHello\r\n")),
		"a From with a line":      []byte(head("From: =?utf-8?Q?a=0D=0ABcc:_x@y.example?= <somebody@elsewhere.example>\r\n", "\r\nHello\r\n")),
		"an empty Message-ID":     []byte(head(person, "Message-ID: \r\n\r\nHello\r\n")),
		"two Message-IDs":         []byte(head(person, "Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\nHello\r\n")),
		"a charset that lies":     []byte(head(person, "Content-Type: text/plain; charset=utf-8\r\n\r\n\xc4\xe3\xba\xc3\r\n")),
		"a charset nobody knows":  []byte(head(person, "Content-Type: text/plain; charset=klingon\r\n\r\nHello\r\n")),
		"no body and no end":      []byte("From: somebody@elsewhere.example"),
		"no header at all":        []byte("\r\nHello\r\n"),
		"bytes that are no words": bytes.Repeat([]byte{0xff, 0xfe, 0x80, 0x0a}, 1000),
	}
}
