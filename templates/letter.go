package templates

import (
	"bytes"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"slices"
	"strings"
	"sync"
	texttemplate "text/template"
	"unicode"
)

const (
	maxHTML   = 100 << 10 // of a letter before any reader's values; Gmail cuts off what is beyond 102 KB
	maxOutput = 512 << 10 // of a letter with them; nothing that compiles comes near
)

var errTooLong = errors.New("the letter becomes too long")

// Compiled is one letter in one language, ready to be rendered by many goroutines at once.
type Compiled struct {
	name, language                 string
	subject, preheader, text, html part
	layouts                        []layout
}

// part is one of the four templates of a letter, and its plan if it has one.
type part struct {
	name     string
	template interface{ Execute(io.Writer, any) error }
	plan     plan
}

func (p *part) run(b *bounded, v *view) (err error) {
	b.Reset()
	if p.plan != nil {
		err = p.plan.run(b, v, "")
	} else {
		err = p.template.Execute(b, v)
	}
	if err != nil {
		return fmt.Errorf("the %s: %w", p.name, err)
	}
	return nil
}

// Compile compiles a letter that is no file of the folder, a campaign's for example, with the set's foot
// and the fields it knows. The error joins a *Mistake for each mistake.
func (s *Set) Compile(src Source) (*Compiled, error) {
	c := s.compiler(src)
	l := c.letter(src, pick(s.feet, src.Language))
	if len(c.mistakes) > 0 {
		return nil, errors.Join(c.errors()...)
	}
	return l, nil
}

func (s *Set) compiler(src Source) *compiler {
	return &compiler{file: src.File, language: src.Language, fields: s.fields, above: src.Line}
}

// errors gives the mistakes in the order of the file.
func (c *compiler) errors() []error {
	slices.SortStableFunc(c.mistakes, func(a, b *Mistake) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	c.mistakes = slices.CompactFunc(c.mistakes, func(a, b *Mistake) bool { return *a == *b })
	all := make([]error, len(c.mistakes))
	for i, m := range c.mistakes {
		all[i] = m
	}
	return all
}

// foot compiles the file that ends every letter.
func (c *compiler) foot(data []byte) []*node {
	if !c.setSource(data) {
		return nil
	}
	_, body := c.front()
	return c.growAt(body, len(c.source))
}

// growAt reads a stretch of the source as Markdown.
func (c *compiler) growAt(from, to int) []*node {
	c.place = func(at int) int { return from + at }
	return c.grow(c.source[from:to])
}

// letter compiles a letter; what it returns is of use only when there was no mistake.
func (c *compiler) letter(src Source, foot []*node) *Compiled {
	if !languageTag.MatchString(src.Language) {
		c.note(0, 0, fmt.Sprintf("%q is no language, which is written en, zh or zh-TW", src.Language))
		return nil
	}
	if !c.setSource(src.Data) {
		return nil
	}
	l := &Compiled{name: src.Name, language: src.Language}
	values, from := c.front(append([]string{"subject", "preheader"}, src.Keys...)...)
	subject, ok := values["subject"]
	if values != nil && (!ok || strings.TrimSpace(subject.value) == "") {
		c.note(1, 1, `the front matter lacks a subject: subject: "…"`)
	}
	c.inSubject = true
	l.subject = c.line("subject", subject)
	c.inSubject = false
	l.preheader = c.line("preheader", values["preheader"])

	// The last line --- begins the letter's own part of the foot.
	to, own := len(c.source), []*node(nil)
	if i := ruleLine(c.source[from:], false); i >= 0 {
		to = from + i
		own = c.growAt(min(to+strings.IndexByte(c.source[to:]+"\n", '\n')+1, len(c.source)), len(c.source))
	}
	body := c.growAt(from, to)
	if len(body) == 0 && len(c.mistakes) == 0 {
		c.mistake(0, "this letter says nothing")
	}
	if len(c.mistakes) > 0 {
		return nil
	}
	c.build(l, body, append(own, foot...))
	return l
}

// line compiles a value of the front matter, which knows actions but no Markdown.
func (c *compiler) line(name string, f field) part {
	if f.place == nil {
		f.place = func(int) int { return 0 }
	}
	c.place = f.place
	if i := strings.IndexFunc(f.value, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Co) }); i >= 0 {
		c.mistake(i, "%s holds a line end, a control or a private-use character", name)
		return part{}
	}
	g := &grower{compiler: c, passage: c.actionsOf(f.value)}
	w := &textWriter{}
	w.inlines(g.nest(g.marked(g.masked, 0)))
	return c.textPart(name, w.String())
}

