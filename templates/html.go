package templates

import (
	"bytes"
	_ "embed"
	"fmt"
	"html"
	htmltemplate "html/template"
	"strconv"
	"strings"
	texttemplate "text/template"
)

//go:embed frame.html
var frameSource string

var frame = texttemplate.Must(texttemplate.New("frame").Parse(frameSource))

// Word, the engine of Outlook for Windows, knows neither max-width nor the first fonts of our stack. It
// reads these comments, which html/template would drop if they stood in the frame.
const (
	outlookOpen htmltemplate.HTML = `<!--[if mso]><style>p,li,h1,h2,h3,td,a{font-family:Georgia,SimSun,serif!important}</style>` +
		`<table role="presentation" align="center" width="600" cellpadding="0" cellspacing="0" border="0"><tr><td><![endif]-->`
	outlookClose htmltemplate.HTML = `<!--[if mso]></td></tr></table><![endif]-->`
)

// hand is the handwriting of a letter: what LOOK asks for, in the sizes of its language.
type hand struct {
	language  string
	leading   string // the line height of running text
	promise   string // and of the promise, with how its lines are broken
	upright   bool   // no italics
	gap       int    // between paragraphs, px
	direction string
	start     string // the side where lines begin
}

func handFor(language string) hand {
	h := hand{language: language, leading: "1.55", promise: "1.4;text-wrap:balance", gap: 18, direction: "ltr", start: "left"}
	switch base, _, _ := strings.Cut(language, "-"); base {
	case "zh", "ja", "ko":
		h.leading, h.promise, h.upright, h.gap = "1.7", "1.55", true, 18
	case "ar", "he", "fa", "ur":
		h.direction, h.start, h.upright = "rtl", "right", true
	}
	return h
}

// page is what frame.html is filled with when a letter is compiled. Subject, Preheader and the two
// Outlook fields are actions of the template that comes out.
type page struct {
	Language, Direction, Start, Leading string
	Subject, Preheader, Body, Foot      string
	OutlookOpen, OutlookClose           string
}

// htmlPage writes the template of a letter's HTML.
func htmlPage(language string, body, foot []*node) (string, error) {
	h := handFor(language)
	b, f := &htmlWriter{hand: h, size: 17, gap: h.gap}, &htmlWriter{hand: h, size: 13, gap: 6, soft: true}
	b.blocks(body)
	f.blocks(foot)
	var out bytes.Buffer
	err := frame.Execute(&out, page{
		Language: h.language, Direction: h.direction, Start: h.start, Leading: h.leading,
		Subject: live("$.Subject"), Preheader: live("$.Preheader"),
		OutlookOpen: live("$.OutlookOpen"), OutlookClose: live("$.OutlookClose"),
		Body: b.String(), Foot: f.String(),
	})
	return out.String(), err
}

// live is an action of the template that is being written.
func live(code string) string { return openMark + code + closeMark }

// htmlWriter writes blocks as HTML with every style inline, for mail programs that know no other.
type htmlWriter struct {
	strings.Builder
	hand
	size int  // of running text, px
	gap  int  // after a paragraph, px
	soft bool // in soft ink: the foot
}

func (w *htmlWriter) printf(format string, args ...any) { fmt.Fprintf(&w.Builder, format, args...) }

func (w *htmlWriter) blocks(nodes []*node) {
	for _, n := range nodes {
		w.block(n)
	}
}

func (w *htmlWriter) block(n *node) {
	switch n.is {
	case paragraph:
		w.printf(`<p style="margin:0 0 %dpx">`, w.gap)
		w.inlines(n.kids)
		w.WriteString("</p>\n")
	case thePromise:
		// On a line of its own, a little larger, with air around it: what the letter is about.
		w.printf(live("if $.Promise")+`<p class="ink" style="margin:28px 0;font-size:21px;line-height:%s">`, w.hand.promise)
		w.inlines(n.kids)
		w.WriteString("</p>" + live("end") + "\n")
	case heading:
		size, above, below := 28, 36, 18
		switch {
		case n.level == 2:
			size, above, below = 21, 32, 12
		case n.level > 2:
			size, above, below = w.size, 24, 8
		}
		if w.Len() == 0 {
			above = 0
		}
		tag := "h" + strconv.Itoa(min(n.level, 3))
		w.printf(`<%s style="margin:%dpx 0 %dpx;font-size:%dpx;line-height:1.3;font-weight:600">`, tag, above, below, size)
		w.inlines(n.kids)
		w.printf("</%s>\n", tag)
	case quote:
		w.printf(`<blockquote class="soft hair" style="margin:0 0 %dpx;padding:0 0 0 16px;border-left:2px solid #e4e1da;color:#5b626b">`, w.gap)
		w.blocks(n.kids)
		w.WriteString("</blockquote>\n")
	case list:
		w.list(n)
	case code:
		w.printf(`<pre style="margin:0 0 %dpx;font-family:Menlo,Consolas,monospace;font-size:15px;line-height:1.5;white-space:pre-wrap">`, w.gap)
		w.inlines(n.kids)
		w.WriteString("</pre>\n")
	case rule:
		w.WriteString(`<hr class="hair" style="margin:28px 0;border:0;border-top:1px solid #e4e1da">` + "\n")
	case branch:
		w.branch(n, w.blocks)
	}
}

