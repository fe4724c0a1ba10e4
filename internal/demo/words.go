package demo

import (
	"net/http"
	"strings"
)

// words are what the page says, in one language.
type words struct {
	Lang, Other, OtherName                                    string
	Title, Lead, Inbox, InboxLead, Write, WriteLead           string
	Name, From, Subject, Text, Send, BadForm                  string
	Acknowledged, Silent, Waiting, In, PromisedBy, ByRule     string
	Letter, Answer, AsText, AsHTML, Headers, NoAnswer, Choose string
	NoSubject, Refresh, Evidence                              string
	Sample                                                    form
}

var english = words{
	Lang: "en", Other: "zh", OtherName: "中文",
	Title: "By return of post", Lead: "The sample shop Harbour Books, with its real daemon at work. On the left what came into its inbox, on the right what the writer got.",
	Inbox: "The shop’s inbox", InboxLead: "Every message, and what was decided on it.",
	Write: "Write to the shop", WriteLead: "As a customer, in English or Chinese. The answer arrives here.",
	Name: "Your name", From: "Your address", Subject: "Subject", Text: "Your letter", Send: "Send the letter",
	BadForm:      "That letter needs an address such as jane@doe.example, and a few words.",
	Acknowledged: "Acknowledged", Silent: "Silent", Waiting: "Being read", In: "in", PromisedBy: "promised by", ByRule: "by",
	Letter: "The letter", Answer: "What the writer got", AsText: "As text", AsHTML: "As a letter", Headers: "Header fields",
	NoAnswer: "Nothing, and that is right:", Choose: "Choose a message on the left to read it with its answer.",
	NoSubject: "(no subject)", Refresh: "Refresh", Evidence: "Seen",
	Sample: form{Name: "Jane Doe", From: "jane@doe.example", Subject: "Is the second edition in yet?", Text: "Hello,\n\nis the second edition of the harbour atlas in yet? I would pick it up on Thursday.\n\nJane"},
}

var chinese = words{
	Lang: "zh", Other: "en", OtherName: "English",
	Title: "来信即复", Lead: "示例店铺“海港书店”，由真实的守护程序收发邮件。左边是店里收到的邮件，右边是写信人收到的回复。",
	Inbox: "店铺收件箱", InboxLead: "每一封邮件，以及对它的判断。",
	Write: "给店铺写信", WriteLead: "以顾客的身份写，中文或英文都可以。回复会出现在这里。",
	Name: "您的姓名", From: "您的邮箱", Subject: "主题", Text: "正文", Send: "寄出",
	BadForm:      "请填写邮箱（例如 jane@doe.example）和正文。",
	Acknowledged: "已回复", Silent: "不回复", Waiting: "处理中", In: "用时", PromisedBy: "答复期限：", ByRule: "依据",
	Letter: "来信", Answer: "写信人收到的回复", AsText: "纯文本", AsHTML: "信件", Headers: "邮件头",
	NoAnswer: "没有回复，理由如下：", Choose: "请在左边选择一封邮件，查看来信和回复。",
	NoSubject: "（无主题）", Refresh: "刷新", Evidence: "根据",
	Sample: form{Name: "陈晨", From: "chenchen@example.example", Subject: "第二版到货了吗", Text: "您好，\n\n请问《海港地图集》第二版到货了吗？我想周四去店里取。\n\n陈晨"},
}

// wordsFor chooses the page's language: as asked, else the browser's first.
func wordsFor(r *http.Request) words {
	lang := r.FormValue("lang")
	if lang == "" {
		lang = r.Header.Get("Accept-Language")
	}
	if strings.HasPrefix(strings.ToLower(lang), "zh") {
		return chinese
	}
	return english
}