func (c *compiler) textPart(name, source string) part {
	t, err := texttemplate.New(name).Delims(openMark, closeMark).Funcs(funcs).Parse(source)
	if err != nil {
		c.mistake(0, "the %s cannot be compiled: %v", name, err)
		return part{}
	}
	return part{name, t, planOf(t.Root)}
}

// htmlPart compiles the page. html/template settles how each value is escaped when it first runs, so it
// runs once here; from then on its tree says so.
func (c *compiler) htmlPart(source string) part {
	t, err := htmltemplate.New("HTML").Delims(openMark, closeMark).Funcs(funcs).Parse(source)
	if err == nil {
		var v view
		v.set(&Reader{}, c.language)
		err = t.Execute(io.Discard, &v)
	}
	if err != nil {
		c.mistake(0, "this letter cannot be made HTML: %v", err)
		return part{}
	}
	return part{"HTML", t, planOf(t.Tree.Root)}
}

// build makes the text part and the page of the letter's tree.
func (c *compiler) build(l *Compiled, body, foot []*node) {
	text, layouts := textPage(l.language, body, foot)
	page, err := htmlPage(l.language, body, foot)
	switch {
	case err != nil:
		c.mistake(0, "this letter cannot be made HTML: %v", err)
	case len(layouts) > maxMarks:
		c.mistake(0, "this letter has too many paragraphs")
	case len(page) > maxHTML:
		c.mistake(0, "this letter is larger than %d KB; mail programs cut it off", maxHTML>>10)
	default:
		l.text, l.layouts, l.html = c.textPart("text", text), layouts, c.htmlPart(page)
	}
}

// scratch is what one rendering needs and the next can use again.
type scratch struct {
	view  view
	out   bounded
	lines []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// bounded is a buffer that refuses to grow without end.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}

// WriteString is what plans and io.WriteString use; without it they would go past the bound.
func (b *bounded) WriteString(s string) (int, error) {
	if b.Len()+len(s) > maxOutput {
		return 0, errTooLong
	}
	return b.Buffer.WriteString(s)
}

// Render writes the letter to r.
func (l *Compiled) Render(r *Reader) (*Letter, error) {
	s := scratches.Get().(*scratch)
	defer func() {
		s.view = view{} // the pool keeps nobody's data
		scratches.Put(s)
	}()
	done, err := s.render(l, r)
	if err != nil {
		return nil, fmt.Errorf("templates: render %s.%s: %w", l.name, l.language, err)
	}
	return done, nil
}

func (s *scratch) render(l *Compiled, r *Reader) (*Letter, error) {
	v := &s.view
	v.set(r, l.language)
	if err := l.subject.run(&s.out, v); err != nil {
		return nil, err
	}
	v.Subject = cut(oneLine(s.out.String()), longestValue)
	if err := l.preheader.run(&s.out, v); err != nil {
		return nil, err
	}
	v.Preheader = cut(oneLine(s.out.String()), longestValue)
	if err := l.text.run(&s.out, v); err != nil {
		return nil, err
	}
	s.lines = fill(s.lines[:0], s.out.Bytes(), l.layouts)
	if err := l.html.run(&s.out, v); err != nil {
		return nil, err
	}
	return &Letter{
		Name: l.name, Language: l.language, Subject: v.Subject, Preheader: v.Preheader,
		Text: string(s.lines), HTML: s.out.String(),
	}, nil
}
