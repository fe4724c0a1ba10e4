package templates

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"
	"unicode/utf8"
)

// Marks of ours stand in the private-use area, which no letter and no value may hold.
const (
	firstMark = '\uE000' // the n-th action of a text is firstMark+n while Markdown is read
	maxMarks  = 2000
	openMark  = "\uF8FE" // the delimiters of the templates that we generate
	closeMark = "\uF8FF"
)

// maxDepth is how deeply expressions, and conditions in conditions, may be nested.
const maxDepth = 12

type op int

const (
	opValue op = iota
	opIf
	opElseIf
	opElse
	opEnd
	opRange
	opComment
)

// action is one {{ … }} of a letter, checked and rewritten to fields of the template's root.
type action struct {
	op   op
	code string // the expression for the compiled template
	name string // the name, when the expression is nothing but a name
	at   int    // where it begins in the text
}

func (a action) control() bool { return a.op != opValue }

// passage is a piece of a letter's source: where each of its bytes stands in the file is known, and each
// action in it is replaced by one private-use character, which Markdown leaves alone.
type passage struct {
	masked  string
	actions []action
	shifts  []shift
}

// shift says that from this offset of the masked text on, the source is so much further.
type shift struct{ masked, source int }

// at gives the offset in the source for one in the masked text.
func (t *passage) at(masked int) int {
	for i := len(t.shifts) - 1; i >= 0; i-- {
		if s := t.shifts[i]; masked >= s.masked {
			return s.source + masked - s.masked
		}
	}
	return masked
}

// action gives the action that r stands for.
func (t *passage) action(r rune) (action, bool) {
	if n := int(r - firstMark); n >= 0 && n < len(t.actions) {
		return t.actions[n], true
	}
	return action{}, false
}

// actionsOf finds the actions of source, checks each and masks it.
func (c *compiler) actionsOf(source string) *passage {
	t := &passage{}
	var masked []byte
	var open []op // what waits for its end, to know where a dot has a meaning
	for i := 0; i < len(source); {
		start := strings.Index(source[i:], "{{")
		if start < 0 {
			masked = append(masked, source[i:]...)
			break
		}
		start += i
		masked = append(masked, source[i:start]...)
		end := closing(source, start)
		if end < 0 {
			c.mistake(start, "this {{ is never closed with }}")
			masked = append(masked, "{{"...)
			i = start + 2
			continue
		}
		if len(t.actions) == maxMarks {
			c.mistake(start, "a letter has at most %d actions", maxMarks)
			break
		}
		inner, left, right := untrimmed(source[start+2 : end-2])
		a := c.action(inner, end-2-len(right)-len(inner), slices.Contains(open, opRange))
		a.at = start
		switch {
		case a.op == opIf || a.op == opRange:
			open = append(open, a.op)
		case a.op == opEnd && len(open) > 0:
			open = open[:len(open)-1]
		}
		// As in Go's templates {{- and -}} take away the space around; line ends stay, they are Markdown's.
		if left != "" {
			masked = bytes.TrimRight(masked, " \t")
		}
		i = end
		if right != "" {
			i = len(source) - len(strings.TrimLeft(source[end:], " \t"))
		}
		t.shifts = append(t.shifts, shift{len(masked), start})
		masked = utf8.AppendRune(masked, firstMark+rune(len(t.actions)))
		t.shifts = append(t.shifts, shift{len(masked), i})
		t.actions = append(t.actions, a)
	}
	t.masked = string(masked)
	return t
}

// untrimmed takes the trim marks, a hyphen and a space, from what stands between {{ and }}.
func untrimmed(s string) (inner, left, right string) {
	if len(s) > 1 && s[0] == '-' && blank(s[1]) {
		left, s = "-", s[1:]
	}
	if n := len(s); n > 1 && s[n-1] == '-' && blank(s[n-2]) {
		right, s = "-", s[:n-1]
	}
	return s, left, right
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }

// closing finds the end of the action that begins at start, past strings and comments; -1: there is none.
func closing(s string, start int) int {
	i := start + 2
	if rest := strings.TrimLeft(s[i:], "- \t"); strings.HasPrefix(rest, "/*") {
		end := strings.Index(rest, "*/")
		if end < 0 {
			return -1
		}
		i = len(s) - len(rest) + end + 2
	}
	for i < len(s) {
		switch c := s[i]; {
		case strings.HasPrefix(s[i:], "}}"):
			return i + 2
		case strings.HasPrefix(s[i:], "{{"):
			return -1
		case c == '"' || c == '\'' || c == '`':
			i++
			for i < len(s) && s[i] != c {
				if s[i] == '\n' {
					return -1
				}
				if s[i] == '\\' && c != '`' {
					i++
				}
				i++
			}
			i++
		default:
			i++
		}
	}
	return -1
}

var parserPrefix = regexp.MustCompile(`^template: [^:]*:\d+(:\d+)?: `)

