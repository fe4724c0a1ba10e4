package message

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// htmlToText makes plain text of HTML: blocks become lines, quotes (<blockquote>) become lines that begin with ">", scripts and styles go.
// It reads tokens, not a tree, so nothing can be nested too deep for it.
func htmlToText(s string) string {
	z := html.NewTokenizer(strings.NewReader(s))
	z.SetMaxBuf(maxHTML)
	w := htmlWriter{}
	skip := atom.Atom(0) // within an element that shows no text
	for w.out.Len() < maxText {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return w.out.String()
		case html.TextToken:
			if skip == 0 {
				w.text(string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			name, attributes := z.TagName()
			tag := atom.Lookup(name)
			switch tag {
			case atom.Script, atom.Style, atom.Title, atom.Template:
				if kind == html.StartTagToken {
					skip = tag
				} else if skip == tag {
					skip = 0
				}
			case atom.Blockquote:
				w.breakLine(1)
				if kind == html.EndTagToken {
					w.close()
				} else {
					w.open(!indents(z, attributes))
				}
			default:
				w.tag(tag, kind == html.EndTagToken)
			}
		}
	}
	return w.out.String()
}

// indents reports whether a blockquote only moves its text to the right, as editors use it for the writer's own words.
func indents(z *html.Tokenizer, more bool) bool {
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		if string(key) == "style" {
			style := strings.ReplaceAll(strings.ToLower(string(value)), " ", "")
			return strings.Contains(style, "border:none") || strings.Contains(style, "border:0")
		}
	}
	return false
}

type htmlWriter struct {
	out    strings.Builder
	breaks int  // line breaks due before the next text
	space  bool // a blank due before the next text of the line
	inLine bool // the line has text
	pre    int
	quotes []bool // for each open blockquote, whether it quotes
}

func (w *htmlWriter) open(quotes bool) {
	if len(w.quotes) < 100 {
		w.quotes = append(w.quotes, quotes)
	}
}

func (w *htmlWriter) close() {
	if len(w.quotes) > 0 {
		w.quotes = w.quotes[:len(w.quotes)-1]
	}
}

func (w *htmlWriter) breakLine(n int) {
	if w.out.Len() > 0 {
		w.breaks = max(w.breaks, n)
	}
	w.space, w.inLine = false, false
}

func (w *htmlWriter) tag(tag atom.Atom, end bool) {
	switch tag {
	case atom.Br:
		w.breaks = min(w.breaks+1, 3)
		w.space, w.inLine = false, false
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Ul, atom.Ol, atom.Table, atom.Hr, atom.Dl:
		w.breakLine(2)
	case atom.Div, atom.Tr, atom.Li, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Address, atom.Center, atom.Form, atom.Dt, atom.Dd, atom.Body:
		w.breakLine(1)
		if tag == atom.Li && !end {
			w.text("- ")
		}
	case atom.Pre:
		w.breakLine(1)
		if end {
			w.pre = max(0, w.pre-1)
		} else {
			w.pre++
		}
	case atom.Td, atom.Th:
		w.space = w.inLine
	}
}

func (w *htmlWriter) text(s string) {
	if w.pre > 0 {
		for i, line := range strings.Split(s, "\n") {
			if i > 0 {
				w.breaks, w.inLine = min(w.breaks+1, 3), false
			}
			w.word(line)
		}
		return
	}
	blank := func(r rune) bool { return r == ' ' || r == '\n' || r == '\t' || r == '\r' || r == '\f' || r == 0xa0 }
	w.space = w.space || w.inLine && strings.IndexFunc(s, blank) == 0
	wrote := false
	for word := range strings.FieldsFuncSeq(s, blank) {
		w.word(word)
		w.space, wrote = true, true
	}
	if last, _ := utf8.DecodeLastRuneInString(s); wrote {
		w.space = blank(last)
	}
}

func (w *htmlWriter) word(s string) {
	if s == "" {
		return
	}
	for ; w.breaks > 0; w.breaks-- {
		w.out.WriteByte('\n')
		w.inLine = false
	}
	if !w.inLine {
		for _, q := range w.quotes {
			if q {
				w.out.WriteString("> ")
			}
		}
	} else if w.space {
		w.out.WriteByte(' ')
	}
	w.out.WriteString(s)
	w.space, w.inLine = false, true
}
