package members

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
)

// A ConditionError is a mistake in a condition.
type ConditionError struct {
	Line, Column int    // in the source, from 1, columns in characters
	Message      string // a sentence, without the place
	Near         string // the text at the place; "" at the end
}

func (e *ConditionError) Error() string {
	if e.Near == "" {
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
	}
	return fmt.Sprintf("line %d, column %d, near %q: %s", e.Line, e.Column, e.Near, e.Message)
}

var (
	unknownName   = regexp.MustCompile(`^unknown name (\S+)$`)
	unknownField  = regexp.MustCompile(`^unknown field (\S+)$`)
	mismatched    = regexp.MustCompile(`^invalid operation: (\S+) \(mismatched types? (.+?)(?: and (.+))?\)$`)
	notInList     = regexp.MustCompile(`^cannot use (\S+) as type (\S+) in (?:array|map key)$`)
	expected      = regexp.MustCompile(`^expected bool, but got (.+)$`)
	unexpectedEnd = regexp.MustCompile(`^unexpected token EOF`)
	unexpected    = regexp.MustCompile(`^unexpected token (\w+)\((.*)\)`)
	strange       = regexp.MustCompile(`^unrecognized character: U\+[0-9A-F]+ '(.+)'$`)
	noField       = regexp.MustCompile(`^type (.+?)(?:\[.*\])? has no (?:field|method) (.+)$`)
	noCall        = regexp.MustCompile(`^(.+) is not callable$`)
)

// explain puts the compiler's message into the words of a shop owner.
func (s *scope) explain(err error) *ConditionError {
	var found *file.Error
	if !errors.As(err, &found) {
		return &ConditionError{Line: 1, Column: 1, Message: s.sentence(err.Error(), 0), Near: near(s.source, 0)}
	}
	at := found.From
	if found.Line > 0 { // the lexer's columns are surer than its offsets
		at = offset(s.source, found.Line, found.Column)
	}
	if unexpectedEnd.MatchString(found.Message) {
		at = len([]rune(s.source))
	}
	line, column := position(s.source, at)
	return &ConditionError{Line: line, Column: column, Message: s.sentence(found.Message, at), Near: near(s.source, at)}
}

func offset(source string, line, column int) int {
	at := 0
	for text := range strings.Lines(source) {
		if line--; line == 0 {
			break
		}
		at += len([]rune(text))
	}
	return at + column
}

func (s *scope) sentence(message string, at int) string {
	if m := unknownName.FindStringSubmatch(message); m != nil {
		return s.unknownName(m[1])
	}
	if m := unknownField.FindStringSubmatch(message); m != nil {
		return s.unknownField(m[1], at)
	}
	if m := mismatched.FindStringSubmatch(message); m != nil {
		if m[3] == "" {
			return fmt.Sprintf("%s cannot be used with %s", m[1], typeName(m[2]))
		}
		if m[1] == "%" && typeName(m[2]) == typeName(m[3]) {
			return "% needs whole numbers: put int( ) around what may have a fraction"
		}
		return fmt.Sprintf("%s cannot be used between %s and %s", m[1], typeName(m[2]), typeName(m[3]))
	}
	if m := notInList.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s is looked for among %s", typeName(m[1]), plural(typeName(m[2])))
	}
	if m := expected.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("a condition must be true or false, but this is %s", typeName(m[1]))
	}
	if unexpectedEnd.MatchString(message) {
		return "the condition stops in the middle: something is missing at the end"
	}
	if m := unexpected.FindStringSubmatch(message); m != nil {
		return unexpectedToken(strings.Trim(m[2], `"`))
	}
	if m := strange.FindStringSubmatch(message); m != nil {
		return strangeCharacter(m[1])
	}
	if m := noField.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s has no part %s", typeName(m[1]), m[2])
	}
	if m := noCall.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s cannot be called like a function", typeName(m[1]))
	}
	switch {
	case strings.HasPrefix(message, "literal not terminated"):
		return "a quote is opened and never closed"
	case strings.HasPrefix(message, "compilation failed: expression exceeds maximum"):
		return fmt.Sprintf("the condition has more than %d parts", maxNodes)
	case strings.Contains(message, "error parsing regexp"):
		return "the pattern cannot be read: " + strings.TrimPrefix(message, "error parsing regexp: ")
	}
	return message
}

// unknownName knows the usual mistakes: a word without quotes, a column without member., a function that is not there.
func (s *scope) unknownName(name string) string {
	if _, ok := s.member[name]; ok {
		return fmt.Sprintf("%s is not known here; did you mean member.%s?", name, name)
	}
	if name == "now" {
		return "now() is not available here: use member.days_since_joined, member.days_since_order or date(\"2026-12-31\")"
	}
	if name == "message" {
		return "message is not known here: only the rules of the responder judge a message"
	}
	if slices.Contains(builtin.Names, name) {
		return fmt.Sprintf("%s is not available in a condition; there are %s", name, list(builtins))
	}
	names := append(s.names(s.env), builtins...)
	if near := Nearest(name, names); near != "" {
		return fmt.Sprintf("%s is not known here; did you mean %s?", name, near)
	}
	return fmt.Sprintf("%s is not known here; a text stands in quotes: %s", name, quote(name))
}

// unknownField is about the part after a dot. The place says whose part it is.
func (s *scope) unknownField(name string, at int) string {
	before := strings.TrimRight(string([]rune(s.source)[:at]), " \t\n.[?")
	for base, typ := range s.env {
		parts, ok := typ.(types.Map)
		if !ok || base == "member" || !strings.HasSuffix(before, base) {
			continue
		}
		return fmt.Sprintf("%s has no %q; it has %s%s", base, name, list(slices.Sorted(maps.Keys(parts))), meant(name, s.names(parts)))
	}
	if near := Nearest(name, s.names(s.member)); near != "" {
		return fmt.Sprintf("a member has no %q; did you mean %q?", name, near)
	}
	return fmt.Sprintf("a member has no %q; a further column of your lists has to be declared under fields, like %s: string", name, name)
}

func unexpectedToken(token string) string {
	switch token {
	case "=":
		return "a single = says nothing; write == to compare"
	case "":
		return "something is missing or too much here"
	}
	return fmt.Sprintf("%q is not expected here; is something missing before it?", clip(token))
}

func strangeCharacter(character string) string {
	switch character {
	case "“", "”", "‘", "’", "„", "«", "»", "「", "」", "＂":
		return fmt.Sprintf("%s is a curly quote; write a straight one: \"", character)
	case "＝", "（", "）", "＜", "＞", "！", "，", "．", "。":
		return fmt.Sprintf("%s is a wide character; write the plain one", character)
	}
	return fmt.Sprintf("%s cannot stand here", character)
}

// typeName is a type in plain words.
func typeName(typ string) string {
	switch typ {
	case "string":
		return "a text"
	case "int", "float64":
		return "a number"
	case "bool":
		return "a yes or no"
	case "time.Time":
		return "a date"
	case "time.Duration":
		return "a duration"
	case "nil":
		return "nothing"
	case "unknown", "interface {}":
		return "a value of no certain type"
	}
	if strings.HasPrefix(typ, "[]") {
		return "a list"
	}
	if strings.HasPrefix(typ, "map[") {
		return "a whole with parts"
	}
	if strings.HasPrefix(typ, "func") {
		return "a function"
	}
	return typ
}

func plural(name string) string {
	switch name {
	case "a text":
		return "texts"
	case "a number":
		return "numbers"
	}
	return name
}

func quote(s string) string { return strconv.Quote(clip(s)) }