// action checks what stands between {{ and }}; from is where that begins in the source.
func (c *compiler) action(inner string, from int, inRange bool) action {
	trimmed := strings.TrimLeft(inner, " \t\n")
	from += len(inner) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, " \t\n")
	if strings.HasPrefix(trimmed, "/*") {
		return action{op: opComment}
	}
	keyword, rest := trimmed, ""
	if i := strings.IndexAny(trimmed, " \t\n"); i >= 0 {
		keyword, rest = trimmed[:i], trimmed[i:]
	}
	expression := strings.TrimLeft(rest, " \t\n")
	at := from + len(trimmed) - len(expression)
	switch keyword {
	case "":
		c.mistake(from, "there is nothing between {{ and }}")
	case "if":
		return action{op: opIf, code: c.condition(expression, at, inRange)}
	case "else":
		if expression == "" {
			return action{op: opElse}
		}
		condition, ok := strings.CutPrefix(expression, "if")
		if !ok || condition != "" && !blank(condition[0]) {
			c.mistake(at, "after else only if can stand")
			return action{op: opElse}
		}
		condition = strings.TrimLeft(condition, " \t\n")
		return action{op: opElseIf, code: c.condition(condition, from+len(trimmed)-len(condition), inRange)}
	case "end":
		if expression != "" {
			c.mistake(at, "end stands alone")
		}
		return action{op: opEnd}
	case "range":
		return action{op: opRange, code: c.collection(expression, at, inRange)}
	case "with", "define", "template", "block", "break", "continue":
		c.mistake(from, "%s is no word of letters: there are if, else, end and range", keyword)
	default:
		e, ok := c.expression(trimmed, from, inRange)
		if ok && (e.sense == aYesNo || e.sense == aList) {
			c.mistake(from, "%s says nothing by itself: ask for it with {{ if … }}%s", trimmed, map[bool]string{true: " or go through it with {{ range … }}"}[e.sense == aList])
		}
		if !ok {
			e.code = `""` // something has to stand there while the rest is looked at
		}
		return action{op: opValue, code: e.code, name: e.name}
	}
	return action{op: opComment}
}

// condition checks what stands after if.
func (c *compiler) condition(s string, at int, inRange bool) string {
	if s == "" {
		c.mistake(at, "if asks for nothing")
		return "false"
	}
	e, ok := c.expression(s, at, inRange)
	if !ok {
		return "false"
	}
	return e.code
}

// collection checks what stands after range: only the member's topics, whose number the view bounds.
func (c *compiler) collection(s string, at int, inRange bool) string {
	e, ok := c.expression(s, at, inRange)
	switch {
	case ok && e.sense != aList:
		c.mistake(at, "range goes through member.topics and nothing else")
	case ok && inRange:
		c.mistake(at, "a range in a range is not allowed")
	}
	if !ok || e.sense != aList {
		return "$.MemberTopics"
	}
	return e.code
}

// expression is an expression of a letter, rewritten.
type expression struct {
	code, name string
	sense      sense
}

// expression parses s with Go's own parser and lets pass only what letters may say.
func (c *compiler) expression(s string, at int, inRange bool) (expression, bool) {
	if len(s) > 1000 {
		c.mistake(at, "this is too long for one action")
		return expression{}, false
	}
	const before = "{{"
	tree := parse.New("letter")
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(before+s+"}}", "", "", map[string]*parse.Tree{}); err != nil {
		c.mistake(at, "this cannot be read: %s", parserPrefix.ReplaceAllString(err.Error(), ""))
		return expression{}, false
	}
	var found *parse.ActionNode
	if len(tree.Root.Nodes) == 1 {
		found, _ = tree.Root.Nodes[0].(*parse.ActionNode)
	}
	if found == nil {
		c.mistake(at, "this cannot be read: it is no name and no question")
		return expression{}, false
	}
	x := &expressions{compiler: c, base: at - len(before), inRange: inRange}
	e := x.pipe(found.Pipe, 0)
	return e, !x.bad
}

// expressions rewrites one parsed expression.
type expressions struct {
	*compiler
	base    int // what to add to a node's position to get the place in the source
	inRange bool
	bad     bool
}

func (x *expressions) wrong(n parse.Node, format string, args ...any) expression {
	x.bad = true
	x.mistake(x.base+int(n.Position()), format, args...)
	return expression{}
}

func (x *expressions) pipe(p *parse.PipeNode, depth int) expression {
	switch {
	case depth > maxDepth:
		return x.wrong(p, "this is nested too deeply")
	case len(p.Decl) > 0:
		return x.wrong(p, "variables are not used in letters")
	case len(p.Cmds) != 1:
		return x.wrong(p.Cmds[1], "| is not used in letters")
	}
	args := p.Cmds[0].Args
	if id, ok := args[0].(*parse.IdentifierNode); ok {
		if _, ok := functions[id.Ident]; ok {
			return x.call(id, args[1:], depth)
		}
	}
	e := x.operand(args[0], depth)
	if len(args) > 1 && !x.bad {
		return x.wrong(args[1], "%s takes nothing after it", args[0])
	}
	return e
}

