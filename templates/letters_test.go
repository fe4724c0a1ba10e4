package templates

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// harbour is the sample shop, and what a letter to a reader of it holds beside the reader's own values.
func harbour(r Reader) *Reader {
	r.Business = Business{Name: "Harbour Books", Website: "https://harbourbooks.example", Phone: "+86 754 8888 6666", PostalAddress: "12 Pier Road, Shantou 515000, China"}
	r.Mailbox, r.MailboxAddress = "Harbour Books Support", "support@harbourbooks.example"
	return &r
}

// samples are the readers of the golden files, by language and case.
func samples(language string) map[string]*Reader {
	member := Reader{
		Known: true, Email: "li@example.com", Tier: "gold", PreferencesURL: "https://mail.harbourbooks.example/preferences/bGktd2Vp.Zm9yZXZlcg",
		UnsubscribeURL: "https://mail.harbourbooks.example/unsubscribe/bGktd2Vp.Zm9yZXZlcg",
	}
	stranger := Reader{}
	open := Reader{Subject: "Two copies of “The Pier”, one of them damaged"}
	if language == "zh" {
		member.Name, member.Subject = "李伟", "订单 1024 的发票"
		member.Promise, member.Promised = "我们已收到您的来信，预计今天（11月23日，周一）18:00 前（北京时间）由同事回复您。", true
		stranger.Promise, stranger.Promised = "预计最迟 11月25日（周三）12:00 前（北京时间）回复，约两个工作日。", true
		open.Name, open.Promise = "Anna Schmidt", "目前无法给出准确时间；我们会在 11月27日（周五）前告知您进展。"
	} else {
		member.Name, member.Subject = "Li Wei", "Invoice for order 1024"
		member.Promise, member.Promised = "A colleague should reply by 6 PM today, Monday, November 23 (China time, UTC+8).", true
		stranger.Promise, stranger.Promised = "A colleague should reply by noon on Wednesday, November 25 (China time, UTC+8; 11 PM on Tuesday, November 24, your time).", true
		open.Name, open.Promise = "Anna Schmidt", "We can't name a time yet; we will update you by Friday, November 27."
	}
	return map[string]*Reader{"member": harbour(member), "stranger": harbour(stranger), "no-time": harbour(open), "bare": {Business: Business{Name: "Harbour Books"}, Promise: stranger.Promise, Promised: true, MailboxAddress: "support@harbourbooks.example"}}
}

// The built-in letters, in both languages, to all kinds of readers, are as they were looked at.
func TestGolden(t *testing.T) {
	set, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acknowledgement", "acknowledgement-brief"} {
		for _, language := range []string{"en", "zh"} {
			readers := samples(language)
			for _, kind := range slices.Sorted(maps.Keys(readers)) {
				t.Run(fmt.Sprintf("%s.%s.%s", name, language, kind), func(t *testing.T) {
					l, err := set.Render(name, language, readers[kind])
					if err != nil {
						t.Fatal(err)
					}
					path := fmt.Sprintf("testdata/golden/%s.%s.%s", name, language, kind)
					golden(t, path+".txt", "Subject: "+l.Subject+"\nPreheader: "+l.Preheader+"\n\n"+l.Text)
					golden(t, path+".html", l.HTML)
				})
			}
		}
	}
}

// The built-in letters keep the house's manners whoever reads them.
func TestManners(t *testing.T) {
	set, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range set.Names() {
		if !info.BuiltIn || !slices.Equal(info.Languages, []string{"en", "zh"}) {
			t.Errorf("%s: built in %v, languages %v", info.Name, info.BuiltIn, info.Languages)
		}
		for _, language := range info.Languages {
			for kind, r := range samples(language) {
				l, err := set.Render(info.Name, language, r)
				if err != nil {
					t.Fatal(err)
				}
				where := info.Name + "." + language + " " + kind
				if len(l.HTML) > 40<<10 {
					t.Errorf("%s: %d bytes of HTML", where, len(l.HTML))
				}
				if strings.ContainsAny(l.Text+l.Subject, "!！") {
					t.Errorf("%s: an exclamation mark", where)
				}
				if strings.Contains(l.HTML, "<img") || strings.Contains(l.HTML, "url(") {
					t.Errorf("%s: needs something from outside", where)
				}
				if language == "zh" && strings.Contains(strings.ReplaceAll(l.HTML, "font-style:normal", ""), "italic") {
					t.Errorf("%s: Chinese in italics", where)
				}
				if strings.Contains(l.Text+l.HTML, "no value") || strings.Contains(l.HTML, "ZgotmplZ") || strings.Contains(l.HTML, "<p style=\"margin:0 0 18px\"></p>") {
					t.Errorf("%s: something is missing in\n%s", where, l.HTML)
				}
				for line := range strings.Lines(l.Text) {
					line = strings.TrimSuffix(line, "\n")
					if columnsIn(line) > measure && !strings.HasPrefix(line, "https://") {
						t.Errorf("%s: %d columns: %s", where, columnsIn(line), line)
					}
					if line != "-- " && strings.TrimRight(line, " ") != line {
						t.Errorf("%s: a space at the end of %q", where, line)
					}
				}
				if !strings.Contains(unwrapped(l.Text, language), r.Promise) {
					t.Errorf("%s: the promise is not in\n%s", where, l.Text)
				}
			}
		}
	}
}

// unwrapped undoes the filling of lines, for looking things up.
func unwrapped(s, language string) string {
	between := " "
	if spaceless(language) {
		between = ""
	}
	return strings.ReplaceAll(s, "\n    ", between)
}

func TestLanguages(t *testing.T) {
	files := map[string]int{"de": 1, "en": 2, "zh-CN": 3, "zh-TW": 4}
	for language, want := range map[string]int{"de": 1, "de-AT": 1, "en-GB": 2, "fr": 2, "": 2, "zh": 3, "zh-TW": 4, "ZH-tw": 4, "zh-HK": 3} {
		if got := pick(files, language); got != want {
			t.Errorf("for %q: %d, want %d", language, got, want)
		}
	}
	if got := pick(map[string]int{"fr": 1, "zh": 2}, "de"); got != 1 {
		t.Errorf("without English: %d, want the first", got)
	}
	set, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Render("nothing", "en", &Reader{}); err == nil || set.Has("nothing") || !set.Has("acknowledgement") {
		t.Errorf("a letter that does not exist: %v", err)
	}
	if set.Has("foot") {
		t.Error("the foot is no letter")
	}
}

func columnsIn(s string) int {
	n := 0
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}
