package templates

import (
	"fmt"
	htmltemplate "html/template"
	"reflect"
	"strings"
	"text/template/parse"
)

// plan is a compiled template as steps that need no reflection on the way: the same output as
// text/template or html/template gives, in a fraction of the time, which is what a campaign spends on
// its hundred thousand letters. It is made from the tree of the template itself, for HTML after
// html/template has put its escapers in: that one alone decides how a value is escaped. Where the tree
// holds anything that is not known here there is no plan, and the template runs.
type plan []step

// step is fixed words, or a value, or a branch.
type step struct {
	words   string
	value   expr
	escape  []func(string) string
	asked   expr
	yes, no plan
	each    bool // yes for each of the member's topics
}

// expr gives a value. The dot is the topic that a range has come to.
type expr func(v *view, dot string) any

// planner collects what a plan is made of, or that there can be none.
type planner struct{ unknown bool }

// planOf makes a plan of a tree; nil: it cannot.
func planOf(root *parse.ListNode) plan {
	p := &planner{}
	made := p.list(root)
	if p.unknown {
		return nil
	}
	return made
}

func (p *planner) list(l *parse.ListNode) plan {
	if l == nil {
		return nil
	}
	var made plan
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			made = append(made, step{words: string(n.Text)})
		case *parse.ActionNode:
			made = append(made, p.value(n.Pipe))
		case *parse.IfNode:
			made = append(made, step{asked: p.pipe(n.Pipe), yes: p.list(n.List), no: p.list(n.ElseList)})
		case *parse.RangeNode:
			made = append(made, step{each: true, asked: p.pipe(n.Pipe), yes: p.list(n.List), no: p.list(n.ElseList)})
		default:
			p.unknown = true
		}
	}
	return made
}

// value is an expression and the escapers that html/template put behind it.
func (p *planner) value(pipe *parse.PipeNode) step {
	s := step{value: p.command(pipe.Cmds[0])}
	p.unknown = p.unknown || len(pipe.Decl) > 0
	for _, c := range pipe.Cmds[1:] {
		escaper := escapers[strings.TrimPrefix(c.String(), "_html_template_")]
		if escaper == nil {
			p.unknown = true
		}
		s.escape = append(s.escape, escaper)
	}
	return s
}

func (p *planner) pipe(pipe *parse.PipeNode) expr {
	if len(pipe.Cmds) != 1 || len(pipe.Decl) != 0 {
		p.unknown = true
		return nil
	}
	return p.command(pipe.Cmds[0])
}

func (p *planner) command(c *parse.CommandNode) expr {
	id, ok := c.Args[0].(*parse.IdentifierNode)
	if !ok {
		if len(c.Args) != 1 {
			p.unknown = true
		}
		return p.operand(c.Args[0])
	}
	args := make([]expr, len(c.Args)-1)
	for i, a := range c.Args[1:] {
		args[i] = p.operand(a)
	}
	switch call := funcs[id.Ident].(type) {
	case func(...any) any:
		return func(v *view, dot string) any {
			values := make([]any, len(args))
			for i, a := range args {
				values[i] = a(v, dot)
			}
			return call(values...)
		}
	default:
		return p.builtin(id.Ident, args)
	}
}

// builtin is one of the words that Go's templates have themselves and letters may use.
func (p *planner) builtin(name string, args []expr) expr {
	if name == "not" && len(args) == 1 {
		return func(v *view, dot string) any { return !truth(args[0](v, dot)) }
	}
	if name != "and" && name != "or" || len(args) == 0 {
		p.unknown = true
		return nil
	}
	// The value of the first that settles it, or of the last.
	return func(v *view, dot string) any {
		var value any
		for _, a := range args {
			if value = a(v, dot); truth(value) == (name == "or") {
				break
			}
		}
		return value
	}
}

var viewType = reflect.TypeFor[view]()