// call rewrites a function and what it takes.
func (x *expressions) call(id *parse.IdentifierNode, args []parse.Node, depth int) expression {
	f := functions[id.Ident]
	if len(args) < f.least || len(args) > f.most {
		return x.wrong(id, "%s takes %s", id.Ident, counted(f.least, f.most))
	}
	result := f.sense
	code := make([]string, 0, len(args)+1)
	code = append(code, id.Ident)
	if id.Ident == "follows" {
		if _, ok := args[0].(*parse.StringNode); !ok {
			return x.wrong(args[0], `follows takes a topic in quotes: follows "news"`)
		}
		code = append(code, "$")
	}
	questions := 0
	for _, arg := range args {
		e := x.operand(arg, depth+1)
		if e.sense == aList {
			return x.wrong(arg, `member.topics is gone through with range; ask for one with follows "news"`)
		}
		if e.sense == aYesNo {
			questions++
		}
		code = append(code, e.code)
	}
	if (id.Ident == "and" || id.Ident == "or") && questions > 0 {
		result = aYesNo
	}
	if id.Ident == "date" || id.Ident == "day" {
		code = append(code, fmt.Sprintf("%q", x.language))
	}
	return expression{code: "(" + strings.Join(code, " ") + ")", sense: result}
}

func counted(least, most int) string {
	switch {
	case least == 1 && most == 1:
		return "one thing after it"
	case least == most:
		return fmt.Sprintf("%d things after it", least)
	}
	return fmt.Sprintf("%d to %d things after it", least, most)
}

func (x *expressions) operand(n parse.Node, depth int) expression {
	switch n := n.(type) {
	case *parse.PipeNode:
		return x.pipe(n, depth+1)
	case *parse.StringNode:
		if utf8.RuneCountInString(n.Text) > 200 || n.Text != oneLine(n.Text) && strings.TrimSpace(n.Text) == n.Text {
			return x.wrong(n, "words in quotes are short and on one line")
		}
		return expression{code: fmt.Sprintf("%q", n.Text)}
	case *parse.NumberNode:
		if !n.IsInt && !n.IsFloat || strings.HasPrefix(n.Text, "'") {
			return x.wrong(n, "%s is no number for letters", n.Text)
		}
		return expression{code: n.Text}
	case *parse.BoolNode:
		return expression{code: n.String(), sense: aYesNo}
	case *parse.DotNode:
		if !x.inRange {
			return x.wrong(n, "the dot means something only inside {{ range member.topics }}")
		}
		return expression{code: "."}
	case *parse.IdentifierNode:
		if f, ok := functions[n.Ident]; ok {
			return x.wrong(n, "%s takes %s; put both in parentheses", n.Ident, counted(f.least, f.most))
		}
		return x.name(n, n.Ident)
	case *parse.ChainNode:
		if id, ok := n.Node.(*parse.IdentifierNode); ok {
			return x.name(id, id.Ident+"."+strings.Join(n.Field, "."))
		}
	case *parse.FieldNode:
		return x.wrong(n, "names are written without the first dot: %s", guess(strings.Join(n.Ident, "."), x.fields))
	case *parse.VariableNode:
		return x.wrong(n, "variables are not used in letters")
	}
	return x.wrong(n, "%s cannot stand here", n)
}

func guess(name string, fields []string) string {
	if near := nearest(strings.ToLower(name), fields); near != "" {
		return near
	}
	return name
}

// name looks a name up.
func (x *expressions) name(n parse.Node, name string) expression {
	if w, ok := vocabulary[name]; ok {
		if name == "message.subject" && x.inSubject {
			w.code = "$.MessageSubjectLine"
		}
		return expression{code: w.code, name: name, sense: w.sense}
	}
	field, further := strings.CutPrefix(name, "member.")
	if further && x.known(field) {
		return expression{code: fmt.Sprintf("(field $ %q)", field), name: name}
	}
	var parts []string
	for known := range vocabulary {
		if strings.HasPrefix(known, name+".") {
			parts = append(parts, known)
		}
		if strings.HasPrefix(name, known+".") {
			return x.wrong(n, "unknown name %s; %s has no parts", name, known)
		}
	}
	switch near := nearest(name, x.fields); {
	case len(parts) > 0:
		return x.wrong(n, "%s by itself says nothing: write %s", name, either(parts))
	case near != "":
		return x.wrong(n, "unknown name %s; did you mean %s?", name, near)
	case further:
		return x.wrong(n, "unknown name %s; further fields of members are declared under fields: in the configuration", name)
	}
	return x.wrong(n, "unknown name %s", name)
}
