package members

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// A scope is what one condition may name, and the visitor that goes through it: it notes what is used, settles dates,
// and refuses what the type check lets pass but a condition must not have.
type scope struct {
	source  string
	fields  Fields
	extra   map[string]any
	env     types.Map
	member  types.Map
	refused *ConditionError

	used     map[string]bool            // under member
	parts    map[string]map[string]bool // under the extra names
	bare     []*ast.IdentifierNode      // of member and extra names with parts, less those that stand before a dot
	followed map[int]Mention            // by position
	follows  bool
	now      bool
}

func newScope(source string, fields Fields, extra map[string]any) *scope {
	s := &scope{
		source: source, fields: Fields{}, env: types.Map{}, member: types.Map{},
		used: map[string]bool{}, parts: map[string]map[string]bool{}, followed: map[int]Mention{},
	}
	for name, kind := range fields {
		if _, ok := kinds[kind]; ok {
			s.fields[name] = kind
			s.member[name] = kinds[kind]
		}
	}
	for name, k := range known {
		s.member[name] = k.typ
	}
	s.extra = maps.Clone(extra)
	for _, own := range []string{"member", "follows", "now"} {
		delete(s.extra, own)
	}
	for name, sample := range s.extra {
		s.env[name] = sampleType(sample)
	}
	if _, ok := extra["now"].(time.Time); ok {
		s.env["now"] = types.TypeOf(func() time.Time { return time.Time{} })
	}
	s.env["member"] = s.member
	s.env["follows"] = types.TypeOf(func(string) bool { return false })
	return s
}

func sampleType(sample any) types.Type {
	parts, ok := sample.(map[string]any)
	if !ok {
		return types.TypeOf(sample)
	}
	m := types.Map{}
	for name, part := range parts {
		m[name] = sampleType(part)
	}
	return m
}

// refuseBare refuses member itself, or message itself: only their parts have a meaning.
func (s *scope) refuseBare() {
	for _, n := range s.bare {
		s.refuse(n.Location(), n.Value+" alone says nothing: name the part you mean, like "+n.Value+".language")
	}
}

// condition puts together what the visitor found.
func (s *scope) condition(program *vm.Program) *Condition {
	c := &Condition{source: s.source, program: program, follows: s.follows, now: s.now, extra: map[string]any{}, parts: map[string][]string{}}
	for _, name := range slices.Sorted(maps.Keys(s.used)) {
		if k, ok := known[name]; ok {
			c.uses = append(c.uses, use{name, k.value})
			continue
		}
		kind := s.fields[name]
		c.uses = append(c.uses, use{name, func(m *Member, _ time.Time) any { return fieldValue(m, name, kind) }})
	}
	for name, parts := range s.parts {
		c.extra[name] = s.extra[name]
		c.parts[name] = slices.Sorted(maps.Keys(parts))
	}
	for _, at := range slices.Sorted(maps.Keys(s.followed)) {
		c.followed = append(c.followed, s.followed[at])
	}
	return c
}

// refuse keeps the first refusal.
func (s *scope) refuse(at file.Location, message string) {
	if s.refused == nil {
		line, column := position(s.source, at.From)
		s.refused = &ConditionError{Line: line, Column: column, Message: message, Near: near(s.source, at.From)}
	}
}

// Visit is called by the compiler for every node, the inner ones first.
func (s *scope) Visit(node *ast.Node) {
	at := (*node).Location()
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		s.identifier(n)
	case *ast.MemberNode:
		s.property(n)
	case *ast.CallNode:
		s.call(n)
	case *ast.BuiltinNode:
		s.builtin(node, n)
	case *ast.BinaryNode:
		s.binary(n)
	case *ast.NilNode:
		s.refuse(at, `nil is not available in a condition: what is not known is "" as a text, 0 as a number, false as a yes or no`)
	case *ast.VariableDeclaratorNode:
		s.refuse(at, "let is not available in a condition")
	case *ast.SequenceNode:
		s.refuse(at, "a condition is one expression; remove the semicolon")
	}
}

func (s *scope) identifier(n *ast.IdentifierNode) {
	switch {
	case n.Value == "$env":
		s.refuse(n.Location(), "$env is not available in a condition")
	case n.Value == "follows":
		s.follows = true
	case n.Value == "now":
		s.now = true
	case n.Value == "member":
		s.bare = append(s.bare, n)
	default:
		sample, ok := s.extra[n.Value]
		if ok && s.parts[n.Value] == nil {
			s.parts[n.Value] = map[string]bool{}
		}
		if _, parts := sample.(map[string]any); parts {
			s.bare = append(s.bare, n)
		}
	}
}

// methods are those of a date that a condition may call.
var methods = []string{"Year", "Day", "YearDay", "Hour", "Minute", "Before", "After", "Equal", "IsZero"}

