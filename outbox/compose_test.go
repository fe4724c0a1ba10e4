package outbox

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func letter() Mail {
	return Mail{
		From: `"Harbour Books Support" <support@harbourbooks.example>`, To: `李 <li@example.com>`,
		Subject: "Re: 发票 for order 1234", MessageID: "<a1.1@harbourbooks.example>", Date: time.Date(2026, 11, 23, 9, 0, 0, 0, time.FixedZone("", 8*3600)),
		InReplyTo: "<q1@example.com>", References: []string{"<q0@example.com>", "<q1@example.com>"},
		Text: "您好，\n\nthank you.\n", HTML: "<p>您好，</p>\n<p>thank you.</p>\n",
		Headers:  [][2]string{{"Auto-Submitted", "auto-replied"}, {"Precedence", "bulk"}, {"X-Auto-Response-Suppress", "DR, RN, NRN, OOF, AutoReply"}},
		Language: "zh",
	}
}

// parts reads a letter back as a mail program does.
func parts(t testing.TB, raw []byte) (header netmail.Header, text, html string) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("read back: %v\n%s", err, raw)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatalf("Content-Type: %v", err)
	}
	if kind != "multipart/alternative" {
		content, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil {
			t.Fatal(err)
		}
		return m.Header, string(content), ""
	}
	reader := multipart.NewReader(m.Body, params["boundary"])
	var bodies []string
	for _, want := range []string{"text/plain; charset=UTF-8", "text/html; charset=UTF-8"} {
		part, err := reader.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		if got := part.Header.Get("Content-Type"); got != want {
			t.Errorf("part is %q, want %q", got, want)
		}
		content, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, string(content))
	}
	if _, err := reader.NextPart(); err != io.EOF {
		t.Errorf("after the parts: %v, want the end", err)
	}
	return m.Header, bodies[0], bodies[1]
}

func decoded(t testing.TB, s string) string {
	t.Helper()
	out, err := new(mime.WordDecoder).DecodeHeader(s)
	if err != nil {
		t.Fatalf("decode %q: %v", s, err)
	}
	return out
}

func crlf(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
	if !strings.HasSuffix(s, "\n") {
		s += "\r\n"
	}
	return s
}

// wellFormed checks what holds for every letter.
func wellFormed(t testing.TB, raw []byte) {
	t.Helper()
	if bytes.Contains(bytes.ReplaceAll(raw, []byte("\r\n"), nil), []byte("\n")) || bytes.Contains(bytes.ReplaceAll(raw, []byte("\r\n"), nil), []byte("\r")) {
		t.Errorf("a lone CR or LF in %q", raw)
	}
	if !bytes.HasSuffix(raw, []byte("\r\n")) {
		t.Errorf("the last line has no end")
	}
	for line := range bytes.Lines(raw) {
		if len(line) > 998+2 {
			t.Errorf("a line of %d bytes", len(line))
		}
		for _, c := range line {
			if c >= 0x80 || c < ' ' && c != '\r' && c != '\n' && c != '\t' {
				t.Errorf("byte %#x in %q", c, line)
			}
		}
	}
}

func TestComposeWritesTheWholeLetter(t *testing.T) {
	raw, err := Compose(letter())
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, raw)
	header, text, html := parts(t, raw)
	for name, want := range map[string]string{
		"From": `"Harbour Books Support" <support@harbourbooks.example>`, "To": "=?utf-8?q?=E6=9D=8E?= <li@example.com>",
		"Message-Id": "<a1.1@harbourbooks.example>", "Date": "Mon, 23 Nov 2026 09:00:00 +0800", "In-Reply-To": "<q1@example.com>",
		"References": "<q0@example.com> <q1@example.com>", "Auto-Submitted": "auto-replied", "Precedence": "bulk",
		"X-Auto-Response-Suppress": "DR, RN, NRN, OOF, AutoReply", "Content-Language": "zh", "Mime-Version": "1.0",
	} {
		if got := header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := decoded(t, header.Get("Subject")); got != letter().Subject {
		t.Errorf("Subject is %q", got)
	}
	if text != crlf(letter().Text) || html != crlf(letter().HTML) {
		t.Errorf("text %q, html %q", text, html)
	}
	for line := range bytes.Lines(raw) {
		if len(line) > 78+2 {
			t.Errorf("a line of %d bytes: %s", len(line), line)
		}
	}
}

