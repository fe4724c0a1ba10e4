package templates

import (
	"fmt"
	"strings"
)

// The text template writes blocks, not lines: the lines come from fill, when the reader's words are in.
const (
	blockMark = '\x02' // then one character, firstMark plus the block's number
	linkMark  = '\x03' // then the address, to linkEnd
	linkEnd   = '\x04'
	keepMark  = '\x05' // until the next one no space ends a line: a telephone number stays in one piece
)

// layout is how the lines of one block are set.
type layout struct {
	first, rest string // what stands before the first line and before the others
	blank       string // what stands on an empty line above, inside the same quote
	group       int    // blocks of one group have no empty line between them; 0: in no group
	quote       int    // which quote the block is in, 0: none
	underline   byte   // under a heading
	verbatim    bool   // lines stay as they are
	closing     bool   // no block of its own: what follows is the foot
}

// textWriter writes the text part's template from the same tree.
type textWriter struct {
	strings.Builder
	layouts []layout
	upright bool // Chinese has no marks of emphasis in plain text
	groups  int
	quotes  int
	at      layout // where the next block stands
	marker  string // what the next block begins with instead of at.first: a list's bullet
}

// textPage writes the template of a letter's text part.
func textPage(language string, body, foot []*node) (string, []layout) {
	w := &textWriter{upright: handFor(language).upright}
	w.blocks(body)
	if len(foot) > 0 {
		// RFC 3676 §4.3: what follows the line "-- " is a signature, which replies leave out.
		w.open(layout{closing: true})
		w.blocks(foot)
	}
	return w.String(), w.layouts
}

// open begins a block.
func (w *textWriter) open(l layout) {
	w.WriteRune(blockMark)
	w.WriteRune(firstMark + rune(len(w.layouts)))
	w.layouts = append(w.layouts, l)
}

// begin begins a block where the writer stands.
func (w *textWriter) begin(change func(*layout)) {
	l := w.at
	l.first = l.rest
	if w.marker != "" {
		l.first, w.marker = w.marker, ""
	}
	if change != nil {
		change(&l)
	}
	w.open(l)
}

func (w *textWriter) blocks(nodes []*node) {
	for _, n := range nodes {
		w.block(n)
	}
}

func (w *textWriter) block(n *node) {
	switch n.is {
	case paragraph:
		w.begin(nil)
		w.inlines(n.kids)
	case thePromise:
		w.begin(func(l *layout) { l.first, l.rest = l.first+"    ", l.rest+"    " })
		w.inlines(n.kids)
	case heading:
		w.begin(func(l *layout) {
			switch n.level {
			case 1:
				l.underline = '='
			case 2:
				l.underline = '-'
			}
		})
		w.inlines(n.kids)
	case quote:
		w.within(func() {
			w.quotes++
			w.at.rest += "> "
			w.at.quote, w.at.blank = w.quotes, strings.TrimRight(w.at.rest, " ")
			if w.marker != "" {
				w.marker += "> "
			}
			w.blocks(n.kids)
		})
	case list:
		w.list(n)
	case code:
		w.begin(func(l *layout) { l.first, l.rest, l.verbatim = l.first+"    ", l.rest+"    ", true })
		w.inlines(n.kids)
	case rule:
		w.begin(nil)
		w.WriteString("* * *")
	case branch:
		w.branch(n, w.blocks)
	}
}

// within keeps the place around a block that moves it.
func (w *textWriter) within(write func()) {
	outer := w.at
	write()
	w.at = outer
}

func (w *textWriter) list(n *node) {
	number := n.level
	w.within(func() {
		switch {
		case !n.tight:
			w.at.group = 0
		case w.at.group == 0: // a tight list in a tight one stays close to its item
			w.groups++
			w.at.group = w.groups
		}
		for _, k := range n.kids {
			bullet := "- "
			if number > 0 {
				bullet = fmt.Sprintf("%d. ", number)
				number++
			}
			w.within(func() {
				w.marker = w.at.rest + bullet
				w.at.rest += strings.Repeat(" ", len(bullet))
				w.blocks(k.kids)
				w.marker = ""
			})
		}
	})
}

// branch writes each arm with what it leads to. Whichever is taken, a list's bullet comes first in it.
func (w *textWriter) branch(n *node, arm func([]*node)) {
	marker, left := w.marker, w.marker
	for _, a := range n.arms {
		w.marker = marker
		w.WriteString(live(a.head))
		arm(a.kids)
		left = w.marker
	}
	w.marker = left
	w.WriteString(live("end"))
}

func (w *textWriter) inlines(nodes []*node) {
	for _, n := range nodes {
		w.inline(n)
	}
}

func (w *textWriter) inline(n *node) {
	switch n.is {
	case words:
		w.WriteString(n.text)
	case value:
		w.WriteString(live(n.act.code))
	case strong, emphasis:
		w.emphasised(n.kids)
	case codeSpan:
		w.inlines(n.kids)
	case picture:
		w.WriteString(n.text)
	case softBreak:
		w.WriteByte(' ')
	case hardBreak:
		w.WriteByte('\n')
	case branch:
		w.branch(n, w.inlines)
	case link:
		w.link(n)
	}
}

// link writes a link's words and, for the lines below, where it goes. A number to call and an address
// to write to are in the words already.
func (w *textWriter) link(n *node) {
	switch {
	case n.to.phone():
		w.WriteRune(keepMark)
		w.inlines(n.kids)
		w.WriteRune(keepMark)
	case n.to.bare || strings.HasPrefix(n.to.fixed, "mailto:"):
		w.inlines(n.kids)
	default:
		w.inlines(n.kids)
		w.WriteRune(linkMark)
		w.WriteString(n.to.fixed)
		if n.to.code != "" {
			w.WriteString(live(n.to.code))
		}
		w.WriteRune(linkEnd)
	}
}

// emphasised puts stars around words, and nothing in Chinese. An underscore would be part of what stands
// next to it, of a stranger's words too.
func (w *textWriter) emphasised(kids []*node) {
	if w.upright {
		w.inlines(kids)
		return
	}
	w.WriteByte('*')
	w.inlines(kids)
	w.WriteByte('*')
}