func (s *scope) property(n *ast.MemberNode) {
	property, fixed := n.Property.(*ast.StringNode)
	if base, ok := n.Node.(*ast.IdentifierNode); ok {
		_, extra := s.extra[base.Value]
		switch {
		case !fixed && (base.Value == "member" || extra):
			s.refuse(n.Location(), "name the part of "+base.Value+" you mean, like "+base.Value+".language")
		case base.Value == "member" && fixed:
			s.used[property.Value] = true
			s.bare = slices.DeleteFunc(s.bare, func(n *ast.IdentifierNode) bool { return n == base })
		case extra && fixed:
			s.parts[base.Value][property.Value] = true
			s.bare = slices.DeleteFunc(s.bare, func(n *ast.IdentifierNode) bool { return n == base })
		}
	}
	if nature := n.Node.Nature(); !fixed && nature != nil && nature.IsArray() {
		s.refuse(n.Location(), `the places of a list have no meaning: write "news" in member.topics`)
	}
	if nature := n.Node.Nature(); fixed && nature != nil && nature.IsTime() && !slices.Contains(methods, property.Value) {
		s.refuse(n.Location(), "a date has no "+property.Value+"; it has "+list(methods))
	}
	if nature := n.Node.Nature(); fixed && nature != nil && nature.IsDuration() {
		s.refuse(n.Location(), "a duration has no "+property.Value)
	}
}

func (s *scope) call(n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok || callee.Value != "follows" || len(n.Arguments) != 1 {
		return
	}
	topic, ok := n.Arguments[0].(*ast.StringNode)
	if !ok {
		s.refuse(n.Location(), `follows needs a topic in quotes, like follows("news")`)
		return
	}
	line, column := position(s.source, topic.Location().From)
	s.followed[topic.Location().From] = Mention{topic.Value, line, column}
}

func (s *scope) builtin(node *ast.Node, n *ast.BuiltinNode) {
	switch n.Name {
	case "all", "any", "none", "one", "count":
		for _, argument := range n.Arguments {
			if containsLoop(argument) {
				s.refuse(n.Location(), n.Name+" may not stand inside another "+n.Name)
			}
		}
	case "date":
		if text, ok := onlyText(n.Arguments); ok {
			t, ok := parseTime(text)
			if !ok {
				s.refuse(n.Location(), "the date "+text+` cannot be read: write date("2026-12-31")`)
				return
			}
			ast.Patch(node, &ast.ConstantNode{Value: t})
			return
		}
		s.refuse(n.Location(), `date needs one date in quotes, like date("2026-12-31")`)
	case "duration":
		if text, ok := onlyText(n.Arguments); ok {
			d, err := time.ParseDuration(text)
			if err != nil {
				s.refuse(n.Location(), "the duration "+text+` cannot be read: write duration("36h")`)
				return
			}
			ast.Patch(node, &ast.ConstantNode{Value: d})
			return
		}
		s.refuse(n.Location(), `duration needs one length in quotes, like duration("36h")`)
	}
}

func onlyText(arguments []ast.Node) (string, bool) {
	if len(arguments) != 1 {
		return "", false
	}
	text, ok := arguments[0].(*ast.StringNode)
	if !ok {
		return "", false
	}
	return text.Value, true
}

// containsLoop says whether a loop stands in the tree.
func containsLoop(node ast.Node) bool {
	finder := &loopFinder{}
	ast.Walk(&node, finder)
	return finder.found
}

type loopFinder struct{ found bool }

func (f *loopFinder) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.BuiltinNode); ok && slices.Contains([]string{"all", "any", "none", "one", "count"}, n.Name) {
		f.found = true
	}
}

func (s *scope) binary(n *ast.BinaryNode) {
	switch n.Operator {
	case "..":
		s.refuse(n.Location(), "a range is not available in a condition: write x >= 1 and x <= 9")
	case "|":
		s.refuse(n.Location(), "| is not available in a condition: write or")
	case "+":
		if isText(n.Left) || isText(n.Right) {
			s.refuse(n.Location(), "texts cannot be joined in a condition")
		}
	case "matches":
		if _, ok := n.Right.(*ast.StringNode); !ok {
			s.refuse(n.Location(), `matches needs a pattern in quotes, like member.email matches "@example[.]com$"`)
		}
	case "==", "!=":
		s.choice(n.Left, n.Right)
		s.choice(n.Right, n.Left)
	case "in":
		if words, ok := n.Right.(*ast.ArrayNode); ok {
			for _, word := range words.Nodes {
				s.choice(n.Left, word)
			}
		}
	}
}

// choice refuses to compare a column with a word it can never hold.
func (s *scope) choice(column, word ast.Node) {
	name, ok := memberName(column)
	text, constant := word.(*ast.StringNode)
	if !ok || !constant || text.Value == "" {
		return
	}
	if words := equalsChoice[name]; words != nil && !slices.Contains(words, text.Value) {
		s.refuse(word.Location(), "member."+name+" is never "+quote(text.Value)+": it is one of "+list(words)+meant(text.Value, words))
	}
}

func isText(node ast.Node) bool {
	nature := node.Nature()
	return nature != nil && nature.Type != nil && nature.Kind == reflect.String
}

// known names for suggestions, sorted.
func (s *scope) names(of types.Map) []string {
	return slices.Sorted(maps.Keys(of))
}

// position turns an offset in runes into a line and a column, both from 1.
func position(source string, offset int) (line, column int) {
	line, column = 1, 1
	for _, r := range source {
		if offset == 0 {
			break
		}
		offset--
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

// near is the text at an offset in runes, up to the end of its line and some twenty characters.
func near(source string, offset int) string {
	runes := []rune(source)
	offset = min(max(offset, 0), len(runes))
	text, _, _ := strings.Cut(string(runes[offset:min(len(runes), offset+20)]), "\n")
	return strings.TrimSpace(text)
}
