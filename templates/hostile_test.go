package templates

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"pgregory.net/rapid"
)

// everywhere puts what strangers write into every place that a letter has.
const everywhere = `---
subject: "{{ member.name }} {{ message.subject }} {{ member.city }}"
preheader: "{{ message.subject }}, {{ member.tier }}"
---
# To {{ member.name }}

## {{ message.subject }}

{{ member.name }}, *{{ message.subject }}* **{{ member.tier }}** ` + "`{{ member.city }}`" + `\
{{ member.language }} {{ member.email }}

- {{ member.name }}
- {{ if member.city }}{{ member.city }}{{ else }}nowhere{{ end }}
  1. {{ message.subject }}

> {{ member.name }} wrote: {{ message.subject }}
> - {{ member.tier }}

    {{ message.subject }}

See [{{ member.name }}]({{ links.preferences }}), [{{ message.subject }}](https://harbourbooks.example/) and {{ or member.name "you" }}.

{{ range member.topics }}
- {{ . }}
{{ end }}

{{ date member.city }} {{ day member.tier }}

---
{{ message.subject }} {{ member.name }}
`

// skeleton is everything in a page but its words: tags, attributes and comments, in order.
func skeleton(t interface{ Fatalf(string, ...any) }, page string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
		default:
			fmt.Fprintln(&b, z.Token().String())
		}
	}
}

// linksIn lists what a mail program would link in a text.
func linksIn(s string) []string {
	var all []string
	for _, l := range linkers {
		all = append(all, l.FindAllString(s, -1)...)
	}
	return all
}

// like is a reader with harmless words exactly where r still has words once they are rendered.
func like(r *Reader) *Reader {
	plain := func(s string) string {
		if s != "" {
			return "word"
		}
		return ""
	}
	var v view
	v.set(r, "en")
	l := *r
	l.Name, l.Tier, l.Language, l.Subject = plain(v.MemberName), plain(v.MemberTier), plain(v.MemberLanguage), plain(v.MessageSubject)
	l.Topics = slices.Repeat([]string{"word"}, len(r.Topics))
	l.Fields = map[string]any{"city": plain(v.field("city").(string))}
	if !strings.Contains(v.MemberEmail, "@") {
		l.Email = plain(v.MemberEmail)
	}
	return &l
}

// A reader's values change the words of a letter and nothing else: no tag, no attribute, no link, no line
// of the header, whatever stands in them.
func TestHostileReaders(t *testing.T) {
	set, err := Load("", Fields(func() []string { return []string{"city"} }))
	if err != nil {
		t.Fatal(err)
	}
	var letters []*Compiled
	for _, name := range []string{"acknowledgement", "acknowledgement-brief"} {
		letters = append(letters, slices.Collect(maps.Values(set.letters[name]))...)
	}
	all, err := set.Compile(Source{File: "everywhere.en.md", Name: "everywhere", Language: "en", Data: []byte(everywhere)})
	if err != nil {
		t.Fatal(err)
	}
	letters = append(letters, all)
	rapid.Check(t, func(t *rapid.T) {
		r := harbour(Reader{
			Name: hostile(t, "name"), Email: hostile(t, "email"), Tier: hostile(t, "tier"), Language: hostile(t, "language"), Subject: hostile(t, "subject"),
			Topics: []string{hostile(t, "topic"), hostile(t, "topic")}, Fields: map[string]any{"city": hostile(t, "city")},
			Known: rapid.Bool().Draw(t, "known"), Promise: "By noon.", Promised: true, PreferencesURL: "https://mail.harbourbooks.example/p/1",
		})
		for _, l := range letters {
			got, err := l.Render(r)
			if err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
			want, err := l.Render(like(r))
			if err != nil {
				t.Fatalf("%v", err)
			}
			if a, b := skeleton(t, got.HTML), skeleton(t, want.HTML); a != b {
				t.Fatalf("%s for %+v has another structure:\n%s", l.name, r, got.HTML)
			}
			page, err := html.Parse(strings.NewReader(got.HTML))
			if err != nil {
				t.Fatalf("%v", err)
			}
			if a, b := linksIn(wordsOf(page)), linksIn(wordsOf(must(html.Parse(strings.NewReader(want.HTML))))); len(a) != len(b) {
				t.Fatalf("%s for %+v has links %q, not %q", l.name, r, a, b)
			}
			if a, b := linksIn(got.Text), linksIn(want.Text); len(a) != len(b) {
				t.Fatalf("%s for %+v has links %q, not %q:\n%s", l.name, r, a, b, got.Text)
			}
			for _, line := range []string{got.Subject, got.Preheader} {
				if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' }) || linksIn(line) != nil {
					t.Fatalf("%s for %+v: header %q", l.name, r, line)
				}
			}
			if strings.ContainsFunc(got.Text, func(r rune) bool { return r < ' ' && r != '\n' || r >= '\ue000' && r <= '\uf8ff' }) {
				t.Fatalf("%s for %+v: a mark is left in %q", l.name, r, got.Text)
			}
		}
	})
}

