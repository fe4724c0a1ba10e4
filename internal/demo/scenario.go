package demo

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// members is the sample shop's list, as a shop would import it.
const members = `email,name,language,time_zone,tier,topics,acknowledgements,joined
li.wei@dushu.example,李伟,zh,Asia/Shanghai,gold,news;architecture,full,2021-03-02
anna@schmidt.example,Anna Schmidt,en,Europe/Berlin,,news,brief,2024-06-18
tom@harbour.example,Tom Hale,en,Europe/London,,news,none,2019-11-30
`

// scene is one message of the scenario and what should become of it.
type scene struct {
	title string // who writes, for the terminal
	raw   func(now time.Time) []byte

	reason   string // the reason it must be decided with
	language string // of the acknowledgement; "" where there must be none
	greeting string // what its text must say
}

// scenario is what happens in the sample shop, in order.
var scenario = []scene{
	{
		title:  "李伟, a gold member, in Chinese",
		reason: "new-thread", language: "zh", greeting: "李伟",
		raw: letter{
			from: "李伟 <li.wei@dushu.example>", subject: "《建筑十书》什么时候到货",
			zone: 8 * 3600, id: "gold-1@dushu.example",
			text: "您好：\n\n上周订的《建筑十书》什么时候能到？我下周要带学生去工地，想先读一遍。\n\n李伟\n",
		}.bytes,
	},
	{
		title:  "Emma Brown, a new customer in New York",
		reason: "new-thread", language: "en", greeting: "Emma",
		raw: letter{
			from: "Emma Brown <emma@brown.example>", subject: "Do you ship to Brooklyn?",
			zone: -5 * 3600, id: "emma-1@brown.example",
			text: "Hello,\n\nI found your shop through a friend. Do you ship to Brooklyn, and what would it cost for two books?\n\nThanks,\nEmma\n",
		}.bytes,
	},
	{
		title:  "Anna Schmidt, who wants brief acknowledgements",
		reason: "new-thread", language: "en", greeting: "Anna",
		raw: letter{
			from: "Anna Schmidt <anna@schmidt.example>", subject: "Invoice for order 4711",
			zone: 3600, id: "anna-1@schmidt.example",
			text: "Hi, could you send me the invoice for order 4711 again? It went missing.\n\nAnna\n",
		}.bytes,
	},
	{
		title:  "Tom Hale, who wants no acknowledgements",
		reason: "member-wish",
		raw: letter{
			from: "Tom Hale <tom@harbour.example>", subject: "Saturday opening",
			zone: 0, id: "tom-1@harbour.example",
			text: "Are you open this Saturday? No robot answers please, I know you will write.\n\nTom\n",
		}.bytes,
	},
	{
		title:  "王芳, in GB2312 from an old mail program",
		reason: "new-thread", language: "zh", greeting: "王芳",
		raw: letter{
			from: "王芳 <wangfang@lao.example>", subject: "请问可以开发票吗",
			zone: 8 * 3600, id: "fang-1@lao.example", gb2312: true,
			text: "您好，请问单位购书可以开增值税发票吗？需要提供什么资料？\n\n王芳\n",
		}.bytes,
	},
	{
		title: "Emma again, in the same thread", reason: "follow-up",
		raw: letter{
			from: "Emma Brown <emma@brown.example>", subject: "Re: Do you ship to Brooklyn?",
			zone: -5 * 3600, id: "emma-2@brown.example", inReplyTo: "emma-1@brown.example",
			text: "One more thing: is gift wrapping possible?\n\nEmma\n",
		}.bytes,
	},
	{
		title: "an out-of-office reply", reason: "auto-reply",
		raw: letter{
			from: "Karl Meier <karl@office.example>", subject: "Automatic reply: Your order has shipped",
			zone: 3600, id: "ooo-1@office.example", headers: "Auto-Submitted: auto-replied\r\n",
			text: "I am out of the office until Monday.\n",
		}.bytes,
	},
	{title: "a bounce", reason: "bounce", raw: bounce},
	{
		title: "a mailing list", reason: "list",
		raw: letter{
			from: "Book Trade <digest@lists.example>", subject: "[trade] Digest of the week",
			zone: 0, id: "list-1@lists.example",
			headers: "List-Id: <trade.lists.example>\r\nList-Unsubscribe: <mailto:leave@lists.example>\r\nPrecedence: list\r\n",
			text:    "This week: paper prices, and a new bookbinder in Leiden.\n",
		}.bytes,
	},
	{
		title: "a no-reply robot", reason: "system-sender",
		raw: letter{
			from: "Parcel Service <no-reply@parcels.example>", subject: "Parcel 00340434 was handed over",
			zone: 3600, id: "robot-1@parcels.example",
			text: "Your parcel 00340434 was handed over. Please do not reply to this message.\n",
		}.bytes,
	},
	{title: "a broken message", reason: "broken", raw: broken},
}

