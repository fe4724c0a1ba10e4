package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/returnpost/returnpost/members"
)

var variable = regexp.MustCompile(`\$\$|\$\{[^}]*\}?`)

var privateKey = regexp.MustCompile(`smtp\.dkim\[[0-9]+\]\.key$`)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// text is a scalar's text with its variables and file filled in, for a field of lines with line breaks, else on one line.
func (d *decoder) text(n *yaml.Node, path string, lines bool) (text string, expanded, ok bool) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Style&yaml.TaggedStyle != 0:
		d.fail(n, path, "a value that begins with ! has to stand in quotes")
		return "", false, false
	case empty(n) && n.Value == "":
		d.fail(n, path, `nothing stands here: give a value, or remove the key for its default (a value that begins with # has to stand in quotes; an empty one is "")`)
		return "", false, false
	case n.Kind != yaml.ScalarNode:
		hint := ""
		if strings.HasPrefix(d.source(n), "{") || strings.HasPrefix(d.source(n), "[") {
			hint = "; a value that begins with { or [ has to stand in quotes"
		}
		d.fail(n, path, "%s stands here, but a single value is expected%s", describe(n), hint)
		return "", false, false
	}
	lines = lines || privateKey.MatchString(path)
	text, err := d.expand(n.Value)
	if key, ok := strings.CutPrefix(n.Value, "file:"); ok && privateKey.MatchString(path) {
		text, err = key, nil // of which the first line is not enough
	}
	if err != nil {
		d.fail(n, path, "%v", err)
		return "", false, false
	}
	if !lines {
		text = strings.TrimSuffix(text, "\n") // of a block
	}
	for _, r := range text {
		if r < ' ' && !(r == '\n' && (lines || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0) || r == '\t') || r == 0x7f {
			d.fail(n, path, "the value holds a line break or another control character")
			return "", false, false
		}
	}
	return text, text != n.Value, true
}

// source is what stands in the file where the node begins.
func (d *decoder) source(n *yaml.Node) string {
	if n.Line < 1 || n.Line > len(d.lines) {
		return ""
	}
	line := []rune(d.lines[n.Line-1])
	return string(line[min(max(n.Column-1, 0), len(line)):])
}

// expand fills in ${NAME} and $$, and file:/path. What comes out of a variable is not expanded again.
func (d *decoder) expand(value string) (string, error) {
	if name, ok := strings.CutPrefix(value, "file:"); ok && name != "" && strings.ContainsRune("/.~", rune(name[0])) {
		if name[0] == '~' {
			return "", errors.New("~ is not known in a path: write it from the root, like file:/etc/returnpost/password")
		}
		if slashes, ok := strings.CutPrefix(name, "//"); ok {
			name = slashes
		}
		data, err := d.readFile(d.path(name))
		if err != nil {
			return "", fmt.Errorf("the file %s cannot be read: %w", d.path(name), reason(err))
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(string(data), "\ufeff"), "\n")
		return strings.TrimSuffix(first, "\r"), nil
	}
	var mistake error
	text := variable.ReplaceAllStringFunc(value, func(found string) string {
		if found == "$$" {
			return "$"
		}
		name, closed := strings.CutSuffix(found[2:], "}")
		if !closed || !variableName.MatchString(name) {
			mistake = fmt.Errorf("%q is not a variable: write ${NAME}, or $$ for a dollar sign", clip(found))
			return ""
		}
		content, ok := d.getenv(name)
		if !ok {
			mistake = fmt.Errorf("the environment variable %s is not set: set it, or write the value or file:/path here", name)
		}
		return content
	})
	return text, mistake
}

// path is a file's name as seen from the configuration's folder.
func (d *decoder) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(d.folder, name)
}

// checkWord holds a text against the kind its field asks for, and brings it into its normal form. Empty is
// always possible; what is required is checked elsewhere.
func checkWord(kind, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	switch kind {
	case "address":
		return members.NormalAddress(text)
	case "pattern":
		return checkPattern(text)
	case "mailbox":
		return text, checkMailbox(text)
	case "language":
		return members.CheckLanguage(text)
	case "zone":
		return text, members.CheckZone(text)
	case "url":
		return strings.TrimRight(text, "/"), checkURL(text)
	case "listen":
		return text, checkListen(text)
	}
	return text, nil
}

// checkPattern takes an address, or one in which a star stands for anything: *@old.example, *@*.old.example.
func checkPattern(text string) (string, error) {
	if !strings.Contains(text, "*") {
		address, err := members.NormalAddress(text)
		return strings.ToLower(address), err
	}
	if _, err := members.NormalAddress(strings.ReplaceAll(text, "*", "x")); err != nil || strings.HasSuffix(text, "*") {
		return "", fmt.Errorf("%q is not a pattern for addresses; write it like *@old.example", clip(text))
	}
	return strings.ToLower(text), nil
}

func checkMailbox(text string) error {
	a, err := mail.ParseAddress(text)
	if err != nil {
		return fmt.Errorf("%q is not a sender; write it like Harbour Books <news@harbourbooks.example>", clip(text))
	}
	_, err = members.NormalAddress(a.Address)
	return err
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q is not a web address; write it like https://harbourbooks.example", clip(text))
	}
	return nil
}

func checkListen(text string) error {
	_, port, err := net.SplitHostPort(text)
	number, numberErr := strconv.Atoi(port)
	if err != nil || numberErr != nil || number < 0 || number > 65535 {
		return fmt.Errorf(`%q is not an address to listen at; write it like 127.0.0.1:8025, or "" for none`, clip(text))
	}
	return nil
}
