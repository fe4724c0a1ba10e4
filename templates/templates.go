// Package templates holds the letters: Markdown files with front matter, those built in and those of a
// folder that overlays them, each compiled once and rendered for one reader at a time, by any number of
// goroutines.
//
// A letter is called NAME.LANGUAGE.md. Its front matter gives a subject and, if wanted, a preheader; the
// body is Markdown with {{ … }} in it: names ({{ member.name }}), questions ({{ if promised }}), nothing
// that runs, counts or reaches further. The last line --- begins the foot; below it comes the file
// foot.LANGUAGE.md, the same for all letters. A paragraph of nothing but {{ promise }} is set larger.
// From the one tree come the HTML (html/template, escaped by context) and the text part (RFC 2046
// §5.1.4: the same letter in both).
//
// What a stranger wrote, member.* and message.*, is hostile: see Harmless. No value can become markup, a
// header (RFC 5322 §2.2: no line ends in it) or a link. The shop's own values, the promise and our links
// are trusted and still escaped.
//
// On failure: every mistake in every file is reported at once, with its place (Mistake). A Set is complete or
// not there at all; a Library keeps the last good one. Rendering fails only for a letter that does not exist.
package templates

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// foot is the name of the file that ends every letter; it is no letter itself.
const foot = "foot"

// Reader is one reader and what a letter may say to them. Name, Email, Tier, Language, Topics, Subject
// and the Fields are taken as hostile; the rest is the shop's own or ours.
type Reader struct {
	Name, Email, Tier, Language string
	Known                       bool           // a member, not just somebody who wrote
	Joined                      time.Time      // zero: unknown
	Topics                      []string       // followed: {{ if follows "architecture" }}
	Fields                      map[string]any // further fields: string, float64, bool or time.Time
	Subject                     string         // of the message that is answered
	Business                    Business
	Promise                     string // ready words
	Promised                    bool   // they name a time
	Mailbox, MailboxAddress     string // its name and its address
	PreferencesURL              string // "": none
	UnsubscribeURL              string // "": none
}

// Business is the shop, as configured.
type Business struct{ Name, Website, Phone, PostalAddress string }

// Letter is a letter written to one reader. Subject and Preheader are one line each, as plain words;
// lines of Text end in \n.
type Letter struct{ Name, Language, Subject, Preheader, Text, HTML string }

// Info is what there is of one letter.
type Info struct {
	Name      string
	Languages []string // sorted
	File      string   // one of the folder's if any of its files is there, else a built-in one
	BuiltIn   bool     // nothing of it comes from the folder
}

// Option is a wish for Load and Open.
type Option func(*options)

type options struct{ fields func() []string }

// Fields names the further fields of members that letters may use. It is asked again at each load, so a
// field that came with an import is known to a Library from then on. Without it these are orders and spent.
func Fields(known func() []string) Option { return func(o *options) { o.fields = known } }

// Set is all letters, compiled. It does not change.
type Set struct {
	letters map[string]map[string]*Compiled // by name and language
	feet    map[string][]*node              // by language
	fields  []string
	infos   []Info
}

// Load compiles the built-in letters and those of the folder overlay ("" or absent: none), which take
// the place of built-in ones of the same name and language. The error joins a *Mistake for each mistake.
func Load(overlay string, opts ...Option) (*Set, error) {
	o := options{fields: func() []string { return []string{"orders", "spent"} }}
	for _, opt := range opts {
		opt(&o)
	}
	files, mistakes, err := readAll(overlay)
	if err != nil {
		return nil, err
	}
	s := &Set{letters: map[string]map[string]*Compiled{}, feet: map[string][]*node{}, fields: o.fields()}
	infos := map[string]Info{}
	for _, f := range files {
		if f.Name == foot {
			c := s.compiler(f.Source)
			s.feet[f.Language] = c.foot(f.Data)
			mistakes = append(mistakes, c.errors()...)
		}
	}
	for _, f := range files {
		if f.Name == foot {
			continue
		}
		l, err := s.Compile(f.Source)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		if s.letters[f.Name] == nil {
			s.letters[f.Name] = map[string]*Compiled{}
		}
		s.letters[f.Name][f.Language] = l
		info, seen := infos[f.Name]
		if !seen || info.BuiltIn && !f.builtIn {
			info.Name, info.File, info.BuiltIn = f.Name, f.File, f.builtIn
		}
		info.Languages = append(info.Languages, f.Language)
		infos[f.Name] = info
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	for _, name := range slices.Sorted(maps.Keys(infos)) {
		s.infos = append(s.infos, infos[name])
	}
	return s, nil
}

// Names lists the letters by name.
func (s *Set) Names() []Info { return slices.Clone(s.infos) }

// Has tells whether there is a letter of this name, in any language.
func (s *Set) Has(name string) bool { return len(s.letters[name]) > 0 }

// Language is the language that a letter is rendered in for a reader of language; "" where there is no such letter.
func (s *Set) Language(name, language string) string {
	if l := pick(s.letters[name], language); l != nil {
		return l.language
	}
	return ""
}

// Render writes the letter to r, in the language asked for or, where there is no such file, in the same
// language of another place, in English, or in the first there is. It fails only when no letter has that name.
func (s *Set) Render(name, language string, r *Reader) (*Letter, error) {
	l := pick(s.letters[name], language)
	if l == nil {
		return nil, fmt.Errorf("templates: there is no letter %q", name)
	}
	return l.Render(r)
}

// pick finds what there is for a language: itself (zh-TW), its base (zh), the base in another place
// (zh-CN), English, the first.
func pick[T any](among map[string]T, language string) T {
	if it, ok := among[language]; ok {
		return it
	}
	base, _, _ := strings.Cut(strings.ToLower(language), "-")
	var found T
	rank := 0
	for _, l := range slices.Sorted(maps.Keys(among)) {
		lower := strings.ToLower(l)
		itsBase, _, _ := strings.Cut(lower, "-")
		r := 1
		switch {
		case lower == strings.ToLower(language):
			r = 5
		case lower == base:
			r = 4
		case itsBase == base:
			r = 3
		case lower == "en":
			r = 2
		}
		if r > rank {
			found, rank = among[l], r
		}
	}
	return found
}
