package templates

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// folder is a folder of letters in a test.
type folder struct {
	*testing.T
	path string
}

func newFolder(t *testing.T) folder { return folder{t, t.TempDir()} }

func (f folder) write(name, content string) {
	f.Helper()
	if err := os.WriteFile(filepath.Join(f.path, name), []byte(content), 0o644); err != nil {
		f.Fatal(err)
	}
}

func (f folder) load(opts ...Option) *Set {
	f.Helper()
	s, err := Load(f.path, opts...)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

func subjectOf(t *testing.T, s *Set, name, language string) string {
	t.Helper()
	l, err := s.Render(name, language, harbour(Reader{Name: "Li Wei"}))
	if err != nil {
		t.Fatal(err)
	}
	return l.Subject
}

const plain = "---\nsubject: \"%\"\n---\nHello.\n"

func letterWith(subject string) string { return strings.ReplaceAll(plain, "%", subject) }

// The folder's files take the place of built-in ones, one by one, and add to them.
func TestOverlay(t *testing.T) {
	f := newFolder(t)
	f.write("acknowledgement.en.md", letterWith("ours"))
	f.write("acknowledgement.fr.md", letterWith("à nous"))
	f.write("welcome.zh.md", letterWith("欢迎"))
	f.write("foot.fr.md", "Au revoir\n")
	f.write("README.md", "no letter")
	f.write(".hidden.md", "no letter")
	f.write("notes.txt", "no letter")
	if err := os.Mkdir(filepath.Join(f.path, "drafts.en.md"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := f.load()
	for letter, want := range map[[2]string]string{
		{"acknowledgement", "en"}: "ours", {"acknowledgement", "fr"}: "à nous", {"acknowledgement", "zh"}: "回复：您的来信",
		{"acknowledgement", "de"}: "ours", {"welcome", "en"}: "欢迎", {"acknowledgement-brief", "en"}: "Re: Your letter",
	} {
		if got := subjectOf(t, s, letter[0], letter[1]); got != want {
			t.Errorf("%v: %q, want %q", letter, got, want)
		}
	}
	l, err := s.Render("acknowledgement", "fr", &Reader{})
	if err != nil || !strings.HasSuffix(l.Text, "-- \nAu revoir\n") {
		t.Errorf("the French foot: %v\n%s", err, l.Text)
	}
	var found []string
	for _, info := range s.Names() {
		found = append(found, info.Name+" "+strings.Join(info.Languages, ",")+" "+filepath.Base(info.File))
		if info.BuiltIn != (info.Name == "acknowledgement-brief") {
			t.Errorf("%s built in: %v", info.Name, info.BuiltIn)
		}
	}
	if got, want := strings.Join(found, "; "), "acknowledgement en,fr,zh acknowledgement.en.md; acknowledgement-brief en,zh acknowledgement-brief.en.md; welcome zh welcome.zh.md"; got != want {
		t.Errorf("names: %s\nwant: %s", got, want)
	}
}

func TestNoFolder(t *testing.T) {
	for _, overlay := range []string{"", filepath.Join(t.TempDir(), "absent")} {
		s, err := Load(overlay)
		if err != nil || !s.Has("acknowledgement") {
			t.Errorf("%q: %v", overlay, err)
		}
	}
	f := newFolder(t)
	f.write("file", "")
	if _, err := Load(filepath.Join(f.path, "file")); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a file for a folder: %v", err)
	}
}

// Mistakes of all files come at once, in order, with the folder's path.
func TestMistakesOfAFolder(t *testing.T) {
	f := newFolder(t)
	f.write("b.en.md", letterWith("{{ promis }}"))
	f.write("a.en.md", "\uFEFF---\r\nsubject: \"x\"\r\n---\r\nHello\r\n{{ promis }}\r\n{{ promis }}\r\n")
	f.write("foot.en.md", "{{ member.nam }}")
	f.write("big.en.md", letterWith(strings.Repeat("x", maxSource)))
	_, err := Load(f.path)
	want := strings.ReplaceAll(`DIR/foot.en.md:1:4: unknown name member.nam; did you mean member.name?
DIR/a.en.md:5:4: unknown name promis; did you mean promise?
DIR/a.en.md:6:4: unknown name promis; did you mean promise?
DIR/b.en.md:2:14: unknown name promis; did you mean promise?
DIR/big.en.md: this file is larger than 64 KiB; a letter is not`, "DIR", f.path)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var m *Mistake
	if !errors.As(err, &m) || m.Line != 1 || m.Column != 4 {
		t.Errorf("the first mistake is %+v", m)
	}

	f = newFolder(t)
	f.write("Welcome.md", "x")
	if _, err := Load(f.path); err == nil || !strings.Contains(err.Error(), "Welcome.md: a letter's file is called NAME.LANGUAGE.md") {
		t.Errorf("a badly named file: %v", err)
	}
}

// A campaign's letter has further keys, and may begin in the middle of its file.
func TestCompile(t *testing.T) {
	s := newFolder(t).load()
	source := Source{File: "sale.md", Name: "sale", Language: "en", Keys: []string{"topic"}, Line: 10, Data: []byte("---\nsubject: \"Sale\"\ntopic: news\n---\nDear {{ member.nam }},\n")}
	_, err := s.Compile(source)
	if err == nil || err.Error() != "sale.md:15:9: unknown name member.nam; did you mean member.name?" {
		t.Errorf("%v", err)
	}
	source.Data = []byte("---\nsubject: \"Sale\"\ntopic: news\n---\nDear {{ or member.name \"reader\" }},\n")
	strange := source
	strange.Language = `en" onload="x`
	if _, err := s.Compile(strange); err == nil || !strings.Contains(err.Error(), "is no language") {
		t.Errorf("%v", err)
	}
	l, err := s.Compile(source)
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Render(harbour(Reader{}))
	if err != nil || !strings.HasPrefix(got.Text, "Dear reader,\n") || !strings.Contains(got.Text, "12 Pier Road") {
		t.Errorf("%v\n%s", err, got.Text)
	}
}

// The library takes up a good edit, reports a bad one once and keeps what it had.
func TestWatch(t *testing.T) {
	f := newFolder(t)
	f.write("note.en.md", letterWith("one"))
	synctest.Test(t, func(t *testing.T) {
		fields := []string{"city"}
		library, err := Open(f.path, Fields(func() []string { return fields }))
		if err != nil {
			t.Fatal(err)
		}
		var reports []string
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			library.Watch(ctx, time.Second, func(err error) { reports = append(reports, err.Error()) })
		}()
		round := func(seconds int, want string) {
			t.Helper()
			<-time.After(time.Duration(seconds) * time.Second) // of the bubble's clock, which does not wait
			synctest.Wait()
			if got := subjectOf(t, library.Set(), "note", "en"); got != want {
				t.Errorf("subject %q, want %q; reports %q", got, want, reports)
			}
		}
		round(2, "one")
		f.write("note.en.md", letterWith("two and"))
		round(1, "one") // seen, but it may be half-written
		round(1, "two and")
		f.write("note.en.md", letterWith("{{ promis }}"))
		round(5, "two and")
		if len(reports) != 1 || !strings.Contains(reports[0], "note.en.md:2:14: unknown name promis") {
			t.Errorf("reports %q", reports)
		}
		f.write("note.en.md", letterWith("four"))
		round(2, "four")
		f.write("note.zh.md", letterWith("{{ member.birthday }}"))
		round(5, "four")
		if len(reports) != 2 {
			t.Errorf("reports %q", reports)
		}
		fields = append(fields, "birthday") // an import brought the field; the next edit may use it
		f.write("note.zh.md", letterWith("{{ member.birthday }}, four"))
		f.write("note.en.md", letterWith("five five"))
		round(2, "five five")
		if err := os.Remove(filepath.Join(f.path, "note.zh.md")); err != nil {
			t.Fatal(err)
		}
		round(2, "five five")
		if info := library.Set().Names()[2]; info.Name != "note" || len(info.Languages) != 1 {
			t.Errorf("%+v", info)
		}
		if len(reports) != 2 {
			t.Errorf("reports %q", reports)
		}
		stop()
		<-done
	})
}

// One compiled letter serves many readers at once, and none gets another's words.
func TestConcurrentReaders(t *testing.T) {
	s := newFolder(t).load()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := strings.Repeat(string(rune('A'+i)), 5)
			for range 50 {
				l, err := s.Render("acknowledgement", "en", harbour(Reader{Name: name, Subject: "about " + name, Promise: "By noon."}))
				if err != nil {
					t.Error(err)
					return
				}
				if !strings.HasPrefix(l.Text, "Hello "+name+",\n") || !strings.Contains(l.HTML, "“about "+name+"”") || l.Subject != "Re: about "+name {
					t.Errorf("for %s: %s", name, l.Text)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkRender(b *testing.B) {
	s, err := Load("")
	if err != nil {
		b.Fatal(err)
	}
	for _, language := range []string{"en", "zh"} {
		r := samples(language)["member"]
		b.Run(language, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Render("acknowledgement", language, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		r := samples("en")["member"]
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if _, err := s.Render("acknowledgement", "en", r); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load(""); err != nil {
			b.Fatal(err)
		}
	}
}