func must(n *html.Node, err error) *html.Node {
	if err != nil {
		panic(err)
	}
	return n
}

// wordsOf is the text of a page as a reader sees it, a space between elements.
func wordsOf(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data + " "
	}
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		b.WriteString(wordsOf(c))
	}
	return b.String()
}

func FuzzRender(f *testing.F) {
	set, err := Load("", Fields(func() []string { return []string{"city"} }))
	if err != nil {
		f.Fatal(err)
	}
	all, err := set.Compile(Source{File: "everywhere.en.md", Name: "everywhere", Language: "en", Data: []byte(everywhere)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Li Wei", "Invoice", "gold")
	f.Add("<script>alert(1)</script>", "\r\nBcc: x@y.com", "</a><a href=http://evil.example>")
	f.Fuzz(func(t *testing.T, name, subject, tier string) {
		r := harbour(Reader{Name: name, Subject: subject, Tier: tier, Fields: map[string]any{"city": tier}, Topics: []string{tier}})
		got, err := all.Render(r)
		if err != nil {
			t.Fatal(err)
		}
		want, err := all.Render(like(r))
		if err != nil {
			t.Fatal(err)
		}
		if skeleton(t, got.HTML) != skeleton(t, want.HTML) {
			t.Errorf("another structure:\n%s", got.HTML)
		}
		if a, b := linksIn(got.Text), linksIn(want.Text); len(a) != len(b) {
			t.Errorf("links %q, not %q", a, b)
		}
	})
}

// FuzzCompile compiles whatever an editor can produce: mistakes are told, nothing panics or hangs, and
// what compiles can be rendered.
func FuzzCompile(f *testing.F) {
	set, err := Load("")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("---\nsubject: \"a\"\n---\n" + everywhere[strings.Index(everywhere, "# To"):])
	f.Add("---\nsubject: \"{{ if promised }}a{{ else }}b{{ end }}\"\n---\n{{ if promised }}\n- a\n{{ else if member.known }}\n> b\n{{ end }}\n\n---\nfoot")
	f.Add("---\nsubject: a\n---\n[a]: {{ links.preferences }}\n\n[a] ![b](https://x.example/y) `c` <https://x.example>\n\n```\n{{ promise }}\n```\n")
	f.Fuzz(func(t *testing.T, data string) {
		l, err := set.Compile(Source{File: "fuzz.en.md", Name: "fuzz", Language: "en", Data: []byte(data)})
		if err != nil {
			return
		}
		for _, r := range []*Reader{{}, harbour(Reader{Name: "Li Wei", Topics: []string{"a", "b"}, Promise: "Soon.", Promised: true, Joined: time.Unix(0, 0)})} {
			if _, err := l.Render(r); err != nil {
				t.Errorf("%q: %v", data, err)
			}
		}
	})
}
