package templates

import (
	"os"
	"strings"
	"testing"
	"time"
)

// compiled compiles a letter that has to compile.
func compiled(t *testing.T, language, source string) *Compiled {
	t.Helper()
	set, err := Load("", Fields(func() []string { return []string{"orders", "birthday", "city", "vip"} }))
	if err != nil {
		t.Fatal(err)
	}
	l, err := set.Compile(Source{File: "test." + language + ".md", Name: "test", Language: language, Data: []byte(source)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func rendered(t *testing.T, language, source string, r *Reader) *Letter {
	t.Helper()
	l, err := compiled(t, language, source).Render(r)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Everything that Markdown has and letters allow, in both parts.
func TestMarkdown(t *testing.T) {
	for _, language := range []string{"en", "zh"} {
		path := "testdata/letters/sampler." + language
		source, err := os.ReadFile(path + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for kind, r := range map[string]*Reader{
			"full": harbour(Reader{
				Name: "Li Wei", Known: true, Tier: "gold", Topics: []string{"architecture", "news"}, PreferencesURL: "https://mail.harbourbooks.example/preferences/x",
				Joined: time.Date(2025, 3, 9, 0, 0, 0, 0, time.UTC), Promise: "By noon.", Promised: true,
				Fields: map[string]any{"orders": 3.0, "birthday": time.Date(1990, 12, 24, 0, 0, 0, 0, time.UTC)},
			}),
			"empty": {},
		} {
			l := rendered(t, language, string(source), r)
			golden(t, path+"."+kind+".txt", "Subject: "+l.Subject+"\nPreheader: "+l.Preheader+"\n\n"+l.Text)
			golden(t, path+"."+kind+".html", l.HTML)
		}
	}
}

// body is the text part without the foot.
func body(l *Letter) string {
	text, _, _ := strings.Cut(l.Text, "-- \n")
	return strings.TrimSpace(text)
}

func TestText(t *testing.T) {
	r := &Reader{Name: "Li Wei", PreferencesURL: "https://mail.example/p", Promise: "By noon."}
	for name, test := range map[string]struct{ source, want string }{
		"a link alone":                {"[Your wishes]({{ links.preferences }})", "Your wishes:\nhttps://mail.example/p"},
		"a link at the end":           {"Here are [your wishes]({{ links.preferences }}).", "Here are your wishes.\nhttps://mail.example/p"},
		"two links":                   {"[One](https://a.example) and [two](https://b.example).", "One [1] and two [2].\n[1] https://a.example\n[2] https://b.example"},
		"a link this reader lacks":    {"See [this]({{ links.unsubscribe }}) page.", "See this page."},
		"one link of two":             {"[A]({{ links.unsubscribe }}) [B]({{ links.preferences }})", "A B:\nhttps://mail.example/p"},
		"an address in full":          {"Go to <https://a.example/x>.", "Go to https://a.example/x."},
		"links by lines":              {"[A](https://a.example)\\\n[B](https://b.example)", "A:\nhttps://a.example\nB:\nhttps://b.example"},
		"an empty paragraph vanishes": {"One.\n\n{{ if member.known }}Two.{{ end }}\n\nThree.", "One.\n\nThree."},
		"blocks of lines":             {"One.\n{{ if member.known }}\nTwo.\n{{ else }}\nThree.\n{{ end }}\nFour.", "One.\n\nThree.\n\nFour."},
		"trimmed":                     {"A  {{- if member.name }} {{ member.name }} {{- end -}}  , b", "A Li Wei, b"},
		"an item by condition":        {"- {{ if member.known }}a{{ else }}b{{ end }}\n- c", "- b\n- c"},
		"the promise":                 {"One.\n\n{{ promise }}\n\nTwo.", "One.\n\n    By noon.\n\nTwo."},
		"the promise inline":          {"We say: {{ promise }}", "We say: By noon."},
		"quoted braces":               {`{{ "}}" }} and {{ "{{" }}`, "}} and {{"},
		"comments":                    {"a{{/* }} not the end */}}b\n\n{{/* alone */}}\n\nc", "ab\n\nc"},
		"Chinese lines join":          {"你好，\n世界\nA\nB", "你好，世界A B"},
		"a heading":                   {"# 你好\n\n## Two {{ member.name }}\n\n### Three", "你好\n====\n\nTwo Li Wei\n----------\n\nThree"},
		"a date keeps together":       {"It will be there by Wednesday of that week, but surely not by November 25 at noon, not at all.", "It will be there by Wednesday of that week, but surely not by\nNovember 25 at noon, not at all."},
		"a quoted item":               {"- > one\n  > two\n- three", "- > one two\n- three"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := body(rendered(t, "en", "---\nsubject: x\n---\n"+test.source+"\n", r)); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestQuestions(t *testing.T) {
	r := &Reader{
		Name: "Li Wei", Known: true, Tier: "gold", Topics: []string{"news"}, Joined: time.Date(2025, 3, 9, 15, 0, 0, 0, time.UTC),
		Fields: map[string]any{"orders": 3.0, "birthday": time.Date(1990, 12, 24, 0, 0, 0, 0, time.UTC), "vip": true},
	}
	for question, want := range map[string]bool{
		`eq member.tier "gold"`: true, `eq member.tier "silver" "gold"`: true, `ne member.tier "gold"`: false,
		`follows "news"`: true, `follows "art"`: false, `not (follows "art")`: true,
		`eq member.orders 3`: true, `gt member.orders 2.5`: true, `lt member.orders 3`: false, `le member.orders 3`: true, `ge member.orders 4`: false,
		`and member.known (gt member.orders 1)`: true, `or promised member.known`: true, `and promised member.known`: false,
		`member.vip`: true, `eq member.vip true`: true, `ne member.vip true`: false,
		`lt member.joined "2026-01-01"`: true, `gt member.birthday "1990-12-24"`: false, `eq member.birthday "1990-12-24"`: true, `lt member.birthday member.joined`: true,
		// What is missing counts as nothing of its kind, and nothing fails.
		`member.city`: false, `eq member.city ""`: true, `lt member.city 1`: true, `eq member.city 0`: true, `eq member.city false`: true, `lt member.city "2026-01-01"`: true,
		`eq member.tier 3`: false, `lt member.tier 3`: false, `eq member.vip "yes"`: false, `eq member.birthday 3`: false, `lt member.birthday "someday"`: false,
	} {
		l := rendered(t, "en", "---\nsubject: x\n---\n{{ if "+question+" }}yes{{ else }}no{{ end }}\n", r)
		if got := body(l) == "yes"; got != want {
			t.Errorf("%s: %v, want %v", question, got, want)
		}
	}
}

func TestValues(t *testing.T) {
	fields := map[string]any{"orders": 1234567.0, "birthday": time.Date(1990, 12, 24, 0, 0, 0, 0, time.UTC), "city": "http://evil.example Shantou", "vip": 2}
	r := &Reader{Name: strings.Repeat("long ", 20), Fields: fields, Subject: strings.Repeat("word ", 60), Email: "li@example.com"}
	l := rendered(t, "en", "---\nsubject: \"{{ message.subject }}\"\n---\n{{ member.orders }} {{ member.birthday }} {{ member.vip }} {{ member.city }} {{ member.email }} [{{ member.name }}{{ member.joined }}{{ member.tier }}]\n", r)
	if got, want := strings.ReplaceAll(body(l), "\n", " "), "1234567 December 24, 1990 2 … Shantou li@example.com []"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := len([]rune(l.Subject)); n > 200 || !strings.HasSuffix(l.Subject, "word…") {
		t.Errorf("a subject of %d characters: %s", n, l.Subject)
	}
	l = rendered(t, "fr", "---\nsubject: x\n---\n{{ member.birthday }} {{ day member.birthday }} {{ date \"soon\" }}\n", r)
	if got, want := body(l), "1990-12-24 12-24 soon"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	l = rendered(t, "ar", "---\nsubject: x\n---\nمرحبا\n", r)
	if !strings.Contains(l.HTML, `<html lang="ar" dir="rtl">`) || !strings.Contains(l.HTML, `align="right"`) {
		t.Error("Arabic does not run from the right")
	}
}

// In Chinese no line begins with a closing mark or ends with an opening one, and no line is too long.
func TestChineseLines(t *testing.T) {
	source := "---\nsubject: x\n---\n" + strings.Repeat("我们（在11月25日）收到“您”的来信，《港口》第3册、第4册；谢谢", 20) + "\n"
	for line := range strings.Lines(body(rendered(t, "zh", source, &Reader{}))) {
		line = strings.TrimSuffix(line, "\n")
		runes := []rune(line)
		if columnsIn(line) > measure {
			t.Errorf("%d columns: %s", columnsIn(line), line)
		}
		if strings.ContainsRune("，。、；：）》”", runes[0]) || strings.ContainsRune("（《“", runes[len(runes)-1]) {
			t.Errorf("badly broken: %s", line)
		}
	}
}
