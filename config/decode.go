package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"

	"go.yaml.in/yaml/v4"

	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/promise"
)

// A decoder goes through the file's nodes and the fields of Config side by side. A value that is wrong is reported and leaves the
// field as it was, so that the checks behind it see something sensible.
type decoder struct {
	file, folder string
	lines        []string // of the file, for places inside a value
	getenv       func(string) (string, bool)
	readFile     func(string) ([]byte, error)

	config    *Config // what is being read
	errors    Errors
	nodes     map[string]*yaml.Node        // the values that were given, by path
	keys      map[string]*yaml.Node        // and their keys
	calendars map[string]*promise.Calendar // read already
	visited   int                          // nodes so far
	endless   *Error                       // the file is refused as a whole
	depth     int
}

func (d *decoder) report(line, column int, key, message string) {
	if len(d.errors) == 10*maxErrors {
		return // whatever this file is, it is no configuration
	}
	d.errors = append(d.errors, &Error{d.file, max(line, 1), max(column, 1), key, message})
}

func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	d.report(n.Line, n.Column, path, fmt.Sprintf(format, args...))
}

// failAt reports a mistake at a key, at the nearest key above it that was given if it was not.
func (d *decoder) failAt(path, format string, args ...any) {
	for at := path; ; {
		if n := d.nodes[at]; n != nil {
			if key := d.keys[at]; at != path && key != nil {
				n = key
			}
			d.fail(n, path, format, args...)
			return
		}
		dot := strings.LastIndexAny(at, ".[")
		if dot < 0 {
			d.report(1, 1, path, fmt.Sprintf(format, args...))
			return
		}
		at = at[:dot]
	}
}

// given says whether a key stands in the file.
func (d *decoder) given(path string) bool { return d.nodes[path] != nil }

// follow resolves an alias and counts: a file whose aliases multiply it without end is refused as a whole.
func (d *decoder) follow(n *yaml.Node, path string) (*yaml.Node, bool) {
	d.visited++
	for range maxDepth {
		if n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	switch {
	case d.visited > maxNodes:
		return n, false
	case d.visited == maxNodes || d.depth == maxDepth:
		d.visited = maxNodes + 1
		d.endless = &Error{d.file, n.Line, n.Column, "", "the file repeats itself too often by its aliases (*name)"}
		return n, false
	}
	return n, true
}

// field is one key of a struct.
type field struct {
	key   string
	keyed bool
	tag   reflect.StructTag
	value []int // index in the struct
	typ   reflect.Type
}

// fieldsOf lists the keys of a struct, those of inlined structs among them, in the order of declaration.
func fieldsOf(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, tagged := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			for _, inner := range fieldsOf(f.Type) {
				inner.value = append([]int{i}, inner.value...)
				all = append(all, inner)
			}
		case key != "" && key != "-":
			all = append(all, field{key: key, keyed: tagged && options == "keyed", tag: f.Tag, value: []int{i}, typ: f.Type})
		}
	}
	return all
}

func keysOf(fields []field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// mapping reads a node into a struct.
func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value, optional bool) {
	if optional && empty(n) {
		return // a key whose own keys are all commented out
	}
	fields := fieldsOf(v.Type())
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "%s stands here, but keys are expected, such as %s:%s", describe(n), fields[0].key, colonHint(n))
		return
	}
	values := d.pairs(n, path, keysOf(fields))
	for _, f := range fields {
		if value := values[f.key]; value != nil {
			d.value(value, join(path, f.key), v.FieldByIndex(f.value), f)
		}
	}
}

// pairs checks a mapping's keys and gives their values. known is nil where any key may stand.
func (d *decoder) pairs(n *yaml.Node, path string, known []string) map[string]*yaml.Node {
	values := make(map[string]*yaml.Node, len(n.Content)/2)
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.fail(key, path, "a key must be a word")
		case len(key.Value) > maxKey:
			d.fail(key, path, "the key %q is too long", clip(key.Value))
			continue
		case lines[key.Value] > 0:
			d.fail(key, join(path, key.Value), "this key is given twice, first in line %d: keep one of them", lines[key.Value])
		case known != nil && !slices.Contains(known, key.Value):
			d.fail(key, join(path, key.Value), "%s", unknownKey(key.Value, path, known))
		default:
			values[key.Value] = value
			d.keys[join(path, key.Value)] = key
		}
		if key.Kind == yaml.ScalarNode {
			lines[key.Value] = key.Line
		}
	}
	return values
}

// unknownKey looks for the key that was meant: a near one here, else the same word where it belongs.
func unknownKey(key, path string, known []string) string {
	if near := members.Nearest(key, known); near != "" && key != "<<" {
		return fmt.Sprintf("there is no such key; did you mean %q?", near)
	}
	var elsewhere []string
	for _, other := range allKeys() {
		if parent, ok := strings.CutSuffix(other, "."+key); ok && len(elsewhere) < 3 {
			elsewhere = append(elsewhere, parent)
		} else if other == key {
			elsewhere = append(elsewhere, "the left margin")
		}
	}
	if len(elsewhere) > 0 {
		return fmt.Sprintf("this key does not belong here but under %s; check the indentation", strings.Join(elsewhere, " or "))
	}
	if key == "<<" {
		return "merging is not possible here: write the keys out, or use *name for a whole value"
	}
	if path == "" {
		return "there is no such key; config.example.yaml shows all there are"
	}
	return "there is no such key; here may stand " + strings.Join(known, ", ")
}