func (w *htmlWriter) list(n *node) {
	tag, attributes := "ul", ""
	if n.level > 0 {
		tag = "ol"
	}
	if n.level > 1 {
		attributes = fmt.Sprintf(` start="%d"`, n.level)
	}
	w.printf(`<%s%s style="margin:0 0 %dpx;padding:0 0 0 24px">`+"\n", tag, attributes, w.gap)
	for _, k := range n.kids {
		w.WriteString(`<li style="margin:0 0 6px">`)
		if n.tight {
			w.tightItem(k.kids)
		} else {
			w.blocks(k.kids)
		}
		w.WriteString("</li>\n")
	}
	w.printf("</%s>\n", tag)
}

// tightItem writes an item's paragraphs without their gaps.
func (w *htmlWriter) tightItem(kids []*node) {
	for _, k := range kids {
		switch k.is {
		case paragraph, thePromise:
			w.inlines(k.kids)
		case branch:
			w.branch(k, w.tightItem)
		default:
			w.block(k)
		}
	}
}

// branch writes each arm with what it leads to.
func (w *htmlWriter) branch(n *node, arm func([]*node)) {
	for _, a := range n.arms {
		w.WriteString(live(a.head))
		arm(a.kids)
	}
	w.WriteString(live("end"))
}

func (w *htmlWriter) inlines(nodes []*node) {
	for _, n := range nodes {
		w.inline(n)
	}
}

func (w *htmlWriter) inline(n *node) {
	switch n.is {
	case words:
		w.WriteString(html.EscapeString(n.text))
	case value:
		w.WriteString(live(n.act.code))
	case strong:
		w.WriteString("<strong>")
		w.inlines(n.kids)
		w.WriteString("</strong>")
	case emphasis:
		// Han characters have no italics; slanting them only blurs them.
		if w.upright {
			w.WriteString(`<em style="font-style:normal;font-weight:600">`)
		} else {
			w.WriteString("<em>")
		}
		w.inlines(n.kids)
		w.WriteString("</em>")
	case codeSpan:
		w.WriteString(`<code style="font-family:Menlo,Consolas,monospace;font-size:0.9em">`)
		w.inlines(n.kids)
		w.WriteString("</code>")
	case link:
		w.link(n)
	case picture:
		w.printf(`<img src="%s" alt="%s" style="max-width:100%%;height:auto;border:0">`, html.EscapeString(n.to.fixed), html.EscapeString(n.text))
	case softBreak:
		w.WriteByte('\n')
	case hardBreak:
		w.WriteString("<br>\n")
	case branch:
		w.branch(n, w.inlines)
	}
}

// link writes a link; where its value is empty for a reader, only its words.
func (w *htmlWriter) link(n *node) {
	class, ink := "accent", "#b23a2b"
	if w.soft {
		class, ink = "soft", "#5b626b"
	}
	style := "text-decoration:underline"
	if n.to.phone() {
		style += ";white-space:nowrap"
	}
	href := html.EscapeString(n.to.fixed)
	if n.to.code != "" {
		w.WriteString(live("if " + n.to.code))
		href += live(n.to.code)
	}
	w.printf(`<a class="%s" href="%s" style="color:%s;%s">`, class, href, ink, style)
	w.inlines(n.kids)
	w.WriteString("</a>")
	if n.to.code != "" {
		w.WriteString(live("else"))
		w.inlines(n.kids)
		w.WriteString(live("end"))
	}
}
