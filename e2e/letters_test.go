package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// letter is a letter from a customer, as their mail program writes it.
type letter struct {
	From, To, Subject, ID, Text string
	References                  string
	GB                          bool // in GB 2312, as older Chinese mail programs write
	Age                         time.Duration
}

func (l letter) bytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	subject, text, charset := l.Subject, []byte(l.Text), "utf-8"
	if l.GB {
		charset = "gb2312"
		encoder := simplifiedchinese.GB18030.NewEncoder()
		s, err1 := encoder.String(l.Subject)
		body, err2 := encoder.Bytes(text)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		subject, text = "=?gb2312?B?"+base64.StdEncoding.EncodeToString([]byte(s))+"?=", body
	}
	zone := time.FixedZone("", 8*3600)
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\n", l.From, l.To, subject, time.Now().Add(-l.Age).In(zone).Format(time.RFC1123Z))
	if l.ID != "" {
		fmt.Fprintf(&b, "Message-ID: %s\r\n", l.ID)
	}
	if l.References != "" {
		fmt.Fprintf(&b, "References: %s\r\n", l.References)
	}
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: base64\r\n\r\n", charset)
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(text)), 76) {
		b.Write(line)
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// acknowledgement is one as its reader's mail program shows it.
type acknowledgement struct {
	Header     mail.Header
	Text, HTML string
	Raw        []byte
}

func readAcknowledgement(t testing.TB, raw []byte) *acknowledgement {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("the acknowledgement cannot be read: %v\n%s", err, raw)
	}
	a := &acknowledgement{Header: m.Header, Raw: raw}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("Content-Type is %q (%v), not multipart/alternative\n%s", m.Header.Get("Content-Type"), err, raw)
	}
	var kinds []string
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("a part cannot be read: %v\n%s", err, raw)
		}
		kind, params, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if !strings.EqualFold(params["charset"], "utf-8") || p.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
			t.Errorf("part %s is %v in %q", kind, params, p.Header.Get("Content-Transfer-Encoding"))
		}
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil || !utf8.Valid(body) {
			t.Errorf("part %s cannot be decoded: %v", kind, err)
		}
		kinds = append(kinds, kind)
		switch kind {
		case "text/plain":
			a.Text = string(body)
		case "text/html":
			a.HTML = string(body)
		}
	}
	if want := []string{"text/plain", "text/html"}; !slices.Equal(kinds, want) {
		t.Errorf("parts %v, want %v", kinds, want)
	}
	return a
}

var decoder mime.WordDecoder

// field is a field's value, decoded; the field must be there exactly once.
func (a *acknowledgement) field(t testing.TB, name string) string {
	t.Helper()
	values := a.Header[name]
	if len(values) != 1 {
		t.Errorf("%d fields %s: %q", len(values), name, values)
		return ""
	}
	s, err := decoder.DecodeHeader(values[0])
	if err != nil {
		t.Errorf("field %s: %v", name, err)
	}
	return s
}

var messageID = regexp.MustCompile(`^<[!-;=?-~]+@([!-;=?-~]+)>$`)

