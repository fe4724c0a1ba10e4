package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// syntax reports that the file is no YAML, in the words of somebody who never heard of it. Tabs are reported line by line: they are the
// usual reason, and the parser stops at the first.
func (d *decoder) syntax(err error) {
	before := len(d.errors)
	for i, line := range d.lines {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if at := strings.IndexByte(indent, '\t'); at >= 0 && strings.TrimSpace(line) != "" {
			d.report(i+1, at+1, "", "a tab stands at the beginning of the line: indent with spaces")
		}
	}
	if len(d.errors) > before {
		return
	}
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		d.report(1, 1, "", fmt.Sprintf("the file cannot be read as YAML: %v", err))
		return
	}
	line, column := load.Mark.Line, load.Mark.Column
	if strings.Contains(load.Message, "multiple") {
		line, column = d.secondDocument(), 1
	}
	if load.ContextMark.Line > 0 && (strings.HasPrefix(load.ContextMsg, "while scanning a quoted") || strings.HasPrefix(load.ContextMsg, "while parsing a flow")) {
		line, column = load.ContextMark.Line, load.ContextMark.Column // where it opened, not where the file ended
	}
	d.report(line, column, "", d.syntaxWords(load, line, column))
}

// secondDocument is the line of the --- that ends the first document.
func (d *decoder) secondDocument() int {
	begun := false
	for i, line := range d.lines {
		if begun && strings.HasPrefix(line, "---") {
			return i + 1
		}
		begun = begun || strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "%")
	}
	return 1
}

var unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)

func (d *decoder) syntaxWords(load *yaml.LoadError, line, column int) string {
	here := d.source(&yaml.Node{Line: line, Column: column})
	if m := unknownAnchor.FindStringSubmatch(load.Message); m != nil {
		return fmt.Sprintf("a value that begins with * has to stand in quotes: \"*%s\"", m[1])
	}
	switch message := load.Message; {
	case strings.Contains(message, "mapping values are not allowed"):
		return "a second colon stands here: either a colon is missing at the end of the line above, or this line is indented too far, or the value has to stand in quotes"
	case strings.Contains(message, "cannot start any token"):
		return fmt.Sprintf("a value that begins with %q has to stand in quotes", first(here))
	case strings.Contains(message, "unexpected end of stream") && strings.Contains(load.ContextMsg, "quoted"):
		return "a quote is opened here and never closed"
	case strings.Contains(message, "expected ',' or ']'"):
		return "a bracket [ is opened here and not closed"
	case strings.Contains(message, "expected ',' or '}'"):
		return "a brace { is opened here and not closed"
	case strings.Contains(message, "unknown escape character"):
		return `a backslash inside double quotes has to be doubled (\\), or use single quotes`
	case strings.Contains(message, "could not find expected ':'"):
		return "a colon is missing in this line or the one above"
	case strings.Contains(message, "expected key"):
		return "this line does not fit: it is indented otherwise than the lines it belongs to, or text stands behind a closing quote"
	case strings.Contains(message, "expected '-' indicator"):
		return "a list and keys stand side by side: indent the entries of a list below their key"
	case strings.Contains(message, "multiple"):
		return "the file holds several documents: remove the line ---"
	case strings.Contains(message, "no documents"):
		return "the file is empty; config.example.yaml shows what belongs into it"
	}
	return "the file cannot be read as YAML here: " + load.Message
}

// first is the first character.
func first(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}