func TestComposeTellsNothingOfThisMachine(t *testing.T) {
	raw, err := Compose(letter())
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := parts(t, raw)
	if header.Get("User-Agent") != "" || header.Get("X-Mailer") != "" {
		t.Errorf("the program is named: %v", header)
	}
	if host, err := os.Hostname(); err == nil && len(host) > 3 && bytes.Contains(raw, []byte(host)) {
		t.Errorf("the host %s is named", host)
	}
}

func TestComposeIsTheSameEachTime(t *testing.T) {
	first, err := Compose(letter())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, _ := Compose(letter()); !bytes.Equal(first, again) {
			t.Fatalf("differs:\n%s", cmp.Diff(string(first), string(again)))
		}
	}
	other := letter()
	other.MessageID = "<a2.1@harbourbooks.example>"
	if boundary(other) == boundary(letter()) {
		t.Error("two letters share a boundary")
	}
}

func TestComposeBoundaryIsNotInTheText(t *testing.T) {
	m := letter()
	first := boundary(m)
	m.Text = "--" + first + "\n"
	raw, err := Compose(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, text, _ := parts(t, raw); text != crlf(m.Text) {
		t.Errorf("text is %q", text)
	}
}

func TestComposeTextOnly(t *testing.T) {
	m := letter()
	m.HTML = ""
	raw, err := Compose(m)
	if err != nil {
		t.Fatal(err)
	}
	header, text, _ := parts(t, raw)
	if got := header.Get("Content-Type"); got != "text/plain; charset=UTF-8" {
		t.Errorf("Content-Type %q", got)
	}
	if text != crlf(m.Text) {
		t.Errorf("text %q", text)
	}
}

func TestComposeAddresses(t *testing.T) {
	for _, test := range []struct{ name, to, want string }{
		{"bare", "li@example.com", "<li@example.com>"},
		{"a name without its quotes", "Books, Inc. <li@example.com>", `"Books, Inc." <li@example.com>`},
		{"a header smuggled in", "Li\r\nBcc: all@example.com <li@example.com>", `"Li Bcc: all@example.com" <li@example.com>`},
		{"an encoded word by hand", "=?utf-8?q?Boss?= x <li@example.com>", `"Boss x" <li@example.com>`},
		{"a domain beyond ASCII", "li@bücher.example", "<li@xn--bcher-kva.example>"},
		{"a quoted local part", `"a b"@example.com`, `<"a b"@example.com>`},
		{"a quoted local part, formatted", FormatAddress("", `"john smith"@example.com`), `<"john smith"@example.com>`},
		{"quotes and an @ in the local part", FormatAddress("J", `"a\"b\\c@d"@example.com`), `"J" <"a\"b\\c@d"@example.com>`},
		{"quotes that are not needed", FormatAddress("", `"john"@example.com`), "<john@example.com>"},
		{"an IPv6 literal", "li@[IPv6:2001:db8::1]", "<li@[IPv6:2001:db8::1]>"},
		{"an IPv6 literal in lower case", FormatAddress("Li", "li@[ipv6:2001:db8::1]"), `"Li" <li@[IPv6:2001:db8::1]>`},
		{"an IPv6 literal without its tag", FormatAddress("", "li@[2001:db8::1]"), "<li@[IPv6:2001:db8::1]>"},
		{"an IPv4 literal", FormatAddress("", "li@[192.0.2.1]"), "<li@[192.0.2.1]>"},
		{"a name that looks like a literal", FormatAddress("x@[ipv6:::1]", "li@example.com"), `"x@[ipv6:::1]" <li@example.com>`},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := letter()
			m.To = test.to
			raw, err := Compose(m)
			if err != nil {
				t.Fatal(err)
			}
			wellFormed(t, raw)
			header, _, _ := parts(t, raw)
			if got := header.Get("To"); got != test.want {
				t.Errorf("To: %s, want %s", got, test.want)
			}
			if header.Get("Bcc") != "" {
				t.Error("a field was smuggled in")
			}
		})
	}
}

func TestComposeRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Mail)
		want   string
	}{
		{"no sender", func(m *Mail) { m.From = "" }, "the sender"},
		{"two recipients", func(m *Mail) { m.To = "a@example.com, b@example.com" }, "not one address"},
		{"a bad address for replies", func(m *Mail) { m.ReplyTo = "nobody" }, "for replies"},
		{"an address literal of nothing", func(m *Mail) { m.To = "li@[ipv6:example]" }, "not one address"},
		{"no Message-ID", func(m *Mail) { m.MessageID = "" }, "Message-ID"},
		{"a Message-ID with a line break", func(m *Mail) { m.MessageID = "<a@b\r\nX: y>" }, "Message-ID"},
		{"no date", func(m *Mail) { m.Date = time.Time{} }, "no Date"},
		{"a field of its own", func(m *Mail) { m.Headers = [][2]string{{"subject", "x"}} }, "cannot be given"},
		{"a content field", func(m *Mail) { m.Headers = [][2]string{{"Content-Type", "x"}} }, "cannot be given"},
		{"no field name", func(m *Mail) { m.Headers = [][2]string{{"X: y\r\nZ", "x"}} }, "not a field name"},
		{"a field twice", func(m *Mail) { m.Headers = [][2]string{{"X-A", "x"}, {"x-a", "y"}} }, "given twice"},
		{"a word longer than a line", func(m *Mail) { m.Headers = [][2]string{{"X-A", strings.Repeat("x", 1000)}} }, "too long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := letter()
			test.change(&m)
			if _, err := Compose(m); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestComposeCapsReferences(t *testing.T) {
	m := letter()
	m.References = []string{"<first@x>", "no id", "<bad id@x>", "<spät@x>"}
	for i := range 100 {
		m.References = append(m.References, "<id"+strings.Repeat("x", i)+"@example.com>")
	}
	raw, err := Compose(m)
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, raw)
	header, _, _ := parts(t, raw)
	ids := strings.Fields(header.Get("References"))
	if len(ids) != maxReferences || ids[0] != "<first@x>" || ids[len(ids)-1] != m.References[len(m.References)-1] {
		t.Errorf("%d ids: %v", len(ids), ids)
	}
}

// hostile draws strings of the kinds that break mail programs.
func hostile() *rapid.Generator[string] {
	piece := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,90}`), rapid.SampledFrom([]string{
		".", "..\n.", "\r\n.\r\n", "\n", "\r", " ", "    ", "\t", "=?utf-8?q?x?=", "=?", "?=", "=\n", "发票", "李先生您好，", "🧧🐉", "e\u0301", "\x00", "\u2028", "\xff\xfe",
		"From ", "--", "<a@b>", `"`, `\`, ",", strings.Repeat("长", 120), strings.Repeat("x", 1200), strings.Repeat(" ", 200)}))
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "pieces"), "") })
}

func TestComposeRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := letter()
		m.Subject = hostile().Draw(r, "subject")
		m.Text = hostile().Draw(r, "text")
		m.HTML = hostile().Draw(r, "html")
		name := hostile().Draw(r, "name")
		m.To = FormatAddress(name, "li@example.com")
		m.ReplyTo = name + " <li@example.com>" // as somebody who does not know about quoting writes it
		m.Headers = append(m.Headers, [2]string{"X-Note", rapid.StringMatching(`[ -~\r\n\t]{0,200}`).Draw(r, "note")})
		m.InReplyTo = hostile().Draw(r, "parent")
		raw, err := Compose(m)
		if err != nil {
			r.Fatal(err)
		}
		wellFormed(t, raw)
		header, text, html := parts(t, raw)
		if t.Failed() {
			r.Fatal("not well formed")
		}
		if got := decoded(t, header.Get("Subject")); got != oneLine(m.Subject) {
			r.Errorf("subject %q, want %q", got, oneLine(m.Subject))
		}
		if to, err := netmail.ParseAddress(header.Get("To")); err != nil || to.Address != "li@example.com" {
			r.Errorf("To %q: %v", header.Get("To"), err)
		}
		wantText, wantHTML := asRead(m.Text), asRead(m.HTML)
		if m.HTML == "" {
			wantHTML = ""
		} else if m.Text == "" {
			wantText, wantHTML = wantHTML, ""
		}
		if text != wantText || html != wantHTML {
			r.Errorf("text %q, want %q; html %q, want %q", text, wantText, html, wantHTML)
		}
	})
}

// asRead is a part as it comes out: line ends are CRLF, a lone CR is one too.
func asRead(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	return crlf(strings.ReplaceAll(s, "\r", "\n"))
}

func BenchmarkCompose(b *testing.B) {
	m := letter()
	m.Text = strings.Repeat("Dear Li, thank you for writing to us. 我们已经收到您的来信，会尽快回复。\n", 20)
	m.HTML = "<html><body>" + strings.Repeat("<p style=\"margin:0 0 16px;font-size:16px\">Dear Li, thank you. 我们已经收到您的来信。</p>\n", 45) + "</body></html>"
	b.ReportAllocs()
	for b.Loop() {
		raw, err := Compose(m)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(raw)))
	}
}
