package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/returnpost/returnpost/responder"
)

// hostile is a message that may not stop a mailbox, and what becomes of it.
type hostile struct {
	name   string
	raw    func() []byte
	reason responder.Reason // "": whatever it is
}

func fixed(s string) func() []byte { return func() []byte { return crlf(s) } }

// from is a message with these header fields and a line of text; FROM stands
// for a sender of its own.
func from(fields string) func() []byte {
	return fixed(fields + "To: " + support + "\nDate: " + time.Now().Format(time.RFC1123Z) + "\n\nHello, when are you open?\n")
}

// of puts a header before a body that is made when it is needed.
func of(fields string, body func(*bytes.Buffer)) func() []byte {
	return func() []byte {
		var b bytes.Buffer
		b.Write(crlf("To: " + support + "\n" + fields + "\n"))
		body(&b)
		return b.Bytes()
	}
}

// times repeats a text up to a size.
func times(size int, text string) func(*bytes.Buffer) {
	return func(b *bytes.Buffer) { b.Write(bytes.Repeat([]byte(text), size/len(text))) }
}

var hostiles = []hostile{
	{"60 MB", of("From: big@big.example\nSubject: photos\nMessage-ID: <big@big.example>\n", times(60<<20, "0123456789abcdef0123456789abcdef0123456789abcdef\r\n")), responder.NewThread},
	{"10,000 parts", of("From: parts@parts.example\nSubject: parts\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n",
		times(10_000*52, "--b\r\nContent-Type: text/plain\r\n\r\nnothing here...\r\n\r\n")), responder.NewThread},
	{"parts in parts in parts", of("From: deep@deep.example\nSubject: deep\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n",
		times(2_000*50, "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")), ""},
	{"a header line of a megabyte", func() []byte {
		return []byte("From: wide@wide.example\r\nTo: " + support + "\r\nSubject: " + strings.Repeat("wide ", 1<<20/5) + "\r\n\r\nHello.\r\n")
	}, ""},
	{"a hundred thousand header lines", func() []byte {
		return []byte("From: tall@tall.example\r\nTo: " + support + "\r\n" + strings.Repeat("X-A: b\r\n", 100_000) + "\r\nHello.\r\n")
	}, ""},
	{"a recipient list of a megabyte", func() []byte {
		return []byte("From: many@many.example\r\nTo: " + support + strings.Repeat(",\r\n somebody@else.example", 1<<20/25) + "\r\nSubject: to all\r\n\r\nHello.\r\n")
	}, ""},
	{"NUL bytes", of("From: N\x00ul <nul@nul.example>\nSubject: a\x00b\nMessage-ID: <nul\x00@nul.example>\n", times(1000, "a\x00b\x00\r\n")), ""},
	{"nothing", func() []byte { return nil }, responder.Broken},
	{"only NUL bytes", func() []byte { return make([]byte, 5000) }, responder.Broken},
	{"no line end", func() []byte { return bytes.Repeat([]byte("x"), 100_000) }, responder.Broken},
	{"bare line feeds", func() []byte { return []byte("From: lf@lf.example\nTo: " + support + "\nSubject: lf\n\nHello.\n") }, responder.NewThread},
	{"bare carriage returns", func() []byte { return []byte("From: cr@cr.example\rTo: " + support + "\rSubject: cr\r\rHello.\r") }, ""},
	{"no From", from("Subject: who\n"), responder.Broken},
	{"two Froms", from("From: one@two.example\nFrom: two@two.example\nSubject: we\n"), responder.Broken},
	{"two authors in one From", from("From: one@two.example, two@two.example\nSubject: we\n"), responder.Broken},
	{"an empty From", from("From: \nSubject: nobody\n"), responder.Broken},
	{"a From with a line break in it", from("From: =?utf-8?B?SmFuZQ0KQmNjOiB2aWN0aW1AdmljdGltLmV4YW1wbGU=?= <jane@break.example>\nSubject: =?utf-8?B?SGkNCkJjYzogdmljdGltQHZpY3RpbS5leGFtcGxl?=\n"), responder.NewThread},
	{"a From with a folded address", from("From: \"Jane\n Doe\" <jane@\n folded.example>\nSubject: folded\n"), ""},
	{"an address with a line break", from("From: \"x\\\n\\ny\"@quoted.example\nSubject: quoted\n"), ""},
	{"an empty Message-ID", from("From: empty@empty.example\nSubject: empty\nMessage-ID: \n"), responder.NewThread},
	{"Message-ID <>", from("From: angle@angle.example\nSubject: angle\nMessage-ID: <>\n"), responder.NewThread},
	{"a Message-ID for the first time", from("From: first@first.example\nSubject: first\nMessage-ID: <same@carrier.example>\n"), responder.NewThread},
	{"the same Message-ID from somebody else", from("From: second@second.example\nSubject: second\nMessage-ID: <same@carrier.example>\n"), responder.NewThread},
	{"two Message-IDs", from("From: ids@ids.example\nSubject: ids\nMessage-ID: <a@ids.example>\nMessage-ID: <b@ids.example>\n"), responder.NewThread},
	{"a Message-ID that ends a header", from("From: end@end.example\nSubject: end\nMessage-ID: <a@end.example>\r\r\n"), ""},
	{"an unknown charset", from("From: =?klingon?Q?=FE=FF?= <unknown@charset.example>\nSubject: =?klingon?B?/////w==?=\nContent-Type: text/plain; charset=klingon\n"), responder.NewThread},
	{"a charset that lies", from("From: lying@lying.example\nSubject: \xc4\xe3\xba\xc3\nContent-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: base64\n"), responder.NewThread},
	{"UTF-16 that is none", from("From: utf16@utf16.example\nSubject: utf16\nContent-Type: text/plain; charset=utf-16\n"), responder.NewThread},
	{"an encoding that is none", from("From: coding@coding.example\nSubject: coding\nContent-Transfer-Encoding: rot13\n"), responder.NewThread},
	{"a date that is none", from("From: date@date.example\nSubject: date\nDate: the day before yesterday\n"), responder.NewThread},
	{"a boundary that is none", from("From: boundary@boundary.example\nSubject: boundary\nContent-Type: multipart/mixed; boundary=\n"), ""},
}