// check compares the acknowledgement with its contract, field by field.
func (a *acknowledgement) check(t testing.TB, of letter, language string) {
	t.Helper()
	from := strings.TrimSuffix(of.From[strings.LastIndexByte(of.From, '<')+1:], ">")
	equal := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %q, want %q", what, got, want)
		}
	}
	// RFC 3834 §3.1
	if to, err := a.Header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != from {
		t.Errorf("To is %v (%v), want %s alone", to, err, from)
	}
	if got, err := mail.ParseAddress(a.Header.Get("From")); err != nil || got.Address != of.To || got.Name == "" {
		t.Errorf("From is %v (%v), want %s with a name", got, err, of.To)
	}
	for _, name := range []string{"Cc", "Bcc", "Reply-To", "User-Agent", "X-Mailer", "Disposition-Notification-To"} {
		if values := a.Header[name]; len(values) > 0 {
			t.Errorf("there is a %s: %q", name, values)
		}
	}
	subject := a.field(t, "Subject")
	if !strings.HasSuffix(subject, of.Subject) || subject == of.Subject || utf8.RuneCountInString(subject) > 200 {
		t.Errorf("Subject is %q, want a prefix and %q", subject, of.Subject)
	}
	if ascii := !strings.ContainsFunc(subject, func(r rune) bool { return r > 126 }); ascii && strings.Contains(a.Header.Get("Subject"), "=?") {
		t.Errorf("Subject %q is encoded without need", a.Header.Get("Subject"))
	}
	if of.ID != "" {
		equal("In-Reply-To", a.field(t, "In-Reply-To"), of.ID)
		equal("References", a.field(t, "References"), strings.TrimSpace(of.References+" "+of.ID))
	}
	domain := of.To[strings.LastIndexByte(of.To, '@')+1:]
	if m := messageID.FindStringSubmatch(a.field(t, "Message-Id")); m == nil || m[1] != domain {
		t.Errorf("Message-ID is %q, want one of %s", a.Header.Get("Message-Id"), domain)
	}
	equal("Auto-Submitted", a.field(t, "Auto-Submitted"), "auto-replied")
	equal("Precedence", a.field(t, "Precedence"), "bulk")
	equal("X-Auto-Response-Suppress", a.field(t, "X-Auto-Response-Suppress"), "DR, RN, NRN, OOF, AutoReply")
	equal("Content-Language", a.field(t, "Content-Language"), language)
	equal("MIME-Version", a.field(t, "Mime-Version"), "1.0")
	if d, err := a.Header.Date(); err != nil || time.Since(d).Abs() > 5*time.Minute {
		t.Errorf("Date is %v (%v)", d, err)
	}
	// The envelope sender, as the customer's server noted it.
	sender := strings.Trim(a.field(t, "Return-Path"), "<>")
	local := strings.TrimSuffix(of.To, "@"+domain)
	if sender != of.To && !(strings.HasPrefix(sender, local+"+") && strings.HasSuffix(sender, "@"+domain)) {
		t.Errorf("the envelope sender is %q, want %s or %s+…@%s", sender, of.To, local, domain)
	}
	// Nothing of what the customer wrote goes back but the subject.
	for _, body := range []string{a.Text, a.HTML} {
		if strings.Contains(body, of.Text) {
			t.Errorf("the acknowledgement quotes the letter:\n%s", body)
		}
		if !strings.Contains(body, of.Subject) {
			t.Errorf("the acknowledgement does not name the subject %q:\n%s", of.Subject, body)
		}
	}
}

// checkPromise finds the promised time, by the office's clock, in both bodies.
func (a *acknowledgement) checkPromise(t testing.TB, promised time.Time, language string) {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	local := promised.In(zone)
	day := local
	if local.Format("15:04") == "00:00" { // said as the end of the day before
		day = local.AddDate(0, 0, -1)
	}
	words := []string{clock(local, language), day.Format("January 2")}
	if language == "zh" {
		words[1] = day.Format("1月2日")
	}
	for _, body := range []string{a.Text, a.HTML} {
		for _, w := range words {
			if !strings.Contains(body, w) {
				t.Errorf("the promise %v lacks %q in the acknowledgement:\n%s", local, w, body)
			}
		}
	}
}

// clock is a time of day as people write it.
func clock(at time.Time, language string) string {
	switch hour, minute, _ := at.Clock(); {
	case language == "zh" && hour+minute == 0:
		return "24:00"
	case language == "zh":
		return at.Format("15:04")
	case hour+minute == 0:
		return "the end of"
	case hour == 12 && minute == 0:
		return "noon"
	case minute == 0:
		return at.Format("3 PM")
	default:
		return at.Format("3:04 PM")
	}
}