func (p *planner) operand(n parse.Node) expr {
	switch n := n.(type) {
	case *parse.PipeNode:
		return p.pipe(n)
	case *parse.StringNode:
		return func(*view, string) any { return n.Text }
	case *parse.BoolNode:
		return func(*view, string) any { return n.True }
	case *parse.NumberNode:
		if n.IsInt {
			return func(*view, string) any { return int(n.Int64) }
		}
		return func(*view, string) any { return n.Float64 }
	case *parse.DotNode:
		return func(_ *view, dot string) any { return dot }
	case *parse.VariableNode:
		if len(n.Ident) == 1 {
			return func(v *view, _ string) any { return v }
		}
		if f, ok := viewType.FieldByName(n.Ident[1]); ok && len(n.Ident) == 2 {
			return func(v *view, _ string) any { return reflect.ValueOf(v).Elem().FieldByIndex(f.Index).Interface() }
		}
	}
	p.unknown = true
	return nil
}

// run writes the letter.
func (p plan) run(b *bounded, v *view, dot string) error {
	for i := range p {
		s := &p[i]
		switch {
		case s.each:
			if err := s.through(b, v); err != nil {
				return err
			}
		case s.asked != nil:
			way := s.no
			if truth(s.asked(v, dot)) {
				way = s.yes
			}
			if err := way.run(b, v, dot); err != nil {
				return err
			}
		case s.value != nil:
			if _, err := b.WriteString(s.written(v, dot)); err != nil {
				return err
			}
		default:
			if _, err := b.WriteString(s.words); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *step) through(b *bounded, v *view) error {
	if len(v.MemberTopics) == 0 {
		return s.no.run(b, v, "")
	}
	for _, topic := range v.MemberTopics {
		if err := s.yes.run(b, v, topic); err != nil {
			return err
		}
	}
	return nil
}

// written is the value as words, escaped.
func (s *step) written(v *view, dot string) string {
	value := s.value(v, dot)
	if markup, ok := value.(htmltemplate.HTML); ok {
		return string(markup) // ours: see outlookOpen
	}
	words, ok := value.(string)
	if !ok {
		words = fmt.Sprint(value)
	}
	for _, e := range s.escape {
		words = e(words)
	}
	return words
}

// truth is what text/template takes for true.
func truth(v any) bool {
	switch v := v.(type) {
	case string:
		return v != ""
	case bool:
		return v
	case number:
		return v != 0
	case int:
		return v != 0
	case float64:
		return v != 0
	case []string:
		return len(v) > 0
	}
	return v != nil
}

// escapers are html/template's, in the contexts that our pages have: between tags, in the title, and in
// an address in double quotes. A test holds them against the originals.
var escapers = map[string]func(string) string{
	"htmlescaper":   escapeHTML.Replace,
	"rcdataescaper": escapeHTML.Replace,
	"attrescaper":   escapeHTML.Replace,
	"urlfilter":     filterURL,
	"urlnormalizer": normalURL,
}

var escapeHTML = strings.NewReplacer("\x00", "\uFFFD", `"`, "&#34;", "&", "&amp;", "'", "&#39;", "+", "&#43;", "<", "&lt;", ">", "&gt;")

// filterURL lets only the schemes through that html/template trusts.
func filterURL(s string) string {
	scheme, _, ok := strings.Cut(s, ":")
	if !ok || strings.Contains(scheme, "/") || strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "mailto") {
		return s
	}
	return "#ZgotmplZ"
}

// normalURL escapes what may not stand in an address (RFC 3986 §2), and quotes and parentheses too.
func normalURL(s string) string {
	hex := func(i int) bool { return i < len(s) && strings.IndexByte("0123456789abcdefABCDEF", s[i]) >= 0 }
	var b strings.Builder
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&*+,/:;=?@[]-._~", c) >= 0 ||
			c == '%' && hex(i+1) && hex(i+2) {
			continue
		}
		b.WriteString(s[from:i])
		fmt.Fprintf(&b, "%%%02x", c)
		from = i + 1
	}
	if from == 0 {
		return s
	}
	b.WriteString(s[from:])
	return b.String()
}
