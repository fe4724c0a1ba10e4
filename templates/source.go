package templates

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxSource is the most a letter's file may hold.
const maxSource = 64 << 10

// Mistake is something in a letter's file that its writer has to mend. Line and Column count from 1,
// in the file as it is (front matter included), columns in characters.
type Mistake struct {
	File         string
	Line, Column int
	Message      string
}

func (m *Mistake) Error() string {
	if m.Line == 0 {
		return fmt.Sprintf("%s: %s", m.File, m.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Message)
}

// fileName is what a letter's file is called: acknowledgement.en.md, welcome.zh-TW.md. The language is
// the part of RFC 5646 that shops have use for.
var (
	fileName    = regexp.MustCompile(`^([a-z0-9][a-z0-9_-]{0,63})\.(` + language + `)\.md$`)
	languageTag = regexp.MustCompile(`^(` + language + `)$`)
)

const language = `[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}`

// Source is a letter as it was written.
type Source struct {
	File           string // as mistakes name it
	Name, Language string
	Data           []byte   // front matter and Markdown
	Keys           []string // further keys that the front matter may hold; they mean nothing here
	Line           int      // how many lines of the file come before Data
}

// compiler turns one file into one letter and notes the mistakes on the way.
type compiler struct {
	file      string
	language  string
	fields    []string // the further fields of members that letters may name
	above     int      // lines of the file before the source
	source    string   // the file's text, with single line feeds and no byte order mark
	inSubject bool     // names mean the subject line's forms
	place     func(at int) int
	mistakes  []*Mistake
}

// mistake notes a mistake at an offset of the passage that is being compiled.
func (c *compiler) mistake(at int, format string, args ...any) {
	offset := min(max(c.place(at), 0), len(c.source))
	before := c.source[:offset]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	c.note(line, column, fmt.Sprintf(format, args...))
}

func (c *compiler) note(line, column int, message string) {
	if len(c.mistakes) < 50 {
		if line > 0 {
			line += c.above
		}
		c.mistakes = append(c.mistakes, &Mistake{c.file, line, column, message})
	}
}

// known tells whether letters may name this further field of a member.
func (c *compiler) known(field string) bool { return slices.Contains(c.fields, field) }

// setSource looks at a file's bytes as a whole; false: there is nothing to compile.
func (c *compiler) setSource(data []byte) bool {
	c.place = func(at int) int { return at }
	if len(data) > maxSource {
		c.note(0, 0, fmt.Sprintf("this file is larger than %d KiB; a letter is not", maxSource>>10))
		return false
	}
	c.source = strings.TrimPrefix(string(data), "\uFEFF")
	c.source = strings.ReplaceAll(strings.ReplaceAll(c.source, "\r\n", "\n"), "\r", "\n")
	for i, r := range c.source {
		switch {
		case r == utf8.RuneError && isBroken(c.source[i:]):
			c.mistake(i, "these bytes are no UTF-8; save the file as UTF-8")
			return false
		case r < ' ' && r != '\n' && r != '\t', r == 0x7f:
			c.mistake(i, "a control character stands here")
			return false
		case r >= '\uE000' && r <= '\uF8FF':
			c.mistake(i, "a private-use character stands here, which mail programs cannot show")
			return false
		}
	}
	return true
}

// field is a value of the front matter and where it begins in the file.
type field struct {
	value string
	place func(at int) int
}

// front reads the front matter and returns its values and where the body begins.
func (c *compiler) front(keys ...string) (map[string]field, int) {
	if !strings.HasPrefix(c.source, "---\n") {
		if slices.Contains(keys, "subject") {
			c.note(1, 1, "a letter begins with front matter: a line ---, a line such as subject: \"…\", and a line ---")
		}
		return nil, 0
	}
	end := ruleLine(c.source[4:], true)
	if end < 0 {
		c.note(1, 1, "the front matter that begins here does not end with a line ---")
		return nil, len(c.source)
	}
	head, body := c.source[4:4+end], len(c.source)
	if i := strings.IndexByte(c.source[4+end:], '\n'); i >= 0 {
		body = 4 + end + i + 1
	}
	return c.frontValues(head, keys), body
}

func (c *compiler) frontValues(head string, keys []string) map[string]field {
	var document yaml.Node
	if err := yaml.Load([]byte(head), &document); err != nil {
		c.yamlMistakes(err)
		return nil
	}
	if len(document.Content) == 0 {
		return nil
	}
	mapping := document.Content[0]
	if mapping.Kind != yaml.MappingNode {
		c.note(mapping.Line+1, mapping.Column, "the front matter holds lines such as subject: \"…\" and nothing else")
		return nil
	}
	values := map[string]field{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		line, column := value.Line+1, value.Column
		values[key.Value] = field{value: key.Value} // it is there, whatever is wrong with it
		switch {
		case !slices.Contains(keys, key.Value):
			message := "unknown key " + key.Value
			for _, k := range keys {
				if distance(k, key.Value) <= 3 {
					message += "; did you mean " + k + "?"
				}
			}
			c.note(key.Line+1, key.Column, message)
		case value.Kind == yaml.MappingNode:
			c.note(line, column, fmt.Sprintf("put what follows %s: in double quotes", key.Value))
		case value.Kind != yaml.ScalarNode:
			c.note(line, column, fmt.Sprintf("%s is one line of words", key.Value))
		default:
			values[key.Value] = c.locate(value, line, column)
		}
	}
	return values
}

// locate finds a value's characters in the file. Where quoting or folding changed them, every place
// in it is the place where it begins.
func (c *compiler) locate(value *yaml.Node, line, column int) field {
	start := 0
	for range line - 1 {
		start += strings.IndexByte(c.source[start:], '\n') + 1
	}
	for range column - 1 {
		_, size := utf8.DecodeRuneInString(c.source[start:])
		start += size
	}
	if value.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		start++
	}
	if strings.HasPrefix(c.source[start:], value.Value) {
		return field{value.Value, func(at int) int { return start + at }}
	}
	return field{value.Value, func(int) int { return start }}
}

func (c *compiler) yamlMistakes(err error) {
	var several *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case errors.As(err, &several) && len(several.Errors) > 0:
		for _, e := range several.Errors {
			c.yamlMistake(e)
		}
	case errors.As(err, &one):
		c.yamlMistake(one)
	default:
		c.note(1, 1, "the front matter cannot be read: "+err.Error())
	}
}

func (c *compiler) yamlMistake(e *yaml.LoadError) {
	c.note(max(e.Mark.Line, 1)+1, max(e.Mark.Column, 1), "the front matter cannot be read: "+e.Message+`; a value with a colon or braces in it goes in double quotes`)
}

// ruleLine finds a line --- in s: the first one, or the last one that has a blank line before it.
func ruleLine(s string, first bool) int {
	found, blank := -1, true
	for at := 0; at < len(s); {
		end := len(s)
		if i := strings.IndexByte(s[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		line := strings.TrimRight(s[at:end], " \t\n")
		if line == "---" && first {
			return at
		}
		if line == "---" && blank {
			found = at
		}
		blank = line == ""
		at = end
	}
	return found
}

// namesOf takes a letter's name and language from its file's name.
func namesOf(path string) (name, language string, ok bool) {
	m := fileName.FindStringSubmatch(filepath.Base(path))
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}
