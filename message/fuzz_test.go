package message

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func oneCleanLine(t *testing.T, what, s string) {
	t.Helper()
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		t.Errorf("%s is not one clean line: %q", what, s)
	}
}

// usable checks what the outbox relies on: an address can stand in a header field and in an SMTP command.
func usable(t *testing.T, a Address) {
	t.Helper()
	oneCleanLine(t, "name", a.Name)
	oneCleanLine(t, "address", a.Addr)
	quoted := strings.HasPrefix(a.Addr, `"`)
	if a.Local() == "" || a.Domain() == "" || len(a.Addr) > 320 || strings.ContainsAny(a.Domain(), " <>,;()\"\\") || !quoted && strings.ContainsAny(a.Local(), " <>,;()\"\\@") {
		t.Errorf("unusable address %q", a.Addr)
	}
	if a.Domain() != strings.ToLower(a.Domain()) {
		t.Errorf("domain not in lower case: %q", a.Addr)
	}
}

func checkMessage(t *testing.T, m *Message) {
	t.Helper()
	oneCleanLine(t, "subject", m.Subject)
	for _, list := range [][]Address{m.ReplyTo, m.To, m.Cc, m.Bcc, m.Resent} {
		for _, a := range list {
			usable(t, a)
		}
	}
	if m.From.Addr != "" {
		usable(t, m.From)
	}
	for _, id := range append(append([]string{m.MessageID}, m.References...), m.InReplyTo...) {
		oneCleanLine(t, "message id", id)
		if id != "" && (len(id) > 1000 || strings.ContainsRune(id, ' ')) {
			t.Errorf("message id %q", id)
		}
	}
	if len(m.Text) > maxText || len(m.NewText) > len(m.Text) || !utf8.ValidString(m.Text) || !utf8.ValidString(m.NewText) {
		t.Errorf("text of %d and %d bytes", len(m.Text), len(m.NewText))
	}
	for _, e := range m.Evidence {
		oneCleanLine(t, "evidence", e.Value)
		if e.Field == "" || e.Rule == "" {
			t.Errorf("evidence %+v", e)
		}
	}
	if _, marked := m.Marked(MarkBroken); marked != (m.Broken != "") || marked != (m.Kind == KindBroken) {
		t.Errorf("broken %q, kind %s", m.Broken, m.Kind)
	}
	if m.Kind == "" || m.Broken == "" && m.From.Addr == "" && m.Bounces == nil && m.Complaint == nil {
		t.Errorf("kind %q from %q", m.Kind, m.From)
	}
	for _, b := range m.Bounces {
		if b.Action == "" || b.Reason == "" {
			t.Errorf("bounce %+v", b)
		}
		oneCleanLine(t, "recipient", b.Recipient)
	}
	m.Language([]string{"en", "zh", "de", "fr", "ja", "ru"})
	m.DMARC("mx.example.com")
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"corpus", "malformed", "bounces"} {
		files, _ := filepath.Glob("testdata/" + pattern + "/*.eml")
		for _, file := range files {
			if raw, err := os.ReadFile(file); err == nil && len(raw) < 8<<10 {
				f.Add(raw)
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkMessage(t, Parse(raw)) })
}

func FuzzDecodeHeader(f *testing.F) {
	for _, s := range []string{"=?utf-8?B?5L2g5aW9?=", "=?utf-8?Q?a_b?= =?utf-8?Q?c?=", "=?gb2312?B?xOO6w?=", "=?iso-2022-jp?B?GyRCJCI=?= x =?", "\xc4\xe3\xba\xc3", "=?x?y?z", "a =?utf-8*en?q?=E4?=?= b"} {
		f.Add(s, "gbk")
	}
	f.Fuzz(func(t *testing.T, v, hint string) {
		oneCleanLine(t, "value", decodeLine(v, hint))
		parameters(v)
		parseDate(v)
		messageIDs(v)
		withoutComments(v)
		NormalSubject(v)
	})
}

func FuzzAddresses(f *testing.F) {
	for _, s := range []string{`"Li, Ming" <li@example.com>, bob@example.com (Bob)`, "group: a@b.c, d@e.f;", "<@a,@b:c@d>", `"open <a@b.c>`, "a@b.c <d@e.f> x", "=?utf-8?B?5L2g5aW9?= <x@y.z>", "mailto:a@b", `"a b"@c.d`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, _ := scanHeader([]byte("To: "+strings.ReplaceAll(s, "\n", " ")), true) // as it comes out of a header
		for _, a := range parseAddresses(nil, h.get("To"), "") {
			usable(t, a)
		}
	})
}
