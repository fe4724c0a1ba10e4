package message

import (
	"strings"
	"testing"
)

func TestLanguage(t *testing.T) {
	many := []string{"en", "zh", "de", "fr", "es", "it", "pt", "nl", "ja", "ko", "ru", "uk", "el"}
	for _, c := range []struct {
		among []string
		text  string
		want  string
	}{
		{[]string{"en", "zh"}, "你好", "zh"},
		{[]string{"en", "zh"}, "Hi", "en"},
		{[]string{"en", "zh"}, "订单 12345 status?", "zh"},
		{[]string{"en", "zh"}, "order 12345 的状态", "zh"},
		{[]string{"en", "zh"}, "I bought 红楼梦 from you, when will it arrive?", "en"},
		{[]string{"en", "zh"}, "您好，我的order ABC-123 shipping status是什么？谢谢", "zh"},
		{[]string{"en", "zh"}, "我要买鲜の味", "zh"},
		{[]string{"en", "zh"}, "12345 67890", ""},
		{[]string{"en", "zh"}, "https://shop.example/item?id=1 li@example.com", ""},
		{[]string{"en", "zh"}, "", ""},
		{[]string{"en", "zh"}, "Здравствуйте, где мой заказ?", ""},
		{[]string{"en", "zh"}, "注文した本はいつ届きますか", ""},
		{[]string{"en"}, "我的订单在哪里", ""},
		{[]string{"en", "zh-CN"}, "我的订单在哪里", "zh-CN"},
		{[]string{"en_GB", "zh"}, "Where is my order?", "en_GB"},
		{nil, "Where is my order?", ""},
		{many, "Where is my order?", "en"},
		{many, "Wo ist meine Bestellung?", "de"},
		{many, "Guten Tag, ich habe vor zwei Wochen ein Buch gekauft.", "de"},
		{many, "Où est ma commande ?", "fr"},
		{many, "Bonjour, je voudrais savoir quand mon livre arrivera.", "fr"},
		{many, "¿Dónde está mi pedido?", "es"},
		{many, "Buongiorno, vorrei sapere quando arriva il mio ordine", "it"},
		{many, "Olá, onde está a minha encomenda? Obrigado", "pt"},
		{many, "Waar is mijn bestelling?", "nl"},
		{many, "注文した本はいつ届きますか", "ja"},
		{many, "주문한 책은 언제 오나요?", "ko"},
		{many, "Здравствуйте, где мой заказ? Я жду уже две недели.", "ru"},
		{many, "Доброго дня, коли буде доставлено моє замовлення? Чекаю вже два тижні.", "uk"},
		{many, "Πού είναι η παραγγελία μου;", "el"},
		{many, "Xyzzy plugh", ""},
	} {
		if got := (&Message{NewText: c.text}).Language(c.among); got != c.want {
			t.Errorf("%q among %v: got %q, want %q", c.text, c.among, got, c.want)
		}
	}
}

