package message

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAddressesAsTheyAreWritten(t *testing.T) {
	for in, want := range map[string]string{
		`li@example.com`:           "li@example.com",
		`Li Ming <li@EXAMPLE.com>`: "Li Ming <li@example.com>",
		`"Li, Ming" <li@example.com>, bob@example.com (Bob)`:  "Li, Ming <li@example.com>|Bob <bob@example.com>",
		`a@b.example; c@d.example`:                            "a@b.example|c@d.example",
		`Sales: "A" <a@b.example>, c@d.example;, e@f.example`: "A <a@b.example>|c@d.example|e@f.example",
		`undisclosed-recipients:;`:                            "",
		`<@relay.example,@other.example:a@b.example>`:         "a@b.example",
		`<mailto:a@b.example>`:                                "a@b.example",
		`'a@b.example'`:                                       "a@b.example",
		`"a@b.example"`:                                       "a@b.example",
		`a @ b . example`:                                     "a@b.example",
		`a@b.example.`:                                        "a@b.example",
		`Bob bob@example.com`:                                 "Bob <bob@example.com>",
		`bob@example.com and more words`:                      "bob@example.com",
		`"Bob <bob@example.com>`:                              "Bob <bob@example.com>",
		`"Bob <bob@example.com>"`:                             "Bob <bob@example.com>",
		`Bob <bob@example.com`:                                "Bob <bob@example.com>",
		`bob@example.com <bob@example.com>`:                   "bob@example.com <bob@example.com>",
		`"bob@fake.example" <real@example.com>`:               "bob@fake.example <real@example.com>",
		`real@example.com (was <old@example.com>)`:            "was old@example.com <real@example.com>",
		`"Bob \"the\" Builder" <bob@example.com>`:             `Bob "the" Builder <bob@example.com>`,
		`"two words"@example.com`:                             `"two words"@example.com`,
		`root@localhost`:                                      "root@localhost",
		`a@[192.0.2.1]`:                                       "a@[192.0.2.1]",
		`李明@例子.中国`:                                            "李明@例子.中国",
		`=?utf-8?B?5p2O5piO?= <li@example.com>`:               "李明 <li@example.com>",
		`"=?utf-8?Q?Li=2C_Ming?=" <li@example.com>`:           "Li, Ming <li@example.com>",
		`=?utf-8?Q?Li, Ming?= <li@example.com>`:               "Li, Ming <li@example.com>",
		`root (Cron Daemon)`:                                  "",
		`MAILER-DAEMON <>`:                                    "",
		`a@b@c <x y@z.example>`:                               "",
		"a@b.example\x7f":                                     "",
		`a@-b.example`:                                        "",
	} {
		var got []string
		for _, a := range parseAddresses(nil, in, "") {
			got = append(got, a.String())
		}
		if s := strings.Join(got, "|"); s != want {
			t.Errorf("%s\n got %q\nwant %q", in, s, want)
		}
	}
}

func TestEncodedWords(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                       "plain",
		"=?utf-8?B?5L2g5aW9?=":                        "你好",
		"=?UTF-8?q?caf=C3=A9_au_lait?=":               "café au lait",
		"=?utf-8?Q?a?= =?utf-8?Q?b?=":                 "ab",
		"=?utf-8?Q?a?=\t =?iso-8859-1?Q?=E9?=":        "aé",
		"=?utf-8?Q?a?= b =?utf-8?Q?c?=":               "a b c",
		"=?utf-8?Q?with raw spaces?=":                 "with raw spaces",
		"=?utf-8?Q?=E5=85?= =?utf-8?Q?=B3?=":          "关",
		"=?utf-8?B?5YWz5?= =?utf-8?B?LqO?=":           "关于",
		"=?utf-8?B?5L2g5aW?=":                         "你\uFFFD",
		"=?utf-8?B?5L2g?= =?utf-8?B?YQ?= x":           "你a x",
		"=?gb2312?B?xOO6w6GtoaE=?=":                   "你好…",
		"=?utf-8*en?Q?hi?=":                           "hi",
		"=?x-no-such?Q?=E4=BD=A0?=":                   "你",
		"=?NONE?B?VEVTVA=?=":                          "TEST",
		"=?utf-8?Q?cut_of":                            "cut of",
		"=?utf-8?Z?x?=":                               "=?utf-8?Z?x?=",
		"before=?utf-8?Q?_after?=":                    "before after",
		"=?iso-2022-jp?B?GyRCQ21KOBsoQg==?=":          "注文",
		"\xe9t\xe9 \xe0 Paris":                        "été à Paris",
		"\xc7\xeb\xce\xca\xd3\xd0\xbb\xf5\xc2\xf0":    "请问有货吗",
		"=?utf-8?Q?line=0Abreak=00?=":                 "line break",
		"right\u202eto left":                          "rightto left",
		"=?utf-8?B?" + strings.Repeat("!", 50) + "?=": "",
	} {
		if got := decodeLine(in, ""); got != want {
			t.Errorf("%q\n got %q\nwant %q", in, got, want)
		}
	}
	if got := decodeLine("\xcf\xf0\xe8\xe2\xe5\xf2", "windows-1251"); got != "Привет" {
		t.Errorf("with the body's charset as a hint: %q", got)
	}
}

