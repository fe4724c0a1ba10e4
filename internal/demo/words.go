package demo

import (
	"net/http"
	"strings"

	"github.com/returnpost/returnpost/responder"
)

// words are what the page says, in one language.
type words struct {
	Lang, Other, OtherName                                    string
	Title, Lead, Inbox, InboxLead, Write, WriteLead           string
	Name, From, Subject, Text, Send, BadForm                  string
	Acknowledged, Silent, Waiting, In, PromisedBy, ByRule     string
	Letter, Answer, AsText, AsHTML, Headers, NoAnswer, Choose string
	NoSubject, NoSender, Refresh, Evidence                    string
	Reasons                                                   map[responder.Reason]string // where the reason’s own name is not for readers of this language
	Sample                                                    form
}

var english = words{
	Lang: "en", Other: "zh", OtherName: "中文",
	Title: "By return of post", Lead: "The sample shop Harbour Books, with its real daemon at work. What came into its inbox, what the writers got, and a form to write to it yourself.",
	Inbox: "The shop’s inbox", InboxLead: "Every message, and what was decided on it.",
	Write: "Write to the shop", WriteLead: "As a customer, in English or Chinese. The answer is shown as soon as it has arrived.",
	Name: "Your name", From: "Your address", Subject: "Subject", Text: "Your letter", Send: "Send the letter",
	BadForm:      "That letter needs an address such as jane@doe.example, and a few words.",
	Acknowledged: "Acknowledged", Silent: "Silent", Waiting: "Being read", In: "in", PromisedBy: "promised by", ByRule: "Rule",
	Letter: "The letter", Answer: "What the writer got", AsText: "As text", AsHTML: "As a letter", Headers: "Header fields",
	NoAnswer: "Nothing, and that is right. The reason:", Choose: "Choose a message of the inbox to read it with its answer.",
	NoSubject: "(no subject)", NoSender: "(no sender)", Refresh: "Refresh", Evidence: "Seen",
	Sample: form{Name: "Jane Doe", From: "jane@doe.example", Subject: "Is the second edition in yet?", Text: "Hello,\n\nis the second edition of the harbour atlas in yet? I would pick it up on Thursday.\n\nJane"},
}

var chinese = words{
	Lang: "zh", Other: "en", OtherName: "English",
	Title: "来信即复", Lead: "示例店铺 Harbour Books，由真实的守护程序收发邮件。这里有店里收到的邮件、写信人收到的确认信，也可以自己写一封试试。",
	Inbox: "店铺收件箱", InboxLead: "每一封邮件，以及对它的判断。",
	Write: "给店铺写信", WriteLead: "以顾客的身份写，中文或英文都可以。确认信一到就会显示。",
	Name: "您的姓名", From: "您的邮箱", Subject: "主题", Text: "正文", Send: "寄出",
	BadForm:      "请填写邮箱（例如 jane@doe.example）和正文。",
	Acknowledged: "已发确认信", Silent: "不发确认信", Waiting: "处理中", In: "用时", PromisedBy: "答复期限：", ByRule: "依据",
	Letter: "来信", Answer: "写信人收到的确认信", AsText: "纯文本", AsHTML: "信件", Headers: "邮件头",
	NoAnswer: "没有发确认信，这是对的。理由：", Choose: "请在收件箱里选择一封邮件，查看来信和确认信。",
	NoSubject: "（无主题）", NoSender: "（无发件人）", Refresh: "刷新", Evidence: "根据",
	Sample: form{Name: "陈晨", From: "chenchen@example.example", Subject: "第二版到货了吗", Text: "您好，\n\n请问《海港地图集》第二版到货了吗？我想周四去店里取。\n\n陈晨"},
	Reasons: map[responder.Reason]string{
		responder.Broken: "邮件已损坏", responder.Own: "我们自己的邮件", responder.Bounce: "退信", responder.Complaint: "投诉报告",
		responder.Receipt: "已读回执", responder.AutoReply: "自动回复", responder.OutOfOffice: "休假回复", responder.List: "邮件列表",
		responder.NoAutoReplies: "对方要求不要自动回复", responder.SystemSender: "系统发信地址", responder.Calendar: "日程邀请",
		responder.Spam: "垃圾邮件", responder.Forged: "伪造的发件人", responder.NotForUs: "不是写给我们的", responder.Unsubscribe: "退订",
		responder.FollowUp: "同一会话已发过确认信", responder.Answered: "已有人答复", responder.MemberWish: "会员选择不收确认信",
		responder.Suppressed: "地址已停用", responder.Stale: "来信太久", responder.LimitSender: "同一发件人已达上限",
		responder.LimitDomain: "同一域名已达上限", responder.LimitTotal: "总数已达上限", responder.RobotFuse: "疑似机器人",
	},
}

// Reason is what a reason is called on the page.
func (w words) Reason(r responder.Reason) string {
	if said := w.Reasons[r]; said != "" {
		return said
	}
	return string(r)
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