func TestLanguageOfTheSubjectWhereThereIsLittleText(t *testing.T) {
	for _, c := range [][3]string{
		{"发票", "", "zh"},
		{"发票问题，请尽快回复我", "PDF?", "zh"},
		{"Re: Your order", "好的，谢谢", "zh"},
		{"回复：您的订单", "Thanks!", "en"},
		{"Re: 您的订单", "", "zh"},
	} {
		if got := (&Message{Subject: c[0], NewText: c[1]}).Language([]string{"en", "zh"}); got != c[2] {
			t.Errorf("%q, %q: got %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func TestSubjects(t *testing.T) {
	for in, want := range map[string]struct {
		bare  string
		reply bool
	}{
		"Hello":                          {"Hello", false},
		"Re: Hello":                      {"Hello", true},
		"RE: Fwd: AW: Hello":             {"Hello", true},
		"Re[2]: Hello":                   {"Hello", true},
		"RE (3) : Hello":                 {"Hello", true},
		"回复：订单":                          {"订单", true},
		"答复: 回复: 订单":                     {"订单", true},
		"转发：Re:订单":                       {"订单", true},
		"[External] Re: Hello":           {"Hello", true},
		"【外部邮件】回复：订单":                    {"订单", true},
		"SV: VS: Antw: Hello":            {"Hello", true},
		"R: ordine":                      {"ordine", true},
		"Ref: 12345":                     {"Ref: 12345", false},
		"Regarding: x":                   {"Regarding: x", false},
		"Order: Re: x":                   {"Order: Re: x", false},
		"[12345] Hello":                  {"[12345] Hello", false},
		"Reply":                          {"Reply", false},
		":":                              {":", false},
		"Re:":                            {"", true},
		strings.Repeat("Re: ", 40) + "x": {"x", true},
	} {
		if got := BareSubject(in); got != want.bare {
			t.Errorf("%q: bare %q, want %q", in, got, want.bare)
		}
		if got := LooksLikeReply(in); got != want.reply {
			t.Errorf("%q: reply %t", in, got)
		}
	}
	if got := NormalSubject("RE:  Where   is\tMy Order "); got != "where is my order" {
		t.Errorf("normal subject %q", got)
	}
}

func TestVacationSubjects(t *testing.T) {
	for _, s := range []string{
		"Automatic reply: Your order", "Out of Office", "Out of the office until Monday", "Out of Office AutoReply: x", "AutoReply: x", "[Auto-Reply] x", "Vacation reply",
		"自动回复", "自动回复: 您好", "自动答复：报价", "【自动回复】您好", "自動回覆：您好", "休假", "休假中", "休假通知：李明",
		"Automatische Antwort: Bestellung", "Abwesenheitsnotiz", "Abwesenheit: Müller", "Réponse automatique : commande", "Absence du bureau", "Respuesta automática: pedido",
		"Fuera de la oficina", "Risposta automatica: ordine", "Resposta automática: pedido", "Automatisch antwoord: bestelling", "自動応答: 注文", "Автоматический ответ: заказ",
		"Automatiskt svar: order", "Autosvar: ordre", "자동 회신: 주문", "Odpowiedź automatyczna: zamówienie",
	} {
		if m := (&Message{Subject: s}); outOfOffice(m, nil).rule == "" {
			t.Errorf("%q is not recognised", s)
		}
	}
	for _, s := range []string{
		"Re: automatic door", "Automatic doors for my shop", "Out of office supplies?", "Re: Automatic reply: Your order", "Vacation rental for two", "On vacation with your book",
		"自动回复功能怎么关闭", "自动门报价", "休假期间发货吗", "回复：自动回复：订单", "我在休假，请晚点送货", "Auto parts", "Automat bestellen", "Absence de réponse", "Autoresponder software?",
		"AW: Automatische Antwort: Bestellung", "Out of stock?", "Respuesta a su correo", "",
	} {
		if m := (&Message{Subject: s}); outOfOffice(m, nil).rule != "" {
			t.Errorf("%q is taken for a vacation reply", s)
		}
	}
}

func TestSystemSenders(t *testing.T) {
	for _, s := range []string{
		"mailer-daemon", "MAILER-DAEMON", "postmaster", "no-reply", "noreply", "NoReply", "no_reply", "no.reply", "do-not-reply", "donotreply", "do_not_reply", "dont-reply", "orders-noreply",
		"noreply-orders", "no-reply+12", "naoresponda", "nao-responda", "ne-pas-repondre", "no-responder", "owner-list", "list-request", "list-bounces", "list-bounces+li=example.com",
		"listserv", "majordomo", "root", "daemon",
	} {
		if !isSystem(s) {
			t.Errorf("%s is not recognised", s)
		}
	}
	for _, s := range []string{
		"list", "bounce", "franz.list", "moreno.reply", "reply", "norbert", "noel.reply", "owner", "request", "requests", "rootsch", "daemonic", "info", "support", "post", "donot", "respond.no", "arno",
		"masterpost", "bruno.reply.jr", "",
	} {
		if isSystem(s) {
			t.Errorf("%s is taken for a robot", s)
		}
	}
}

func TestPlainRequestsToLeave(t *testing.T) {
	for _, c := range [][2]string{
		{"", "unsubscribe"}, {"", "UNSUBSCRIBE!"}, {"Re: News", "Please unsubscribe me. Thanks"}, {"Re: News", "退订"}, {"回复：新书", "您好，请退订。谢谢"}, {"退订", ""}, {"取消订阅", "取消订阅"},
		{"Re: News", "stop"}, {"unsubscribe", "unsubscribe"}, {"Unsubscribe", "This message was automatically generated by Example Mail."}, {"", "Bitte abmelden"}, {"", "opt-out"}, {"News", "remove me"}, {"Stop", ""}, {"Re: News", "Please unsubscribe me.\n\nThanks,\nMary Brown"},
	} {
		if m := (&Message{Subject: c[0], NewText: c[1]}); unsubscribe(m, nil).rule == "" {
			t.Errorf("%q is not recognised", c)
		}
	}
	for _, c := range [][2]string{
		{"Order 12345", "stop"}, {"", "unsubscribe?"}, {"", "How do I unsubscribe"}, {"", "Please do not unsubscribe me"}, {"", "我想退订上个月的床垫"}, {"退订", "我想问一下退订的押金什么时候退"},
		{"Unsubscribe", "My name is Li and I never subscribed; where did you get my address"}, {"取消", ""}, {"Cancel", ""}, {"", ""}, {"Re: stop", ""}, {"", "stop the music"}, {"退货", "退货"}, {"", "退订\n订单号 12345"}, {"", "unsubscribe\nand tell me how you got my address, please"},
	} {
		if m := (&Message{Subject: c[0], NewText: c[1]}); unsubscribe(m, nil).rule != "" {
			t.Errorf("%q is taken for a request to leave", c)
		}
	}
}

func TestNewText(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"quotes", "yes\n> no?\n>> maybe", "yes"},
		{"signature", "yes\n-- \nMary", "yes"},
		{"english", "yes\n\nOn Mon, 23 Nov 2026 at 10:00, Bob <bob@example.com> wrote:\n> no?", "yes"},
		{"wrapped", "yes\n\nOn Mon, 23 Nov 2026 at 10:00, Bob Stone of Harbour Books\n<bob@example.com> wrote:\n\n> no?", "yes"},
		{"line before stays", "Thanks\nOn Mon, 23 Nov 2026, Bob wrote:\n> no?", "Thanks"},
		{"gmail in chinese", "好的\n\n张三 <zhang@example.com> 于2026年11月23日周一 10:00写道：\n\n> 您好", "好的"},
		{"chinese date first", "好的\n2026-11-23 10:00，张三写道：\n您好", "好的"},
		{"german", "ja\n\nAm 23.11.2026 um 10:00 schrieb Max Muster <max@example.de>:\n> nein?", "ja"},
		{"french", "oui\nLe lun. 23 nov. 2026 à 10:00, Paul <p@example.fr> a écrit :\n> non ?", "oui"},
		{"outlook", "yes\n\nFrom: Bob\nSent: Monday, November 23, 2026\nTo: Mary\nSubject: Hello\n\nno?", "yes"},
		{"outlook in chinese", "好的\n\n发件人: 张三 <z@example.com>\n发送时间: 2026年11月23日\n收件人: 李四\n主题: 订单\n\n您好", "好的"},
		{"163's table", "好的\n---- 回复的原邮件 ----\n| 发件人 | 张三<z@163.com> |\n| 日期 | 2026年 |", "好的"},
		{"original message", "yes\n-----Original Message-----\nno?", "yes"},
		{"qq", "好\n------------------ 原始邮件 ------------------\n您好", "好"},
		{"apple forward", "see below\n\nBegin forwarded message:\n\nFrom: x", "see below"},
		{"phone", "yes\n\nSent from my iPhone", "yes"},
		{"phone in chinese", "好的\n发自我的iPhone", "好的"},
		{"answers between", "On 23 Nov 2026, Bob wrote:\n> red?\nblue\n> when?\nMonday", "blue\nMonday"},
		{"a colon is not an attribution", "On my list for 2026:\n- a book", "On my list for 2026:\n- a book"},
		{"somebody wrote", "My wife wrote:\nhello", "My wife wrote:\nhello"},
		{"address in passing", "Write to a@example.com.\nAs you wrote, these are missing:\n- a book", "Write to a@example.com.\nAs you wrote, these are missing:\n- a book"},
		{"dashes", "prices:\n---\n10", "prices:\n---\n10"},
	} {
		if got := newText(c.in); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
