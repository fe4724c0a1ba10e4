package templates

import (
	htmltemplate "html/template"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Plans write to the byte what the templates they were made from write, whoever reads.
func TestPlansAgree(t *testing.T) {
	set, err := Load("", Fields(func() []string { return []string{"city", "orders", "birthday"} }))
	if err != nil {
		t.Fatal(err)
	}
	letters := map[string]*Compiled{"everywhere": compiled(t, "en", everywhere)}
	for _, info := range set.Names() {
		for _, language := range info.Languages {
			letters[info.Name+"."+language] = set.letters[info.Name][language]
		}
	}
	for _, language := range []string{"en", "zh"} {
		source, err := os.ReadFile("testdata/letters/sampler." + language + ".md")
		if err != nil {
			t.Fatal(err)
		}
		letters["sampler."+language] = compiled(t, language, string(source))
	}
	letters["questions"] = compiled(t, "en", "---\nsubject: x\n---\n"+`{{ if and (eq member.tier "gold" "silver") (or promised (not member.known)) }}1{{ else if gt member.orders 2.5 }}2{{ else if member.topics }}3{{ end }}
{{ or member.city member.tier 7 }} {{ and member.tier member.orders }} {{ member.orders }} {{ date member.joined }} {{ "quoted \"words\" & <more>" }} {{ 1e3 }}
[site]({{ business.website }}) [mail](mailto:{{ mailbox.address }}) [leave]({{ links.unsubscribe }})
{{ range member.topics }}{{ if eq . "news" }}N{{ end }}{{ . }} {{ member.city }}{{ else }}none{{ end }}`+"\n")
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SliceOfN(rapid.Bool(), 6, 6).Draw(t, "bits")
		odd := func(label, usual string) string {
			if rapid.Bool().Draw(t, label+" odd") {
				return hostile(t, label)
			}
			return usual
		}
		r := Reader{
			Name: odd("name", "Li Wei"), Subject: odd("subject", "Invoice"), Tier: odd("tier", "gold"), Email: odd("email", "li@example.com"),
			Known: bits[0], Promised: bits[1], Promise: odd("promise", "By noon."), Fields: map[string]any{"city": odd("city", "")},
			Business: Business{Name: odd("business", "Harbour Books"), Website: odd("site", "https://harbourbooks.example/?a=1&b='(ü)'"), Phone: odd("phone", "+86 754")},
			Mailbox:  odd("mailbox", "Support"), MailboxAddress: odd("address", "support@harbourbooks.example"),
			PreferencesURL: odd("preferences", "https://mail.example/p/%41?x=[1]"), UnsubscribeURL: odd("unsubscribe", ""),
		}
		if bits[2] {
			r.Fields["orders"] = rapid.Float64().Draw(t, "orders")
		}
		if bits[3] {
			r.Topics = []string{odd("topic", "news"), "architecture"}
		}
		if bits[4] {
			r.Joined = time.Date(2025, 3, 9, 0, 0, 0, 0, time.UTC)
		}
		for name, l := range letters {
			var v view
			v.set(&r, l.language)
			v.Subject, v.Preheader = r.Subject, r.Name
			for _, p := range []part{l.subject, l.preheader, l.text, l.html} {
				if p.plan == nil && p.name != "preheader" {
					t.Fatalf("%s has no plan for its %s", name, p.name)
				}
				var planned, executed bounded
				if err := p.plan.run(&planned, &v, ""); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := p.template.Execute(&executed, &v); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if planned.String() != executed.String() {
					t.Fatalf("%s, %s:\n%s\n--- by the template:\n%s", name, p.name, planned.String(), executed.String())
				}
			}
		}
	})
}

// The escapers are html/template's.
func FuzzEscapers(f *testing.F) {
	contexts := map[string]*htmltemplate.Template{}
	for _, page := range []string{`<p>{{.}}</p>`, `<title>{{.}}</title>`, `<a href="{{.}}">x</a>`, `<a href="mailto:{{.}}">x</a>`, `<a href="tel:{{.}}">x</a>`} {
		contexts[page] = htmltemplate.Must(htmltemplate.New("").Parse(page))
	}
	for _, s := range []string{"a", "<b>\"'&+\x00", "javascript:alert(1)", "https://x.example/ü?a=1&b=%41%4#'()", "a/b:c", "HTTP:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for page, template := range contexts {
			var want strings.Builder
			if err := template.Execute(&want, s); err != nil {
				t.Fatal(err)
			}
			tree := template.Tree.Root
			plan := planOf(tree)
			if plan == nil {
				t.Fatalf("no plan for %s", page)
			}
			var got bounded
			if err := plan.run(&got, &view{}, s); err != nil {
				t.Fatal(err)
			}
			if got.String() != want.String() {
				t.Errorf("%s with %q: %q, want %q", page, s, got.String(), want.String())
			}
		}
	})
}

// What a plan does not know is left to the template.
func TestNoPlan(t *testing.T) {
	for _, source := range []string{`<script>{{.}}</script>`, `<a style="{{.}}">x</a>`, `{{printf "x"}}`, `{{with .}}x{{end}}`, `{{$x := .}}`, `{{.Field}}`, `{{len .}}`} {
		template := htmltemplate.Must(htmltemplate.New("").Parse(source))
		if err := template.Execute(&strings.Builder{}, map[string]string{"Field": "x"}); err != nil {
			t.Fatal(err)
		}
		if planOf(template.Tree.Root) != nil {
			t.Errorf("%s has a plan", source)
		}
	}
}

func TestBound(t *testing.T) {
	var b bounded
	if _, err := b.Write(make([]byte, maxOutput)); err != nil {
		t.Error(err)
	}
	if _, err := b.Write([]byte{1}); err != errTooLong {
		t.Error(err)
	}
	if _, err := b.WriteString("x"); err != errTooLong {
		t.Error(err)
	}
}
