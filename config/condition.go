package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"github.com/returnpost/returnpost/members"
)

// messageNames are the names under message in a rule's condition.
var messageNames = map[string]any{"message": map[string]any{"subject": "", "text": "", "language": "", "to": "", "from": ""}}

// condition compiles an expression. fields and topics stand before every condition in Config, so they are read already.
func (d *decoder) condition(n *yaml.Node, path string, v reflect.Value, f field) {
	source, _, ok := d.text(n, path, true)
	if !ok {
		return
	}
	var extra map[string]any
	if f.tag.Get("names") == "message" {
		extra = messageNames
	}
	c, err := members.Compile(source, d.config.Fields, extra)
	var mistake *members.ConditionError
	switch {
	case errors.As(err, &mistake) && d.mistyped(source):
		return
	case errors.As(err, &mistake):
		message := mistake.Message
		if mistake.Near != "" {
			message += " (near " + mistake.Near + ")"
		}
		line, column := d.place(n, source, mistake.Line, mistake.Column)
		d.report(line, column, path, message)
		return
	case err != nil:
		d.fail(n, path, "%v", err)
		return
	}
	v.Set(reflect.ValueOf(c))
	names := d.topicNames()
	for _, mention := range c.Followed() {
		if len(names) > 0 && !slices.Contains(names, mention.Topic) {
			line, column := d.place(n, source, mention.Line, mention.Column)
			d.report(line, column, path, "there is no topic "+mention.Topic+" under topics"+meant(mention.Topic, names))
		}
	}
}

// mistyped says whether the condition uses a field whose type under fields is wrong, which is a mistake of its own.
func (d *decoder) mistyped(source string) bool {
	for name, kind := range d.config.Fields {
		if !slices.Contains(members.FieldTypes, kind) && strings.Contains(source, "member."+name) {
			return true
		}
	}
	return false
}

func (d *decoder) topicNames() []string {
	var names []string
	for _, topic := range d.config.Topics {
		names = append(names, topic.Name)
	}
	return names
}

// place is where a line and column inside a value stand in the file. YAML folds lines, doubles quotes and escapes, so the
// value is followed through the file character by character. A value that was expanded is only pointed at.
func (d *decoder) place(n *yaml.Node, value string, line, column int) (int, int) {
	if value != n.Value || n.Line > len(d.lines) {
		return n.Line, n.Column
	}
	before := 0 // characters of the value before the place
	for text := range strings.Lines(value) {
		if line--; line == 0 {
			break
		}
		before += len([]rune(text))
	}
	before += column - 1
	row, at := n.Line, n.Column-1
	switch n.Style & (yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle) {
	case yaml.LiteralStyle, yaml.FoldedStyle:
		row, at = n.Line+1, 0 // behind the | or >
	case yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle:
		at++
	}
	t := track{lines: d.lines, row: row, at: at, style: n.Style}
	characters := []rune(value)
	before = min(before, len(characters))
	for _, r := range characters[:before] {
		t.pass(r)
	}
	if before < len(characters) {
		t.settle(characters[before])
	}
	return t.row, t.at + 1
}

// track is a place in the file that moves with the characters of a value.
type track struct {
	lines []string
	row   int // from 1
	at    int // in characters, from 0
	style yaml.Style

	split   int // the row that is split into characters
	current []rune
}

func (t *track) line() []rune {
	if t.row > len(t.lines) {
		return nil
	}
	if t.split != t.row {
		t.split, t.current = t.row, []rune(strings.TrimRight(t.lines[t.row-1], "\r"))
	}
	return t.current
}

// settle moves over the blanks and line ends that stand in the file but not in the value, up to r.
func (t *track) settle(r rune) {
	for t.row <= len(t.lines) {
		line := t.line()
		switch {
		case t.at >= len(line) && !unicode.IsSpace(r):
			t.row, t.at = t.row+1, 0
		case t.at < len(line) && unicode.IsSpace(line[t.at]) && !unicode.IsSpace(r):
			t.at++
		default:
			return
		}
	}
}

// pass moves behind r.
func (t *track) pass(r rune) {
	t.settle(r)
	line := t.line()
	switch {
	case t.at >= len(line):
		if unicode.IsSpace(r) {
			t.row, t.at = t.row+1, 0
		}
	case t.style&yaml.DoubleQuotedStyle != 0 && line[t.at] == '\\' && t.at+1 < len(line):
		t.at += map[rune]int{'x': 4, 'u': 6, 'U': 10}[line[t.at+1]]
		if !strings.ContainsRune("xuU", line[min(t.at+1, len(line)-1)]) || line[t.at] == '\\' {
			t.at += 2
		}
	case t.style&yaml.SingleQuotedStyle != 0 && line[t.at] == '\'':
		t.at += 2
	default:
		t.at++
	}
}
