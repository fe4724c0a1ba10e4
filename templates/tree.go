package templates

import (
	"html"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	gmtext "github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// A letter's tree: what Markdown means, with our actions in it. Both writers, for HTML and for text,
// walk it; neither sees Markdown.
type element int

const (
	paragraph  element = iota
	thePromise         // a paragraph of nothing but {{ promise }}
	heading
	quote
	list
	item
	code // a block of lines
	rule
	words
	value
	strong
	emphasis
	codeSpan
	link
	picture
	softBreak
	hardBreak
	branch
	control // an action that opens, divides or closes a branch, before it has become one
)

type node struct {
	is    element
	text  string // of words, code, pictures
	act   action // of values and controls
	level int    // of headings; of a list the first number, 0: bullets
	tight bool   // of lists
	to    target // of links and pictures
	kids  []*node
	arms  []arm // of branches
	at    int
}

// arm is one way of a branch: "if …", "else if …", "else" or "range …", and what it leads to.
type arm struct {
	head string
	kids []*node
}

// target is where a link goes: somewhere fixed, or to a trusted value after a fixed beginning.
type target struct {
	fixed string
	code  string // the value, "" when all is fixed
	bare  bool   // the link shows the address it goes to
}

func (t target) phone() bool { return strings.HasPrefix(t.fixed, "tel:") }

// markdown is Markdown as letters use it. Actions alone on their line are blocks of their own.
func markdown(p *passage) parser.Parser {
	blocks := append(parser.DefaultBlockParsers(), util.Prioritized(controlLines{p}, 50))
	return parser.NewParser(parser.WithBlockParsers(blocks...), parser.WithInlineParsers(parser.DefaultInlineParsers()...),
		parser.WithParagraphTransformers(parser.DefaultParagraphTransformers()...))
}

var kindControls = ast.NewNodeKind("Controls")

// controls is a line that holds nothing but actions such as {{ if … }} and {{ end }}.
type controls struct {
	ast.BaseBlock
	marks string
}

func (*controls) Kind() ast.NodeKind     { return kindControls }
func (*controls) Dump([]byte, int)       {}
func (*controls) IsRaw() bool            { return true }
func (c *controls) Text(_ []byte) []byte { return []byte(c.marks) }

// controlLines recognises such lines, wherever they stand.
type controlLines struct{ passage *passage }

func (controlLines) Trigger() []byte { return []byte{string(firstMark)[0]} }

func (l controlLines) Open(_ ast.Node, reader gmtext.Reader, _ parser.Context) (ast.Node, parser.State) {
	line, _ := reader.PeekLine()
	marks := strings.TrimSpace(string(line))
	for _, r := range marks {
		if a, ok := l.passage.action(r); (!ok || !a.control()) && r != ' ' && r != '\t' {
			return nil, parser.NoChildren
		}
	}
	reader.AdvanceToEOL()
	return &controls{marks: marks}, parser.NoChildren
}

func (controlLines) Continue(ast.Node, gmtext.Reader, parser.Context) parser.State {
	return parser.Close
}
func (controlLines) Close(ast.Node, gmtext.Reader, parser.Context) {}
func (controlLines) CanInterruptParagraph() bool                   { return true }
func (controlLines) CanAcceptIndentedLine() bool                   { return true }

// grower makes the tree of one passage.
type grower struct {
	*compiler
	*passage
	source []byte // the masked text
	depth  int
}

// grow reads Markdown.
func (c *compiler) grow(body string) []*node {
	p := c.actionsOf(body)
	g := &grower{compiler: c, passage: p, source: []byte(p.masked)}
	return g.blocks(markdown(p).Parse(gmtext.NewReader(g.source)))
}

// wrong notes a mistake at an offset of the masked text.
func (g *grower) wrong(masked int, format string, args ...any) {
	g.mistake(g.passage.at(masked), format, args...)
}

func (g *grower) blocks(parent ast.Node) []*node {
	g.depth++
	defer func() { g.depth-- }()
	if g.depth > maxDepth {
		g.wrong(max(parent.Pos(), 0), "this is nested too deeply")
		return nil
	}
	var flat []*node
	for n := parent.FirstChild(); n != nil; n = n.NextSibling() {
		flat = append(flat, g.block(n)...)
	}
	return g.nest(flat)
}

func (g *grower) block(n ast.Node) []*node {
	at := max(n.Pos(), 0)
	switch n := n.(type) {
	case *controls:
		return g.marked(n.marks, at)
	case *ast.Paragraph, *ast.TextBlock:
		return []*node{hoist(&node{is: paragraph, kids: g.inlines(n), at: at})}
	case *ast.Heading:
		return []*node{{is: heading, level: n.Level, kids: g.inlines(n), at: at}}
	case *ast.Blockquote:
		return []*node{{is: quote, kids: g.blocks(n), at: at}}
	case *ast.List:
		l := &node{is: list, tight: n.IsTight, kids: g.blocks(n), at: at}
		if n.IsOrdered() {
			l.level = max(n.Start, 1)
		}
		return []*node{l}
	case *ast.ListItem:
		return []*node{{is: item, kids: g.blocks(n), at: at}}
	case *ast.CodeBlock, *ast.FencedCodeBlock:
		var b strings.Builder
		for i := range n.Lines().Len() {
			segment := n.Lines().At(i)
			b.Write(segment.Value(g.source))
		}
		kids := g.marked(strings.TrimRight(b.String(), "\n"), at)
		return []*node{{is: code, kids: g.nest(kids), at: at}}
	case *ast.ThematicBreak:
		return []*node{{is: rule, at: at}}
	case *ast.HTMLBlock:
		g.wrong(at, "HTML is not part of letters; write Markdown")
	}
	return nil // what a link refers to is no block of its own
}

func (g *grower) inlines(parent ast.Node) []*node {
	g.depth++
	defer func() { g.depth-- }()
	if g.depth > 3*maxDepth {
		g.wrong(max(parent.Pos(), 0), "this is nested too deeply")
		return nil
	}
	var flat []*node
	for n := parent.FirstChild(); n != nil; n = n.NextSibling() {
		flat = append(flat, g.inline(n)...)
	}
	return g.nest(flat)
}

func (g *grower) inline(n ast.Node) []*node {
	at := max(n.Pos(), 0)
	switch n := n.(type) {
	case *ast.Text:
		raw := string(n.Segment.Value(g.source))
		nodes := g.marked(raw, n.Segment.Start)
		if !n.IsRaw() {
			for _, w := range nodes {
				w.text = unescape(w.text)
			}
		}
		switch {
		case n.HardLineBreak():
			nodes = append(nodes, &node{is: hardBreak})
		case n.SoftLineBreak() && !g.joined(raw, n):
			nodes = append(nodes, &node{is: softBreak})
		}
		return nodes
	case *ast.String:
		return g.marked(string(n.Value), at)
	case *ast.CodeSpan:
		return []*node{{is: codeSpan, kids: g.inlines(n), at: at}}
	case *ast.Emphasis:
		is := emphasis
		if n.Level == 2 {
			is = strong
		}
		return []*node{{is: is, kids: g.inlines(n), at: at}}
	case *ast.Link:
		kids := g.inlines(n)
		return []*node{{is: link, kids: kids, to: g.target(string(n.Destination), at), at: at}}
	case *ast.AutoLink:
		label := string(n.Label(g.source))
		to := string(n.URL(g.source))
		if n.AutoLinkType == ast.AutoLinkEmail {
			to = "mailto:" + label
		}
		t := g.target(to, at)
		t.bare = true
		return []*node{{is: link, kids: g.marked(label, at), to: t, at: at}}
	case *ast.Image:
		return g.picture(n, at)
	case *ast.RawHTML:
		g.wrong(at, "HTML is not part of letters; write Markdown")
	}
	return nil
}

func (g *grower) picture(n *ast.Image, at int) []*node {
	to := g.target(string(n.Destination), at)
	if to.code != "" || !strings.HasPrefix(to.fixed, "https://") && to.fixed != "" {
		g.wrong(at, "a picture comes from an https:// address, the same for every reader")
	}
	var b strings.Builder
	for _, k := range g.inlines(n) {
		switch k.is {
		case words:
			b.WriteString(k.text)
		case softBreak:
			b.WriteByte(' ')
		default:
			g.wrong(at, "what describes a picture is plain words")
		}
	}
	return []*node{{is: picture, text: b.String(), to: to, at: at}}
}

// marked takes text apart at the characters that stand for actions.
func (g *grower) marked(s string, at int) []*node {
	var nodes []*node
	from := 0
	for i, r := range s {
		a, ok := g.passage.action(r)
		if !ok {
			continue
		}
		if i > from {
			nodes = append(nodes, &node{is: words, text: s[from:i], at: at + from})
		}
		from = i + utf8.RuneLen(r)
		switch {
		case a.op == opComment:
		case a.control():
			nodes = append(nodes, &node{is: control, act: a, at: at + i})
		default:
			nodes = append(nodes, &node{is: value, act: a, at: at + i})
		}
	}
	if from < len(s) {
		nodes = append(nodes, &node{is: words, text: s[from:], at: at + from})
	}
	return nodes
}

// nest makes branches of the controls in a row of siblings: what opens must close beside it, or one
// reader's letter would have half an element.
func (g *grower) nest(flat []*node) []*node {
	type frame struct {
		branch *node
		before []*node
	}
	var open []frame
	var row []*node
	endArm := func() {
		arms := open[len(open)-1].branch.arms
		arms[len(arms)-1].kids, row = row, nil
	}
	for _, n := range flat {
		if n.is != control {
			row = append(row, n)
			continue
		}
		a := n.act
		if a.op == opIf || a.op == opRange {
			head := "if " + a.code
			if a.op == opRange {
				head = "range " + a.code
			}
			n.is, n.arms = branch, []arm{{head: head}}
			open = append(open, frame{n, row})
			row = nil
			if len(open) > maxDepth {
				g.mistake(a.at, "this is nested too deeply")
				return nil
			}
			continue
		}
		if len(open) == 0 {
			g.mistake(a.at, "nothing is open here: {{ if … }}, {{ else }} and {{ end }} stand in the same paragraph, or each on a line of its own")
			continue
		}
		top := open[len(open)-1]
		last := top.branch.arms[len(top.branch.arms)-1].head
		switch {
		case a.op == opEnd:
			endArm()
			open = open[:len(open)-1]
			row = append(top.before, top.branch)
		case last == "else":
			g.mistake(a.at, "after {{ else }} only {{ end }} can follow")
		case a.op == opElseIf && strings.HasPrefix(last, "range"):
			g.mistake(a.at, "a range has {{ else }} but no {{ else if … }}")
		default:
			endArm()
			head := "else"
			if a.op == opElseIf {
				head = "else if " + a.code
			}
			top.branch.arms = append(top.branch.arms, arm{head: head})
		}
	}
	for _, f := range open {
		g.mistake(f.branch.act.at, "this is not closed: {{ if … }} and {{ end }} stand in the same paragraph, or each on a line of its own")
	}
	if len(open) > 0 {
		return nil
	}
	return row
}

// hoist puts a paragraph that is one branch into the branch, so that no empty paragraph is left when
// the answer is no; and it knows the promise.
func hoist(p *node) *node {
	if len(p.kids) != 1 {
		return p
	}
	only := p.kids[0]
	if only.is == value && only.act.name == "promise" {
		p.is = thePromise
		return p
	}
	if only.is != branch {
		return p
	}
	for i, a := range only.arms {
		if len(a.kids) > 0 {
			only.arms[i].kids = []*node{hoist(&node{is: paragraph, kids: a.kids, at: p.at})}
		}
	}
	return only
}

// target checks where a link goes.
func (g *grower) target(to string, at int) target {
	to = unescape(to)
	if to == "" {
		g.wrong(at, "this link goes nowhere")
		return target{}
	}
	for i, r := range to {
		a, ok := g.passage.action(r)
		if !ok {
			continue
		}
		prefix := to[:i]
		alone := i+utf8.RuneLen(r) == len(to) && vocabulary[a.name].link
		switch {
		case alone && prefix == "" && (strings.HasPrefix(a.name, "links.") || a.name == "business.website"),
			alone && prefix == "mailto:" && a.name == "mailbox.address":
			return target{fixed: prefix, code: vocabulary[a.name].code}
		case alone && prefix == "tel:" && a.name == "business.phone":
			return target{fixed: prefix, code: "$.BusinessTel"}
		}
		g.mistake(a.at, "a link goes to a fixed address, or to links.preferences, links.unsubscribe, business.website, mailto:{{ mailbox.address }} or tel:{{ business.phone }} and nothing after it")
		return target{}
	}
	u, err := url.Parse(to)
	web := err == nil && slices.Contains([]string{"http", "https"}, u.Scheme) && u.Host != ""
	other := err == nil && slices.Contains([]string{"mailto", "tel"}, u.Scheme) && u.Opaque != ""
	if !web && !other || strings.ContainsFunc(to, unicode.IsSpace) {
		g.wrong(at, "%s is no address that a letter can link to: it begins with https://, http://, mailto: or tel:", to)
	}
	return target{fixed: to}
}

// unescape takes the backslashes from Markdown's escapes and resolves HTML's entities.
func unescape(s string) string {
	if !strings.ContainsAny(s, `\&`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && util.IsPunct(s[i+1]):
			i++
			b.WriteByte(s[i])
		case c == '&':
			end := strings.IndexByte(s[i:], ';')
			if end < 0 || end > 32 {
				b.WriteByte(c)
				continue
			}
			for _, r := range html.UnescapeString(s[i : i+end+1]) {
				if r == '\t' || r == '\n' {
					r = ' '
				}
				if !unicode.In(r, unicode.Cc, unicode.Co) {
					b.WriteRune(r)
				}
			}
			i += end
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// joined tells whether the line end after n is no space: Chinese and Japanese lines join without.
func (g *grower) joined(raw string, n ast.Node) bool {
	last, _ := utf8.DecodeLastRuneInString(raw)
	next := n.NextSibling()
	for next != nil && next.FirstChild() != nil {
		next = next.FirstChild()
	}
	first := utf8.RuneError
	if t, ok := next.(*ast.Text); ok {
		first, _ = utf8.DecodeRune(t.Segment.Value(g.source))
	}
	if wide(last) || wide(first) {
		return true
	}
	_, a := g.passage.action(last)
	_, b := g.passage.action(first)
	return (a || b) && spaceless(g.language)
}