func TestParameters(t *testing.T) {
	for in, want := range map[string]map[string]string{
		`text/plain; charset=utf-8; format=flowed`:                            {"charset": "utf-8", "format": "flowed"},
		`text/plain charset="us-ascii"`:                                       {"charset": "us-ascii"},
		`multipart/mixed;boundary="a; \"b\"" ; x=y`:                           {"boundary": `a; "b"`, "x": "y"},
		`a/b; name*=utf-8''%E4%BD%A0; other`:                                  {"name": "你"},
		`a/b; boundary*1=cd; boundary*0="ab"`:                                 {"boundary": "abcd"},
		`a/b; name*0*=utf-8''%E4; name*1*=%BD%A0`:                             {"name": "你"},
		`a/b; name="never closed`:                                             {"name": "never closed"},
		`a/b;;; =; x=1; x=2`:                                                  {"": "", "x": "1"},
		`multipart/report; report-type=delivery-status; boundary="=_x/y?z.h"`: {"report-type": "delivery-status", "boundary": "=_x/y?z.h"},
	} {
		if diff := cmp.Diff(want, parameters(in)); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
}

func TestDates(t *testing.T) {
	for in, want := range map[string]string{
		"Mon, 23 Nov 2026 10:00:00 +0800 (CST)": "2026-11-23T02:00:00Z 28800",
		"23 Nov 2026 10:00 -0330":               "2026-11-23T13:30:00Z -12600",
		"Mon, 23 Nov 2026 10:00:00 GMT":         "2026-11-23T10:00:00Z 0",
		"Mon, 23 Nov 2026 10:00:00 EST":         "2026-11-23T15:00:00Z -18000",
		"Mon Nov 23 10:00:00 2026":              "2026-11-23T10:00:00Z 0",
		"Mon, 23 Nov 98 10:00:00 +0000":         "1998-11-23T10:00:00Z 0",
		"2026-11-23 10:00:00 +08:00":            "2026-11-23T02:00:00Z 28800",
		"Monday, 23-Nov-2026 10:00:00 UT":       "2026-11-23T10:00:00Z 0",
		"Mon, 23 Nov 2026":                      "",
		"yesterday at noon":                     "",
		"32 Nov 2026 10:00:00":                  "",
		"":                                      "",
	} {
		got := ""
		if d, offset, ok := parseDate(in); ok {
			got = fmt.Sprint(d.Format(time.RFC3339), " ", offset)
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	for in, want := range map[string]string{
		"<a@b>":                        "<a@b>",
		" <a@b>\t<c@d>,<e@f> ":         "<a@b> <c@d> <e@f>",
		"a@b":                          "<a@b>",
		"Your message of <x@y> Monday": "<x@y>",
		"<foo. \t bar@baz>":            "<foo.bar@baz>",
		"<>":                           "",
		"no id":                        "",
		"<never closed":                "",
	} {
		if got := strings.Join(messageIDs(in), " "); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, "<%d@x> ", i)
	}
	if ids := messageIDs(many.String()); len(ids) != maxIDs || ids[0] != "<0@x>" || ids[maxIDs-1] != "<199@x>" {
		t.Errorf("of 200 ids were kept %d, %v", len(ids), ids)
	}
}

func TestFieldsOfAMessage(t *testing.T) {
	m := Parse(plainMail())
	offset := 3600
	if m.From.String() != "Mary Brown <mary@example.com>" || m.From.Key() != "mary@example.com" || m.From.Domain() != "example.com" || m.From.Local() != "mary" {
		t.Errorf("from %q", m.From)
	}
	if m.ReturnPath != "mary@example.com" || !m.HasReturnPath || m.MessageID != "<abc.123@example.com>" {
		t.Errorf("return path %q, id %q", m.ReturnPath, m.MessageID)
	}
	if diff := cmp.Diff([]string{"<w@shop.example>", "<x@shop.example>"}, m.References); diff != "" {
		t.Error(diff)
	}
	if m.Offset == nil || *m.Offset != offset || !m.Date.Equal(time.Date(2026, 11, 23, 9, 59, 50, 0, time.UTC)) || !m.Received.Equal(time.Date(2026, 11, 23, 9, 59, 58, 0, time.UTC)) {
		t.Errorf("date %v, received %v", m.Date, m.Received)
	}
	if m.DMARC("mail.shop.example") != "pass" || m.DMARC("other.example") != "" || m.DMARC("") != "" {
		t.Errorf("dmarc %q", m.DMARC("mail.shop.example"))
	}
	if got := m.Header("received"); len(got) != 5 {
		t.Errorf("%d Received fields", len(got))
	}
}

func TestDMARCOfOurOwnServerOnly(t *testing.T) {
	m := Parse([]byte("Authentication-Results: mx.evil.example; dmarc=pass header.from=bank.example\r\n" +
		"Authentication-Results: mx.shop.example 1; spf=pass (says; dmarc=pass) smtp.mailfrom=x@y;\r\n dmarc=fail (p=reject dis=none) header.from=bank.example\r\n" +
		"Authentication-Results: mx.shop.example; dmarc=pass header.from=bank.example\r\nFrom: a@bank.example\r\n\r\n"))
	if got := m.DMARC("MX.shop.example"); got != "fail" {
		t.Errorf("got %q", got)
	}
}

func TestZeroOffsetsAreUnknown(t *testing.T) {
	for zone, known := range map[string]bool{"+0000": false, "-0000": false, "GMT": false, "+0100": true, "": false} {
		m := Parse([]byte("From: a@b.example\r\nDate: Mon, 23 Nov 2026 10:00:00 " + zone + "\r\n\r\n"))
		if (m.Offset != nil) != known {
			t.Errorf("%q: offset %v", zone, m.Offset)
		}
	}
}

func TestHashIsOfTheContent(t *testing.T) {
	raw := string(plainMail())
	same := map[string]string{
		"delivered again":    "Return-Path: <other@example.com>\r\nDelivered-To: x@shop.example\r\nReceived: by elsewhere; Tue, 24 Nov 2026 10:00:00 +0000\r\nX-Spam-Status: No\r\n" + raw[strings.Index(raw, "Received:"):],
		"unix line ends":     strings.ReplaceAll(raw, "\r\n", "\n"),
		"folded differently": strings.Replace(raw, "References: <w@shop.example> <x@shop.example>", "References: <w@shop.example>\r\n\t<x@shop.example>", 1),
		"ends with a line":   raw + "\r\n",
	}
	want := Parse([]byte(raw)).Hash
	for name, other := range same {
		if Parse([]byte(other)).Hash != want {
			t.Errorf("%s: another hash", name)
		}
	}
	for name, other := range map[string]string{
		"another subject": strings.Replace(raw, "order 12345", "order 12346", 1),
		"another body":    strings.Replace(raw, "three books", "four books", 1),
		"another id":      strings.Replace(raw, "abc.123", "abc.124", 1),
	} {
		if Parse([]byte(other)).Hash == want {
			t.Errorf("%s: the same hash", name)
		}
	}
}

func TestHeaderCaps(t *testing.T) {
	m := Parse([]byte("X-Long: " + strings.Repeat("x", 2<<20) + "\r\n" + strings.Repeat("X-A: b\r\n", 900) + "From: a@b.example\r\nSubject: " + strings.Repeat("长", 5000) + "\r\n\r\nhello"))
	if m.From.Addr != "a@b.example" || m.Text != "hello" {
		t.Errorf("behind a long line: from %q, text %q", m.From, m.Text)
	}
	if got := m.Header("X-Long"); len(got) != 1 || len(got[0]) > maxField {
		t.Errorf("a field of %d bytes was kept", len(got[0]))
	}
	if n := len([]rune(m.Subject)); n != maxSubject {
		t.Errorf("a subject of %d runes", n)
	}
}

func TestLineEndsOfAllKinds(t *testing.T) {
	for name, sep := range map[string]string{"internet": "\r\n", "unix": "\n", "old Macintosh": "\r"} {
		m := Parse([]byte(strings.Join([]string{"From: a@b.example", "Subject: folded", " here", "", "one", "two"}, sep)))
		if m.From.Addr != "a@b.example" || m.Subject != "folded here" || m.Text != "one\ntwo" {
			t.Errorf("%s: %q %q %q", name, m.From, m.Subject, m.Text)
		}
	}
	if m := Parse([]byte("From someone Mon Nov 23 10:00:00 2026\r\n\xef\xbb\xbfignored\r\nFrom: a@b.example\r\n\r\nx")); m.From.Addr != "a@b.example" {
		t.Errorf("under mbox's line: %q, %s", m.From, m.Broken)
	}
	for _, raw := range []string{"", "\r\n\r\n", "\x00", "no header"} {
		if m := Parse([]byte(raw)); m.Kind != KindBroken || m.Broken == "" {
			t.Errorf("%q: %s", raw, m.Kind)
		}
	}
}