// Whatever a message is, it is decided on, and the next letter is acknowledged.
func TestNoMessageStopsAMailbox(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	p, _ := s.serve(s.yaml("responder: {limits: {total: none}}\n"))
	s.well(p)
	for i, h := range hostiles {
		uid := s.arrive(support, h.raw())
		next := fmt.Sprintf("next@customer%d.example", i)
		s.arrive(support, letter(next, support))
		s.answered(next)
		e := s.decided("support", uid)
		if h.reason != "" && e.Reason != h.reason || e.Acknowledged != (e.Reason == responder.NewThread) {
			t.Errorf("%s: decided %s, acknowledged %v, want %s (%s)", h.name, e.Reason, e.Acknowledged, h.reason, e.Evidence)
		}
	}
	s.well(p)
	for _, m := range s.smtp.Messages() {
		head, _, _ := bytes.Cut(bytes.ToLower(m.Data), []byte("\r\n\r\n"))
		if len(m.Rcpts) != 1 || bytes.Contains(head, []byte("\nbcc:")) || bytes.ContainsAny(head, "\x00") {
			t.Errorf("a letter to %v has the header\n%s", m.Rcpts, head)
		}
		if bytes.Contains(m.Data, []byte("Hello, when")) {
			t.Errorf("a letter to %s gives back what was written", m.To)
		}
	}
	for _, stranger := range []string{"victim@victim.example", "somebody@else.example"} {
		if n := len(s.received(stranger)); n > 0 {
			t.Errorf("%s, who never wrote, got %d letters", stranger, n)
		}
	}
}