// letter is a plain message as a mail program writes it.
type letter struct {
	from, subject, id, inReplyTo, headers, text string
	zone                                        int // seconds east of UTC
	gb2312                                      bool
}

func (l letter) bytes(now time.Time) []byte {
	name, address, _ := strings.Cut(strings.TrimSuffix(l.from, ">"), " <")
	if i := strings.LastIndex(l.from, " <"); i >= 0 {
		name, address = l.from[:i], strings.TrimSuffix(l.from[i+2:], ">")
	}
	charset, text := "utf-8", []byte(l.text)
	if l.gb2312 {
		charset = "gb2312"
		// The sample's words are all within GB2312.
		if b, err := simplifiedchinese.GBK.NewEncoder().Bytes(text); err == nil {
			text = b
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s <%s>\r\nTo: %s\r\nSubject: %s\r\n", l.word(charset, name), address, Address, l.word(charset, l.subject))
	fmt.Fprintf(&b, "Date: %s\r\n", now.In(time.FixedZone("", l.zone)).Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	if l.id != "" {
		fmt.Fprintf(&b, "Message-ID: <%s>\r\n", l.id)
	}
	if l.inReplyTo != "" {
		fmt.Fprintf(&b, "In-Reply-To: <%s>\r\nReferences: <%s>\r\n", l.inReplyTo, l.inReplyTo)
	}
	fmt.Fprintf(&b, "%sMIME-Version: 1.0\r\nContent-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: base64\r\n\r\n", l.headers, charset)
	b.WriteString(wrapped(text))
	return b.Bytes()
}

// word is a header's text as an encoded word (RFC 2047), where it needs one.
func (l letter) word(charset, s string) string {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < 0x80
	}
	if ascii {
		return s
	}
	text := []byte(s)
	if charset == "gb2312" {
		if b, err := simplifiedchinese.GBK.NewEncoder().Bytes(text); err == nil {
			text = b
		}
	}
	return "=?" + charset + "?B?" + base64.StdEncoding.EncodeToString(text) + "?="
}

func wrapped(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var w strings.Builder
	for len(s) > 76 {
		w.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return w.String() + s + "\r\n"
}

func bounce(now time.Time) []byte {
	return crlf(`Return-Path: <>
From: Mail Delivery System <mailer-daemon@mx.gone.example>
To: ` + Address + `
Subject: Undelivered Mail Returned to Sender
Date: ` + now.UTC().Format(time.RFC1123Z) + `
Message-ID: <bounce-1@mx.gone.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain

I'm sorry to have to inform you that your message could not be delivered.
--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.gone.example

Final-Recipient: rfc822; someone@gone.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 No such user here
--b1--
`)
}

func broken(time.Time) []byte {
	return []byte("F\x00om someone\r\nSubject: =?utf-8?B?////\r\n: : :\r\nContent-Type: multipart/mixed; boundary=\r\n\r\n\xff\xfe\x00\x01 nothing here can be read\r\n")
}

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }
