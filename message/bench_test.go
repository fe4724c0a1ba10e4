package message

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// plainMail is an ordinary letter of 5 KB.
func plainMail() []byte {
	var b strings.Builder
	b.WriteString("Return-Path: <mary@example.com>\r\nReceived: from mx.example.com (mx.example.com [192.0.2.1])\r\n\tby mail.shop.example (Postfix) with ESMTPS id 4XyZ\r\n\tfor <support@shop.example>; Mon, 23 Nov 2026 09:59:58 +0000 (UTC)\r\n")
	for i := range 4 {
		fmt.Fprintf(&b, "Received: by relay%d.example.com with SMTP id abc%d; Mon, 23 Nov 2026 01:59:5%d -0800 (PST)\r\n", i, i, i)
	}
	b.WriteString("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=mail;\r\n\th=from:to:subject:date:message-id; bh=" + strings.Repeat("x", 43) + "=;\r\n\tb=" + strings.Repeat("Y", 340) + "\r\n")
	b.WriteString("Authentication-Results: mail.shop.example; dkim=pass header.d=example.com; spf=pass smtp.mailfrom=mary@example.com; dmarc=pass header.from=example.com\r\n")
	b.WriteString("From: Mary Brown <mary@example.com>\r\nTo: Support <support@shop.example>\r\nSubject: Where is my order 12345?\r\nDate: Mon, 23 Nov 2026 10:59:50 +0100\r\nMessage-ID: <abc.123@example.com>\r\nIn-Reply-To: <x@shop.example>\r\nReferences: <w@shop.example> <x@shop.example>\r\nMIME-Version: 1.0\r\nX-Mailer: Example Mail 5\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	for range 20 {
		b.WriteString("I ordered three books last week and would like to know when they will arrive at=\r\n my house. The total was =E2=82=AC30.\r\n")
	}
	b.WriteString("\r\nThanks,\r\nMary\r\n\r\nOn Sun, 22 Nov 2026 at 10:00, Support <support@shop.example> wrote:\r\n")
	for range 12 {
		b.WriteString("> Thank you for your order. We will send it soon.\r\n")
	}
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	chinese, err := os.ReadFile("testdata/corpus/03-zh-qq-multipart.eml")
	if err != nil {
		b.Fatal(err)
	}
	for name, raw := range map[string][]byte{"plain": plainMail(), "chinese": chinese} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				Parse(raw)
			}
		})
	}
}

// hostileMails are cheap to write and meant to be dear to read.
func hostileMails() map[string][]byte {
	from := "From: a@example.com\r\nSubject: x\r\n"
	nested, inner := from+"Content-Type: multipart/mixed; boundary=b0\r\n\r\n", ""
	for i := range 500 {
		inner += fmt.Sprintf("--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n", i, i+1)
	}
	return map[string][]byte{
		"10,000 parts":         []byte(from + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n", 10000)),
		"500 deep":             []byte(nested + inner),
		"megabyte header line": []byte("X-Long: " + strings.Repeat("x", 1<<20) + "\r\n" + from + "\r\nhello"),
		"megabyte of folds":    []byte("X-Long: x\r\n" + strings.Repeat(" y\r\n", 1<<18) + from + "\r\nhello"),
		"100,000 fields":       []byte(from + strings.Repeat("X-A: b\r\n", 100000) + "\r\nhello"),
		"odd lines":            []byte(from + strings.Repeat("no field here\r\n", 60000)),
		"open brackets":        []byte("From: a@example.com\r\nTo: " + strings.Repeat("(<\"", 20000) + "\r\n\r\n"),
		"groups":               []byte("From: a@example.com\r\nTo: " + strings.Repeat(":;", 30000) + "\r\n\r\n"),
		"encoded words":        []byte("From: a@example.com\r\nSubject: " + strings.Repeat("=?a", 20000) + "?=\r\n\r\n"),
		"open words":           []byte("From: a@example.com\r\nSubject: " + strings.Repeat("=?utf-8?q?", 6000) + "\r\n\r\n"),
		"parameters":           []byte(from + "Content-Type: text/plain" + strings.Repeat(";a", 30000) + "=b\r\n\r\n"),
		"attribution":          []byte(from + "\r\n" + strings.Repeat("On 1 Jan x@y\n", 80000)),
		"html":                 []byte(from + "Content-Type: text/html\r\n\r\n" + strings.Repeat("<blockquote><div a='b'>x", 40000)),
		"bounce":               []byte("From: mailer-daemon@example.com\r\nSubject: failure notice\r\n\r\n" + strings.Repeat("<a@b>: x\n", 100000)),
		"report of nothing":    []byte("From: mailer-daemon@example.com\r\nContent-Type: message/delivery-status\r\n\r\n" + strings.Repeat("\n", 1<<20)),
		"zeros":                bytes.Repeat([]byte{0}, 1<<20),
		"newlines":             bytes.Repeat([]byte{'\n'}, 1<<20),
		"base64 rubbish":       []byte(from + "Content-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("=", 1<<20)),
		"quotes":               []byte(from + "\r\n" + strings.Repeat("From: a@b\nTo: c\n", 60000)),
	}
}

func TestHostileMessagesAreQuick(t *testing.T) {
	for name, raw := range hostileMails() {
		start := time.Now()
		m := Parse(raw)
		if d := time.Since(start); d > 10*time.Second { // they take milliseconds; the race detector and a busy machine take their share
			t.Errorf("%s took %v", name, d)
		} else {
			t.Logf("%s: %v", name, d.Round(100*time.Microsecond))
		}
		if len(m.Text) > maxText || len(m.Subject) > 4*maxSubject {
			t.Errorf("%s: %d bytes of text, %d of subject", name, len(m.Text), len(m.Subject))
		}
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, raw := range hostileMails() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Parse(raw)
			}
		})
	}
}