// value reads a node into a field by the field's type.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value, f field) {
	n, ok := d.follow(n, path)
	if !ok {
		return
	}
	d.depth++
	defer func() { d.depth-- }()
	d.nodes[path] = n
	if read := reader(v.Type()); read != nil {
		read(d, n, path, v, f)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, path, v, true)
	case reflect.Slice:
		if f.keyed {
			d.keyed(n, path, v)
		} else {
			d.list(n, path, v, f)
		}
	case reflect.Map:
		d.words(n, path, v)
	default:
		d.scalar(n, path, v, f)
	}
}

// keyed reads a mapping into a slice of structs with a Name.
func (d *decoder) keyed(n *yaml.Node, path string, v reflect.Value) {
	all := reflect.MakeSlice(v.Type(), 0, 4)
	if !empty(n) {
		if n.Kind != yaml.MappingNode {
			d.fail(n, path, "%s stands here, but names are expected, each with its keys below it%s", describe(n), colonHint(n))
			return
		}
		values := d.pairs(n, path, nil)
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			value := values[name]
			if value == nil || d.keys[join(path, name)] != n.Content[i] {
				continue
			}
			if !validName(name) {
				d.fail(n.Content[i], join(path, name), "a name is made of letters, digits, - and _, and dots for a domain, at most 64 of them")
			}
			element := d.element(v.Type().Elem())
			element.FieldByName("Name").SetString(name)
			if value, ok := d.follow(value, join(path, name)); ok {
				d.nodes[join(path, name)] = value
				d.mapping(value, join(path, name), element, true)
			}
			all = reflect.Append(all, element)
		}
	}
	v.Set(all)
}

func validName(name string) bool {
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' && r != '.' {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// element is a new element of a list, with its defaults.
func (d *decoder) element(t reflect.Type) reflect.Value {
	element := reflect.New(t).Elem()
	switch t {
	case reflect.TypeFor[Mailbox]():
		element.Set(reflect.ValueOf(d.config.mailbox()))
	case reflect.TypeFor[Newsletter]():
		element.Set(reflect.ValueOf(Newsletter{TimeZone: "member"}))
	}
	return element
}

// list reads a sequence.
func (d *decoder) list(n *yaml.Node, path string, v reflect.Value, f field) {
	all := reflect.MakeSlice(v.Type(), 0, len(n.Content))
	if !empty(n) {
		if n.Kind != yaml.SequenceNode {
			d.fail(n, path, "%s stands here, but a list is expected: write [%s], or one entry a line, each after a dash", describe(n), sample(n))
			return
		}
		for i, item := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i+1)
			element := d.element(v.Type().Elem())
			before := len(d.errors)
			d.value(item, at, element, field{tag: f.tag, typ: element.Type()})
			if len(d.errors) == before || element.Kind() == reflect.Struct {
				all = reflect.Append(all, element)
			}
		}
	}
	v.Set(all)
}

// words reads a mapping of texts.
func (d *decoder) words(n *yaml.Node, path string, v reflect.Value) {
	all := reflect.MakeMap(v.Type())
	if !empty(n) {
		if n.Kind != yaml.MappingNode {
			d.fail(n, path, "%s stands here, but keys with a word each are expected, like {key: word}%s", describe(n), colonHint(n))
			return
		}
		for key, value := range d.pairs(n, path, nil) {
			word := reflect.New(v.Type().Elem()).Elem()
			before := len(d.errors)
			d.value(value, join(path, key), word, field{typ: word.Type()})
			if len(d.errors) == before {
				all.SetMapIndex(reflect.ValueOf(key), word)
			}
		}
	}
	v.Set(all)
}

// empty says whether a key has nothing after it.
func empty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && (n.Value == "" || n.Value == "~")
}

// describe says what a node is, to people who do not know YAML's words.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a group of keys"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case empty(n):
		return "nothing"
	}
	return fmt.Sprintf("%q", clip(n.Value))
}

// colonHint ends a sentence where "key:value" was written without the space that YAML needs.
func colonHint(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, ":") && !strings.Contains(n.Value, "://") {
		return "; is the space after a colon missing?"
	}
	return ""
}

func sample(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode && n.Value != "" && len(n.Value) < 40 {
		return n.Value
	}
	return "a, b"
}

// clip keeps a value in a sentence short.
func clip(s string) string {
	if runes := []rune(s); len(runes) > 50 {
		return string(runes[:50]) + "…"
	}
	return s
}

var allKeys = sync.OnceValue(Keys)

// Keys are all keys there are, by their paths: mailboxes.NAME.imap.host, responder.rules.when. The names people
// choose stand as NAME, languages as LANGUAGE, and days of the week as DAYS.
func Keys() []string {
	var all []string
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		for _, f := range fieldsOf(t) {
			at := join(path, f.key)
			all = append(all, at)
			inner := f.typ
			if f.typ.Kind() == reflect.Slice && reader(f.typ) == nil {
				inner = f.typ.Elem()
			}
			if f.keyed {
				at += ".NAME"
			}
			if inner.Kind() == reflect.Struct && reader(inner) == nil {
				walk(inner, at)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return all
}
